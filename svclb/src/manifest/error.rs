//! What can be wrong with manifests.

use std::{io, path::PathBuf};

use thiserror::Error;

/// Why a manifest, or an object in it, is not in force. One line that begins with the place.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// The text is neither YAML nor JSON, or a document is not an API object.
    #[error("{file}:{line}: {message}")]
    Syntax {
        /// The file's name.
        file: String,
        /// Counted from 1 in the file.
        line: u64,
        /// What is wrong.
        message: String,
    },
    /// A field has a value of the wrong type, or one that the API server would refuse.
    #[error("{file}:{line}: {object}: {field}: {message}")]
    Field {
        /// The file's name.
        file: String,
        /// Counted from 1 in the file.
        line: u64,
        /// Kind and, if known, namespace and name: `Service default/web`.
        object: String,
        /// The path of the field in the object: `spec.ports[0].port`.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// An object stands twice in the folder. The first one counts.
    #[error("{file}:{line}: {object}: ignored, for it stands in {first} already")]
    Duplicate {
        /// The name of the file with the object that is ignored.
        file: String,
        /// Where in it, counted from 1.
        line: u64,
        /// Kind, namespace and name.
        object: String,
        /// File and line of the object that counts.
        first: String,
    },
    /// The bytes of a file are not text.
    #[error("{file}:{line}: not UTF-8 text")]
    NotText {
        /// The file's name.
        file: String,
        /// The line of the first byte that is wrong, counted from 1.
        line: u64,
    },
    /// A file is too large to be a manifest.
    #[error("{file}: larger than {limit} bytes")]
    TooLarge {
        /// The file's name.
        file: String,
        /// The most a file may have, in bytes.
        limit: u64,
    },
    /// A file cannot be read.
    #[error("{file}: {source}")]
    Unreadable {
        /// The file's name.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The folder cannot be read.
    #[error("{}: {source}", dir.display())]
    Folder {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl ManifestError {
    /// Whether a whole file or folder is affected, of which the last good version stays in force.
    pub fn keeps_last_good(&self) -> bool {
        !matches!(self, Self::Duplicate { .. })
    }
}
