//! What can be wrong with a configuration.

use std::{io, path::PathBuf};

use thiserror::Error;

/// Why a configuration is refused. One line that says where, what, and what to do.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A flag, or several together.
    #[error("{flag}: {message}")]
    Flag {
        /// Its name.
        flag: &'static str,
        /// What is wrong.
        message: String,
    },
    /// A field of the file, or the file as a whole.
    #[error("{}:{line}: {}{message}", path.display(), if field.is_empty() { String::new() } else { format!("{field}: ") })]
    Field {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// The path of the field: `iptables.syncPeriod`; empty for the whole.
        field: String,
        /// What is wrong.
        message: String,
    },
    /// The file cannot be read.
    #[error("--config {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is too large.
    #[error("--config {}: larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most it may have, in bytes.
        limit: u64,
    },
    /// Nothing says where objects come from.
    #[error(
        "nothing to follow: give --kubeconfig FILE or --manifests DIR, or run in a pod with a service account"
    )]
    NoSource,
}
