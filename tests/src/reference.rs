//! A second opinion on what Services ask of a node.
//!
//! Small, slow and obvious: all objects are kept as they are, and everything that follows from them is worked out anew
//! each time, from the documented behaviour of kube-proxy. It shares no code with svclb, which `cargo xtask lint` checks.
//! Where kube-proxy leaves something open (two Services that claim one address, two entries for one endpoint), the rule is
//! the one that svclb documents.
//!
//! | module | owns |
//! |---|---|
//! | [`object`] | Services, EndpointSlices and the Node, and changes of them |
//! | [`manifest`] | these as the API writes them |
//! | [`address`] | families and ranges |
//! | [`state`] | the objects that there are |
//! | [`endpoint`] | which endpoints traffic may go to |
//! | [`claim`] | who has an address that several ask for |
//! | [`expected`] | what all that comes to |
//! | [`verdict`] | what becomes of one client's packet |
//! | [`ground`] | from which addresses and names changes are made |
//! | [`generator`] | changes at random |
//! | [`script`] | changes as text |
//! | [`shrink`] | the smallest script that still fails |

pub mod address;
pub mod claim;
pub mod endpoint;
pub mod expected;
pub mod generator;
pub mod ground;
pub mod manifest;
pub mod object;
pub mod script;
pub mod shrink;
pub mod state;
pub mod verdict;

pub use self::{
    address::Family,
    expected::Expected,
    generator::Generator,
    ground::Ground,
    object::{Change, Protocol, Step},
    script::Script,
    state::Reference,
    verdict::Verdict,
};
