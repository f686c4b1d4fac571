//! bpf-linker, built once against the LLVM of the compiler whose bitcode it reads.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::{
    apt,
    workspace::{Workspace, apart, on_path},
};

/// The release that is built.
pub(crate) const VERSION: &str = "0.13.0";

/// The LLVM releases this bpf-linker can be built against.
const LLVM: std::ops::RangeInclusive<u32> = 21..=23;

/// Whether bpf-linker reads what a compiler with this LLVM writes.
pub(crate) fn can_link(llvm: u32) -> bool {
    LLVM.contains(&llvm)
}

/// Where LLVM's library and headers are: what `LLVM_PREFIX` says, else where Debian puts them.
pub(crate) fn prefix(llvm: u32) -> Option<PathBuf> {
    let prefix =
        env::var_os("LLVM_PREFIX").map_or_else(|| format!("/usr/lib/llvm-{llvm}").into(), PathBuf::from);
    prefix.join("lib/libLLVM.so").exists().then_some(prefix)
}

/// The linker, built if it is not there or was built for another LLVM.
pub(crate) fn provide(workspace: &Workspace, llvm: u32) -> anyhow::Result<PathBuf> {
    let tools = workspace.tools();
    let (binary, stamp) = (tools.join("bin/bpf-linker"), tools.join("bpf-linker.stamp"));
    let feature = format!("llvm-{llvm}");
    let wanted = format!("{VERSION} {feature}\n");
    let is_wanted = fs::read_to_string(&stamp).is_ok_and(|found| found == wanted);
    if is_wanted && starts(workspace, &binary) {
        return Ok(binary);
    }

    install_llvm(workspace, llvm)?;
    let prefix = prefix(llvm).with_context(|| {
        format!("no LLVM {llvm} with lib/libLLVM.so: install llvm-{llvm}-dev or set LLVM_PREFIX")
    })?;
    eprintln!("xtask: building bpf-linker {VERSION} for LLVM {llvm} into {}", tools.display());
    let scratch = tools.join("build");
    apart(workspace.cargo(&[
        "install",
        "bpf-linker",
        "--version",
        VERSION,
        "--locked",
        "--force",
        "--quiet",
    ]))
    .args(["--no-default-features", "--features", &feature])
    .arg("--root")
    .arg(&tools)
    .arg("--target-dir")
    .arg(&scratch)
    .env("LLVM_PREFIX", &prefix)
    .run()?;
    workspace.shell.remove_path(&scratch)?;
    workspace.shell.write_file(&stamp, wanted)?;
    Ok(binary)
}

/// A linker whose LLVM was removed or upgraded since no longer starts.
fn starts(workspace: &Workspace, binary: &Path) -> bool {
    let version = workspace.shell.cmd(binary).arg("--version").quiet().ignore_stdout().ignore_stderr();
    version.run().is_ok()
}

fn install_llvm(workspace: &Workspace, llvm: u32) -> anyhow::Result<()> {
    let library = format!("llvm-{llvm}-dev");
    let mut packages = Vec::new();
    if prefix(llvm).is_none() {
        packages.push(library.as_str());
    }
    // for libstdc++, which LLVM's library is linked with
    if !on_path("c++") {
        packages.push("g++");
    }
    apt::install(&workspace.shell, &packages, "building bpf-linker")
}
