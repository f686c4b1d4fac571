//! Why the agent ends, as exit codes tell it apart.

use crate::datapath;

/// An error that ends the agent. Each holds the one line that is printed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A wrong flag or configuration: exit code 2.
    #[error("{0}")]
    Config(String),
    /// The kernel lacks something: exit code 3.
    #[error("{0}")]
    Kernel(String),
    /// Anything else: exit code 1.
    #[error("{0}")]
    Other(String),
}

impl RunError {
    /// An error without a code of its own.
    pub fn other(error: impl std::fmt::Display) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<datapath::Error> for RunError {
    fn from(error: datapath::Error) -> Self {
        match error {
            datapath::Error::Kernel(_) | datapath::Error::Verifier { .. } => Self::Kernel(error.to_string()),
            datapath::Error::NoBpffs(_) => Self::Config(format!("--bpffs: {error}")),
            error => Self::Other(error.to_string()),
        }
    }
}
