//! A folder of manifests on disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, ReadDir},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use super::{ManifestError, Report, contents::Contents, stamp::Stamp};
use crate::model::Objects;

/// The most a file may have, in bytes: a list of all objects of a large cluster has about 100 MiB.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// The manifests of a folder: its files `*.yaml`, `*.yml` and `*.json` that are not hidden, without
/// subfolders, in the order of their names. Symbolic links are followed.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    known: BTreeMap<Arc<str>, Known>,
    /// Those of the files that were symbolic links when they were read.
    links: BTreeSet<Arc<str>>,
    contents: Contents,
    /// A round through the folder that has begun.
    round: Option<ReadDir>,
    /// How many rounds have begun.
    rounds: u64,
    /// Whether the folder could not be read when it was last tried, which has been reported.
    is_lost: bool,
}

/// What to do with a file that was written a moment ago.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unsettled {
    Read,
    Leave,
}

/// A file that was there when it was last looked at.
#[derive(Debug, Default)]
struct Known {
    /// As it was read; `None` if it was not.
    stamp: Option<Stamp>,
    /// The round that saw it last.
    seen: u64,
}

impl Folder {
    /// The folder `dir`, which must exist; nothing of it is read before the first [`Folder::scan`].
    pub fn open(dir: &Path) -> Result<Self, ManifestError> {
        fs::read_dir(dir).map_err(|source| ManifestError::Folder { dir: dir.to_owned(), source })?;
        Ok(Self {
            dir: dir.to_owned(),
            known: BTreeMap::new(),
            links: BTreeSet::new(),
            contents: Contents::default(),
            round: None,
            rounds: 0,
            is_lost: false,
        })
    }

    /// The folder's path.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The objects in force since the last look.
    pub fn objects(&self) -> Objects {
        self.contents.objects()
    }

    /// Files that are not in force as they are, with the reason.
    pub(super) fn faults(&self) -> impl Iterator<Item = (&str, &str)> {
        self.contents.faults()
    }

    /// Whether the folder could not be read when it was last tried.
    pub fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Looks at all files and reads those that changed. What cannot be read keeps its last good version in force:
    /// a file, or the folder as a whole.
    pub fn scan(&mut self) -> Report {
        self.round = None;
        self.walk(usize::MAX, Unsettled::Read)
    }

    /// Looks at the next `most` files, in rounds through the folder, and reads those that changed. Files that were
    /// written a moment ago are left for the next round: their writer may have emptied them only so far.
    pub fn patrol(&mut self, most: usize) -> Report {
        self.walk(most, Unsettled::Leave)
    }

    fn walk(&mut self, most: usize, unsettled: Unsettled) -> Report {
        let mut report = Report::default();
        let Some(mut entries) = self.enter(&mut report) else { return report };
        let mut files = Vec::new();
        let is_over = loop {
            match entries.next() {
                Some(Ok(entry)) => {
                    files.extend(entry.file_name().into_string().ok().filter(|f| is_manifest(f)));
                }
                Some(Err(source)) => {
                    self.lose(source, &mut report);
                    return report;
                }
                None => break true,
            }
            if files.len() >= most {
                break false;
            }
        };
        // Errors are told in the order of names.
        files.sort_unstable();
        let mut gone = Vec::new();
        for file in files {
            let file: Arc<str> = file.into();
            if !self.visit(&file, unsettled, &mut report) {
                gone.push(file);
            }
        }
        if is_over {
            let unseen = self.known.iter().filter(|(_, known)| known.seen < self.rounds);
            gone.extend(unseen.map(|(file, _)| Arc::clone(file)));
        } else {
            self.round = Some(entries);
        }
        self.drop_gone(&gone, &mut report);
        report
    }

    /// Looks at some files, and reads those that changed.
    pub fn look_at<'a>(&mut self, files: impl IntoIterator<Item = &'a str>) -> Report {
        let mut report = Report::default();
        let mut gone = Vec::new();
        for file in files.into_iter().filter(|file| is_manifest(file)) {
            let file: Arc<str> =
                self.known.get_key_value(file).map_or_else(|| file.into(), |(f, _)| Arc::clone(f));
            if !self.visit(&file, Unsettled::Read, &mut report) {
                gone.push(file);
            }
        }
        self.drop_gone(&gone, &mut report);
        report
    }

    /// Those of the files that were symbolic links when they were read: events tell nothing of what they lead to.
    pub fn links(&self) -> impl Iterator<Item = &str> {
        self.links.iter().map(AsRef::as_ref)
    }

    /// The round that is under way, or a new one.
    fn enter(&mut self, report: &mut Report) -> Option<ReadDir> {
        if let Some(entries) = self.round.take() {
            return Some(entries);
        }
        match fs::read_dir(&self.dir) {
            Ok(entries) => {
                self.is_lost = false;
                self.rounds += 1;
                Some(entries)
            }
            Err(source) => {
                self.lose(source, report);
                None
            }
        }
    }

    /// Keeps everything as it is.
    fn lose(&mut self, source: io::Error, report: &mut Report) {
        self.round = None;
        if !self.is_lost {
            self.is_lost = true;
            report.errors.push(ManifestError::Folder { dir: self.dir.clone(), source });
        }
        report.batch.is_partial = self.contents.is_partial();
    }

    /// Forgets files that are gone, unless the folder is gone with them, and ends the look.
    fn drop_gone(&mut self, gone: &[Arc<str>], report: &mut Report) {
        if !gone.is_empty() {
            match fs::metadata(&self.dir) {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => return self.lose(io::ErrorKind::NotADirectory.into(), report),
                Err(source) => return self.lose(source, report),
            }
        }
        for file in gone {
            self.known.remove(file);
            self.links.remove(file);
            self.contents.forget(file);
        }
        self.contents.settle(report);
    }

    /// Looks at a file, and reads it if it changed; `false` if it is not there.
    fn visit(&mut self, file: &Arc<str>, unsettled: Unsettled, report: &mut Report) -> bool {
        report.effort.looked_at += 1;
        let path = self.dir.join(file.as_ref());
        let Some(stamp) = stamp_of(&path) else { return false };
        let known = self.known.entry(Arc::clone(file)).or_default();
        known.seen = self.rounds;
        if known.stamp.is_some_and(|known| known.proves_unchanged(&stamp)) {
            return true;
        }
        if unsettled == Unsettled::Leave && !stamp.is_settled() {
            return true;
        }
        known.stamp = None;
        if fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_symlink()) {
            self.links.insert(Arc::clone(file));
        } else {
            self.links.remove(file);
        }
        if self.read(file, &path, &stamp, report)
            && let Some(known) = self.known.get_mut(file)
        {
            known.stamp = Some(stamp);
        }
        true
    }

    /// Reads a file; `false` if it changed meanwhile, so that what was read may be half of two versions.
    fn read(&mut self, file: &Arc<str>, path: &Path, stamp: &Stamp, report: &mut Report) -> bool {
        report.effort.read += 1;
        let name = file.as_ref().to_owned();
        match read_limited(path, MAX_FILE_BYTES) {
            Ok(_) if !stamp_of(path).is_some_and(|now| stamp.is_same_file_as(&now)) => {
                self.contents.expect(file);
                return false;
            }
            Ok(Some(bytes)) => self.contents.update(file, &bytes, report),
            Ok(None) => {
                let error = ManifestError::TooLarge { file: name, limit: MAX_FILE_BYTES };
                self.contents.fail(file, error, report);
            }
            Err(source) => {
                self.contents.fail(file, ManifestError::Unreadable { file: name, source }, report);
            }
        }
        true
    }
}

/// `None` for what is not there (any more) or no regular file: a pipe would block its reader.
fn stamp_of(path: &Path) -> Option<Stamp> {
    match fs::metadata(path) {
        Ok(metadata) => metadata.is_file().then(|| Stamp::of(&metadata, SystemTime::now())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(_) => Some(Stamp::UNKNOWN),
    }
}

/// Hidden files are not manifests: editors keep their copies there, and Kubernetes the versions of a mounted
/// volume.
pub(super) fn is_manifest(file: &str) -> bool {
    let extension = Path::new(file).extension().and_then(|extension| extension.to_str());
    !file.starts_with('.') && matches!(extension, Some("yaml" | "yml" | "json"))
}

/// The bytes of a file; `None` if they are more than `limit`.
fn read_limited(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let file = File::open(path)?;
    let expected = file.metadata()?.len().min(limit) as usize;
    let mut bytes = Vec::with_capacity(expected + 1);
    let read = file.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((read as u64 <= limit).then_some(bytes))
}

#[cfg(test)]
mod tests;
