//! A rustc that may build bytecode, and what it says about itself.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use xshell::Shell;

use crate::workspace::apart;

/// Where the compiler takes `core` for the BPF target from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Core {
    /// The distribution ships it built.
    Prebuilt,
    /// Cargo builds it from the `rust-src` component.
    FromSource,
}

/// A compiler and the cargo to drive it with.
#[derive(Debug)]
pub(crate) struct Compiler {
    pub(crate) rustc: PathBuf,
    pub(crate) cargo: PathBuf,
    pub(crate) core: Core,
    /// Everything `rustc -vV` says: two builds with equal text are equal.
    pub(crate) identity: String,
    /// The major version of the LLVM whose bitcode it writes.
    pub(crate) llvm: u32,
    /// Major and minor version.
    pub(crate) version: (u32, u32),
}

impl Compiler {
    /// Asks `rustc` what it is. `None` if it is not there or cannot build for `target`.
    pub(crate) fn probe(shell: &Shell, rustc: &Path, cargo: &Path, target: &str) -> Option<Self> {
        let ask =
            |argument: &[&str]| apart(shell.cmd(rustc)).args(argument).quiet().ignore_stderr().read().ok();
        if !rustc.is_file() {
            return None;
        }
        let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?);
        let core = core_in(&sysroot, target)?;
        let identity = ask(&["-vV"])?;
        let llvm = number_after(&identity, "LLVM version: ")?.0;
        let version = number_after(&identity, "release: ")?;
        Some(Self { rustc: rustc.into(), cargo: cargo.into(), core, identity, llvm, version })
    }

    /// The oldest compiler the workspace is written for.
    pub(crate) fn oldest() -> anyhow::Result<(u32, u32)> {
        number_after(env!("CARGO_PKG_RUST_VERSION"), "")
            .context("rust-version of the workspace is no version")
    }
}

fn core_in(sysroot: &Path, target: &str) -> Option<Core> {
    let rustlib = sysroot.join("lib/rustlib");
    let is_core = |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("libcore-");
    if std::fs::read_dir(rustlib.join(target).join("lib")).is_ok_and(|files| files.flatten().any(is_core)) {
        return Some(Core::Prebuilt);
    }
    rustlib.join("src/rust/library/core/Cargo.toml").is_file().then_some(Core::FromSource)
}

/// The `22.1` in the line `LLVM version: 22.1.8`.
fn number_after(text: &str, label: &str) -> Option<(u32, u32)> {
    let version = text.lines().find_map(|line| line.strip_prefix(label))?;
    let mut numbers = version.split(['.', '-']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "rustc 1.96.0 (ac68faa20 2026-05-25)\nrelease: 1.97.0-nightly\nLLVM version: 22.1.8\n";

    #[test]
    fn versions_are_read_from_what_rustc_says() {
        assert_eq!(number_after(SAID, "LLVM version: "), Some((22, 1)));
        assert_eq!(number_after(SAID, "release: "), Some((1, 97)));
        assert_eq!(number_after(SAID, "binary: "), None);
        assert!(Compiler::oldest().is_ok());
    }
}
