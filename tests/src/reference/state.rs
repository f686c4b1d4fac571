//! The objects that there are.

use std::collections::BTreeMap;

use super::{
    expected::Expected,
    object::{Change, Node, Service, Slice, Step},
};

/// The objects that there are, in one namespace, and the node that they are seen from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reference {
    /// The name of the node.
    pub node_name: String,
    /// Services by name.
    pub services: BTreeMap<String, Service>,
    /// EndpointSlices by name.
    pub slices: BTreeMap<String, Slice>,
    /// The Node, if there is one.
    pub node: Option<Node>,
}

impl Reference {
    /// No objects, on the node of that name.
    pub fn new(node_name: &str) -> Self {
        Self { node_name: node_name.into(), ..Self::default() }
    }

    /// Lets a change happen. To delete what is not there changes nothing.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Service(service) => drop(self.services.insert(service.name.clone(), service.clone())),
            Change::NoService(name) => drop(self.services.remove(name)),
            Change::Slice(slice) => drop(self.slices.insert(slice.name.clone(), slice.clone())),
            Change::NoSlice(name) => drop(self.slices.remove(name)),
            Change::Node(node) => self.node = Some(node.clone()),
            Change::NoNode => self.node = None,
        }
    }

    /// Lets all changes of a step happen.
    pub fn apply_all(&mut self, step: &Step) {
        for change in step {
            self.apply(change);
        }
    }

    /// What follows from all that.
    pub fn expected(&self) -> Expected {
        Expected::of(self)
    }

    /// The slices of a Service.
    pub fn slices_of<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Slice> {
        self.slices.values().filter(move |slice| slice.service == service)
    }

    /// The zone of the node, if it is in one.
    pub fn zone(&self) -> Option<&str> {
        self.node.as_ref()?.zone.as_deref()
    }
}
