//! The agent, linked statically, with nothing in it that tells where it was built.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::{
    image::{Arch, cross::Toolchain},
    workspace::{Workspace, apart},
};

/// Builds the agent for `arch` around the bytecode in `object`.
pub(super) fn build(
    workspace: &Workspace,
    arch: Arch,
    toolchain: &Toolchain,
    object: &Path,
) -> anyhow::Result<PathBuf> {
    let triple = arch.triple();
    // compilers of different versions share nothing
    let target = workspace.target.join("image").join(arch.name());
    let mut flags = vec!["-Ctarget-feature=+crt-static".to_owned()];
    flags.extend(workspace.remapped_paths());
    if let Some(sysroot) = &toolchain.sysroot {
        flags.push(format!("--sysroot={}", sysroot.display()));
    }
    let mut cargo = apart(workspace.shell.cmd(&workspace.cargo))
        .args(["build", "--release", "--locked", "--package", "svclb", "--bin", "svclb"])
        .args(["--target", triple, "--target-dir"])
        .arg(&target)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env("SVCLB_BPF_OBJECT", object);
    if let Some(rustc) = &toolchain.rustc {
        cargo = cargo.env("RUSTC", rustc);
    }
    if let Some(linker) = toolchain.linker {
        let variable = format!("CARGO_TARGET_{}_LINKER", triple.to_uppercase().replace('-', "_"));
        cargo = cargo.env(variable, linker);
    }
    eprintln!("xtask: building the agent for {} into {}", arch.name(), target.display());
    cargo.quiet().run().context("the agent did not build: its compiler says why above")?;
    Ok(target.join(triple).join("release/svclb"))
}
