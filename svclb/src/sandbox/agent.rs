//! The agent of one node, as a process of its own.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    runtime,
    time::timeout,
};

use super::{
    cgroup::Cgroup,
    layout::UPLINK,
    netns::Namespace,
    services::{self, ServicePort},
};

/// How long an agent may take to have its tables complete.
const SYNC_TIMEOUT: &str = "60s";
/// How long a command may take; longer than the agent may.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(90);
/// How long an agent may take to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// How much of an agent's log a failure shows.
const LOG_TAIL: usize = 15;

/// What an agent is started with.
#[derive(Clone, Debug)]
pub(super) struct Launch {
    /// The svclb binary.
    pub(super) binary: PathBuf,
    /// The folder it watches.
    pub(super) manifests: PathBuf,
    /// Its node.
    pub(super) node: &'static str,
    /// Where it pins.
    pub(super) bpffs: PathBuf,
    /// Where its output goes.
    pub(super) log: PathBuf,
    /// The reader's own flags.
    pub(super) extra: Vec<String>,
}

/// A running agent.
#[derive(Debug)]
pub(super) struct Agent {
    launch: Launch,
    child: Child,
}

impl Agent {
    /// Starts the agent in its node's namespace and cgroup.
    pub(super) async fn start(
        launch: Launch,
        namespace: &Namespace,
        cgroup: &Cgroup,
    ) -> anyhow::Result<Self> {
        let log =
            File::create(&launch.log).with_context(|| format!("cannot create {}", launch.log.display()))?;
        let mut command = Command::new(&launch.binary);
        command
            .arg("run")
            .args(launch.flags(cgroup))
            .args(&launch.extra)
            // Ctrl-C is for the world, which then stops its agents in order.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        // Born in the cgroup: a socket opened before a move would stay outside.
        let stay = cgroup.stay()?;
        let child = spawn(command, namespace).await;
        drop(stay);
        let child = child.with_context(|| format!("cannot start {}", launch.binary.display()))?;
        Ok(Self { launch, child })
    }

    /// Its node.
    pub(super) fn node(&self) -> &'static str {
        self.launch.node
    }

    /// Where it pins.
    pub(super) fn bpffs(&self) -> &Path {
        &self.launch.bpffs
    }

    /// Waits until its tables hold every manifest.
    pub(super) async fn wait_synced(&self, namespace: &Namespace) -> anyhow::Result<()> {
        let output = self.command(namespace, &["status", "--wait-synced", SYNC_TIMEOUT]).await?;
        if output.status.success() {
            return Ok(());
        }
        bail!(
            "the agent of {} is not ready: {}\nThe end of its log:\n{}",
            self.node(),
            String::from_utf8_lossy(&output.stderr).trim(),
            self.log_tail(),
        )
    }

    /// The Services as its tables have them.
    pub(super) async fn services(&self, namespace: &Namespace) -> anyhow::Result<Vec<ServicePort>> {
        let output = self.command(namespace, &["services", "-o", "json"]).await?;
        if !output.status.success() {
            bail!("svclb services failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        services::parse(&String::from_utf8_lossy(&output.stdout))
            .context("svclb services: not the promised JSON")
    }

    /// Returns when the agent has ended by itself.
    pub(super) async fn ended(&mut self) -> anyhow::Error {
        let status = self.child.wait().await;
        let status = status.as_ref().map_or_else(ToString::to_string, ExitStatus::to_string);
        anyhow::anyhow!(
            "the agent of {} ended: {status}\nThe end of its log:\n{}",
            self.node(),
            self.log_tail()
        )
    }

    /// Stops the agent, which leaves its datapath in place, then removes that.
    pub(super) async fn stop(mut self, namespace: &Namespace) -> anyhow::Result<()> {
        self.terminate().await?;
        let output = self.command(namespace, &["cleanup"]).await?;
        if !output.status.success() {
            bail!("svclb cleanup failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    async fn terminate(&mut self) -> anyhow::Result<()> {
        let Some(pid) = self.child.id() else { return Ok(()) };
        kill(Pid::from_raw(pid.try_into()?), Signal::SIGTERM)?;
        if timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            self.child.kill().await?;
            bail!("the agent of {} did not stop on SIGTERM", self.node());
        }
        Ok(())
    }

    async fn command(&self, namespace: &Namespace, args: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new(&self.launch.binary);
        command
            .args(args)
            .arg("--bpffs")
            .arg(&self.launch.bpffs)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let child = spawn(command, namespace).await?;
        let what = || format!("svclb {}", args.join(" "));
        timeout(COMMAND_TIMEOUT, child.wait_with_output())
            .await
            .with_context(|| format!("{} does not end", what()))?
            .with_context(what)
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(&self.launch.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
    }
}

impl Launch {
    fn flags(&self, cgroup: &Cgroup) -> [OsString; 11] {
        [
            "--manifests".into(),
            self.manifests.clone().into(),
            "--node-name".into(),
            self.node.into(),
            "--bpffs".into(),
            self.bpffs.clone().into(),
            "--cgroup".into(),
            cgroup.path().into(),
            "--uplink".into(),
            UPLINK.into(),
            // A killed world leaves no agent behind.
            "--die-with-parent".into(),
        ]
    }
}

/// Starts a process inside a namespace. The namespace's thread is its parent
/// and lives as long as the world, so that a process that asks to die with its
/// parent does not die too early.
async fn spawn(mut command: Command, namespace: &Namespace) -> anyhow::Result<Child> {
    let runtime = runtime::Handle::current();
    let child = namespace
        .run(move || {
            let _context = runtime.enter();
            command.spawn()
        })
        .await??;
    Ok(child)
}
