//! The compiler for bytecode: what is there, else what can be had.

use std::{
    cmp::Reverse,
    env,
    path::{Path, PathBuf},
};

use anyhow::bail;

use crate::{apt, compiler::Compiler, linker, workspace::Workspace};

/// Debian's rustc, and `core` for the BPF targets. Each Debian that still has support gets the `-web` packages in
/// the version its browsers need, which is a recent one.
const DISTRIBUTION: &[&str] = &["rustc-web", "libstd-rust-web-dev-bpf"];

/// The BPF target of this machine's byte order.
pub(crate) const TARGET: &str =
    if cfg!(target_endian = "big") { "bpfeb-unknown-none" } else { "bpfel-unknown-none" };

/// Finds a compiler, or installs one after saying so.
pub(crate) fn provide(workspace: &Workspace) -> anyhow::Result<Compiler> {
    if let Some(compiler) = present(workspace)? {
        return Ok(compiler);
    }
    if apt::is_usable() && install_distribution(workspace)? {
        if let Some(compiler) = present(workspace)? {
            return Ok(compiler);
        }
    } else if add_source(workspace)
        && let Some(compiler) = present(workspace)?
    {
        return Ok(compiler);
    }
    bail!(
        "no compiler for {TARGET}; run: sudo apt-get install {}, or: rustup component add rust-src",
        DISTRIBUTION.join(" ")
    )
}

/// The best of the compilers that are there: one whose LLVM is there as well, else the distribution's, else rustup's.
fn present(workspace: &Workspace) -> anyhow::Result<Option<Compiler>> {
    let oldest = Compiler::oldest()?;
    let mut compilers: Vec<Compiler> = distribution(workspace)
        .into_iter()
        .chain(rustup(workspace))
        .filter(|compiler| compiler.version >= oldest && linker::can_link(compiler.llvm))
        .collect();
    compilers.sort_by_key(|compiler| Reverse(linker::prefix(compiler.llvm).is_some()));
    Ok(compilers.into_iter().next())
}

fn distribution(workspace: &Workspace) -> Option<Compiler> {
    Compiler::probe(&workspace.shell, Path::new("/usr/bin/rustc"), &workspace.cargo, TARGET)
}

/// rustup's toolchains, the one in use first. They are asked directly, not through rustup's proxies, which would
/// install what a `rust-toolchain.toml` names.
fn rustup(workspace: &Workspace) -> Vec<Compiler> {
    let shell = &workspace.shell;
    let Ok(home) = shell.cmd("rustup").args(["show", "home"]).quiet().ignore_stderr().read() else {
        return Vec::new();
    };
    let in_use = env::var_os("RUSTUP_TOOLCHAIN");
    let mut toolchains: Vec<PathBuf> =
        shell.read_dir(Path::new(&home).join("toolchains")).unwrap_or_default();
    toolchains.sort_by_key(|path| Reverse(path.file_name() == in_use.as_deref()));
    toolchains
        .iter()
        .map(|toolchain| toolchain.join("bin"))
        .filter_map(|bin| Compiler::probe(shell, &bin.join("rustc"), &bin.join("cargo"), TARGET))
        .collect()
}

/// Whether the distribution has a compiler that is recent enough, which is then installed.
fn install_distribution(workspace: &Workspace) -> anyhow::Result<bool> {
    let shell = &workspace.shell;
    eprintln!("xtask: no compiler for {TARGET} here: asking the distribution for {}", DISTRIBUTION.join(" "));
    apt::update(shell)?;
    let oldest = Compiler::oldest()?;
    let known = |package: &&str| apt::candidate(shell, package).is_some_and(|version| version >= oldest);
    if !DISTRIBUTION.iter().all(known) {
        eprintln!("xtask: the distribution has none of version {}.{} or later", oldest.0, oldest.1);
        return Ok(add_source(workspace));
    }
    apt::install(shell, DISTRIBUTION, "building bytecode")?;
    Ok(true)
}

/// Adds the source of `core` to the toolchain in use. Any will do, since the build lifts the gate of nightly.
fn add_source(workspace: &Workspace) -> bool {
    let Ok(toolchain) = env::var("RUSTUP_TOOLCHAIN") else {
        return false;
    };
    eprintln!("xtask: adding the component rust-src to rustup's {toolchain}");
    let add = workspace.shell.cmd("rustup").args(["component", "add", "rust-src", "--toolchain", &toolchain]);
    add.run().is_ok()
}
