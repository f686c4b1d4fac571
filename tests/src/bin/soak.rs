//! `svclb-soak`: everything at once; `cargo xtask soak` builds what it needs.

use std::{fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use clap::Parser;
use svclb_tests::{netns::ground::Ground, soak::Soak};

/// Lets everything happen to an agent that may, under clients that ask all the time.
#[derive(Parser)]
struct Cli {
    /// The client.
    #[arg(long, value_name = "BINARY")]
    probe: PathBuf,
    /// For so long; every event happens at least once.
    #[arg(long)]
    minutes: u64,
    /// The number that an earlier run has printed, for the same order of events.
    #[arg(long)]
    seed: Option<u64>,
    /// Write the tables to it as lines of JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let Cli { probe, minutes, seed, json } = Cli::parse();
    let ground = match Ground::find(&probe.to_string_lossy()) {
        Ok(ground) => ground,
        Err(lacking) => bail!("{lacking}"),
    };
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    eprintln!("soak: {minutes} minutes, --seed {seed}");
    let outcome = Soak { time: Duration::from_secs(minutes * 60), seed }.run(&ground)?;
    if let Some(file) = json {
        fs::write(&file, outcome.lines).with_context(|| file.display().to_string())?;
    }
    print!("{}", outcome.tables);
    if outcome.is_kept {
        println!("\nsoak: ok, every promise was kept");
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("\nsoak: a promise was broken; --seed {seed} repeats the order of events");
    Ok(ExitCode::FAILURE)
}
