//! One process of the control plane.

use std::{ffi::OsString, path::Path, process::Command, sync::Arc};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::Signal;

use crate::netns::{
    namespace::Namespace,
    process::{Log, Process},
    wait::until,
};

use super::plane::START;

/// A process that does not outlive the run, however the run ends.
pub(super) struct Member {
    name: &'static str,
    program: OsString,
    arguments: Vec<String>,
    process: Process,
}

impl Member {
    /// Starts a program in a namespace.
    pub(super) fn start(
        namespace: &Namespace,
        name: &'static str,
        program: &Path,
        arguments: Vec<String>,
    ) -> anyhow::Result<Self> {
        let program = OsString::from(program);
        let process =
            spawn(namespace, &program, &arguments).with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, program, arguments, process })
    }

    /// Waits until `look` is content; says what the process wrote if that does not happen.
    pub(super) fn ready(&mut self, mut look: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
        let (name, process) = (self.name, &mut self.process);
        let outcome = until(&format!("{name} is ready"), START, || {
            ensure!(!process.has_ended()?, "{name} has ended");
            Ok(look()?.then_some(()))
        });
        outcome.with_context(|| format!("the last words of {name}:\n{}", self.last_words()))?;
        Ok(())
    }

    /// Ends it as an operator does, and waits for its end.
    pub(super) fn stop(&mut self) -> anyhow::Result<()> {
        self.process.end(Signal::SIGTERM).map(|_status| ())
    }

    /// Starts it once more, with the same arguments.
    pub(super) fn restart(&mut self, namespace: &Namespace) -> anyhow::Result<()> {
        if !self.process.has_ended()? {
            bail!("{} still runs", self.name);
        }
        self.process = spawn(namespace, &self.program, &self.arguments)?;
        Ok(())
    }

    fn last_words(&self) -> String {
        let log: Arc<Log> = Arc::clone(&self.process.log);
        let text = log.text();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

/// `setpriv` asks the kernel to kill the process when the thread that started it ends: a
/// run that is killed has no time to do that.
fn spawn(namespace: &Namespace, program: &OsString, arguments: &[String]) -> anyhow::Result<Process> {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(arguments);
    Process::start(namespace, command)
}
