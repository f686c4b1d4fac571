//! Who asks, and with what.

use std::{
    collections::BTreeMap, io::Write as _, net::SocketAddr, path::PathBuf, process::Output, time::Duration,
};

use anyhow::{Context as _, ensure};

use super::{
    layout::{CLIENT, Machine, NODE1, node_of},
    process::{self, Process},
    wait::{PATIENCE, here},
    world::World,
};
use crate::probe::Answers;

/// Where a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a pod.
    Pod(Machine),
    /// On the node whose agent is tested.
    Host,
    /// Outside of the cluster.
    Outside,
}

impl Place {
    /// Its namespace.
    pub fn machine(&self) -> Machine {
        match self {
            Self::Pod(pod) => *pod,
            Self::Host => NODE1,
            Self::Outside => CLIENT,
        }
    }

    /// The control group, which is the node's unless the pod was given its own.
    pub fn cgroup(&self) -> &'static str {
        match self {
            Self::Pod(pod) => node_of(pod).name,
            Self::Host | Self::Outside => self.machine().name,
        }
    }
}

/// How a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A connection per request.
    Tcp,
    /// An association of SCTP per request, for kernels that have it.
    Sctp,
    /// A connected datagram socket per request.
    Udp,
    /// One datagram socket that is not connected.
    SendTo,
    /// A connected datagram socket per request, and datagrams of so many bytes.
    Large(u32),
    /// The same, with options in the IP header.
    Options(u32),
}

impl Mode {
    /// All with requests that fit into a packet, by protocols that every kernel has.
    pub const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::SendTo];

    fn name(self) -> String {
        match self {
            Self::Tcp => "tcp".into(),
            Self::Sctp => "sctp".into(),
            Self::Udp => "udp".into(),
            Self::SendTo => "sendto".into(),
            Self::Large(size) => format!("large-{size}"),
            Self::Options(size) => format!("options-{size}"),
        }
    }
}

impl World {
    /// Sends requests, one after the other.
    pub fn ask(&self, place: Place, mode: Mode, to: SocketAddr, count: u32) -> anyhow::Result<Answers> {
        let arguments = [mode.name(), to.to_string(), count.to_string()];
        let command = process::command(&self.group_of(place), &self.ground().probe, arguments);
        let output = process::output(self.namespace(place.machine().name), command)?;
        answers(&String::from_utf8_lossy(&output.stdout))
            .with_context(|| format!("svclb-probe: {}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Asks as anybody does, by a command that knows nothing of these tests.
    pub fn curl(&self, place: Place, to: SocketAddr) -> anyhow::Result<Output> {
        let seconds = here(Duration::from_secs(5)).as_secs().to_string();
        let arguments =
            ["--silent", "--show-error", "--max-time", &seconds, &format!("http://{to}/")].map(String::from);
        let command = process::command(&self.group_of(place), "curl".as_ref(), arguments);
        process::output(self.namespace(place.machine().name), command)
    }

    /// Runs a command that ends by itself.
    pub fn run(&self, place: Place, program: &str, arguments: &[&str]) -> anyhow::Result<Output> {
        let command = process::command(&self.group_of(place), program.as_ref(), arguments);
        process::output(self.namespace(place.machine().name), command)
    }

    /// Starts a program that runs beside the test.
    pub fn start(&self, place: Place, program: &str, arguments: &[&str]) -> anyhow::Result<Process> {
        let command = process::command(&self.group_of(place), program.as_ref(), arguments);
        Process::start(self.namespace(place.machine().name), command)
    }

    /// Sends requests until [`Load::finish`].
    pub fn load(&self, place: Place, mode: Mode, to: SocketAddr) -> anyhow::Result<Load> {
        Ok(Load(self.probe(place, &mode.name(), to)?))
    }

    /// Asks many addresses at once by TCP, each so many times, until one time fails.
    pub fn ask_all(
        &self,
        place: Place,
        targets: &BTreeMap<SocketAddr, u32>,
    ) -> anyhow::Result<BTreeMap<SocketAddr, Answers>> {
        let command = process::command(&self.group_of(place), &self.ground().probe, ["table".to_owned()]);
        let mut probe = Process::start(self.namespace(place.machine().name), command)?;
        for (address, count) in targets {
            writeln!(probe.stdin()?, "{address} {count}")?;
        }
        probe.close_stdin();
        let line = probe.log.wait_for(0, PATIENCE * 12, |line| line.starts_with('{'))?;
        let outcomes: BTreeMap<SocketAddr, Answers> =
            serde_json::from_str(&line).with_context(|| probe.log.text())?;
        ensure!(outcomes.len() == targets.len(), "svclb-probe: {}", probe.log.text());
        Ok(outcomes)
    }

    /// Opens a connection that stays.
    pub fn hold(&self, place: Place, to: SocketAddr) -> anyhow::Result<Held> {
        Ok(Held(self.probe(place, "hold", to)?))
    }

    /// Opens a datagram socket that stays and is not connected.
    pub fn hold_udp(&self, place: Place, to: SocketAddr) -> anyhow::Result<Held> {
        Ok(Held(self.probe(place, "hold-udp", to)?))
    }

    /// Opens a datagram socket that stays and is connected. After a failure it connects anew.
    pub fn hold_connected(&self, place: Place, to: SocketAddr) -> anyhow::Result<Held> {
        Ok(Held(self.probe(place, "hold-connected", to)?))
    }

    /// The control group of what runs in a place.
    fn group_of(&self, place: Place) -> PathBuf {
        let own = self.own_group(place.machine().name);
        own.unwrap_or_else(|| self.cgroup(place.cgroup()))
    }

    fn probe(&self, place: Place, mode: &str, to: SocketAddr) -> anyhow::Result<Process> {
        let arguments = [mode.into(), to.to_string(), "-".into()];
        let command = process::command(&self.group_of(place), &self.ground().probe, arguments);
        Process::start(self.namespace(place.machine().name), command)
    }
}

/// A client that asks without pause.
pub struct Load(Process);

impl Load {
    /// Ends it and gives the outcome of all its requests.
    pub fn finish(mut self) -> anyhow::Result<Answers> {
        self.0.close_stdin();
        ensure!(self.0.wait()?.success(), "svclb-probe: {}", self.0.log.text());
        answers(&self.0.log.wait_for(0, PATIENCE, |line| line.starts_with('{'))?)
    }
}

/// A client that keeps one connection or socket.
pub struct Held(Process);

impl Held {
    /// Asks on it.
    pub fn ask(&mut self) -> anyhow::Result<Answers> {
        self.ask_by("")
    }

    /// Asks on it in the way that the line names.
    pub fn ask_by(&mut self, line: &str) -> anyhow::Result<Answers> {
        let before = self.0.log.len();
        writeln!(self.0.stdin()?, "{line}")?;
        self.end(before)
    }

    /// Asks on it and does not wait for the answer.
    pub fn begin(&mut self) -> anyhow::Result<usize> {
        let before = self.0.log.len();
        self.0.stdin()?.write_all(b"\n")?;
        Ok(before)
    }

    /// The answer to what was [begun](Self::begin).
    pub fn end(&self, asked: usize) -> anyhow::Result<Answers> {
        answers(&self.0.log.wait_for(asked, PATIENCE, |_| true)?)
    }
}

fn answers(line: &str) -> anyhow::Result<Answers> {
    serde_json::from_str(line).with_context(|| format!("not an outcome: {line:?}"))
}
