//! Compiler, standard library and linker for a machine that may not be this one.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use xshell::Shell;

use crate::{
    apt,
    image::Arch,
    workspace::{Workspace, apart, on_path},
};

/// What differs from building for this machine; all empty there.
#[derive(Debug, Default)]
pub(super) struct Toolchain {
    /// Another compiler than the one in use.
    pub(super) rustc: Option<PathBuf>,
    /// Where that compiler finds the standard library of the target.
    pub(super) sysroot: Option<PathBuf>,
    /// The C compiler that links.
    pub(super) linker: Option<&'static str>,
}

/// Debian's compiler, whose standard library can be had for other machines.
const RUSTC: &str = "/usr/bin/rustc";
/// The package with that library.
const STD: &str = "libstd-rust-web-dev";

/// Debian's C compiler for `arch` on another machine, and its packages.
fn c_compiler(arch: Arch) -> (&'static str, [&'static str; 2]) {
    match arch {
        Arch::Amd64 => ("x86_64-linux-gnu-gcc", ["gcc-x86-64-linux-gnu", "libc6-dev-amd64-cross"]),
        Arch::Arm64 => ("aarch64-linux-gnu-gcc", ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"]),
    }
}

/// Finds what it takes to build for `arch`, or installs it after saying so.
pub(super) fn provide(workspace: &Workspace, arch: Arch) -> anyhow::Result<Toolchain> {
    if Arch::host() == Some(arch) {
        return Ok(Toolchain::default());
    }
    let in_use = workspace.cargo.with_file_name("rustc");
    let found = if has_std(&workspace.shell, &in_use, arch) {
        Toolchain::default()
    } else if has_std(&workspace.shell, Path::new(RUSTC), arch) {
        Toolchain { rustc: Some(RUSTC.into()), ..Toolchain::default() }
    } else {
        let sysroot = debian_std(workspace, arch)
            .with_context(|| format!("no standard library for {0}: rustup target add {0}", arch.triple()))?;
        Toolchain { rustc: Some(RUSTC.into()), sysroot: Some(sysroot), linker: None }
    };
    let (linker, packages) = c_compiler(arch);
    if !on_path(linker) {
        apt::install(&workspace.shell, &packages, &format!("linking for {}", arch.name()))?;
    }
    Ok(Toolchain { linker: Some(linker), ..found })
}

fn has_std(shell: &Shell, rustc: &Path, arch: Arch) -> bool {
    if !rustc.is_file() {
        return false;
    }
    let ask = apart(shell.cmd(rustc)).args(["--print", "target-libdir", "--target", arch.triple()]);
    ask.quiet().ignore_stderr().read().is_ok_and(|folder| holds_std(Path::new(&folder)))
}

fn holds_std(folder: &Path) -> bool {
    let is_std = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with("libstd-");
    fs::read_dir(folder).is_ok_and(|files| files.flatten().any(is_std))
}

/// Debian's standard library for `arch`, in the version of Debian's compiler that is here. It is unpacked among the
/// tools, by an apt that knows nothing but packages of that machine: the system's own knows nothing of them after.
fn debian_std(workspace: &Workspace, arch: Arch) -> anyhow::Result<PathBuf> {
    let shell = &workspace.shell;
    if !apt::is_usable() || !Path::new(RUSTC).is_file() {
        bail!("Debian's rustc-web is not here");
    }
    let query = shell.cmd("dpkg-query").args(["--show", "--showformat=${Version}", STD]);
    let version = query.quiet().ignore_stderr().read().context("Debian's rustc-web is not here")?;
    let root = workspace.tools().join(format!("std-{}-{}", arch.name(), version.replace(['~', '+'], "-")));
    let sysroot = root.join("usr");
    let libraries = sysroot.join("lib/rustlib").join(arch.triple()).join("lib");
    if holds_std(&libraries) {
        return Ok(sysroot);
    }
    eprintln!("xtask: unpacking Debian's {STD} for {} into {}", arch.name(), root.display());
    let private = workspace.tools().join("apt").join(arch.name());
    let folders = ["state/lists/partial", "cache/archives/partial"].map(|folder| private.join(folder));
    for folder in folders {
        shell.create_dir(folder)?;
    }
    let configuration = private.join("apt.conf");
    shell.write_file(private.join("status"), "")?;
    shell.write_file(&configuration, private_apt(&private, arch))?;
    let apt = |arguments: &[&str]| {
        let command = shell.cmd("apt-get").args(["--quiet=2"]).args(arguments);
        command.env("APT_CONFIG", &configuration).quiet().ignore_stdout().run()
    };
    apt(&["update"])?;
    let downloads = private.join("downloads");
    shell.remove_path(&downloads)?;
    shell.create_dir(&downloads)?;
    {
        let _there = shell.push_dir(&downloads);
        apt(&["download", &format!("{STD}={version}")])?;
    }
    for package in shell.read_dir(&downloads)? {
        shell.cmd("dpkg-deb").arg("--extract").arg(package).arg(&root).quiet().run()?;
    }
    if !holds_std(&libraries) {
        bail!("{STD} of {} holds no {}", arch.name(), libraries.display());
    }
    Ok(sysroot)
}

fn private_apt(folder: &Path, arch: Arch) -> String {
    let (folder, arch) = (folder.display(), arch.name());
    format!(
        "APT::Architecture \"{arch}\";\nAPT::Architectures {{ \"{arch}\"; }};\nAPT::Sandbox::User \"root\";\n\
         Dir::State \"{folder}/state\";\nDir::State::status \"{folder}/status\";\nDir::Cache \"{folder}/cache\";\n"
    )
}
