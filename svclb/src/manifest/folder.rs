//! A folder of manifests on disk.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use super::{ManifestError, Report, contents::Contents, stamp::Stamp};
use crate::model::Objects;

/// The most a file may have, in bytes.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// The manifests of a folder: its files `*.yaml`, `*.yml` and `*.json` that are not hidden, without
/// subfolders, in the order of their names. Symbolic links are followed.
#[derive(Debug)]
pub struct Folder {
    dir: PathBuf,
    stamps: BTreeMap<String, Stamp>,
    contents: Contents,
    objects: Arc<Objects>,
    /// Whether the folder could not be read when it was last tried, which has been reported.
    is_lost: bool,
}

impl Folder {
    /// The folder `dir`, which must exist; nothing of it is read before the first [`Folder::scan`].
    pub fn open(dir: &Path) -> Result<Self, ManifestError> {
        fs::read_dir(dir).map_err(|source| ManifestError::Folder { dir: dir.to_owned(), source })?;
        Ok(Self {
            dir: dir.to_owned(),
            stamps: BTreeMap::new(),
            contents: Contents::default(),
            objects: Arc::default(),
            is_lost: false,
        })
    }

    /// The folder's path.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The objects in force since the last [`Folder::scan`].
    pub fn objects(&self) -> &Arc<Objects> {
        &self.objects
    }

    /// Whether a [`Folder::scan`] could bring something new, by the metadata of the files alone.
    pub fn is_stale(&self) -> bool {
        let Ok(stamps) = look(&self.dir) else { return !self.is_lost };
        let is_unchanged =
            |(file, stamp)| self.stamps.get(file).is_some_and(|s: &Stamp| s.proves_unchanged(stamp));
        self.is_lost || stamps.len() != self.stamps.len() || !stamps.iter().all(is_unchanged)
    }

    /// Reads the files that changed. What cannot be read keeps its last good version in force: a file, or the
    /// folder as a whole.
    pub fn scan(&mut self) -> Report {
        let mut report = Report::default();
        let mut stamps = match look(&self.dir) {
            Ok(stamps) => stamps,
            Err(source) => {
                if !self.is_lost {
                    self.is_lost = true;
                    report.errors.push(ManifestError::Folder { dir: self.dir.clone(), source });
                }
                return report;
            }
        };
        self.is_lost = false;
        self.contents.retain(|file| stamps.contains_key(file));
        stamps.retain(|file, stamp| {
            self.stamps.get(file).is_some_and(|known| known.proves_unchanged(stamp))
                || self.read(file, stamp, &mut report)
        });
        self.stamps = stamps;
        let objects = self.contents.merge(&mut report);
        if objects != *self.objects {
            self.objects = Arc::new(objects);
            report.changed = true;
        }
        report
    }

    /// Reads a file; `false` if it changed meanwhile, so that what was read may be half of two versions.
    fn read(&mut self, file: &str, stamp: &Stamp, report: &mut Report) -> bool {
        let path = self.dir.join(file);
        let name = file.to_owned();
        match read_limited(&path, MAX_FILE_BYTES) {
            Ok(_) if !stamp_of(&path).is_some_and(|now| stamp.is_same_file_as(&now)) => {
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

/// The manifests in `dir` as their metadata is now.
fn look(dir: &Path) -> io::Result<BTreeMap<String, Stamp>> {
    let mut stamps = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Ok(file) = entry.file_name().into_string() else { continue };
        if is_manifest(&file)
            && let Some(stamp) = stamp_of(&entry.path())
        {
            stamps.insert(file, stamp);
        }
    }
    Ok(stamps)
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
fn is_manifest(file: &str) -> bool {
    let extension = Path::new(file).extension().and_then(|extension| extension.to_str());
    !file.starts_with('.') && matches!(extension, Some("yaml" | "yml" | "json"))
}

/// The bytes of a file; `None` if they are more than `limit`.
fn read_limited(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let read = File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    Ok((read as u64 <= limit).then_some(bytes))
}

#[cfg(test)]
mod tests;
