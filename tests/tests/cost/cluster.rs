//! The pure part of an agent: from objects to the writes, and what it remembers of both.

use std::sync::Arc;

use k8s_openapi::api::{
    core::v1::{Node, Service},
    discovery::v1::EndpointSlice,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use svclb::{
    model::{Model, ObjectKey},
    plan::{Applied, Limits, Plan, plan, plan_all},
    source::Change,
};

/// An agent without a kernel.
#[derive(Default)]
pub(crate) struct Cluster {
    model: Model,
    applied: Applied,
    limits: Limits,
}

impl Cluster {
    /// Takes in what a source tells.
    pub(crate) fn hear(&mut self, changes: &[Change]) {
        for change in changes {
            self.model.apply(change);
        }
    }

    /// Makes the tables hold everything.
    pub(crate) fn program_all(&mut self) {
        self.model.settle();
        let Plan { ops, refused } = plan_all(self.model.services(), &self.applied, &self.limits);
        assert!(refused.is_empty(), "{refused:?}");
        for op in &ops {
            self.applied.apply(op);
        }
    }

    /// Takes as little memory as possible, as an agent does after a list.
    pub(crate) fn compact(&mut self) {
        self.model.compact();
        self.applied.compact(self.model.services());
    }

    /// Follows one change of a slice, from its text on. Tells how many writes that takes.
    pub(crate) fn follow(&mut self, slice: &str) -> usize {
        let slice: EndpointSlice = serde_json::from_str(slice).expect("a slice");
        self.model.apply(&Change::Slice(ObjectKey::of(&slice.metadata), Some(Arc::new(slice))));
        let delta = self.model.settle();
        let services = self.model.services();
        let changed = delta.services.iter().map(|key| (key, services.get(key)));
        let Plan { ops, .. } = plan(changed, &self.applied, &self.limits);
        for op in &ops {
            self.applied.apply(op);
        }
        ops.len()
    }
}

/// What a source tells of these objects.
pub(crate) fn changes(objects: impl Iterator<Item = Value>) -> Vec<Change> {
    fn read<K: DeserializeOwned>(object: Value) -> Arc<K> {
        Arc::new(serde_json::from_value(object).expect("an object"))
    }
    let change = |object: Value| match object["kind"].as_str() {
        Some("Service") => {
            let object = read::<Service>(object);
            Some(Change::Service(ObjectKey::of(&object.metadata), Some(object)))
        }
        Some("EndpointSlice") => {
            let object = read::<EndpointSlice>(object);
            Some(Change::Slice(ObjectKey::of(&object.metadata), Some(object)))
        }
        Some("Node") => {
            let object = read::<Node>(object);
            Some(Change::Node(ObjectKey::of(&object.metadata), Some(object)))
        }
        _ => None,
    };
    objects.filter_map(change).collect()
}
