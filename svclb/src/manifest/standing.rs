//! Where each object stands, and which of its places counts.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{ManifestError, Object, Resource, document::Document, object::Id};
use crate::source::Change;

/// All places of all objects. Of an object that stands twice the first counts: files in the order of their names,
/// then lines.
#[derive(Debug, Default)]
pub(super) struct Standing {
    objects: HashMap<Id, Places>,
    /// Objects whose places changed since the last [`Standing::settle`].
    touched: BTreeSet<Id>,
}

#[derive(Debug, Default)]
struct Places {
    all: Vec<Place>,
    /// What has been told of the object.
    told: Option<Resource>,
    /// Second places that have been reported and are still there.
    reported: Vec<String>,
}

#[derive(Debug)]
struct Place {
    file: Arc<str>,
    document: Arc<Document>,
    index: usize,
}

impl Place {
    fn object(&self) -> &Object {
        &self.document.objects()[self.index]
    }

    fn line(&self) -> u64 {
        self.document.line_of(self.object())
    }

    fn order(&self) -> (&str, u64, usize) {
        (&self.file, self.document.position(), self.index)
    }
}

/// What came of the changes since the time before.
#[derive(Debug, Default)]
pub(super) struct Settlement {
    /// Objects that are in force in another state, or no more.
    pub(super) changes: Vec<Change>,
    /// Places that do not count, and had not been reported.
    pub(super) duplicates: Vec<ManifestError>,
    /// How many objects were looked at.
    pub(super) objects: usize,
}

impl Standing {
    /// Takes note that `document` stands in `file`.
    pub(super) fn add(&mut self, file: &Arc<str>, document: &Arc<Document>) {
        for (index, object) in document.objects().iter().enumerate() {
            let Some(id) = object.resource.id() else { continue };
            let place = Place { file: Arc::clone(file), document: Arc::clone(document), index };
            let places = &mut self.objects.entry(id.clone()).or_default().all;
            places.reserve_exact(1);
            places.push(place);
            self.touched.insert(id);
        }
    }

    /// Takes note that `document` is gone from its file.
    pub(super) fn remove(&mut self, document: &Arc<Document>) {
        for id in document.objects().iter().filter_map(|object| object.resource.id()) {
            if let Some(known) = self.objects.get_mut(&id) {
                known.all.retain(|place| !Arc::ptr_eq(&place.document, document));
                self.touched.insert(id);
            }
        }
    }

    /// Takes note that `document` stands before or behind others than it did.
    pub(super) fn shuffle(&mut self, document: &Document) {
        self.touched.extend(document.objects().iter().filter_map(|object| object.resource.id()));
    }

    /// Finds out what the changes since the time before mean.
    pub(super) fn settle(&mut self) -> Settlement {
        let touched = std::mem::take(&mut self.touched);
        let mut settlement = Settlement { objects: touched.len(), ..Settlement::default() };
        for id in touched {
            let Some(known) = self.objects.get_mut(&id) else { continue };
            known.all.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
            let Some(first) = known.all.first() else {
                let was_told = self.objects.remove(&id).is_some_and(|known| known.told.is_some());
                settlement.changes.extend(was_told.then(|| id.gone()));
                continue;
            };
            settlement.duplicates.extend(duplicates(&id, &known.all, &mut known.reported));
            let now = &first.object().resource;
            if !known.told.as_ref().is_some_and(|told| told.is_same(now)) {
                settlement.changes.extend(now.change());
            }
            // Even if it says the same: of two values one can go.
            known.told = Some(now.clone());
        }
        settlement
    }

    /// All objects in force, as they were told.
    pub(super) fn told(&self) -> impl Iterator<Item = Change> {
        self.objects.values().filter_map(|known| known.told.as_ref()?.change())
    }
}

/// The places that do not count and are not in `reported`, which holds all of them from now on.
fn duplicates(id: &Id, places: &[Place], reported: &mut Vec<String>) -> Vec<ManifestError> {
    let Some((first, others)) = places.split_first() else { return Vec::new() };
    let error = |place: &Place| ManifestError::Duplicate {
        file: place.file.as_ref().to_owned(),
        line: place.line(),
        object: id.to_string(),
        first: format!("{}:{}", first.file, first.line()),
    };
    let errors: Vec<_> = others.iter().map(error).collect();
    let lines: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let known = std::mem::replace(reported, lines);
    let is_new = |(error, line): (ManifestError, &String)| (!known.contains(line)).then_some(error);
    errors.into_iter().zip(reported.iter()).filter_map(is_new).collect()
}
