//! Puts the bytecode where the agent includes it from.
//!
//! The bytecode has its own compiler and linker, which `cargo xtask build-ebpf` provides; a build script that did
//! the same would install packages behind the back of a plain `cargo build`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

fn main() -> ExitCode {
    match embed() {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            println!("cargo::error={line}");
            ExitCode::FAILURE
        }
    }
}

fn embed() -> Result<(), String> {
    println!("cargo::rerun-if-env-changed=SVCLB_BPF_OBJECT");
    println!("cargo::rerun-if-env-changed=CARGO_TARGET_DIR");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: run this through cargo")?);
    let object = object(&out);
    println!("cargo::rerun-if-changed={}", object.display());
    fs::copy(&object, out.join("svclb.o")).map_err(|error| {
        format!("no bytecode at {} ({error}): run cargo xtask build-ebpf", object.display())
    })?;
    Ok(())
}

/// Where the object is: as told, else the first of the possible target directories that has it, else where it
/// is most likely to appear.
fn object(out: &Path) -> PathBuf {
    if let Some(told) = env::var_os("SVCLB_BPF_OBJECT") {
        return told.into();
    }
    let likely = target_directories(out);
    let in_directory = |directory: &PathBuf| directory.join("bpf").join("svclb.o");
    likely
        .iter()
        .map(in_directory)
        .find(|object| object.is_file())
        .or_else(|| likely.first().map(in_directory))
        .unwrap_or_else(|| PathBuf::from("target/bpf/svclb.o"))
}

/// `OUT_DIR` is `<target>[/<triple>]/<profile>/build/<package>/out`, so the target directory is one of its ancestors;
/// cargo marks it with `CACHEDIR.TAG`. A relative `CARGO_TARGET_DIR` is relative to where cargo was called, which a
/// build script cannot see, so the marked ancestor comes first.
fn target_directories(out: &Path) -> Vec<PathBuf> {
    let marked = out.ancestors().filter(|path| path.join("CACHEDIR.TAG").is_file()).map(Path::to_path_buf);
    let by_depth = out.ancestors().skip(4).take(2).map(Path::to_path_buf);
    let told = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    marked.chain(told).chain(by_depth).collect()
}
