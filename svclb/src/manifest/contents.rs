//! What the files of a folder say, and what of it is in force.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use super::{ManifestError, Object, Resource, parse};
use crate::model::Objects;

/// What a look at the folder brought.
#[derive(Debug, Default)]
pub struct Report {
    /// Whether the objects in force are others than before.
    pub changed: bool,
    /// What is wrong and had not been reported yet, by file.
    pub errors: Vec<ManifestError>,
    /// What had not been said yet of files that are in force: one line each, beginning with the file.
    pub warnings: Vec<String>,
}

/// The last good version of every file. Pure: bytes in, objects and errors out.
#[derive(Debug, Default)]
pub(super) struct Contents {
    files: BTreeMap<String, Version>,
    /// Duplicates that have been reported and are still there.
    duplicates: BTreeSet<String>,
    /// Whether the first look is over.
    has_merged: bool,
}

#[derive(Debug, Default)]
struct Version {
    /// Of the last bytes seen, good or bad, so that an error is reported once per content.
    fingerprint: Option<u64>,
    /// Why the file could not be read when it was last tried.
    unreadable: Option<String>,
    /// Of the last good bytes.
    objects: Vec<Object>,
    /// It was there at the first look and could not be read since: it may be what an
    /// earlier agent read.
    is_unknown: bool,
}

impl Contents {
    /// Takes the bytes of a file. If they are no manifest, its last good version stays in force.
    pub(super) fn update(&mut self, file: &str, bytes: &[u8], report: &mut Report) {
        let version = self.version(file);
        version.unreadable = None;
        let fingerprint = Some(fingerprint(bytes));
        if version.fingerprint == fingerprint {
            return;
        }
        version.fingerprint = fingerprint;
        match text(bytes, file).and_then(|text| parse(text, file)) {
            Ok(objects) => {
                report.warnings.extend(ignored(file, &objects));
                version.objects = objects;
                version.is_unknown = false;
            }
            Err(error) => report.errors.push(error),
        }
    }

    /// Takes note that a file is there, and was not read yet.
    pub(super) fn expect(&mut self, file: &str) {
        self.version(file);
    }

    fn version(&mut self, file: &str) -> &mut Version {
        let unknown = Version { is_unknown: !self.has_merged, ..Version::default() };
        self.files.entry(file.to_owned()).or_insert(unknown)
    }

    /// Takes note that a file cannot be read. Its last good version stays in force.
    pub(super) fn fail(&mut self, file: &str, error: ManifestError, report: &mut Report) {
        let version = self.version(file);
        let message = Some(error.to_string());
        if version.unreadable != message {
            version.unreadable = message;
            report.errors.push(error);
        }
    }

    /// Forgets the files that are not there any more.
    pub(super) fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.files.retain(|file, _| is_there(file));
    }

    /// All objects in force. Of an object that stands twice the first counts: files in the order of their
    /// names, then lines.
    pub(super) fn merge(&mut self, report: &mut Report) -> Objects {
        let mut merged = Objects::default();
        let mut places = BTreeMap::new();
        let mut duplicates = BTreeSet::new();
        let files = self.files.iter();
        for (file, object) in files.flat_map(|(file, version)| version.objects.iter().map(move |o| (file, o)))
        {
            let Some(id) = object.resource.id() else { continue };
            let title = format!("{} {}", id.0, id.1);
            if let Some(first) = places.get(&id) {
                let (file, line, first) = (file.clone(), object.line, String::clone(first));
                let error = ManifestError::Duplicate { file, line, object: title, first };
                let message = error.to_string();
                if !self.duplicates.contains(&message) {
                    report.errors.push(error);
                }
                duplicates.insert(message);
            } else {
                places.insert(id, format!("{file}:{}", object.line));
                object.resource.apply(&mut merged);
            }
        }
        self.duplicates = duplicates;
        merged.set_partial(self.files.values().any(|version| version.is_unknown));
        self.has_merged = true;
        merged
    }
}

fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

fn text<'a>(bytes: &'a [u8], file: &str) -> Result<&'a str, ManifestError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let newlines = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        ManifestError::NotText { file: file.to_owned(), line: newlines as u64 }
    })
}

fn ignored(file: &str, objects: &[Object]) -> Option<String> {
    let kinds = objects.iter().filter_map(|object| match &object.resource {
        Resource::Ignored(kind) => Some(kind.as_str()),
        _ => None,
    });
    let count = kinds.clone().count();
    let kinds: Vec<_> = kinds.collect::<BTreeSet<_>>().into_iter().collect();
    (count > 0).then(|| format!("{file}: ignored objects of other kinds: {count} ({})", kinds.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> String {
        format!("{{ apiVersion: v1, kind: Node, metadata: {{ name: {name} }} }}\n---\n")
    }

    /// Updates a file; the names in force, and what was reported.
    fn update(contents: &mut Contents, file: &str, text: impl AsRef<[u8]>) -> (String, Vec<String>) {
        let mut report = Report::default();
        contents.update(file, text.as_ref(), &mut report);
        in_force(contents, report)
    }

    fn in_force(contents: &mut Contents, mut report: Report) -> (String, Vec<String>) {
        let objects = contents.merge(&mut report);
        let names: Vec<_> = objects.nodes().filter_map(|node| node.metadata.name.clone()).collect();
        let errors = report.errors.iter().map(ToString::to_string);
        (names.join(" "), errors.chain(report.warnings).collect())
    }

    #[test]
    fn the_last_good_version_of_a_file_stays_in_force() {
        let mut contents = Contents::default();
        let quiet = |names: &str| (names.to_owned(), vec![]);
        assert_eq!(update(&mut contents, "a.yaml", node("x")), quiet("x"));
        assert_eq!(update(&mut contents, "b.yaml", node("w")), quiet("w x"));
        let broken = ("w x".to_owned(), vec!["a.yaml:1: unclosed bracket '['".to_owned()]);
        assert_eq!(update(&mut contents, "a.yaml", "["), broken);
        assert_eq!(update(&mut contents, "a.yaml", "["), quiet("w x"), "reported once per content");
        let not_text = ("w x".to_owned(), vec!["a.yaml:2: not UTF-8 text".to_owned()]);
        assert_eq!(update(&mut contents, "a.yaml", b"a\n\xff"), not_text);
        assert_eq!(update(&mut contents, "a.yaml", node("z")), quiet("w z"));
        assert_eq!(update(&mut contents, "a.yaml", ""), quiet("w"));
        contents.retain(|file| file != "b.yaml");
        assert_eq!(in_force(&mut contents, Report::default()), quiet(""));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_reported_once() {
        let mut contents = Contents::default();
        update(&mut contents, "a.yaml", node("x"));
        let mut fail = || {
            let mut report = Report::default();
            let error = ManifestError::TooLarge { file: "a.yaml".into(), limit: 1 };
            contents.fail("a.yaml", error, &mut report);
            in_force(&mut contents, report)
        };
        assert_eq!(fail(), ("x".to_owned(), vec!["a.yaml: larger than 1 bytes".to_owned()]));
        assert_eq!(fail(), ("x".to_owned(), vec![]));
    }

    #[test]
    fn of_an_object_that_stands_twice_the_first_counts() {
        let mut contents = Contents::default();
        update(&mut contents, "b.yaml", node("x"));
        let (names, errors) = update(&mut contents, "a.yaml", node("x") + &node("x"));
        assert_eq!(names, "x");
        let expected = [
            "a.yaml:3: Node x: ignored, for it stands in a.yaml:1 already",
            "b.yaml:1: Node x: ignored, for it stands in a.yaml:1 already",
        ];
        assert_eq!(errors, expected);
        assert_eq!(in_force(&mut contents, Report::default()).1, [""; 0], "reported once");
    }

    #[test]
    fn other_kinds_are_one_line() {
        let other = "apiVersion: v1\nkind: Secret\n---\napiVersion: v1\nkind: ConfigMap\n---\n";
        let (names, warnings) = update(&mut Contents::default(), "a.yaml", format!("{other}{other}"));
        assert_eq!(names, "");
        assert_eq!(warnings, ["a.yaml: ignored objects of other kinds: 4 (v1 ConfigMap, v1 Secret)"]);
    }
}
