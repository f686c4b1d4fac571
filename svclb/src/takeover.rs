//! Taking over from kube-proxy, and handing over to it: no connection that lives is noticed to change its proxy.
//!
//! What kube-proxy's rules have set up is in the kernel's connection tracking, which goes on translating whatever becomes
//! of the rules. So these flows stay the stack's: the flow tables are told of each before programs see its packets, and
//! a table of svclb's own keeps the kernel's NAT going until the last of them is over.
//!
//! | module | noun |
//! |---|---|
//! | `decide` | which entries of connection tracking are flows of Services |
//! | `facts` | what tables and node say to that |
//! | [`handover`] | the way back |
//! | `watch` | the flows until they are over |

mod decide;
mod facts;
pub mod handover;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    sync::Arc,
};

use svclb_common::service::{NODE_HAS_INHERITED, NODE_TAKES_OVER, Policy};
use tokio::sync::Notify;

pub use self::decide::{Inherited, Stage};
use self::{facts::Facts, watch::Watch};
use crate::{
    condition,
    datapath::{
        Error,
        inherited::{InheritedFlows, Ties},
        pins::Pins,
        tables::Tables,
    },
    model::{Family, Protocol},
    netfilter::{
        conntrack::{Conntrack, is_missing},
        entry::Tuple,
        rules,
    },
    plan::Applied,
};

/// How to remove what kube-proxy leaves behind.
pub const REMOVE: &str = "remove them by kube-proxy --cleanup, or restart the node";

/// Flows by what their clients send.
type Flows = BTreeMap<Tuple, Inherited>;

/// Where the agent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Nothing has been looked at.
    Due,
    /// The flows are known that were there before the hooks.
    Begun,
    /// All are.
    Done,
}

/// The flows that are taken over when an agent starts.
pub struct Takeover {
    pins: Pins,
    conntrack: Option<Conntrack>,
    progress: Progress,
    found: Flows,
    lapsed: Arc<Notify>,
    watch: Option<Watch>,
}

impl Takeover {
    /// Nothing has been looked at yet.
    pub fn new(pins: &Pins) -> Self {
        Self {
            pins: pins.clone(),
            conntrack: None,
            progress: Progress::Due,
            found: Flows::new(),
            lapsed: Arc::default(),
            watch: None,
        }
    }

    /// Makes the tables know the flows that there are, before programs see their packets. Tables of Services are
    /// complete. `own` are the node's addresses.
    pub fn begin(&mut self, tables: &Tables, applied: &Applied, own: &BTreeSet<IpAddr>) {
        if self.progress != Progress::Due {
            return;
        }
        self.progress = Progress::Done;
        let looked = match Conntrack::open() {
            Ok(conntrack) => {
                self.conntrack = Some(conntrack);
                self.look(tables, applied, own, false).and_then(|is_tracking| {
                    InheritedFlows::open(&self.pins)?.keep_sockets(self.found.values())?;
                    Ok(is_tracking)
                })
            }
            Err(error) => {
                tracing::debug!("no connections are taken over: {error}");
                Ok(false)
            }
        };
        if let Ok(false) = looked {
            self.conntrack = None;
        } else {
            self.progress = Progress::Begun;
        }
        Self::told(looked.map(drop));
        Self::told(self.flag(tables));
    }

    /// Makes them know those as well that have begun meanwhile. Programs are attached.
    pub fn end(&mut self, tables: &Tables, applied: &Applied, own: &BTreeSet<IpAddr>) {
        if self.progress != Progress::Begun {
            return;
        }
        self.progress = Progress::Done;
        let looked = self.look(tables, applied, own, true);
        Self::told(looked.map(drop));
        Self::told(self.flag(tables));
        Self::tell_leftovers();
        let found = std::mem::take(&mut self.found);
        condition::tell_inherited(found.len());
        if found.is_empty() {
            // A table that an earlier agent has left behind.
            if let Err(error) = rules::leave_nat() {
                tracing::debug!("the nftables table svclb: {error}");
            }
            return;
        }
        let udp = found.values().filter(|flow| flow.protocol == Protocol::Udp).count();
        tracing::info!(
            connections = found.len() - udp,
            datagrams = udp,
            "flows that another proxy has set up go on as they are"
        );
        match Watch::start(&self.pins, found, Arc::clone(&self.lapsed)) {
            Ok(watch) => self.watch = Some(watch),
            Err(error) => tracing::warn!("flows that another proxy has set up are not watched: {error}"),
        }
    }

    /// Resolves when a datagram socket may have to be told that nobody translates for it any more.
    pub async fn lapsed(&self) {
        self.lapsed.notified().await;
    }

    /// Looks at all connections. Tells whether the kernel tracks any at all.
    fn look(
        &mut self,
        tables: &Tables,
        applied: &Applied,
        own: &BTreeSet<IpAddr>,
        is_late: bool,
    ) -> Result<bool, Error> {
        let Some(conntrack) = &self.conntrack else { return Ok(false) };
        let entries = match conntrack.all() {
            Ok(entries) => entries,
            Err(error) if is_missing(&error) => {
                tracing::debug!("no connections are taken over: {error}");
                return Ok(false);
            }
            Err(error) => return Err(unread(&error)),
        };
        let facts = Facts::new(applied, own);
        let flows = entries.iter().filter_map(|it| Some((it.original, decide::inherited(it, &facts)?)));
        let new: Flows = flows.filter(|(key, _)| !self.found.contains_key(key)).collect();
        if new.is_empty() {
            return Ok(true);
        }
        // Before the rules can go.
        if let Err(error) = rules::keep_nat() {
            tracing::warn!(
                "flows that another proxy has set up end when its rules are removed, for the kernel's NAT is not kept \
                 going: {error}"
            );
        }
        let mut writer = InheritedFlows::open(&self.pins)?;
        for (key, flow) in new {
            let family = Family::of(flow.frontend.ip());
            let generation = flow.cell.map_or(Ok(0), |cell| tables.generation(family, cell))?;
            let policy = applied.tables(family).service(flow.service).map(|entry| entry.cell.policy);
            // A datagram that came between has perhaps been given another backend.
            let replaces = is_late && flow.protocol == Protocol::Udp;
            let ties = Ties { generation, has_affinity: policy.unwrap_or_default().affinity != 0, replaces };
            writer.write(&flow, ties)?;
            self.found.insert(key, flow);
        }
        Ok(true)
    }

    /// Says what programs are to expect: connections that nobody has told them of yet, datagram sockets to be left alone.
    fn flag(&self, tables: &Tables) -> Result<(), Error> {
        let has_sockets = self.found.values().any(|flow| flow.is_by_socket);
        let takes_over = if self.progress == Progress::Begun { NODE_TAKES_OVER } else { 0 };
        let flags = takes_over | if has_sockets { NODE_HAS_INHERITED } else { 0 };
        tables.set_node_policy(Policy { flags, affinity: 0 })
    }

    fn told(result: Result<(), Error>) {
        if let Err(error) = result {
            tracing::warn!("connections of another proxy may not all be taken over: {error}");
        }
    }

    fn tell_leftovers() {
        let Ok(found) = rules::leftovers() else { return };
        for kind in found {
            tracing::warn!(
                "kube-proxy's {kind} rules are still there; they decide nothing but what the node sends packet by \
                 packet: {REMOVE}"
            );
        }
    }
}

fn unread(error: &io::Error) -> Error {
    Error::Load { what: "connection tracking".into(), reason: error.to_string() }
}
