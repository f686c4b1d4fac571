//! The programs that a bench starts in its namespaces, all in its own binary.

use std::{
    io,
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread::available_parallelism,
};

use anyhow::{Context as _, bail};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    sys::{prctl, signal::Signal},
    unistd::Pid,
};

use super::{client, server, target::POD_PORT};
use crate::netns::process;

/// What the arguments of such a program begin with.
const WORD: &str = "part";

/// A program.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    /// Does what its standard input says.
    Client,
    /// Answers with this number.
    Server(u8),
    /// Another command, which ends with the bench.
    Held(&'a [String]),
}

impl Part<'_> {
    /// The command of this program, in a control group.
    pub(super) fn command(self, cgroup: &Path) -> anyhow::Result<Command> {
        let mut arguments = vec![WORD.to_owned()];
        match self {
            Self::Client => arguments.push("client".into()),
            Self::Server(number) => arguments.extend(["server".into(), number.to_string()]),
            Self::Held(command) => {
                arguments.extend(["held".into()].into_iter().chain(command.iter().cloned()));
            }
        }
        let own: PathBuf = std::env::current_exe()?;
        Ok(process::command(cgroup, &own, arguments))
    }
}

/// Runs the part that the arguments of this process name, if they do.
pub fn perform(arguments: impl IntoIterator<Item = String>) -> Option<anyhow::Result<()>> {
    let mut arguments = arguments.into_iter();
    (arguments.next()? == WORD).then(|| run(arguments))
}

fn run(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<()> {
    // Namespaces end with what is in them, also when the bench is killed.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    match arguments.next().as_deref() {
        Some("client") => {
            prctl::set_timerslack(1)?;
            pin(available_parallelism()?.get() - 1)?;
            client::perform(io::stdin().lock(), io::stdout())
        }
        Some("server") => {
            pin(0)?;
            let number = arguments.next().context("a server's number")?.parse()?;
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, POD_PORT))?;
            println!("{READY}");
            server::serve(number, &listener, &io::stdin())
        }
        Some("held") => {
            let program = arguments.next().context("a program")?;
            let error = Command::new(&program).args(arguments).exec();
            Err(error).context(program)
        }
        other => bail!("no such part: {other:?}"),
    }
}

/// What a server says when clients may come.
pub(super) const READY: &str = "ready";

/// Clients have the last processor and servers the first, so that they disturb each other the same in each measurement.
fn pin(processor: usize) -> anyhow::Result<()> {
    let mut processors = CpuSet::new();
    processors.set(processor)?;
    sched_setaffinity(Pid::from_raw(0), &processors).with_context(|| format!("processor {processor}"))
}
