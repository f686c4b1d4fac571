//! The API server as a source: Services, EndpointSlices, `ServiceCIDRs` and this node's own Node.
//!
//! Each kind is followed by itself, by kube's watcher:
//!
//! ```text
//!            refused, broken off: later, once more
//!          ┌──────────┐
//!          ▼          │       complete                    ends, breaks off: later, from
//!   ┌─► listing ──────┴──────────────────► watching ◄──┐  the last version that was heard
//!   │      │                                  │  │     │
//!   │      │ optional kind, not served        │  └─────┘
//!   │      ▼                                  │
//!   │  unavailable (asked again rarely)       │ version expired (410)
//!   └──────┴──────────────────────────────────┘
//! ```
//!
//! *Listing* collects and tells nothing; only a complete list is told, as what differs from what was told before.
//! *Watching* tells each event. So whatever breaks off, is refused, comes in halves or not at all changes nothing,
//! and an object goes only when the server says that it is gone: by its deletion, or by a complete list without it.
//!
//! What the kinds tell is folded into [`Batch`]es: the first when all of them are listed (or unavailable), the next
//! ones whenever something differs and the agent has taken the last. Nobody waits for more to come; what comes while
//! the agent is busy is in the next batch, each object once with its last state.
//!
//! | module | owns |
//! |---|---|
//! | `connect` | where the server is, and who we are |
//! | `contact` | what is to be said about outages, and how often may be asked |
//! | `kind` | which objects of a kind are asked for, and what of them is kept |
//! | `received` | an object as it arrives, readable or not |
//! | `text` | a value of JSON that is not looked into yet |
//! | `follow` | the states above, for one kind |
//! | `told` | what the agent knows of a kind, and what it is to be told |
//! | `watch` | all kinds together |
//! | `events` | what users are told through the API |
//! | `calls` | what svclb must be allowed to call |
//!
//! # The first contact
//!
//! svclb makes every ClusterIP work, so it cannot need one to begin with. The server is the one of a kubeconfig, or of
//! `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`, which a pod's manifest may set to an address of the control
//! plane. The kubelet's own value of them is the ClusterIP of `default/kubernetes`; it works where another proxy
//! translates it still and after a restart of svclb, whose pinned programs translate it all the time, but not on a
//! fresh node. No name is resolved by the cluster's DNS either, unless the configured address is such a name.
//!
//! # The encoding
//!
//! Objects travel as JSON: k8s-openapi's types are made for it and nothing else. A slice of 100 endpoints with
//! everything that a cluster writes into it takes 30.7 kB as JSON and 17.1 kB as protobuf. Not even twice as much,
//! for what arrives once and then when it changes, is not worth a second set of types.
//!
//! [`Batch`]: crate::source::Batch

mod connect;
mod contact;
mod error;
mod events;
mod follow;
mod kind;
mod received;
mod settings;
mod text;
mod told;
mod watch;

pub use self::{
    connect::connect,
    error::Error,
    events::{Events, Severity},
    settings::{Pace, Settings},
    watch::watch,
};
