//! Numbers for the names of nodes.

use std::collections::{BTreeMap, BTreeSet};

use super::{Applied, Limits, MapOp, NodeId, numbers::Offers};

/// Numbers the nodes that a plan comes across, and counts the backends that come to them and go.
#[derive(Debug)]
pub(super) struct Nodes<'a> {
    applied: &'a Applied,
    offers: Offers<'a>,
    fresh: BTreeMap<&'a str, NodeId>,
    changes: BTreeMap<NodeId, i64>,
}

impl<'a> Nodes<'a> {
    pub(super) fn new(applied: &'a Applied, limits: &Limits) -> Self {
        let offers = applied.names.ids.offers(limits.nodes);
        Self { applied, offers, fresh: BTreeMap::new(), changes: BTreeMap::new() }
    }

    /// Whether the node `id` has that name.
    pub(super) fn is(&self, id: NodeId, name: Option<&str>) -> bool {
        self.applied.node(id) == name
    }

    /// The number of the node `name`, which is probably `guess`. 0 if the table is full: names are for
    /// reports, and traffic is not refused for their sake.
    pub(super) fn number(&mut self, name: Option<&'a str>, guess: NodeId) -> NodeId {
        let Some(name) = name else { return 0 };
        if self.applied.node(guess) == Some(name) {
            guess
        } else if let Some(id) = self.applied.node_id(name).or_else(|| self.fresh.get(name).copied()) {
            id
        } else if let Some(id) = self.offers.next() {
            self.fresh.insert(name, id);
            id
        } else {
            0
        }
    }

    /// Notes that a backend goes from one node to another; 0 is none.
    pub(super) fn carry_over(&mut self, from: NodeId, to: NodeId) {
        *self.changes.entry(from).or_default() -= 1;
        *self.changes.entry(to).or_default() += 1;
    }

    /// Names of new nodes, before anything else, and removals of names that nothing uses, after everything.
    pub(super) fn finish(self) -> (Vec<MapOp>, Vec<MapOp>) {
        let names = self.fresh.iter().map(|(&name, &id)| MapOp::WriteNode { id, name: name.to_owned() });
        let is_unused = |id: &NodeId| {
            let change = self.changes.get(id).copied().unwrap_or(0);
            self.applied.node(*id).is_some() && i64::from(self.applied.names.uses(*id)) + change == 0
        };
        let candidates: BTreeSet<_> =
            self.changes.keys().copied().chain(self.applied.names.unused()).collect();
        let unused = candidates.into_iter().filter(is_unused).map(|id| MapOp::RemoveNode { id });
        (names.collect(), unused.collect())
    }
}
