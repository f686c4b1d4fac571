//! EndpointSlices by Service.

use std::{collections::BTreeMap, sync::Arc};

use super::{ObjectKey, slice::SliceFacts};
use crate::compact::compact;

/// What counts of all EndpointSlices. A slice is of the namespace of its Service.
#[derive(Debug, Default)]
pub(super) struct Slices {
    /// The Service of each slice that is not ignored.
    owners: BTreeMap<ObjectKey, ObjectKey>,
    /// The slices of each Service by name.
    by_owner: BTreeMap<ObjectKey, Vec<(Arc<str>, SliceFacts)>>,
}

impl Slices {
    /// Replaces what is known of the slice `key`. Returns the Services to which that makes a difference.
    pub(super) fn replace(&mut self, key: &ObjectKey, facts: Option<SliceFacts>) -> Vec<ObjectKey> {
        let facts = match (self.owners.get(key), facts) {
            (Some(owner), Some(facts)) if *owner == facts.owner => {
                let Some(slices) = self.by_owner.get_mut(owner) else { return Vec::new() };
                let Ok(place) = find(slices, key) else { return Vec::new() };
                if slices[place].1 == facts {
                    return Vec::new();
                }
                slices[place].1 = facts;
                return vec![owner.clone()];
            }
            (_, facts) => facts,
        };
        let mut touched = Vec::new();
        if let Some(owner) = self.owners.remove(key) {
            if let Some(slices) = self.by_owner.get_mut(&owner) {
                if let Ok(place) = find(slices, key) {
                    slices.remove(place);
                }
                if slices.is_empty() {
                    self.by_owner.remove(&owner);
                }
            }
            touched.push(owner);
        }
        if let Some(facts) = facts {
            touched.push(facts.owner.clone());
            self.owners.insert(key.clone(), facts.owner.clone());
            let slices = self.by_owner.entry(facts.owner.clone()).or_insert_with(|| Vec::with_capacity(1));
            let place = find(slices, key).unwrap_or_else(|place| place);
            slices.insert(place, (key.name.clone(), facts));
        }
        touched
    }

    /// Takes as little memory as possible.
    pub(super) fn compact(&mut self) {
        compact(&mut self.owners);
        compact(&mut self.by_owner);
    }

    /// The slices of a Service with their names.
    pub(super) fn named(&self, service: &ObjectKey) -> impl Iterator<Item = (&Arc<str>, &SliceFacts)> {
        self.by_owner.get(service).into_iter().flatten().map(|(name, facts)| (name, facts))
    }

    /// The slices of a Service.
    pub(super) fn of(&self, service: &ObjectKey) -> Vec<&SliceFacts> {
        self.by_owner.get(service).into_iter().flatten().map(|(_, facts)| facts).collect()
    }
}

fn find(slices: &[(Arc<str>, SliceFacts)], key: &ObjectKey) -> Result<usize, usize> {
    slices.binary_search_by(|(name, _)| name.cmp(&key.name))
}
