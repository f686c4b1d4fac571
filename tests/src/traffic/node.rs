//! A node with its proxy, its pods and a client outside, in namespaces of their own.
//!
//! All nodes have the same addresses: none knows of another.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::{
    part::{Part, READY},
    path::Place,
    proxy::{Programs, Proxy},
    target::{BACKENDS, CLUSTER_CIDR, NODE_ADDRESS, OUTSIDE, PODS, moving},
    work::{Outcome, Task},
};
use crate::{
    apiserver::ApiServer,
    netns::{
        cgroup::{self, Cgroup},
        leftover::{prefix, remove_abandoned_folders},
        namespace::Namespace,
        process::{self, Process},
        wait::until,
        wiring,
    },
};

/// How long a task, and a start, may take.
const PATIENCE: Duration = Duration::from_mins(5);

/// The gateway of all pods.
const GATEWAY: &str = "169.254.1.1";

/// Where a proxy is measured. Everything in it is gone when it is dropped, and when this process is killed.
pub struct Node {
    // In this order: processes, their server, namespaces, mounts, groups, files.
    proxy: Option<Process>,
    clients: BTreeMap<Place, Process>,
    servers: Vec<Process>,
    api: Option<ApiServer>,
    pods: Vec<Namespace>,
    outside: Namespace,
    host: Namespace,
    _mounts: Namespace,
    cgroup: Cgroup,
    folder: TempDir,
    programs: Programs,
    kind: Proxy,
}

impl Node {
    /// A fresh one with clients and servers, whose proxy is not started.
    pub fn build(programs: &Programs, kind: Proxy) -> anyhow::Result<Self> {
        remove_abandoned_folders()?;
        let folder = tempfile::Builder::new().prefix(&prefix()).tempdir()?;
        fs::create_dir(folder.path().join("bpffs"))?;
        let mount = cgroup::mount_point().context("cgroup v2 is not mounted")?;
        let cgroup = Cgroup::create(&mount, &["node", "proxy"])?;
        let mounts = Namespace::with_mounts(&folder.path().join("bpffs"))?;
        let node = Namespace::create(&mounts, "node")?;
        let outside = Namespace::create(&mounts, "outside")?;
        let pods = PODS.iter().map(|pod| Namespace::create(&mounts, pod.name));
        let pods = pods.collect::<anyhow::Result<Vec<_>>>()?;
        wire(&node, &outside, &pods)?;
        let mut world = Self {
            proxy: None,
            clients: BTreeMap::new(),
            servers: Vec::new(),
            api: None,
            pods,
            outside,
            host: node,
            _mounts: mounts,
            cgroup,
            folder,
            programs: programs.clone(),
            kind,
        };
        world.people()?;
        Ok(world)
    }

    /// Which proxy it is for.
    pub fn kind(&self) -> Proxy {
        self.kind
    }

    /// Serves these objects to the proxy that is to be started.
    pub fn publish(&mut self, objects: Vec<Value>) -> anyhow::Result<()> {
        let listener = self.host.run(|| TcpListener::bind("127.0.0.1:0"))?;
        let server = ApiServer::serve(listener.context("cannot listen on the node")?)?;
        server.apply_all(objects);
        server.forget();
        server.write_kubeconfig(&self.path("kubeconfig"))?;
        self.api = Some(server);
        Ok(())
    }

    /// Changes or adds objects.
    pub fn apply(&self, objects: Vec<Value>) -> anyhow::Result<()> {
        self.api.as_ref().context("nothing was published")?.apply_all(objects);
        Ok(())
    }

    /// Starts the proxy and does not wait.
    pub fn launch(&mut self) -> anyhow::Result<()> {
        let groups = self.cgroup.child("node");
        if let Some(command) = self.programs.command(self.kind, self.folder.path(), &groups)? {
            let command = Part::Held(&command).command(&self.cgroup.child("proxy"))?;
            self.proxy = Some(Process::start(&self.host, command)?);
        }
        Ok(())
    }

    /// Waits until a Service answers and, where the proxy tells, all its tables are complete.
    ///
    /// kube-proxy writes everything in one transaction, so that one answer stands for all.
    pub fn settle(&mut self) -> anyhow::Result<()> {
        if self.proxy.is_none() {
            return Ok(());
        }
        let settled = self.synced().and_then(|()| {
            self.perform(Place::Pod, &Task::Await { server: 1, target: moving() }).map(|_outcome| ())
        });
        settled.with_context(|| {
            let text = self.proxy.as_ref().map_or_else(String::new, |proxy| proxy.log.text());
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(30)..].join("\n");
            format!("{}, whose log ends with:\n{tail}", self.kind.name())
        })
    }

    /// Waits until the agent's tables are complete; kube-proxy does not tell.
    fn synced(&mut self) -> anyhow::Result<()> {
        if self.kind.is_kube_proxy() {
            return Ok(());
        }
        let bpffs = self.path("bpffs").to_string_lossy().into_owned();
        let (cgroup, agent) = (self.cgroup.child("proxy"), &self.programs.agent);
        let proxy = self.proxy.as_mut().context("no proxy")?;
        until("complete tables", PATIENCE, || {
            ensure!(!proxy.has_ended()?, "it has ended");
            let arguments = ["status", "--wait-synced", "2s", "--bpffs", &bpffs];
            let command = process::command(&cgroup, agent, arguments);
            Ok(process::output(&self.host, command)?.status.success().then_some(()))
        })?;
        Ok(())
    }

    /// Lets a client do something.
    pub fn perform(&mut self, place: Place, task: &Task) -> anyhow::Result<Outcome> {
        let asked = self.begin(place, task)?;
        self.end(place, asked)
    }

    /// Tells a client what to do and does not wait.
    pub fn begin(&mut self, place: Place, task: &Task) -> anyhow::Result<usize> {
        let client = self.clients.get_mut(&place).context("no client there")?;
        let asked = client.log.len();
        writeln!(client.stdin()?, "{task}")?;
        Ok(asked)
    }

    /// Waits for what was [begun](Self::begin).
    pub fn end(&mut self, place: Place, asked: usize) -> anyhow::Result<Outcome> {
        let client = self.clients.get(&place).context("no client there")?;
        let line = client.log.wait_for(asked, PATIENCE, |line| line.starts_with('{'))?;
        match serde_json::from_str(&line)? {
            Outcome::Failed(why) => bail!("{}: {place:?}: {why}", self.kind.name()),
            outcome => Ok(outcome),
        }
    }

    /// The proxy's process id.
    pub fn pid(&self) -> anyhow::Result<u32> {
        Ok(self.proxy.as_ref().context("no proxy")?.pid())
    }

    /// How long the proxy and the commands that it has started have run so far (`cgroup-v2`, `cpu.stat`).
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        let text = fs::read_to_string(self.cgroup.child("proxy").join("cpu.stat"))?;
        let field = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
        Ok(Duration::from_micros(field.context("cpu.stat: no usage_usec")?.parse()?))
    }

    /// Ends the proxy as nodes do.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(mut proxy) = self.proxy.take() {
            let status = proxy.end(Signal::SIGTERM)?;
            ensure!(self.kind.is_kube_proxy() || status.success(), "{status}:\n{}", proxy.log.text());
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts servers and clients.
    fn people(&mut self) -> anyhow::Result<()> {
        let group: &Path = &self.cgroup.child("node");
        for (number, namespace) in (1..).zip(&self.pods[..BACKENDS]) {
            let server = Process::start(namespace, Part::Server(number).command(group)?)?;
            server.log.wait_for(0, PATIENCE, |line| line == READY)?;
            self.servers.push(server);
        }
        for place in Place::ALL {
            let namespace = match place {
                Place::Pod => &self.pods[BACKENDS],
                Place::Host => &self.host,
                Place::Outside => &self.outside,
            };
            self.clients.insert(place, Process::start(namespace, Part::Client.command(group)?)?);
        }
        Ok(())
    }
}

/// Connects everything: pods by a veth and a route each, the client outside by the uplink.
fn wire(node: &Namespace, outside: &Namespace, pods: &[Namespace]) -> anyhow::Result<()> {
    node.sysctl(&[
        ("ipv4/ip_forward", "1"),
        ("ipv4/conf/all/rp_filter", "1"),
        ("ipv4/conf/default/rp_filter", "1"),
    ])?;
    let mut script = format!(
        "link set lo up\n\
         link add eth0 type veth peer name eth0 netns {}\n\
         link set eth0 up\n\
         address add {NODE_ADDRESS}/24 dev eth0\n\
         route add default via {OUTSIDE} dev eth0\n",
        outside.tid(),
    );
    for (pod, namespace) in PODS.iter().zip(pods) {
        let (name, tid) = (pod.name, namespace.tid());
        writeln!(script, "link add veth-{name} type veth peer name eth0 netns {tid}")?;
        writeln!(script, "link set veth-{name} up\naddress add {GATEWAY}/32 dev veth-{name}")?;
        writeln!(script, "route add {}/32 dev veth-{name} src {NODE_ADDRESS}", pod.address)?;
    }
    wiring::ip(node, &script)?;
    wiring::ip(
        outside,
        &format!(
            "link set lo up\nlink set eth0 up\naddress add {OUTSIDE}/24 dev eth0\n\
             route add {CLUSTER_CIDR} via {NODE_ADDRESS}\n"
        ),
    )?;
    for (pod, namespace) in PODS.iter().zip(pods) {
        wiring::ip(
            namespace,
            &format!(
                "link set lo up\nlink set eth0 up\naddress add {}/32 dev eth0\n\
                 route add {GATEWAY}/32 dev eth0\nroute add default via {GATEWAY} dev eth0\n",
                pod.address,
            ),
        )?;
    }
    Ok(())
}
