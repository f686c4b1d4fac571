//! A running agent, and the commands beside it.

use std::{
    path::Path,
    process::{ExitStatus, Output},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::Deserialize;

use super::{
    layout::{Machine, NODE1},
    process::{self, Log, Process},
    wait::until,
    world::World,
};

/// What `svclb status -o json` prints, as far as the tests read it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// Whether nothing is wrong that keeps Services from working.
    #[serde(default)]
    pub healthy: bool,
    /// What is wrong.
    #[serde(default)]
    pub problems: Vec<Problem>,
    /// The last self-probe of each path.
    #[serde(default)]
    pub self_probe: Vec<Probed>,
    /// Whether the tables hold what was asked for.
    pub synced: bool,
    /// Flow entries.
    pub flows: usize,
    /// How full the tables of flows are.
    pub flow_tables: Vec<Fill>,
    /// Process of the agent, while one runs.
    pub agent: Option<u32>,
    /// What is attached.
    pub attached: Vec<Attached>,
    /// Writes to tables since the agent started.
    pub writes: u64,
    /// Packets and calls that were not simply translated, by reason.
    pub drops: std::collections::BTreeMap<String, u64>,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Problem {
    /// `error` or `warning`.
    pub severity: String,
    /// What.
    pub what: String,
    /// Where.
    #[serde(rename = "where")]
    pub place: String,
    /// Since when.
    pub since: Option<String>,
    /// What to do.
    #[serde(rename = "do")]
    pub advice: String,
}

/// What a self-probe came to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Probed {
    /// The device, or `sockets`.
    pub path: String,
    /// `IPv4` or `IPv6`.
    pub ip_family: String,
    /// Whether it was translated.
    pub ok: bool,
    /// How many there have been.
    pub runs: u64,
}

/// How full a table is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Fill {
    /// Its name.
    pub map: String,
    /// Entries in it.
    pub entries: u64,
    /// Entries that it has room for.
    pub capacity: u64,
}

/// One attachment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Attached {
    /// The device, or what stands for the cgroup.
    pub device: String,
    /// The hook.
    pub hook: String,
    /// The program.
    pub program: String,
}

/// How long an agent may take to start: seconds of the verifier alone, and several at once on a busy machine wait for it.
const STARTING: Duration = Duration::from_mins(2);

/// An agent, killed when it is dropped; its datapath goes with the world.
pub struct Agent {
    process: Process,
}

impl Agent {
    /// Starts the agent of the first node and waits until its tables are complete.
    pub fn start(world: &World, flags: &[&str]) -> anyhow::Result<Self> {
        Self::start_on(world, &NODE1, flags)
    }

    /// Starts the agent of a node and waits until its tables are complete.
    pub fn start_on(world: &World, node: &Machine, flags: &[&str]) -> anyhow::Result<Self> {
        let mut agent = Self::launch(world, node, flags)?;
        agent.synced(world, node, STARTING)?;
        Ok(agent)
    }

    /// Starts the agent of the first node, which follows an API server, and does not wait.
    pub fn launch_with_api(world: &World, kubeconfig: &Path, flags: &[&str]) -> anyhow::Result<Self> {
        let source = ["--kubeconfig".to_owned(), kubeconfig.to_string_lossy().into_owned()];
        let arguments = world.run_args_from(&NODE1, source, flags);
        let command = process::command(&world.cgroup(NODE1.name), &world.ground().svclb, arguments);
        Ok(Self { process: Process::start(world.namespace(NODE1.name), command)? })
    }

    /// Waits until the tables of the first node are complete.
    pub fn wait_synced(&mut self, world: &World) -> anyhow::Result<()> {
        self.synced(world, &NODE1, STARTING)
    }

    /// Starts an agent and does not wait.
    pub fn launch(world: &World, node: &Machine, flags: &[&str]) -> anyhow::Result<Self> {
        Self::launch_with(world, node, world.run_args(node, flags))
    }

    /// Starts an agent with exactly these arguments, and does not wait.
    pub fn launch_with(world: &World, node: &Machine, arguments: Vec<String>) -> anyhow::Result<Self> {
        let command = process::command(&world.cgroup(node.name), &world.ground().svclb, arguments);
        Ok(Self { process: Process::start(world.namespace(node.name), command)? })
    }

    /// Starts another build of the agent of the first node, and waits until it says that its tables are complete.
    pub fn start_other(world: &World, svclb: &Path, flags: &[&str]) -> anyhow::Result<Self> {
        let arguments = world.run_args(&NODE1, flags);
        let command = process::command(&world.cgroup(NODE1.name), svclb, arguments);
        let mut agent = Self { process: Process::start(world.namespace(NODE1.name), command)? };
        let ready = until("another build's synced agent", STARTING, || {
            ensure!(!agent.process.has_ended()?, "the agent has ended");
            let arguments = ["status", "--wait-synced", "1s", "--bpffs"].map(String::from);
            let arguments = arguments.into_iter().chain([path(world.bpffs(&NODE1))]);
            let command = process::command(&world.cgroup(NODE1.name), svclb, arguments);
            let status = process::output(world.namespace(NODE1.name), command)?.status;
            Ok(status.success().then_some(()))
        });
        ready.with_context(|| format!("the agent's log:\n{}", agent.log().text()))?;
        Ok(agent)
    }

    /// Waits until its tables are complete.
    pub fn synced(&mut self, world: &World, node: &Machine, patience: Duration) -> anyhow::Result<()> {
        let ready = until("a synced agent", patience, || {
            ensure!(!self.process.has_ended()?, "the agent has ended");
            let status = world.svclb_on(node, &["status", "--wait-synced", "1s"])?.status;
            Ok(status.success().then_some(()))
        });
        ready.with_context(|| format!("the agent's log:\n{}", self.log().text()))?;
        Ok(())
    }

    /// What it has written.
    pub fn log(&self) -> Arc<Log> {
        Arc::clone(&self.process.log)
    }

    /// Waits until it ends by itself.
    pub fn wait(mut self) -> anyhow::Result<ExitStatus> {
        self.process.wait()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill(Pid::from_raw(i32::try_from(self.process.pid())?), signal)?)
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> anyhow::Result<bool> {
        self.process.has_ended()
    }

    /// Kills it, as the kernel does when memory runs out.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.process.end(Signal::SIGKILL).map(|_status| ())
    }

    /// Asks it to stop.
    pub fn terminate(mut self) -> anyhow::Result<ExitStatus> {
        self.process.end(Signal::SIGTERM)
    }
}

impl World {
    /// The arguments of `svclb run` on a node.
    pub fn run_args(&self, node: &Machine, flags: &[&str]) -> Vec<String> {
        self.run_args_from(node, ["--manifests".into(), path(self.manifests())], flags)
    }

    /// The arguments of `svclb run` on a node, with the flag that names the source of objects.
    pub fn run_args_from(&self, node: &Machine, source: [String; 2], flags: &[&str]) -> Vec<String> {
        let mut arguments: Vec<String> = ["run", "--node-name", node.name].map(String::from).into();
        arguments.extend(source);
        arguments.extend(["--bpffs".into(), path(self.bpffs(node))]);
        arguments.extend(["--cgroup".into(), path(self.cgroup(node.name))]);
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        arguments
    }

    /// Runs a command of the first node's agent.
    pub fn svclb(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        self.svclb_on(&NODE1, arguments)
    }

    /// Runs a command of a node's agent.
    pub fn svclb_on(&self, node: &Machine, arguments: &[&str]) -> anyhow::Result<Output> {
        let bpffs = self.bpffs(node).to_string_lossy().into_owned();
        let arguments: Vec<_> =
            arguments.iter().copied().chain(["--bpffs", &bpffs]).map(String::from).collect();
        self.raw(node, &arguments)
    }

    /// Runs the agent's binary on a node with exactly these arguments.
    pub fn raw(&self, node: &Machine, arguments: &[String]) -> anyhow::Result<Output> {
        let command = process::command(&self.cgroup(node.name), &self.ground().svclb, arguments);
        process::output(self.namespace(node.name), command)
    }

    /// What `svclb status` says of the first node.
    pub fn status(&self) -> anyhow::Result<Status> {
        // It fails where the node is not healthy, and tells why.
        let output = self.svclb(&["status", "-o", "json", "--interval", "0s"])?;
        let error = || format!("svclb status: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).with_context(error)
    }

    /// How often a reason was counted on the first node.
    pub fn drops(&self, reason: &str) -> anyhow::Result<u64> {
        Ok(self.status()?.drops.get(reason).copied().unwrap_or(0))
    }
}

fn path(path: impl AsRef<Path>) -> String {
    path.as_ref().to_string_lossy().into_owned()
}
