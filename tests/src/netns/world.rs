//! Two nodes with two pods each and an outside client, for the time of one test.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

use super::{
    cgroup::Cgroup,
    ground::Ground,
    layout::{CLIENT, Machine, NODE1, NODE2, PLUGGED, PODS, WIRE, node_of},
    leftover::{prefix, remove_abandoned_folders},
    manifest::Service,
    namespace::Namespace,
    server::Server,
    wiring,
};

/// How the pods of a node are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodNetwork {
    /// Each on a veth of its own, with a route.
    PointToPoint,
    /// All on one bridge: a reply between them never sees the IP layer of the node.
    Bridge,
}

impl PodNetwork {
    /// Both ways.
    pub const ALL: [Self; 2] = [Self::PointToPoint, Self::Bridge];
}

/// The namespaces by name.
pub type Namespaces = BTreeMap<&'static str, Namespace>;

/// The world. Everything in it is gone when it is dropped.
pub struct World {
    // In this order: processes, servers, namespaces, mounts, files.
    cgroup: Cgroup,
    servers: BTreeMap<&'static str, Server>,
    namespaces: Namespaces,
    mounts: Namespace,
    folder: TempDir,
    ground: Ground,
    network: PodNetwork,
    /// Groups below their node's, by pod.
    own_groups: BTreeMap<&'static str, PathBuf>,
}

impl World {
    /// Makes the world, with a server in each pod and an empty folder of manifests.
    pub fn build(ground: Ground, network: PodNetwork) -> anyhow::Result<Self> {
        remove_abandoned_folders()?;
        let folder = tempfile::Builder::new().prefix(&prefix()).tempdir()?;
        for name in ["bpffs", "manifests"] {
            fs::create_dir(folder.path().join(name))?;
        }
        let cgroup = Cgroup::create(&ground.cgroups, &[NODE1.name, NODE2.name, CLIENT.name])?;
        let mounts = Namespace::with_mounts(&folder.path().join("bpffs"))?;
        let names = PLUGGED.iter().chain(&PODS).map(|machine| machine.name).chain([WIRE]);
        let namespaces: Namespaces =
            names.map(|name| Ok((name, Namespace::create(&mounts, name)?))).collect::<anyhow::Result<_>>()?;
        wiring::build(&namespaces, network)?;
        let mut world = Self {
            cgroup,
            servers: BTreeMap::new(),
            namespaces,
            mounts,
            folder,
            ground,
            network,
            own_groups: BTreeMap::new(),
        };
        PODS.iter().try_for_each(|pod| world.serve(pod))?;
        Ok(world)
    }

    /// What the world stands on.
    pub fn ground(&self) -> &Ground {
        &self.ground
    }

    /// The namespace of that name.
    pub fn namespace(&self, name: &str) -> &Namespace {
        &self.namespaces[name]
    }

    /// Starts a pod that was not there from the beginning.
    pub fn add_pod(&mut self, pod: &Machine) -> anyhow::Result<()> {
        let namespace = Namespace::create(&self.mounts, pod.name)?;
        wiring::settle(&namespace)?;
        self.namespaces.insert(pod.name, namespace);
        wiring::plug(&self.namespaces, self.network, pod)?;
        self.serve(pod)
    }

    /// The control group of that name.
    pub fn cgroup(&self, name: &str) -> PathBuf {
        self.cgroup.child(name)
    }

    /// Makes a control group for a pod, at `path` below its node's, in which all runs that is started there from now on.
    pub fn give_group(&mut self, pod: &Machine, path: &str) -> anyhow::Result<()> {
        let group = self.cgroup(node_of(pod).name).join(path);
        fs::create_dir_all(&group).with_context(|| format!("cannot create the cgroup {path}"))?;
        self.own_groups.insert(pod.name, group);
        Ok(())
    }

    /// The control group that a pod was given.
    pub(super) fn own_group(&self, pod: &str) -> Option<PathBuf> {
        self.own_groups.get(pod).cloned()
    }

    /// A file or folder of this world's own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the agent of a node pins. Only [`run`](Namespace::run) sees it.
    pub fn bpffs(&self, node: &Machine) -> PathBuf {
        self.path("bpffs").join(node.name)
    }

    /// The folder of manifests.
    pub fn manifests(&self) -> PathBuf {
        self.path("manifests")
    }

    /// Starts the server of a pod.
    pub fn serve(&mut self, pod: &Machine) -> anyhow::Result<()> {
        let server = Server::start(self.namespace(pod.name))?;
        self.servers.insert(pod.name, server);
        Ok(())
    }

    /// Puts a Service's file in place of an earlier one, by renaming, as careful tools do.
    pub fn publish(&self, service: &Service) -> anyhow::Result<()> {
        self.publish_text(&format!("{}.yaml", service.name), &service.yaml())
    }

    /// Puts a file in place of an earlier one, by renaming.
    pub fn publish_text(&self, file: &str, text: &str) -> anyhow::Result<()> {
        let aside = self.path("aside");
        fs::write(&aside, text)?;
        fs::rename(&aside, self.manifests().join(file)).context("cannot publish a manifest")
    }

    /// Runs a script of `ip` in a namespace.
    pub fn ip(&self, namespace: &str, script: &str) -> anyhow::Result<()> {
        wiring::ip(self.namespace(namespace), script)
    }
}
