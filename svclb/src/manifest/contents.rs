//! What the files of a folder say, and what of it is in force.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    ManifestError, Resource,
    document::{Document, Edition, fingerprint},
    standing::Standing,
};
use crate::{
    model::Objects,
    source::{Batch, Change},
};

/// What a look at the folder brought.
#[derive(Debug, Default)]
pub struct Report {
    /// What is in force since, as far as it is another than before.
    pub batch: Batch,
    /// What is wrong and had not been reported yet, by file.
    pub errors: Vec<ManifestError>,
    /// What had not been said yet of files that are in force: one line each, beginning with the file.
    pub warnings: Vec<String>,
    /// How much work it was.
    pub effort: Effort,
}

/// What a look at the folder cost, in counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    /// Files whose metadata was asked for.
    pub looked_at: usize,
    /// Files that were read.
    pub read: usize,
    /// Documents that were parsed; in JSON each item of a list is one.
    pub parsed: usize,
    /// Objects that were compared to what was told of them.
    pub compared: usize,
}

/// The last good version of every file. Pure: bytes in, changes and errors out.
#[derive(Debug, Default)]
pub(super) struct Contents {
    files: BTreeMap<Arc<str>, Version>,
    standing: Standing,
    /// Files that were there at the first look and could not be read since: they may be what an earlier agent
    /// read.
    unknown: BTreeSet<Arc<str>>,
    /// Whether the first look is over.
    has_settled: bool,
}

#[derive(Debug, Default)]
struct Version {
    /// Of the last bytes seen, good or bad, so that an error is reported once per content.
    fingerprint: Option<u64>,
    /// Why the file could not be read when it was last tried.
    unreadable: Option<String>,
    /// Why its last bytes are no manifest.
    fault: Option<String>,
    /// Of the last good bytes.
    documents: Vec<Arc<Document>>,
}

impl Contents {
    /// Takes the bytes of a file. If they are no manifest, its last good version stays in force.
    pub(super) fn update(&mut self, file: &Arc<str>, bytes: &[u8], report: &mut Report) {
        let version = self.version(file);
        version.unreadable = None;
        let fingerprint = Some(fingerprint(&bytes));
        if version.fingerprint == fingerprint {
            return;
        }
        version.fingerprint = fingerprint;
        let edition = text(bytes, file).and_then(|text| Edition::read(text, file, &version.documents));
        let edition = match edition {
            Ok(edition) => edition,
            Err(error) => {
                version.fault = Some(error.to_string());
                report.errors.push(error);
                return;
            }
        };
        report.effort.parsed += edition.added.len();
        report.warnings.extend(ignored(file, &edition.documents));
        version.fault = None;
        version.documents = edition.documents;
        edition.removed.iter().for_each(|document| self.standing.remove(document));
        edition.added.iter().for_each(|document| self.standing.add(file, document));
        edition.shuffled.iter().for_each(|document| self.standing.shuffle(document));
        self.unknown.remove(file);
    }

    /// Takes note that a file is there, and was not read yet.
    pub(super) fn expect(&mut self, file: &Arc<str>) {
        self.version(file);
    }

    fn version(&mut self, file: &Arc<str>) -> &mut Version {
        self.files.entry(Arc::clone(file)).or_insert_with(|| {
            if !self.has_settled {
                self.unknown.insert(Arc::clone(file));
            }
            Version::default()
        })
    }

    /// Takes note that a file cannot be read. Its last good version stays in force.
    pub(super) fn fail(&mut self, file: &Arc<str>, error: ManifestError, report: &mut Report) {
        let version = self.version(file);
        let message = Some(error.to_string());
        if version.unreadable != message {
            version.unreadable = message;
            report.errors.push(error);
        }
    }

    /// Forgets a file that is not there any more.
    pub(super) fn forget(&mut self, file: &str) {
        let version = self.files.remove(file).unwrap_or_default();
        version.documents.iter().for_each(|document| self.standing.remove(document));
        self.unknown.remove(file);
    }

    /// Puts what changed into force, and says so in `report`. The first time ends the first look.
    pub(super) fn settle(&mut self, report: &mut Report) {
        let settlement = self.standing.settle();
        report.errors.extend(settlement.duplicates);
        report.effort.compared += settlement.objects;
        report.batch = Batch { changes: settlement.changes, is_partial: self.is_partial(), is_part: false };
        self.has_settled = true;
    }

    /// Files that cannot be read, or are no manifests, with the reason.
    pub(super) fn faults(&self) -> impl Iterator<Item = (&str, &str)> {
        let files = self.files.iter();
        files.filter_map(|(file, version)| {
            Some((&**file, version.unreadable.as_deref().or(version.fault.as_deref())?))
        })
    }

    /// Whether a file could not be read since the start: what is not in force may still be wanted.
    pub(super) fn is_partial(&self) -> bool {
        !self.unknown.is_empty()
    }

    /// What would tell all objects in force.
    #[cfg(test)]
    pub(super) fn changes(&self) -> Vec<Change> {
        self.standing.told().collect()
    }

    /// All objects in force.
    pub(super) fn objects(&self) -> Objects {
        let mut objects = Objects::default();
        self.standing.told().for_each(|change: Change| objects.apply(&change));
        objects.set_partial(self.is_partial());
        objects
    }
}

fn text<'a>(bytes: &'a [u8], file: &str) -> Result<&'a str, ManifestError> {
    std::str::from_utf8(bytes).map_err(|error| {
        let newlines = bytes[..error.valid_up_to()].split(|byte| *byte == b'\n').count();
        ManifestError::NotText { file: file.to_owned(), line: newlines as u64 }
    })
}

fn ignored(file: &str, documents: &[Arc<Document>]) -> Option<String> {
    let objects = documents.iter().flat_map(|document| document.objects());
    let kinds = objects.filter_map(|object| match &object.resource {
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
        contents.update(&file.into(), text.as_ref(), &mut report);
        in_force(contents, report)
    }

    fn in_force(contents: &mut Contents, mut report: Report) -> (String, Vec<String>) {
        contents.settle(&mut report);
        let objects = contents.objects();
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
        contents.forget("b.yaml");
        assert_eq!(in_force(&mut contents, Report::default()), quiet(""));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_reported_once() {
        let mut contents = Contents::default();
        update(&mut contents, "a.yaml", node("x"));
        let mut fail = || {
            let mut report = Report::default();
            let error = ManifestError::TooLarge { file: "a.yaml".into(), limit: 1 };
            contents.fail(&"a.yaml".into(), error, &mut report);
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
