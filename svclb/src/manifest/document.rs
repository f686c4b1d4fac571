//! A piece of a file that has been read, and its place in the file.

use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{ManifestError, Object, chunk::chunks, parse::parse_chunk};

/// What one piece of a file says. It is shared, and stays the same value while its text does; where in the file
/// it stands may change.
#[derive(Debug)]
pub(super) struct Document {
    fingerprint: u64,
    /// How many are before it in the file.
    position: AtomicU64,
    /// The line it begins on, counted from 1 in the file.
    line: AtomicU64,
    objects: Vec<Object>,
}

impl Document {
    /// What it says; lines are counted from 1 in the piece.
    pub(super) fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// What orders the pieces of a file.
    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    /// The line in the file of one of the objects.
    pub(super) fn line_of(&self, object: &Object) -> u64 {
        self.line.load(Ordering::Relaxed) - 1 + object.line
    }

    fn moved_to(&self, position: u64, line: u64) {
        self.position.store(position, Ordering::Relaxed);
        self.line.store(line, Ordering::Relaxed);
    }
}

/// A new version of a file, and how it differs from the one before.
#[derive(Debug, Default)]
pub(super) struct Edition {
    /// All pieces, in their order.
    pub(super) documents: Vec<Arc<Document>>,
    /// Those that the version before did not have.
    pub(super) added: Vec<Arc<Document>>,
    /// Those that are no more.
    pub(super) removed: Vec<Arc<Document>>,
    /// Those that stood in another order.
    pub(super) shuffled: Vec<Arc<Document>>,
}

impl Edition {
    /// Reads `text`, the new version of `file`; what is in `before` already is not read again. An error leaves
    /// `before` as it was.
    pub(super) fn read(text: &str, file: &str, before: &[Arc<Document>]) -> Result<Self, ManifestError> {
        let mut known: HashMap<u64, Vec<&Arc<Document>>> = HashMap::new();
        for document in before.iter().rev() {
            known.entry(document.fingerprint).or_default().push(document);
        }
        let mut places = Vec::new();
        let mut edition = Self::default();
        let mut furthest = 0;
        for chunk in chunks(text) {
            let fingerprint = fingerprint(&(chunk.text, chunk.inherited));
            places.push(chunk.line);
            if let Some(document) = known.get_mut(&fingerprint).and_then(Vec::pop) {
                let position = document.position();
                if position < furthest {
                    edition.shuffled.push(Arc::clone(document));
                }
                furthest = furthest.max(position);
                edition.documents.push(Arc::clone(document));
                continue;
            }
            let document = Arc::new(Document {
                fingerprint,
                position: AtomicU64::default(),
                line: AtomicU64::default(),
                objects: parse_chunk(&chunk, file)?,
            });
            edition.added.push(Arc::clone(&document));
            edition.documents.push(document);
        }
        edition.removed = known.into_values().flatten().map(Arc::clone).collect();
        for ((document, line), position) in edition.documents.iter().zip(places).zip(0..) {
            document.moved_to(position, line);
        }
        Ok(edition)
    }
}

/// What stands for a text of which only a change matters.
pub(super) fn fingerprint(value: &impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> String {
        format!("---\n{{ apiVersion: v1, kind: Node, metadata: {{ name: {name} }} }}\n")
    }

    /// Names and lines of the objects in `documents`.
    fn names(documents: &[Arc<Document>]) -> String {
        let name = |document: &Arc<Document>| {
            let object = document.objects().first()?;
            Some(format!("{} {}", object.resource.id()?.key, document.line_of(object)))
        };
        documents.iter().filter_map(name).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn only_what_is_new_is_read() {
        let read = |text: &str, before: &[_]| Edition::read(text, "f", before).unwrap();
        let shape = |edition: &Edition| {
            [&edition.documents, &edition.added, &edition.removed, &edition.shuffled].map(|list| names(list))
        };
        let [a, b, c, d] = ["a", "b", "c", "d"].map(node);
        let first = read(&format!("{a}{b}{c}"), &[]);
        assert_eq!(shape(&first), ["a 2, b 4, c 6", "a 2, b 4, c 6", "", ""]);
        let edited = read(&format!("#\n{a}{d}{c}"), &first.documents);
        assert_eq!(shape(&edited), ["a 3, d 5, c 7", "d 5", "b 4", ""]);
        assert!(Arc::ptr_eq(&first.documents[2], &edited.documents[3]), "behind the comment");
        let swapped = read(&format!("{c}{a}{a}"), &edited.documents);
        assert_eq!(shape(&swapped), ["c 2, a 4, a 6", "a 6", "d 5", "a 4"]);
        assert!(Edition::read("[", "f", &first.documents).is_err());
    }
}
