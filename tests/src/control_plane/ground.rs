//! One node without neighbours: a network namespace, a BPF file system and a control group of its own.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use svclb::{
    datapath::{pins::Pins, tables::open_array},
    sys::mapped::{Access, MappedArray},
};
use svclb_common::{layout::map, state::AgentState};
use tempfile::TempDir;

use crate::netns::{
    cgroup::{self, Cgroup},
    leftover::{prefix, remove_abandoned_folders},
    namespace::Namespace,
    process::{self, Process},
    wiring,
};

/// The uplink, whose other end leads nowhere, and what the node is called there.
const UPLINK: &str = "link set lo up\n\
    link add eth0 type veth peer name far\n\
    link set eth0 up\nlink set far up\n\
    address add 192.0.2.11/24 dev eth0\n\
    route add default via 192.0.2.1 dev eth0\n";

/// Where agents are measured. Everything in it is gone when it is dropped.
pub struct Ground {
    // In this order: namespaces, mounts, groups, files.
    node: Namespace,
    mounts: Namespace,
    cgroup: Cgroup,
    folder: TempDir,
    agent: PathBuf,
}

impl Ground {
    /// A fresh one, for the agent at `agent`.
    pub fn build(agent: &Path) -> anyhow::Result<Self> {
        remove_abandoned_folders()?;
        let folder = tempfile::Builder::new().prefix(&prefix()).tempdir()?;
        for name in ["bpffs", "manifests"] {
            fs::create_dir(folder.path().join(name))?;
        }
        let mount = cgroup::mount_point().context("cgroup v2 is not mounted")?;
        let cgroup = Cgroup::create(&mount, &["node"])?;
        let mounts = Namespace::with_mounts(&folder.path().join("bpffs"))?;
        let node = Namespace::create(&mounts, "node")?;
        wiring::ip(&node, UPLINK)?;
        node.sysctl(&[("ipv4/ip_forward", "1")])?;
        Ok(Self { node, mounts, cgroup, folder, agent: agent.to_owned() })
    }

    /// Listens on the loopback address of the node.
    pub fn listen(&self) -> anyhow::Result<TcpListener> {
        self.node.run(|| TcpListener::bind("127.0.0.1:0"))?.context("cannot listen on the node")
    }

    /// A file or folder of its own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts an agent that follows `source`, a flag and its value.
    pub fn start(&self, source: (&str, &Path), node_name: &str) -> anyhow::Result<Process> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let cgroup = self.cgroup.child("node");
        let mut arguments: Vec<String> = ["run", "--node-name", node_name].map(String::from).into();
        arguments.extend([source.0.to_owned(), text(source.1)]);
        arguments.extend(["--bpffs".to_owned(), text(&self.bpffs()), "--cgroup".to_owned(), text(&cgroup)]);
        let command = process::command(&cgroup, &self.agent, arguments);
        Process::start(&self.node, command)
    }

    /// What an agent tells through its pins, once there is one.
    pub fn state(&self) -> anyhow::Result<Option<MappedArray<AgentState>>> {
        let pins = Pins::new(self.bpffs());
        self.mounts.run(move || {
            let is_there = pins.map(map::STATE).exists();
            let open = || open_array::<AgentState>(&pins, map::STATE, Access::Read);
            is_there.then(open).transpose().context("the agent's state")
        })?
    }

    fn bpffs(&self) -> PathBuf {
        self.path("bpffs")
    }
}
