//! Why the API server cannot even be asked.

use std::path::PathBuf;

use thiserror::Error;

/// Why the API server cannot even be asked. What happens later is retried and logged instead.
#[derive(Debug, Error)]
pub enum Error {
    /// The kubeconfig cannot be read, or does not say what is needed.
    #[error("--kubeconfig {}: {message}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// There is no kubeconfig, and the environment is not that of a pod.
    #[error("no --kubeconfig is given, and the environment is not that of a pod: {0}")]
    InCluster(String),
    /// Certificates or credentials cannot be used.
    #[error("cannot prepare connections to the API server {server}: {message}")]
    Credentials {
        /// Its address.
        server: String,
        /// What is wrong.
        message: String,
    },
}

/// An error with all its causes on one line, each of which is said once. Further lines of a cause are left out:
/// they quote what was read, which may be a token.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let first_line = |text: String| text.lines().next().unwrap_or_default().trim_end().to_owned();
    let mut text = first_line(error.to_string());
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = first_line(next.to_string());
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = next.source();
    }
    text
}
