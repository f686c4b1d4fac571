//! Numbers for the names of nodes.

use std::collections::BTreeMap;

use super::{Applied, Limits, MapOp, NodeId, marks::Marks, numbers::Offers};

/// Numbers the nodes that a plan comes across.
#[derive(Debug)]
pub(super) struct Nodes<'a> {
    applied: &'a Applied,
    offers: Offers<'a>,
    fresh: BTreeMap<&'a str, NodeId>,
    used: Marks,
}

impl<'a> Nodes<'a> {
    pub(super) fn new(applied: &'a Applied, limits: &Limits) -> Self {
        let offers = applied.node_ids.offers(limits.nodes);
        Self { applied, offers, fresh: BTreeMap::new(), used: Marks::default() }
    }

    /// The number of the node `name`, which is probably `guess`. 0 if the table is full: names are for
    /// reports, and traffic is not refused for their sake.
    pub(super) fn number(&mut self, name: Option<&'a str>, guess: NodeId) -> NodeId {
        let Some(name) = name else { return 0 };
        let id = if self.applied.node(guess) == Some(name) {
            guess
        } else if let Some(id) = self.applied.node_id(name).or_else(|| self.fresh.get(name).copied()) {
            id
        } else if let Some(id) = self.offers.next() {
            self.fresh.insert(name, id);
            id
        } else {
            return 0;
        };
        self.used.insert(id);
        id
    }

    /// Names of new nodes, before anything else, and removals of names that nothing uses, after everything.
    pub(super) fn finish(self) -> (Vec<MapOp>, Vec<MapOp>) {
        let names = self.fresh.iter().map(|(&name, &id)| MapOp::WriteNode { id, name: name.to_owned() });
        let unused = self.applied.nodes().map(|(id, _)| id).filter(|&id| !self.used.contains(id));
        (names.collect(), unused.map(|id| MapOp::RemoveNode { id }).collect())
    }
}
