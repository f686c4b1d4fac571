//! Where the figures of a bench go besides the terminal.

use std::{ffi::OsString, fs, path::PathBuf};

use anyhow::Context as _;
use clap::Args;

/// Files for figures.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Output {
    /// Write a line of JSON for each figure to it.
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write everything that was measured to it as one JSON, for `plot`.
    #[arg(long, value_name = "FILE")]
    pub(super) details: Option<PathBuf>,
}

impl Output {
    /// Empties the file of lines, to which benches add.
    pub(super) fn begin(&self) -> anyhow::Result<()> {
        match &self.json {
            Some(file) => fs::write(file, "").with_context(|| file.display().to_string()),
            None => Ok(()),
        }
    }

    /// For who measures.
    pub(super) fn arguments(&self) -> anyhow::Result<Vec<OsString>> {
        let mut arguments = Vec::new();
        for (flag, file) in [("--json", &self.json), ("--details", &self.details)] {
            if let Some(file) = file {
                arguments.extend([flag.into(), std::path::absolute(file)?.into()]);
            }
        }
        Ok(arguments)
    }
}
