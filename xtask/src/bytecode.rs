//! Builds kernel programs into objects.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::{
    compiler::{Compiler, Core},
    debug_info::without_debug_info,
    fingerprint::Fingerprint,
    linker,
    toolchain::{self, TARGET},
    workspace::{Workspace, apart},
};

/// Flags of the compiler. The last two let packed headers be read by their own width instead of byte by byte, which
/// halves the cost of the hot path; `v3` is the level the instructions for 32-bit comparisons need.
const FLAGS: &[&str] = &[
    "-Cdebuginfo=2",
    "-Clink-arg=--btf",
    "-Ctarget-cpu=v3",
    "-Clink-arg=--cpu-features=+allows-misaligned-mem-access",
    "-Clink-arg=--disable-expand-memcpy-in-order",
];

/// A crate of kernel programs, and what it becomes.
struct Source {
    package: &'static str,
    /// Name of the object, without its ending.
    name: &'static str,
    /// Everything of the repository the object is made from.
    inputs: &'static [&'static str],
}

const DATAPATH: Source = Source {
    package: "svclb-ebpf",
    name: "svclb",
    inputs: &["svclb-ebpf", "svclb-common/src", "svclb-common/Cargo.toml", "Cargo.toml", "Cargo.lock"],
};

const BENCH: Source = Source {
    package: "svclb-bench-ebpf",
    name: "bench",
    inputs: &["bench-ebpf", "Cargo.toml", "Cargo.lock"],
};

/// The datapath's object.
pub(crate) fn build(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    build_from(workspace, &DATAPATH)
}

/// The object of what the datapath is measured with.
pub(crate) fn build_bench(workspace: &Workspace) -> anyhow::Result<PathBuf> {
    build_from(workspace, &BENCH)
}

/// The object, built if anything it is made from has changed. An equal object keeps its time, so that nothing that
/// includes it is built again. What cargo has built, with debug information, stays where it was built.
fn build_from(workspace: &Workspace, source: &Source) -> anyhow::Result<PathBuf> {
    let compiler = toolchain::provide(workspace)?;
    let linker = linker::provide(workspace, compiler.llvm)?;
    let directory = workspace.bytecode();
    let file = |ending: &str| directory.join(format!("{}.{ending}", source.name));
    let (object, stamp) = (file("o"), file("fingerprint"));
    let wanted = fingerprint(workspace, &compiler, source)?;
    let is_wanted = fs::read_to_string(&stamp).is_ok_and(|found| found == wanted);
    if is_wanted && object.is_file() {
        eprintln!("xtask: {} is up to date", object.display());
        return Ok(object);
    }

    let version = compiler.identity.lines().next().unwrap_or_default();
    eprintln!("xtask: building {} with {version}", object.display());
    compile(workspace, &compiler, &linker, source)?;
    let built = directory.join(TARGET).join("release").join(source.package);
    let content = fs::read(&built).with_context(|| format!("cargo left no {}", built.display()))?;
    let content = without_debug_info(&content).with_context(|| format!("cannot read {}", built.display()))?;
    replace(&object, &content)?;
    workspace.shell.write_file(&stamp, wanted)?;
    Ok(object)
}

fn fingerprint(workspace: &Workspace, compiler: &Compiler, source: &Source) -> anyhow::Result<String> {
    let mut fingerprint = Fingerprint::default();
    fingerprint.word(TARGET);
    fingerprint.word(&compiler.identity);
    fingerprint.word(linker::VERSION);
    // which paths, does not matter: no two folders make different objects
    fingerprint.word("remapped paths");
    fingerprint.word("without debug information");
    fingerprint.word(&format!("{:?}", compiler.core));
    for flag in FLAGS {
        fingerprint.word(flag);
    }
    for path in source.inputs {
        fingerprint.path(&workspace.root, path)?;
    }
    Ok(fingerprint.finish())
}

fn compile(workspace: &Workspace, compiler: &Compiler, linker: &Path, source: &Source) -> anyhow::Result<()> {
    let flags: Vec<String> =
        FLAGS.iter().map(ToString::to_string).chain(workspace.remapped_paths()).collect();
    let linker_variable = format!("CARGO_TARGET_{}_LINKER", TARGET.to_uppercase().replace('-', "_"));
    let mut cargo = apart(workspace.shell.cmd(&compiler.cargo))
        .args(["build", "--release", "--locked", "--package", source.package, "--target", TARGET])
        .arg("--target-dir")
        .arg(workspace.bytecode())
        .env("RUSTC", &compiler.rustc)
        // aya-ebpf uses inline assembly of this target, which only nightly has
        .env("RUSTC_BOOTSTRAP", "1")
        // It keeps functions of other crates from being inlined, and frames would outgrow the stack.
        .env("CARGO_INCREMENTAL", "0")
        .env(linker_variable, linker)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    if compiler.core == Core::FromSource {
        cargo = cargo.args(["-Z", "build-std=core"]);
    }
    cargo.quiet().run().context("the bytecode did not build: its compiler says why above")
}

/// Writes `content` unless it is there. A reader sees the old file or the new one, never a part.
fn replace(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    if fs::read(path).is_ok_and(|found| found == content) {
        return Ok(());
    }
    let new = path.with_extension("o.new");
    fs::write(&new, content).with_context(|| format!("cannot write {}", new.display()))?;
    fs::rename(&new, path).with_context(|| format!("cannot write {}", path.display()))
}
