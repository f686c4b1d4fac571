//! What the embedded world prints.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{
    layout::{CLIENT_HOST, NODES, Node, Pod, PodNetwork, ROUTER, load_balancer_cidrs},
    path::Path as RequestPath,
    request::Tally,
    services::ServicePort,
};

/// Everything that is printed goes through here, so that a reader who closes
/// the pipe ends the world in order.
pub(super) struct Report<W>(W);

/// What the commands to try are made of.
pub(super) struct Hints<'a> {
    pub(super) binary: &'a Path,
    pub(super) manifests: &'a Path,
    pub(super) logs: &'a Path,
    pub(super) bpffs: &'a Path,
    /// Requests to repeat by hand.
    pub(super) requests: Vec<RequestHint<'a>>,
}

/// A request to repeat by hand.
pub(super) struct RequestHint<'a> {
    pub(super) path: &'a RequestPath,
    /// The file of the namespace it starts in.
    pub(super) namespace: PathBuf,
    /// The cgroup it has to be in.
    pub(super) cgroup: Option<&'a Path>,
}

impl<W: Write> Report<W> {
    pub(super) fn new(writer: W) -> Self {
        Self(writer)
    }

    /// Draws the world.
    pub(super) fn world(&mut self) -> io::Result<()> {
        let [wire4, wire6] = ROUTER.networks().map(|network| network.trunc());
        let [lb4, lb6] = load_balancer_cidrs();
        let client = format!("client  {}  {}", CLIENT_HOST.v4, CLIENT_HOST.v6);
        let first = NODES[0].host.name;
        writeln!(self.0, "The world")?;
        writeln!(self.0)?;
        writeln!(self.0, "  {client}   sends {lb4} and {lb6} to {first}")?;
        writeln!(self.0, "     │")?;
        writeln!(self.0, "  ───┴─ wire  {wire4}  {wire6} ───┬──────────────────────────────")?;
        writeln!(self.0)?;
        for node in &NODES {
            self.node(node)?;
        }
        self.0.flush()
    }

    fn node(&mut self, node: &Node) -> io::Result<()> {
        let how = match node.network {
            PodNetwork::Bridge => "pods on a bridge",
            PodNetwork::PointToPoint => "pods on a veth each",
        };
        writeln!(self.0, "  {}  {}  {}   {how}", node.host.name, node.host.v4, node.host.v6)?;
        let pods: Vec<&Pod> = node.pods().collect();
        for (i, pod) in pods.iter().enumerate() {
            let branch = if i + 1 == pods.len() { "└─" } else { "├─" };
            writeln!(self.0, "     {branch} {}  {}  {}", pod.name, pod.v4, pod.v6)?;
        }
        writeln!(self.0)
    }

    /// Lists the Services as the agent has them.
    pub(super) fn services(&mut self, services: &[ServicePort]) -> io::Result<()> {
        writeln!(self.0, "Services, as the agent of {} has them", NODES[0].host.name)?;
        writeln!(self.0)?;
        writeln!(self.0, "  {:<22} {:<14} {:<40} {:<12} BACKENDS", "NAME", "TYPE", "ADDRESS", "ALGORITHM")?;
        for service in services {
            let mut name = format!("{}/{}", service.namespace, service.name);
            for frontend in &service.frontends {
                let address = std::net::SocketAddr::new(frontend.address, frontend.port);
                let address = format!("{address}/{}", service.protocol);
                let same_family = |ip: std::net::IpAddr| ip.is_ipv4() == frontend.address.is_ipv4();
                let backends = service.backends.iter().filter(|backend| same_family(backend.address)).count();
                writeln!(
                    self.0,
                    "  {name:<22} {:<14} {address:<40} {:<12} {backends}",
                    frontend.kind, service.algorithm
                )?;
                name.clear();
            }
        }
        writeln!(self.0)?;
        self.0.flush()
    }

    /// Lists the Services that are left alone on purpose, each with the reason.
    pub(super) fn not_proxied(&mut self, services: &[(String, String)]) -> io::Result<()> {
        if services.is_empty() {
            return Ok(());
        }
        writeln!(self.0, "Not proxied, on purpose")?;
        writeln!(self.0)?;
        for (name, reason) in services {
            writeln!(self.0, "  {name:<22} {reason}")?;
        }
        writeln!(self.0)?;
        self.0.flush()
    }

    /// The head of the table of requests.
    pub(super) fn requests(&mut self, requests: u32) -> io::Result<()> {
        writeln!(self.0, "Requests, {requests} along each path, each on a connection of its own")?;
        writeln!(self.0)?;
        writeln!(
            self.0,
            "  {:<19} {:<25} {:<28} {:>5} {:>5}  {:<38} DEVIATION",
            "FROM", "TO", "ADDRESS", "SENT", "OK", "ANSWERED BY"
        )
    }

    /// One path's line.
    pub(super) fn tally(&mut self, path: &RequestPath, tally: &Tally, fault: Option<&str>) -> io::Result<()> {
        let pods: Vec<String> = tally.pods.iter().map(|(pod, n)| format!("{pod} {n}")).collect();
        let deviation = tally.deviation(&path.expected).map_or_else(|| "-".into(), |d| format!("{d:.0} %"));
        let (origin, to, pods) = (path.origin(), path.to.to_string(), pods.join("  "));
        let mark = if fault.is_some() { "   FAILED" } else { "" };
        writeln!(
            self.0,
            "  {origin:<19} {:<25} {to:<28} {:>5} {:>5}  {pods:<38} {deviation:>9}{mark}",
            path.what,
            tally.sent,
            tally.answered()
        )?;
        self.0.flush()
    }

    /// All paths together: chance evens out with the number of requests.
    pub(super) fn total(&mut self, total: &Tally) -> io::Result<()> {
        let share = |n: u32| f64::from(n) * 100.0 / f64::from(total.answered().max(1));
        let pods: Vec<_> = total.pods.iter().map(|(pod, n)| format!("{pod} {:.1} %", share(*n))).collect();
        writeln!(self.0)?;
        writeln!(
            self.0,
            "  All paths: {} requests, {} answered: {}",
            total.sent,
            total.answered(),
            pods.join("  ")
        )
    }

    /// The outcome: one line for each path that failed.
    pub(super) fn outcome(&mut self, paths: usize, faults: &[String]) -> io::Result<()> {
        writeln!(self.0)?;
        if faults.is_empty() {
            writeln!(
                self.0,
                "All {paths} paths work: every request was answered, by every pod that should."
            )?;
        } else {
            for fault in faults {
                writeln!(self.0, "FAILED  {fault}")?;
            }
            writeln!(self.0, "{} of {paths} paths failed.", faults.len())?;
        }
        writeln!(self.0)?;
        self.0.flush()
    }

    /// What to try while the world stays up.
    pub(super) fn hints(&mut self, hints: &Hints) -> io::Result<()> {
        let Hints { binary, manifests, logs, bpffs, requests } = hints;
        let (binary, manifests) = (binary.display(), manifests.display());
        let (logs, bpffs) = (logs.display(), bpffs.display());
        writeln!(self.0, "The world stays up until Ctrl-C. To try, in another terminal:")?;
        writeln!(self.0)?;
        for request in requests {
            writeln!(self.0, "  # {}, from {}", request.path.what, request.path.from)?;
            writeln!(self.0, "  {}", request.command())?;
        }
        writeln!(self.0, "  # the agents follow every edit of a file in {manifests}")?;
        writeln!(self.0, "  {binary} services --bpffs {bpffs}")?;
        writeln!(self.0, "  {binary} flows --bpffs {bpffs}")?;
        writeln!(self.0, "  tail -f {logs}/node*.log")?;
        writeln!(self.0)?;
        self.0.flush()
    }
}

impl RequestHint<'_> {
    fn command(&self) -> String {
        let curl = format!("nsenter --net={} curl -s {}", self.namespace.display(), self.path.url());
        match self.cgroup {
            Some(cgroup) => format!("sh -c 'echo $$ > {}/cgroup.procs; exec {curl}'", cgroup.display()),
            None => curl,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{path, services};

    fn printed(print: impl FnOnce(&mut Report<&mut Vec<u8>>) -> io::Result<()>) -> String {
        let mut bytes = Vec::new();
        print(&mut Report::new(&mut bytes)).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_drawing_names_everything() {
        let mut bytes = Vec::new();
        Report::new(&mut bytes).world().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        for name in ["client", "wire", "node1", "node2", "pod1", "pod2", "pod3", "pod4", "fd00:10:244:2::14"]
        {
            assert!(text.contains(name), "{name}: {text}");
        }
    }

    #[test]
    fn a_service_has_a_line_for_each_address() {
        let json = r#"[{"namespace":"default","name":"web","protocol":"TCP","algorithm":"random",
            "frontends":[{"type":"ClusterIP","address":"10.96.0.13","port":80},
                         {"type":"ClusterIP","address":"fd00:10:96::13","port":80}],
            "backends":[{"address":"10.244.1.11"},{"address":"10.244.1.12"},{"address":"fd00:10:244:1::11"}]}]"#;
        let services = services::parse(json).unwrap();
        let text = printed(|report| report.services(&services));
        let lines: Vec<Vec<&str>> =
            text.lines().skip(3).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["default/web", "ClusterIP", "10.96.0.13:80/TCP", "random", "2"]);
        assert_eq!(lines[1], ["ClusterIP", "[fd00:10:96::13]:80/TCP", "random", "1"]);
    }

    #[test]
    fn a_failed_path_stands_out() {
        let path = &path::built_in()[0];
        let tally = Tally { sent: 200, pods: [("pod1".to_owned(), 200)].into(), ..Tally::default() };
        let text = printed(|report| report.tally(path, &tally, Some("no answer from pod2")));
        assert!(text.ends_with("FAILED\n"), "{text}");
        assert!(text.contains("pod1 200") && text.contains("300 %"), "{text}");
    }

    #[test]
    fn a_request_from_the_node_itself_needs_its_cgroup() {
        let path = &path::built_in()[3];
        let hint = RequestHint { path, namespace: "/run/netns/x".into(), cgroup: Some(Path::new("/cg/x")) };
        let command = "sh -c 'echo $$ > /cg/x/cgroup.procs; exec nsenter --net=/run/netns/x curl -s http://10.96.0.10:80/'";
        assert_eq!(hint.command(), command);
    }

    #[test]
    fn no_heading_without_anything_below() {
        assert_eq!(printed(|report| report.not_proxied(&[])), "");
    }
}
