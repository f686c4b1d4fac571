//! The desired state, kept as objects change.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
};

use ipnet::IpNet;
use k8s_openapi::{
    api::{
        core::v1::{Node, Pod, Service},
        discovery::v1::EndpointSlice,
        networking::v1::ServiceCIDR,
    },
    jiff::Timestamp,
};

use super::{
    Account, Delta, Family, HealthCheck, NoLocal, NodeState, Notice, ObjectKey, ResourceVersion, ServicePort,
    ServicePortKey, Settings, SkipReason, Skipped, Snapshot,
    account::SliceAccount,
    compute::{Computed, View},
    desired::{Desired, Round},
    facts::ServiceFacts,
    opt_out::{OptOut, OptOuts, addresses_of},
    pool::Pool,
    self_probe,
    service_cidr::ServiceCidrs,
    skip,
    slice::{self, SliceFacts},
    slices::Slices,
};
use crate::{compact::compact, source::Change};

/// The desired state of the node, kept as objects change. A pure value: it depends on the last state of each object
/// and on nothing else, neither on the order nor on the number of the changes that led there.
///
/// [`Self::apply`] takes changes in and marks what they touch; [`Self::settle`] computes that anew. Work is in
/// proportion to the Services that are touched, however many there are.
#[derive(Debug, Default)]
pub struct Model {
    settings: Settings,
    services: BTreeMap<ObjectKey, Known>,
    slices: Slices,
    pool: Pool,
    node: NodeState,
    service_cidrs: ServiceCidrs,
    opt_outs: OptOuts,
    desired: Desired,
    /// Services to be computed anew.
    touched: BTreeSet<ObjectKey>,
    triggers: Vec<(Family, Timestamp)>,
    settled_node: NodeState,
    settled_cidrs: BTreeSet<IpNet>,
    /// How many times a Service has been computed.
    computed: usize,
}

/// What counts of any Service.
#[derive(Debug, PartialEq)]
struct Known {
    uid: Option<String>,
    facts: Result<Box<ServiceFacts>, SkipReason>,
    version: ResourceVersion,
}

impl Model {
    /// The state without any object.
    pub fn new(settings: Settings) -> Self {
        let mut model = Self { settings, ..Self::default() };
        if model.settings.self_probe {
            model.desired.services.extend(self_probe::services());
        }
        model
    }

    /// Takes in the new state of an object.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Service(key, service) => self.apply_service(key, service.as_deref()),
            Change::Slice(key, slice) => self.apply_slice(key, slice.as_deref()),
            Change::Node(key, node) => self.apply_node(key, node.as_deref()),
            Change::ServiceCidr(key, cidr) => self.apply_service_cidr(key, cidr.as_deref()),
            Change::Pod(key, pod) => self.apply_pod(key, pod.as_deref()),
        }
    }

    pub(super) fn apply_service(&mut self, key: &ObjectKey, service: Option<&Service>) {
        let Some(service) = service else {
            if self.services.remove(key).is_some() {
                self.touched.insert(key.clone());
            }
            return;
        };
        let facts = if let Some(reason) = skip::reason(service) {
            Err(reason)
        } else {
            let mut facts = ServiceFacts::of(service);
            facts.share(&mut self.pool);
            Ok(Box::new(facts))
        };
        let version = ResourceVersion::of(&service.metadata);
        let known = Known { uid: service.metadata.uid.clone(), facts, version };
        if self.services.get(key) != Some(&known) {
            let key = ObjectKey { namespace: self.pool.text(&key.namespace), name: key.name.clone() };
            self.services.insert(key.clone(), known);
            self.touched.insert(key);
        }
    }

    pub(super) fn apply_slice(&mut self, key: &ObjectKey, slice: Option<&EndpointSlice>) {
        let mut facts = slice.and_then(SliceFacts::of);
        if let Some(facts) = &mut facts {
            facts.share(&mut self.pool);
            if let Some((owner, _)) = self.services.get_key_value(&facts.owner) {
                facts.owner = owner.clone();
            }
        }
        let family = facts.as_ref().map(|facts| facts.family);
        let touched = self.slices.replace(key, facts);
        if touched.is_empty() {
            return;
        }
        self.triggers.extend(family.zip(slice.and_then(slice::trigger)));
        self.touched.extend(touched.into_iter().filter(|owner| self.services.contains_key(owner)));
    }

    pub(super) fn apply_node(&mut self, key: &ObjectKey, node: Option<&Node>) {
        if *key.name != *self.settings.node_name {
            return;
        }
        let node = node.map(NodeState::of).unwrap_or_default();
        if node.zone != self.node.zone {
            self.touched.extend(self.desired.hinted.iter().cloned());
        }
        if node.addresses != self.node.addresses {
            self.touched.extend(self.desired.ranged.iter().cloned());
        }
        self.node = node;
    }

    pub(super) fn apply_service_cidr(&mut self, key: &ObjectKey, cidr: Option<&ServiceCIDR>) {
        self.service_cidrs.replace(key, cidr, &mut self.desired.notices);
    }

    fn apply_pod(&mut self, key: &ObjectKey, pod: Option<&Pod>) {
        let opt_out = pod.and_then(|pod| Some((OptOut::of(pod, &self.settings)?, addresses_of(pod))));
        self.opt_outs.replace(key, opt_out);
    }

    /// Computes anew what was touched, and tells what is different since the last time.
    pub fn settle(&mut self) -> Delta {
        let mut round = Round::default();
        for key in mem::take(&mut self.touched) {
            let facts = self.services.get(&key).and_then(|known| known.facts.as_ref().ok());
            let created = facts.and_then(|facts| facts.created);
            let view = View { settings: &self.settings, node: &self.node };
            let slices = self.slices.of(&key);
            let computed = facts.map(|facts| Computed::new(&key, facts, &slices, view)).unwrap_or_default();
            self.desired.replace(&key, created, computed, &mut round);
            self.computed += 1;
        }
        let services = &self.services;
        let health_checks_changed = round.health_checks_changed;
        let changed = self.desired.finish(round, |key| services.get(key)?.uid.as_deref());
        let cidrs_changed = self.settled_cidrs != *self.service_cidrs.union();
        if cidrs_changed {
            self.settled_cidrs.clone_from(self.service_cidrs.union());
        }
        let node_changed = self.settled_node != self.node;
        if node_changed {
            self.settled_node.clone_from(&self.node);
        }
        Delta {
            services: changed,
            notices: self.desired.notices.settle(),
            triggers: mem::take(&mut self.triggers),
            node_changed,
            cidrs_changed,
            health_checks_changed,
        }
    }

    /// Takes as little memory as the state needs, at the cost of a look at all of it: after a list of all objects.
    pub fn compact(&mut self) {
        compact(&mut self.services);
        self.slices.compact();
        self.desired.compact();
    }

    /// Every proxied Service port of every family, as it was last settled.
    pub fn services(&self) -> &BTreeMap<ServicePortKey, ServicePort> {
        &self.desired.services
    }

    /// Services that are deliberately not proxied, by namespace and name.
    pub fn skipped(&self) -> Vec<Skipped> {
        let skipped =
            self.services.iter().filter_map(|(key, known)| Some((key, known.facts.as_ref().err()?)));
        skipped
            .map(|(key, reason)| Skipped {
                namespace: key.namespace.as_ref().into(),
                name: key.name.as_ref().into(),
                reason: *reason,
            })
            .collect()
    }

    /// Fields that are ignored, contested or malformed, by object and field, each once.
    pub fn notices(&self) -> impl Iterator<Item = &Notice> {
        self.desired.notices.iter()
    }

    /// The health checks that load balancers ask for, by Service.
    pub fn health_checks(&self) -> &BTreeMap<ObjectKey, HealthCheck> {
        &self.desired.health_checks
    }

    /// What counts of the node's own Node object.
    pub fn node(&self) -> &NodeState {
        &self.node
    }

    /// The ranges of all ServiceCIDR objects.
    pub fn service_cidrs(&self) -> &BTreeSet<IpNet> {
        self.service_cidrs.union()
    }

    /// Pods of this node whose sockets are to be left alone.
    pub fn opt_outs(&self) -> &OptOuts {
        &self.opt_outs
    }

    /// How many Service ports drop because their endpoints are all elsewhere.
    pub fn no_local_endpoints(&self) -> NoLocal {
        self.desired.no_local
    }

    /// What an operator may ask about a Service: see [`Account`].
    pub fn account(&self, service: &ObjectKey) -> Option<Account> {
        let known = self.services.get(service)?;
        let slices = self.slices.named(service).map(|(name, facts)| SliceAccount::of(name, facts));
        let skipped = known.facts.as_ref().err().map(|reason| reason.explain().to_owned());
        let notices = self.notices().filter(|notice| notice.object == *service);
        Some(Account {
            resource_version: known.version.to_string(),
            not_proxied: skipped,
            slices: slices.collect(),
            notices: notices.map(ToString::to_string).collect(),
        })
    }

    /// `metadata.uid` of a Service, proxied or not.
    pub fn uid(&self, service: &ObjectKey) -> Option<&str> {
        self.services.get(service)?.uid.as_deref()
    }

    /// How many times a Service has been computed since the model was made: what a change costs.
    pub fn computed(&self) -> usize {
        self.computed
    }

    /// The settled state as a value of its own.
    pub fn into_snapshot(self) -> Snapshot {
        let skipped = self.skipped();
        let notices = self.notices().cloned().collect();
        Snapshot { services: self.desired.services, skipped, notices }
    }
}

#[cfg(test)]
mod tests;
