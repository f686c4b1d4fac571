//! `cargo xtask image`: the agent as a static binary, alone in an OCI image archive. No container engine, and the same
//! bytes from the same source and toolchain.

mod agent;
mod archive;
mod cross;
mod elf;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::ValueEnum;

use crate::{bytecode, image::archive::Archive, workspace::Workspace};

/// A machine that nodes may be, as images name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arch {
    /// `x86_64`
    Amd64,
    /// `aarch64`
    Arm64,
}

impl Arch {
    /// The machine this runs on.
    fn host() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::Amd64),
            "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }

    /// As images and Debian call it.
    fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// As rustc calls it. The C library is glibc, whose resolver a static binary has built in for files and DNS.
    fn triple(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }
}

/// Builds for each of `arches`, or for all that can be had if there is none, and writes one archive.
pub(crate) fn image(workspace: &Workspace, out: Option<&Path>, arches: &[Arch]) -> anyhow::Result<()> {
    let object = bytecode::build(workspace)?;
    let wanted = if arches.is_empty() { Arch::value_variants() } else { arches };
    let mut archive = Archive::new(env!("CARGO_PKG_VERSION"));
    for &arch in wanted {
        let toolchain = match cross::provide(workspace, arch) {
            Ok(toolchain) => toolchain,
            // what was not asked for by name may be missing
            Err(error) if arches.is_empty() && Arch::host() != Some(arch) => {
                eprintln!("xtask: {} is left out: {error:#}", arch.name());
                continue;
            }
            Err(error) => return Err(error),
        };
        let binary = agent::build(workspace, arch, &toolchain, &object)?;
        let bytes = fs::read(&binary).with_context(|| format!("cannot read {}", binary.display()))?;
        elf::check_static(&bytes, arch).with_context(|| binary.display().to_string())?;
        archive.add(arch.name(), &bytes)?;
    }
    let out = out.map_or_else(|| workspace.target.join("image/svclb.tar"), Path::to_path_buf);
    write(&out, &archive.finish()?)?;
    println!("{}", out.display());
    Ok(())
}

/// A reader sees the old archive or the new one, never a part.
fn write(out: &Path, archive: &[u8]) -> anyhow::Result<()> {
    let mut new = out.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    if let Some(folder) = out.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::write(&new, archive).with_context(|| format!("cannot write {}", new.display()))?;
    fs::rename(&new, out).with_context(|| format!("cannot write {}", out.display()))
}
