//! A world and a Kubernetes namespace, for the time of one scenario.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::Context as _;
use serde_json::Value;

use super::{Plane, expect::BUDGET, follow, object, plane, relay::Relay};
use crate::netns::{
    World,
    ground::Ground,
    layout::{Family, Machine, NODE1, NODE2, POD_PORT, ROUTER, number},
    server::Server,
    wait::until,
    world::PodNetwork,
};

/// Commands after which EndpointSlices may have to follow.
const CHANGES: [&str; 9] =
    ["create", "apply", "expose", "patch", "delete", "label", "annotate", "replace", "edit"];

/// What one scenario uses.
pub struct Scene<'p> {
    // In this order: what uses the world, then the world.
    servers: Vec<Server>,
    relay: Option<Relay>,
    /// Nodes, pods and the outside client.
    pub world: World,
    plane: &'p Plane,
    namespace: String,
}

impl<'p> Scene<'p> {
    /// Makes a world that sees the API server, and a Kubernetes namespace.
    pub fn build(ground: Ground, plane: &'p Plane, name: &str) -> anyhow::Result<Self> {
        static SCENES: AtomicU32 = AtomicU32::new(0);
        let number = SCENES.fetch_add(1, Ordering::Relaxed);
        // A cluster that is there already may have seen other runs.
        let namespace = format!("svclb-{}-{number}-{name}", std::process::id());
        let world = World::build(ground, PodNetwork::PointToPoint)?;
        let mut scene = Self { servers: vec![], relay: None, world, plane, namespace };
        scene.route_back()?;
        plane.agents_kubeconfig(&scene.kubeconfig())?;
        scene.connect()?;
        plane.kubectl().run(&["create", "namespace", &scene.namespace])?;
        if !plane.is_own() {
            scene.wait_for_account()?;
        }
        Ok(scene)
    }

    /// Other clusters refuse Pods until the account of their namespace is there.
    fn wait_for_account(&self) -> anyhow::Result<()> {
        let get = ["--namespace", &self.namespace, "get", "serviceaccount", "default"];
        let look = || Ok(self.plane.kubectl().output(&get)?.status.success().then_some(()));
        until("the namespace's service account", BUDGET, look).map(|_found| ())
    }

    /// The relay answers pods whose address no network plugin hides behind the node's.
    fn route_back(&self) -> anyhow::Result<()> {
        let route = |node: &Machine| format!("route add 10.244.{}.0/24 via {}\n", number(node), node.v4);
        self.world.ip(ROUTER.name, &[NODE1, NODE2].map(|node| route(&node)).concat())
    }

    /// Makes the API server reachable from the world.
    pub fn connect(&mut self) -> anyhow::Result<()> {
        let router = self.world.namespace(ROUTER.name);
        self.relay = Some(Relay::start(router, plane::relay_address(), self.plane.upstream())?);
        Ok(())
    }

    /// Cuts the world off from the API server; connections end.
    pub fn disconnect(&mut self) {
        self.relay = None;
    }

    /// The kubeconfig of the world's agents.
    pub fn kubeconfig(&self) -> PathBuf {
        self.world.path("kubeconfig")
    }

    /// The Kubernetes namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The control plane.
    pub fn plane(&self) -> &Plane {
        self.plane
    }

    /// Runs `kubectl` in the scenario's namespace and gives what it printed.
    pub fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let printed = self.plane.kubectl().run(&[&["--namespace", &self.namespace], arguments].concat())?;
        let is_change = arguments.first().is_some_and(|verb| CHANGES.contains(verb));
        if is_change && !self.plane.has_controllers() {
            self.follow()?;
        }
        Ok(printed)
    }

    /// `kubectl create -f` with the text of an object.
    pub fn create(&self, object: &str) -> anyhow::Result<()> {
        self.with_file("create", object)
    }

    /// `kubectl apply -f` with the text of an object.
    pub fn apply(&self, object: &str) -> anyhow::Result<()> {
        self.with_file("apply", object)
    }

    /// `kubectl patch` with a merge patch; lists are replaced as a whole.
    pub fn patch(&self, object: &str, patch: &str) -> anyhow::Result<()> {
        self.kubectl(&["patch", object, "--type", "merge", "--patch", patch]).map(|_printed| ())
    }

    /// `kubectl delete`, without waiting for finalizers.
    pub fn delete(&self, object: &str) -> anyhow::Result<()> {
        self.kubectl(&["delete", object, "--wait=false"]).map(|_printed| ())
    }

    /// Creates a Pod object for a pod of the world, under the pod's name, and reports it ready.
    pub fn pod(&self, pod: &Machine, app: &str) -> anyhow::Result<()> {
        self.pod_with(pod, app, &[("serve", POD_PORT)])
    }

    /// Creates a Pod object whose container names its ports, and reports it ready.
    pub fn pod_with(&self, pod: &Machine, app: &str, ports: &[(&str, u16)]) -> anyhow::Result<()> {
        self.create(&object::pod(pod, pod.name, app, ports))?;
        self.report(pod, true)
    }

    /// Reports a Pod running, and ready or not, as its kubelet would.
    pub fn report(&self, pod: &Machine, is_ready: bool) -> anyhow::Result<()> {
        let status = object::pod_status(pod, is_ready);
        self.kubectl(&["patch", "pod", pod.name, "--subresource", "status", "--patch", &status])?;
        Ok(())
    }

    /// Asks a Pod to end; without a kubelet it never does, and stays terminating.
    pub fn terminate(&self, pod: &Machine) -> anyhow::Result<()> {
        self.kubectl(&["delete", "pod", pod.name, "--wait=false"]).map(|_printed| ())
    }

    /// Removes a Pod at once.
    pub fn remove(&self, pod: &Machine) -> anyhow::Result<()> {
        self.kubectl(&["delete", "pod", pod.name, "--force", "--grace-period=0", "--wait=false"])?;
        Ok(())
    }

    /// Lets a pod serve on a second port, under a name of its own.
    pub fn serve_second(&mut self, pod: &Machine) -> anyhow::Result<String> {
        let name = format!("{}-second", pod.name);
        let server = Server::start_at(self.world.namespace(pod.name), &name, object::SECOND_PORT)?;
        self.servers.push(server);
        Ok(name)
    }

    /// A field of an object, by a path of `jsonpath`.
    pub fn field(&self, object: &str, path: &str) -> anyhow::Result<String> {
        self.kubectl(&["get", object, "--output", &format!("jsonpath={{{path}}}")])
    }

    /// The cluster address of a Service.
    pub fn cluster_ip(&self, service: &str) -> anyhow::Result<IpAddr> {
        let address = self.field(&format!("service/{service}"), ".spec.clusterIP")?;
        address.parse().with_context(|| format!("the clusterIP of {service}: {address:?}"))
    }

    /// The cluster address of a Service with a port.
    pub fn cluster(&self, service: &str, port: u16) -> anyhow::Result<SocketAddr> {
        Ok((self.cluster_ip(service)?, port).into())
    }

    /// The number of a Service's first node port.
    pub fn node_port(&self, service: &str) -> anyhow::Result<u16> {
        let port = self.field(&format!("service/{service}"), ".spec.ports[0].nodePort")?;
        port.parse().with_context(|| format!("the node port of {service}: {port:?}"))
    }

    /// A Service's first node port on a node.
    pub fn node(&self, service: &str, node: &Machine) -> anyhow::Result<SocketAddr> {
        Ok((node.address(Family::V4), self.node_port(service)?).into())
    }

    fn with_file(&self, verb: &str, object: &str) -> anyhow::Result<()> {
        let file = self.world.path("object");
        fs::write(&file, object)?;
        self.kubectl(&[verb, "-f", &file.to_string_lossy()])
            .map(|_printed| ())
            .with_context(|| object.to_owned())
    }

    /// Writes the slices that the controllers would write.
    fn follow(&self) -> anyhow::Result<()> {
        let list = |kind: &str, flags: &[&str]| -> anyhow::Result<Vec<Value>> {
            let arguments = [&["--namespace", &self.namespace, "get", kind], flags].concat();
            Ok(self.plane.kubectl().json(&arguments)?["items"].as_array().cloned().unwrap_or_default())
        };
        let (services, pods) = (list("services", &[])?, list("pods", &[])?);
        let wanted: Vec<Value> = services.iter().flat_map(|service| follow::slices(service, &pods)).collect();
        let name = |slice: &Value| slice["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let old = list("endpointslices", &["--selector", follow::OWNER])?;
        let stale = old.iter().map(name).filter(|old| !wanted.iter().any(|slice| name(slice) == *old));
        let in_namespace = |arguments: &[&str]| {
            self.plane.kubectl().run(&[&["--namespace", &self.namespace], arguments].concat())
        };
        for stale in stale {
            in_namespace(&["delete", "endpointslice", &stale])?;
        }
        if !wanted.is_empty() {
            let file = self.world.path("slices");
            let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": wanted });
            fs::write(&file, list.to_string())?;
            in_namespace(&["apply", "--server-side", "--force-conflicts", "-f", &file.to_string_lossy()])?;
        }
        Ok(())
    }
}

impl Drop for Scene<'_> {
    fn drop(&mut self) {
        // A Service left would be balanced by the agents of all later scenarios. The
        // namespace goes when its controller has emptied it, which nobody has to wait for.
        let services = ["--namespace", &self.namespace, "delete", "services", "--all"];
        let namespace = ["delete", "namespace", &self.namespace, "--wait=false"];
        for arguments in [&services[..], &namespace] {
            if let Err(error) = self.plane.kubectl().run(arguments) {
                eprintln!("cannot tidy up after a scenario: {error:#}");
            }
        }
    }
}
