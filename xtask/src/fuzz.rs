//! `cargo xtask fuzz`: the datapath's logic under a coverage-guided fuzzer, and any frames through the loaded programs.

use std::{fs, path::Path};

use anyhow::Context as _;

use crate::{
    apt,
    test::{Ring, test},
    workspace::{Workspace, on_path},
};

/// What makes the compiler count what an input reaches, on any channel of it.
const COVERAGE: [&str; 7] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // counters of one unit are one section
    "-Ccodegen-units=1",
    "-Cforce-frame-pointers=yes",
];

/// The inputs that are kept: together they reach everything that was ever reached.
const CORPUS: &str = "fuzz/corpus";

/// Longest input in bytes: some thirty frames.
const LONGEST: u32 = 4096;

/// Builds the fuzzer and runs it for `seconds`. What it finds is left in `target/fuzz`; with `keep`, inputs that
/// reach something new are added to the corpus.
pub(crate) fn fuzz(workspace: &Workspace, seconds: u32, keep: bool) -> anyhow::Result<()> {
    let packages: &[&str] = if on_path("c++") { &[] } else { &["g++"] };
    apt::install(&workspace.shell, packages, "fuzzing")?;
    let target = workspace.target.join("fuzz");
    // for a named target the flags are not the build scripts' as well
    let triple = host(workspace)?;
    workspace
        .cargo(&["build", "--locked", "--release", "--manifest-path", "fuzz/Cargo.toml", "--bin", "packets"])
        .args(["--target", &triple])
        .arg("--target-dir")
        .arg(&target)
        .env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\u{1f}"))
        .run()
        .context("the fuzzer did not build: its compiler says why above")?;
    let fuzzer = target.join(&triple).join("release/packets");
    let (found, crashes) = (target.join("found"), target.join("crashes/"));
    fs::create_dir_all(&found)?;
    fs::create_dir_all(&crashes)?;
    let corpus = workspace.root.join(CORPUS);
    let run = |args: &[String]| {
        workspace
            .shell
            .cmd(&fuzzer)
            .args(args)
            .arg(&found)
            .arg(&corpus)
            .run()
            .with_context(|| format!("the input that broke it lies in {}", crashes.display()))
    };
    run(&[
        format!("-max_total_time={seconds}"),
        format!("-max_len={LONGEST}"),
        format!("-artifact_prefix={}", crashes.display()),
        // one frame must never take that long
        "-timeout=10".to_owned(),
        "-print_final_stats=1".to_owned(),
        "-verbosity=1".to_owned(),
    ])?;
    if keep {
        merge(workspace, &fuzzer, &found, &corpus)?;
    }
    Ok(())
}

/// Passes so many frames through each loaded program: the prog ring's own test of any frames, for longer.
pub(crate) fn programs(workspace: &Workspace, frames: u64, seed: Option<u64>) -> anyhow::Result<()> {
    // One setting after the other: each keeps all processors busy.
    const ARGS: [&str; 3] = ["fuzz::any_frame", "--test-threads=1", "--nocapture"];
    workspace.shell.set_var("SVCLB_FUZZ_FRAMES", frames.to_string());
    if let Some(seed) = seed {
        workspace.shell.set_var("SVCLB_FUZZ_SEED", seed.to_string());
    }
    test(workspace, Ring::Prog, &ARGS.map(str::to_owned))
}

/// Replaces the corpus by the smallest inputs that reach what it and `found` do.
fn merge(workspace: &Workspace, fuzzer: &Path, found: &Path, corpus: &Path) -> anyhow::Result<()> {
    let kept = corpus.with_extension("new");
    fs::create_dir_all(&kept)?;
    workspace.shell.cmd(fuzzer).arg("-merge=1").args([&kept, corpus, found]).run()?;
    fs::remove_dir_all(corpus)?;
    fs::rename(&kept, corpus)?;
    Ok(())
}

/// The machine's own target.
fn host(workspace: &Workspace) -> anyhow::Result<String> {
    let version = workspace.shell.cmd(workspace.cargo.with_file_name("rustc")).arg("-vV").quiet().read()?;
    let line = version.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned).context("rustc names no host")
}
