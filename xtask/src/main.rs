//! Every repeatable action of the repository: `cargo xtask --help`.

mod apt;
mod bench;
mod bytecode;
mod cluster;
mod compiler;
mod debug_info;
mod fingerprint;
mod fuzz;
mod image;
mod licences;
mod linker;
mod lint;
mod loaded;
mod plot;
mod report;
mod run;
mod soak;
mod stack;
mod test;
mod tidy;
mod toolchain;
mod vm;
mod workspace;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Builds, runs, tests and checks svclb.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build everything that is missing, then run svclb: without a cluster, in the embedded world.
    Run {
        /// The cluster to follow; the environment's `KUBECONFIG` counts as well.
        #[arg(long, value_name = "FILE")]
        kubeconfig: Option<PathBuf>,
        /// Handed to svclb.
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Run the tests.
    Test {
        #[arg(value_enum, default_value_t)]
        ring: test::Ring,
        #[command(flatten)]
        kernels: vm::Kernels,
        /// Handed to the test binary; for `vm` suites, and names of tests in them such as `netns::clsact`.
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Pin the newest kernels that the mirror has for `test vm`.
    Kernels,
    /// Build the bytecode; print instructions, verified instructions and stack of each program.
    BuildEbpf,
    /// Build the agent as a static binary, and an OCI image archive of it.
    Image {
        /// The archive [default: image/svclb.tar in cargo's target directory].
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// The machines it is for; repeatable [default: all that can be built for].
        #[arg(long, value_enum)]
        arch: Vec<image::Arch>,
    },
    /// Measure.
    Bench(bench::Benches),
    /// Let everything happen to an agent that may, under clients that ask all the time; needs root.
    Soak(soak::Soak),
    /// Run the datapath's logic under a coverage-guided fuzzer, or any frames through the loaded programs.
    Fuzz {
        /// For so long.
        #[arg(long, default_value_t = 120, conflicts_with = "programs")]
        seconds: u32,
        /// Add inputs that reach something new to fuzz/corpus.
        #[arg(long, conflicts_with = "programs")]
        keep: bool,
        /// The loaded programs, each by as many frames as told; needs root.
        #[arg(long)]
        programs: bool,
        /// Frames through each program.
        #[arg(long, default_value_t = 10_000_000, requires = "programs")]
        frames: u64,
        /// The number that a failure has printed, for the same frames.
        #[arg(long, requires = "programs")]
        seed: Option<u64>,
    },
    /// Check format, clippy, licences and the rules of the repository.
    Lint,
    /// What CI does: lint, two minutes of fuzzing, five of everything that may happen to an agent, the oldest kernels, then
    /// every test, a skip being a failure.
    Ci,
}

fn main() -> ExitCode {
    match perform(Cli::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: Task) -> anyhow::Result<ExitCode> {
    let workspace = Workspace::find()?;
    match task {
        Task::Run { kubeconfig, args } => return run::run(&workspace, kubeconfig.as_deref(), &args),
        Task::Test { ring, kernels, args } => test::test_with(&workspace, ring, &args, &kernels)?,
        Task::Kernels => vm::renew(&workspace)?,
        Task::BuildEbpf => report::print(&bytecode::build(&workspace)?)?,
        Task::Image { out, arch } => {
            let out = out.map(std::path::absolute).transpose()?;
            image::image(&workspace, out.as_deref(), &arch)?;
        }
        Task::Bench(bench) => bench::bench(&workspace, bench)?,
        Task::Soak(soak) => soak::soak(&workspace, &soak)?,
        Task::Fuzz { programs: true, frames, seed, .. } => fuzz::programs(&workspace, frames, seed)?,
        Task::Fuzz { seconds, keep, .. } => fuzz::fuzz(&workspace, seconds, keep)?,
        Task::Lint => lint::lint(&workspace)?,
        Task::Ci => {
            lint::lint(&workspace)?;
            fuzz::fuzz(&workspace, 120, false)?;
            workspace.shell.set_var("SVCLB_TEST_NO_SKIP", "1");
            soak::soak(&workspace, &soak::Soak::default())?;
            test::test_with(&workspace, test::Ring::Vm, &[], &vm::Kernels::ci())?;
            test::test(&workspace, test::Ring::All, &[])?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
