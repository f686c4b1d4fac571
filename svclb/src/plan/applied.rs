//! What is in the kernel's tables.

use std::collections::BTreeMap;

use svclb_common::service::ServiceId;

use super::{MapOp, NodeId, TableOp, Tables, numbers::Numbers};
use crate::model::{Family, ServicePortKey};

/// What is in the kernel's tables, and in which order their free cells are to be given out.
///
/// It changes by [`apply`](Self::apply) only, one write at a time, so that it is right even when a plan was
/// written in part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// By number.
    nodes: Vec<Option<String>>,
    by_name: BTreeMap<String, NodeId>,
    pub(super) node_ids: Numbers,
    services: BTreeMap<ServicePortKey, ServiceId>,
    v4: Tables,
    v6: Tables,
}

impl Applied {
    /// The tables of `family`.
    pub fn tables(&self, family: Family) -> &Tables {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    pub(super) fn tables_mut(&mut self, family: Family) -> &mut Tables {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }

    /// Every service port and its cell.
    pub fn services(&self) -> impl Iterator<Item = (&ServicePortKey, ServiceId)> {
        self.services.iter().map(|(key, &id)| (key, id))
    }

    /// The cell of a service port.
    pub fn service_id(&self, key: &ServicePortKey) -> Option<ServiceId> {
        self.services.get(key).copied()
    }

    /// Every named node.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &str)> {
        (0..).zip(&self.nodes).filter_map(|(id, name)| Some((id, name.as_deref()?)))
    }

    /// The name of node `id`.
    pub fn node(&self, id: NodeId) -> Option<&str> {
        self.nodes.get(id as usize)?.as_deref()
    }

    /// The number of the node `name`.
    pub fn node_id(&self, name: &str) -> Option<NodeId> {
        self.by_name.get(name).copied()
    }

    /// Does here what the write did in the kernel.
    pub fn apply(&mut self, op: &MapOp) {
        match op {
            MapOp::Table { family, op } => {
                self.index_service(*family, op);
                self.tables_mut(*family).apply(op);
            }
            MapOp::WriteNode { id, name } => self.write_node(*id, name),
            MapOp::RemoveNode { id } => self.remove_node(*id),
        }
    }

    fn index_service(&mut self, family: Family, op: &TableOp) {
        match op {
            TableOp::WriteName { service, key } => {
                self.services.insert(key.clone(), *service);
            }
            TableOp::RemoveName { service } => {
                let entry = self.tables(family).service(*service);
                if let Some(key) = entry.and_then(|entry| entry.key.clone()) {
                    self.services.remove(&key);
                }
            }
            _ => {}
        }
    }

    fn write_node(&mut self, id: NodeId, name: &str) {
        self.node_ids.take(id);
        let at = id as usize;
        self.nodes.resize(self.nodes.len().max(at + 1), None);
        self.nodes[at] = Some(name.to_owned());
        self.by_name.insert(name.to_owned(), id);
    }

    fn remove_node(&mut self, id: NodeId) {
        if let Some(name) = self.nodes.get_mut(id as usize).and_then(Option::take) {
            self.by_name.remove(&name);
            self.node_ids.give_up(id);
        }
    }
}
