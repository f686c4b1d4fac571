//! From a complete set of API objects to the desired state of the node.

use super::{Model, ObjectKey, Objects, Settings, Snapshot};

/// The desired state that `objects` ask for. Pure: equal arguments give equal snapshots.
pub fn build(objects: &Objects, settings: &Settings) -> Snapshot {
    let mut model = Model::new(settings.clone());
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
    model.into_snapshot()
}

#[cfg(test)]
mod tests;
