//! From a complete set of API objects to the desired state of the node.

use super::{Model, ObjectKey, Objects, Settings, Snapshot};

/// The desired state that `objects` ask for. Pure: equal arguments give equal snapshots.
pub fn build(objects: &Objects, settings: &Settings) -> Snapshot {
    Model::of(objects, settings.clone()).into_snapshot()
}

impl Model {
    /// The settled state after these objects.
    pub fn of(objects: &Objects, settings: Settings) -> Self {
        let mut model = Self::new(settings);
        for node in objects.nodes() {
            model.apply_node(&ObjectKey::of(&node.metadata), Some(node));
        }
        for service in objects.services() {
            model.apply_service(&ObjectKey::of(&service.metadata), Some(service));
        }
        for slice in objects.slices() {
            model.apply_slice(&ObjectKey::of(&slice.metadata), Some(slice));
        }
        model.settle();
        model
    }
}

#[cfg(test)]
mod tests;
