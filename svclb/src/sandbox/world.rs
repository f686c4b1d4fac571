//! The embedded world as a whole: what is in it, and its end.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use futures::future::select_all;
use tokio::time::{Instant, sleep};

use super::{
    agent::{Agent, Launch},
    cgroup::{Cgroup, Stay},
    ground::Ground,
    http::Server,
    layout::{self, CLIENT, NODES, POD_PORT, PODS},
    manifests,
    netns::Namespace,
    topology::{self, Namespaces},
};

/// How long a new network may take until everything reaches everything.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);
const SETTLE_STEP: Duration = Duration::from_millis(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A port nobody listens on.
const DISCARD: u16 = 9;

/// The world. Whatever was made is removed by [`World::remove`], also of one
/// that was never finished.
pub(super) struct World {
    ground: Ground,
    namespaces: Namespaces,
    cgroups: BTreeMap<&'static str, Cgroup>,
    servers: Vec<Server>,
    agents: Vec<Agent>,
}

impl World {
    /// Takes possession of a prefix, clearing up after an earlier owner who
    /// could not.
    pub(super) async fn claim(prefix: &str) -> anyhow::Result<Self> {
        let ground = Ground::claim(prefix)?;
        if ground.has_leftovers() {
            tracing::info!(prefix, "removing what an earlier run left");
            ground.clear().await.context("cannot remove what an earlier run left")?;
        }
        Ok(Self {
            ground,
            namespaces: Namespaces::new(),
            cgroups: BTreeMap::new(),
            servers: Vec::new(),
            agents: Vec::new(),
        })
    }

    /// Makes everything but the agents.
    pub(super) async fn build(&mut self) -> anyhow::Result<()> {
        let folder = self.ground.folder();
        fs::create_dir(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        self.ground.bpffs.create()?;
        for name in layout::namespaces() {
            self.namespaces.insert(name, Namespace::create(self.ground.name(name)).await?);
        }
        topology::build(&self.namespaces).await?;
        for node in &NODES {
            self.cgroups.insert(node.host.name, Cgroup::create(&self.ground.name(node.host.name))?);
        }
        for pod in &PODS {
            let server = Server::start(pod, &self.namespaces[pod.name]).await;
            self.servers.push(server.with_context(|| format!("cannot serve HTTP in {}", pod.name))?);
        }
        Ok(())
    }

    /// Sees whether the world works before anything of svclb is in it, so that
    /// its faults are not taken for svclb's.
    pub(super) async fn check(&self) -> anyhow::Result<()> {
        for node in &NODES {
            for address in PODS.iter().flat_map(layout::Pod::addresses) {
                reach(self.namespace(node.host.name), (address, POD_PORT).into()).await?;
            }
            for address in node.host.addresses() {
                reach(self.namespace(CLIENT), (address, DISCARD).into()).await?;
            }
        }
        Ok(())
    }

    /// Writes the built-in manifests and tells where they are.
    pub(super) fn write_manifests(&self) -> anyhow::Result<PathBuf> {
        let folder = self.ground.folder().join("manifests");
        manifests::write(&folder).with_context(|| format!("cannot write to {}", folder.display()))?;
        Ok(folder)
    }

    /// Starts an agent on each node and waits until all are ready.
    pub(super) async fn start_agents(
        &mut self,
        binary: &Path,
        manifests: &Path,
        extra: &[String],
    ) -> anyhow::Result<()> {
        for node in NODES.iter().map(|node| node.host.name) {
            let launch = Launch {
                binary: binary.to_owned(),
                manifests: manifests.to_owned(),
                node,
                bpffs: self.ground.bpffs.node(node),
                log: self.ground.folder().join(format!("{node}.log")),
                extra: extra.to_vec(),
            };
            self.agents.push(Agent::start(launch, &self.namespaces[node], &self.cgroups[node]).await?);
        }
        for agent in &self.agents {
            agent.wait_synced(self.namespace(agent.node())).await?;
        }
        Ok(())
    }

    /// Returns when an agent has ended by itself.
    pub(super) async fn agent_ended(&mut self) -> anyhow::Error {
        select_all(self.agents.iter_mut().map(|agent| Box::pin(agent.ended()))).await.0
    }

    /// Stops a pod's server and leaves everything else as it is.
    pub(super) fn break_backend(&mut self, pod: &str) -> anyhow::Result<()> {
        let index = self.servers.iter().position(|server| server.pod().name == pod);
        let index = index.with_context(|| format!("--break-backend: there is no pod {pod:?}"))?;
        self.servers.swap_remove(index).stop();
        Ok(())
    }

    /// A namespace by its short name.
    pub(super) fn namespace(&self, name: &str) -> &Namespace {
        &self.namespaces[name]
    }

    /// Makes the sockets of this process those of a node, while it lasts.
    pub(super) fn stay(&self, node: &str) -> anyhow::Result<Stay> {
        self.cgroups[node].stay()
    }

    /// A node's agent.
    pub(super) fn agent(&self, node: &str) -> anyhow::Result<&Agent> {
        self.agents.iter().find(|agent| agent.node() == node).with_context(|| format!("{node} has no agent"))
    }

    /// Where the agents' logs are.
    pub(super) fn logs(&self) -> &Path {
        self.ground.folder()
    }

    /// A node's cgroup.
    pub(super) fn cgroup(&self, node: &str) -> &Path {
        self.cgroups[node].path()
    }

    /// Removes everything, however far the world had come. What fails first is
    /// told; the rest is removed all the same.
    pub(super) async fn remove(mut self) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        for agent in self.agents.drain(..) {
            let namespace = &self.namespaces[agent.node()];
            outcome = outcome.and(agent.stop(namespace).await);
        }
        self.servers.drain(..).for_each(Server::stop);
        for (_, namespace) in self.namespaces {
            let name = namespace.name().to_owned();
            let closed = namespace.close().with_context(|| format!("cannot remove the namespace {name}"));
            outcome = outcome.and(closed);
        }
        outcome = outcome.and(self.ground.clear().await);
        outcome.and(self.ground.release())
    }
}

/// Waits until one namespace reaches an address.
async fn reach(from: &Namespace, to: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    loop {
        match from.run(move || TcpStream::connect_timeout(&to, CONNECT_TIMEOUT)).await? {
            Ok(_) => return Ok(()),
            // A refusal has travelled both ways, too.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(()),
            // A bridge port takes its time to forward, and says so to nobody.
            Err(_) if Instant::now() < deadline => sleep(SETTLE_STEP).await,
            Err(error) => bail!("the world itself does not work: {} cannot reach {to}: {error}", from.name()),
        }
    }
}
