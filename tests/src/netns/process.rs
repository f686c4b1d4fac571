//! Processes inside a namespace and a control group.

use std::{
    ffi::OsStr,
    io::{BufRead as _, BufReader, Read},
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{namespace::Namespace, wait::here};

/// A command whose process joins a control group before it becomes what it is to be:
/// a socket belongs to the group its process is in when it is opened.
pub fn command<S: AsRef<OsStr>>(
    cgroup: &Path,
    program: &Path,
    arguments: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", r#"echo 0 >"$0" && exec "$@""#]).arg(cgroup.join("cgroup.procs")).arg(program);
    command.args(arguments);
    command
}

/// How long a command may take that ends by itself: the longest asks 20,000 times, or has
/// the verifier look at all programs more than once.
const LONGEST: Duration = Duration::from_mins(3);

/// Runs a command to its end.
pub fn output(namespace: &Namespace, mut command: Command) -> anyhow::Result<Output> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = spawn(namespace, command)?;
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    let (done, outcome) = mpsc::channel();
    let waiting = thread::spawn(move || done.send(child.wait_with_output()));
    let longest = here(LONGEST);
    match outcome.recv_timeout(longest) {
        Ok(output) => Ok(output?),
        Err(_late) => {
            kill(pid, Signal::SIGKILL)?;
            waiting.join().ok();
            bail!("a command does not end within {longest:?}")
        }
    }
}

fn spawn(namespace: &Namespace, mut command: Command) -> anyhow::Result<Child> {
    namespace.run(move || command.spawn())?.context("cannot start a process")
}

/// A process that runs beside the test, killed when it is dropped.
pub struct Process {
    child: Child,
    /// What it has written.
    pub log: Arc<Log>,
    stdin: Option<ChildStdin>,
}

impl Process {
    /// Starts a command whose output is kept.
    pub fn start(namespace: &Namespace, mut command: Command) -> anyhow::Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(namespace, command)?;
        let log = Arc::new(Log::default());
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        if let (Some(stdout), Some(stderr)) = (stdout, stderr) {
            Log::follow(&log, stdout);
            Log::follow(&log, stderr);
        }
        Ok(Self { child, log, stdin })
    }

    /// Its standard input, until [`close_stdin`](Self::close_stdin).
    pub fn stdin(&mut self) -> anyhow::Result<&mut ChildStdin> {
        self.stdin.as_mut().context("standard input is closed")
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {
        drop(self.stdin.take());
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal and waits for the end.
    pub fn end(&mut self, signal: Signal) -> anyhow::Result<ExitStatus> {
        kill(Pid::from_raw(i32::try_from(self.child.id())?), signal)?;
        self.wait()
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        Ok(self.child.wait()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The lines that a process has written so far.
#[derive(Default)]
pub struct Log {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

impl Log {
    /// All of them.
    pub fn text(&self) -> String {
        self.lock().join("\n")
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets what has been written so far.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Waits for a line after the first `after`.
    pub fn wait_for(
        &self,
        after: usize,
        patience: Duration,
        is_it: impl Fn(&str) -> bool,
    ) -> anyhow::Result<String> {
        let patience = here(patience);
        let deadline = Instant::now() + patience;
        let mut lines = self.lock();
        loop {
            if let Some(line) = lines.iter().skip(after).find(|line| is_it(line)) {
                return Ok(line.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("the line does not come within {patience:?}; what came:\n{}", lines.join("\n"));
            }
            (lines, _) = self.more.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn follow(log: &Arc<Self>, from: impl Read + Send + 'static) {
        let log = Arc::clone(log);
        // Ends when the process and its heirs have closed the pipe.
        thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                log.lock().push(line);
                log.more.notify_all();
            }
        });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
