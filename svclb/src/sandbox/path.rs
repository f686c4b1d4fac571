//! The paths along which requests are sent.

use std::net::{IpAddr, SocketAddr};

use super::{
    layout::{CLIENT, NODES, PODS},
    services::{Frontend, ServicePort},
};

/// Who sends, and to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// The namespace requests start in.
    pub(super) from: &'static str,
    /// The node in whose cgroup they start. Only there do socket hooks see
    /// them; elsewhere it is the packets that are translated.
    pub(super) socket_of: Option<&'static str>,
    /// What is asked: `ClusterIP v4`.
    pub(super) what: String,
    /// The address that is asked.
    pub(super) to: SocketAddr,
    /// The pods that have to answer.
    pub(super) expected: Vec<String>,
}

impl Path {
    fn new(from: &'static str, what: impl Into<String>, to: (IpAddr, u16), expected: &[String]) -> Self {
        Self { from, socket_of: None, what: what.into(), to: to.into(), expected: expected.to_vec() }
    }

    fn at_socket_of(mut self, node: &'static str) -> Self {
        self.socket_of = Some(node);
        self
    }

    /// Where requests start, in words.
    pub(super) fn origin(&self) -> String {
        match self.socket_of {
            Some(node) if node != self.from => format!("{}, by connect()", self.from),
            Some(_) => format!("{}, its host", self.from),
            None => self.from.to_owned(),
        }
    }

    /// The address as a URL.
    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.to)
    }
}

/// The paths to what the built-in manifests hold. They are written down here
/// and not read from the agent, who would otherwise set its own examination.
pub(super) fn built_in() -> Vec<Path> {
    let all: Vec<String> = PODS.iter().map(|pod| pod.name.to_owned()).collect();
    let ip = |text: &str| text.parse::<IpAddr>();
    let mut paths = Vec::new();
    if let (Ok(web), Ok(dual6), Ok(lb4), Ok(lb6)) =
        (ip("10.96.0.10"), ip("fd00:10:96::13"), ip("203.0.113.10"), ip("2001:db8:2::10"))
    {
        for address in [web, dual6] {
            paths.extend(cluster_ip((address, 80), &all));
        }
        paths.extend(node_port(true, 30123, &all));
        paths.extend(node_port(false, 30124, &all));
        for address in [lb4, lb6] {
            paths.push(Path::new(CLIENT, describe("LoadBalancer", address), (address, 80), &all));
        }
    }
    paths
}

/// Some paths to show how it is done: from a pod, from the outside at both
/// ends of the list, and from a node itself.
pub(super) fn examples(paths: &[Path]) -> Vec<&Path> {
    let first = |wanted: fn(&&Path) -> bool| paths.iter().find(wanted);
    let outside: fn(&&Path) -> bool = |path| path.from == CLIENT;
    let mut examples: Vec<&Path> = Vec::new();
    let picked = [
        first(|path| path.from != CLIENT && path.socket_of.is_none()),
        first(outside),
        paths.iter().rfind(outside),
        first(|path| path.socket_of == Some(path.from)),
    ];
    for path in picked.into_iter().flatten() {
        if !examples.contains(&path) {
            examples.push(path);
        }
    }
    examples
}

/// The paths to whatever Services the agent has, for manifests of the reader's own.
pub(super) fn of_services(services: &[ServicePort]) -> Vec<Path> {
    let tcp = services.iter().filter(|service| service.protocol.eq_ignore_ascii_case("tcp"));
    tcp.flat_map(|service| service.frontends.iter().flat_map(|frontend| of_frontend(service, frontend)))
        .collect()
}

fn of_frontend(service: &ServicePort, frontend: &Frontend) -> Vec<Path> {
    let Frontend { kind, address, port } = frontend;
    let expected: Vec<String> = service
        .backends
        .iter()
        .filter(|backend| backend.state == "active" && backend.address.is_ipv4() == address.is_ipv4())
        .filter_map(|backend| PODS.iter().find(|pod| pod.addresses().contains(&backend.address)))
        .map(|pod| pod.name.to_owned())
        .collect();
    match kind.as_str() {
        _ if expected.is_empty() => Vec::new(),
        "ClusterIP" => cluster_ip((*address, *port), &expected),
        "NodePort" if address.is_unspecified() => node_port(address.is_ipv4(), *port, &expected),
        _ => vec![Path::new(CLIENT, describe(kind, *address), (*address, *port), &expected)],
    }
}

/// From a pod of each kind of network, from a pod by its socket, from the host.
fn cluster_ip(to: (IpAddr, u16), expected: &[String]) -> Vec<Path> {
    let path = |from| Path::new(from, describe("ClusterIP", to.0), to, expected);
    let (node1, pod1, pod3) = (NODES[0].host.name, PODS[0].name, PODS[2].name);
    vec![path(pod1), path(pod3), path(pod1).at_socket_of(node1), path(node1).at_socket_of(node1)]
}

/// From the outside to both nodes.
fn node_port(v4: bool, port: u16, expected: &[String]) -> Vec<Path> {
    let path = |node: &super::layout::Node| {
        let address = node.host.addresses()[usize::from(!v4)];
        let what = format!("{} of {}", describe("NodePort", address), node.host.name);
        Path::new(CLIENT, what, (address, port), expected)
    };
    NODES.iter().map(path).collect()
}

fn describe(kind: &str, address: IpAddr) -> String {
    format!("{kind} {}", if address.is_ipv4() { "v4" } else { "v6" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::services;

    #[test]
    fn the_built_in_paths_are_all_there() {
        let paths = built_in();
        assert_eq!(paths.len(), 14);
        assert!(paths.iter().all(|path| path.expected.len() == 4));
        let urls: Vec<String> = paths.iter().map(Path::url).collect();
        for url in ["http://10.96.0.10:80/", "http://[2001:db8:1::12]:30124/", "http://[2001:db8:2::10]:80/"]
        {
            assert!(urls.iter().any(|other| other == url), "{url}");
        }
    }

    #[test]
    fn examples_are_of_each_sort_and_never_twice() {
        let paths = built_in();
        let origins: Vec<_> = examples(&paths).iter().map(|path| path.origin()).collect();
        assert_eq!(origins, ["pod1", "client", "client", "node1, its host"]);
        let outside: Vec<_> = paths.iter().filter(|path| path.from == CLIENT).take(1).cloned().collect();
        assert_eq!(examples(&outside).len(), 1);
        assert!(examples(&[]).is_empty());
    }

    #[test]
    fn own_services_are_asked_for_the_pods_they_name() {
        let json = r#"[{"namespace":"default","name":"mine","protocol":"TCP",
            "frontends":[{"type":"ClusterIP","address":"10.96.0.99","port":81},
                         {"type":"NodePort","address":"0.0.0.0","port":30999},
                         {"type":"ExternalIP","address":"203.0.113.77","port":81}],
            "backends":[{"address":"10.244.1.12","state":"active"},
                        {"address":"10.244.1.11","state":"terminating"},
                        {"address":"fd00:10:244:1::11","state":"active"}]}]"#;
        let paths = of_services(&services::parse(json).unwrap());
        assert_eq!(paths.len(), 4 + 2 + 1);
        assert!(paths.iter().all(|path| path.expected == ["pod2"]), "{paths:?}");
    }

    #[test]
    fn what_nobody_can_answer_is_not_asked() {
        let json = r#"[{"namespace":"default","name":"udp","protocol":"UDP",
            "frontends":[{"type":"ClusterIP","address":"10.96.0.99","port":53}],
            "backends":[{"address":"10.244.1.12","state":"active"}]},
            {"namespace":"default","name":"empty","protocol":"TCP",
            "frontends":[{"type":"ClusterIP","address":"10.96.0.98","port":80}]}]"#;
        assert_eq!(of_services(&services::parse(json).unwrap()), []);
    }
}
