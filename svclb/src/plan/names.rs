//! The names of nodes, and how many backends are on each.

use std::collections::{BTreeMap, BTreeSet};

use super::{NodeId, numbers::Numbers, visits::visit};

/// The table of node names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// By number.
    by_id: Vec<Option<String>>,
    by_name: BTreeMap<String, NodeId>,
    pub(super) ids: Numbers,
    /// By number: backend cells of both families.
    uses: Vec<u32>,
    /// Names that no backend cell has.
    unused: BTreeSet<NodeId>,
}

impl Names {
    /// Every named node.
    pub(super) fn iter(&self) -> impl Iterator<Item = (NodeId, &str)> {
        let names = (0..).zip(&self.by_id).filter_map(|(id, name)| Some((id, name.as_deref()?)));
        names.inspect(|_| visit(1))
    }

    /// The name of node `id`.
    pub(super) fn get(&self, id: NodeId) -> Option<&str> {
        visit(1);
        self.by_id.get(id as usize)?.as_deref()
    }

    /// The number of the node `name`.
    pub(super) fn id(&self, name: &str) -> Option<NodeId> {
        visit(1);
        self.by_name.get(name).copied()
    }

    /// How many backend cells are on node `id`.
    pub(super) fn uses(&self, id: NodeId) -> u32 {
        self.uses.get(id as usize).copied().unwrap_or(0)
    }

    /// Names that no backend cell has.
    pub(super) fn unused(&self) -> impl Iterator<Item = NodeId> {
        self.unused.iter().copied().inspect(|_| visit(1))
    }

    pub(super) fn write(&mut self, id: NodeId, name: &str) {
        self.ids.take(id);
        let at = id as usize;
        self.by_id.resize(self.by_id.len().max(at + 1), None);
        self.by_id[at] = Some(name.to_owned());
        self.by_name.insert(name.to_owned(), id);
        self.note(id);
    }

    pub(super) fn remove(&mut self, id: NodeId) {
        if let Some(name) = self.by_id.get_mut(id as usize).and_then(Option::take) {
            self.by_name.remove(&name);
            self.ids.give_up(id);
            self.note(id);
        }
    }

    /// A backend cell goes from one node to another; 0 is none.
    pub(super) fn carry_over(&mut self, from: NodeId, to: NodeId) {
        if from == to {
            return;
        }
        if let Some(uses) = self.uses.get_mut(from as usize) {
            *uses = uses.saturating_sub(1);
        }
        let at = to as usize;
        self.uses.resize(self.uses.len().max(at + 1), 0);
        self.uses[at] += 1;
        self.note(from);
        self.note(to);
    }

    fn note(&mut self, id: NodeId) {
        let has_name = self.by_id.get(id as usize).is_some_and(Option::is_some);
        if has_name && self.uses(id) == 0 {
            self.unused.insert(id);
        } else {
            self.unused.remove(&id);
        }
    }
}
