//! What is in the kernel's tables.

use std::{collections::BTreeMap, mem};

use ipnet::IpNet;
use svclb_common::service::ServiceId;

use super::{MapOp, NodeId, TableOp, Tables, names::Names, visits::visit};
use crate::model::{Family, ServicePort, ServicePortKey};

/// What is in the kernel's tables, and in which order their free cells are to be given out.
///
/// It changes by [`apply`](Self::apply) only, one write at a time, so that it is right even when a plan was
/// written in part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub(super) names: Names,
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
        self.services.iter().map(|(key, &id)| (key, id)).inspect(|_| visit(1))
    }

    /// The cell of a service port.
    pub fn service_id(&self, key: &ServicePortKey) -> Option<ServiceId> {
        visit(1);
        self.services.get(key).copied()
    }

    /// The smallest range of `family` that holds every `ClusterIP`.
    pub fn cluster_ip_cover(&self, family: Family) -> Option<IpNet> {
        self.tables(family).cluster_ip_cover()
    }

    /// Every named node.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &str)> {
        self.names.iter()
    }

    /// The name of node `id`.
    pub fn node(&self, id: NodeId) -> Option<&str> {
        self.names.get(id)
    }

    /// The number of the node `name`.
    pub fn node_id(&self, name: &str) -> Option<NodeId> {
        self.names.id(name)
    }

    /// Takes as little memory as the tables' contents need, at the cost of a look at all of it. Names that `wanted`
    /// has as well, are its own from then on: those that were read from the tables are texts of their own.
    pub fn compact(&mut self, wanted: &BTreeMap<ServicePortKey, ServicePort>) {
        let services = mem::take(&mut self.services).into_iter();
        let shared: BTreeMap<_, _> = services
            .map(|(key, id)| match wanted.get_key_value(&key) {
                Some((shared, _)) => {
                    self.tables_mut(key.family).rename(id, shared);
                    (shared.clone(), id)
                }
                None => (key, id),
            })
            .collect();
        self.services = shared;
        self.v4.compact();
        self.v6.compact();
    }

    /// Does here what the write did in the kernel.
    pub fn apply(&mut self, op: &MapOp) {
        match op {
            MapOp::Table { family, op } => {
                self.index_service(*family, op);
                let before = self.node_of(*family, op);
                self.tables_mut(*family).apply(op);
                self.names.carry_over(before, self.node_of(*family, op));
            }
            MapOp::WriteNode { id, name } => self.names.write(*id, name),
            MapOp::RemoveNode { id } => self.names.remove(*id),
        }
    }

    /// The node of the backend cell that `op` changes.
    fn node_of(&self, family: Family, op: &TableOp) -> NodeId {
        match *op {
            TableOp::WriteBackend { id, .. }
            | TableOp::SetBackendFlags { id, .. }
            | TableOp::FreeBackend { id } => {
                self.tables(family).backend(id).map_or(0, |backend| backend.flags.node)
            }
            _ => 0,
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
}
