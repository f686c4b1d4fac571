//! ICMP errors about translated packets: a link in the middle that carries less, and ports that
//! nobody listens on.

use std::{fmt::Write as _, fs, net::SocketAddr};

use anyhow::{Context as _, ensure};
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{CLIENT, Family, Frontend, Machine, NODE1, NODE2, POD1, POD2, POD3, ROUTER, UPLINK, WIRE},
    process::Process,
    wait::{PATIENCE, until},
};

use crate::support::world;

/// Where nginx listens in a pod, and where it hands uploads to.
const PORT: u16 = 8081;
const SINK: u16 = 8082;

/// Bytes that are sent each way.
const SIZE: usize = 10 << 20;

/// What the narrow link carries.
const NARROW: u16 = 1300;

/// A Service whose backends listen on `port`.
fn service(name: &str, number: u8, pods: &[Machine], port: u16) -> String {
    let [c4, c6] = Family::ALL.map(|family| Frontend::ClusterIp.of(number, family).ip());
    let [l4, l6] = Family::ALL.map(|family| Frontend::LoadBalancer.of(number, family).ip());
    let ports = ["TCP", "UDP"].map(|protocol| {
        format!("{{ name: {}, port: 80, protocol: {protocol}, targetPort: {port} }}", protocol.to_lowercase())
    });
    let service = format!(
        "apiVersion: v1
kind: Service
metadata: {{ name: {name}, namespace: default }}
spec:
  type: LoadBalancer
  clusterIP: \"{c4}\"
  clusterIPs: [\"{c4}\", \"{c6}\"]
  ipFamilies: [IPv4, IPv6]
  allocateLoadBalancerNodePorts: false
  ports: [{}]
status: {{ loadBalancer: {{ ingress: [{{ ip: \"{l4}\" }}, {{ ip: \"{l6}\" }}] }} }}
",
        ports.join(", ")
    );
    let slices = Family::ALL.map(|family| {
        let addresses: Vec<_> = pods.iter().map(|pod| format!("\"{}\"", pod.address(family))).collect();
        let node = if pods.contains(&POD3) { NODE2 } else { NODE1 };
        format!(
            "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{ name: {name}-{suffix}, namespace: default, labels: {{ kubernetes.io/service-name: {name} }} }}
addressType: {kind}
ports: [{{ name: tcp, port: {port}, protocol: TCP }}, {{ name: udp, port: {port}, protocol: UDP }}]
endpoints: [{{ addresses: [{addresses}], nodeName: {node} }}]
",
            suffix = family.as_str().to_lowercase(),
            kind = family.as_str(),
            addresses = addresses.join(", "),
            node = node.name,
        )
    });
    service + &slices.concat()
}

/// A server of large files, both ways, in a pod: what comes is taken in whole before it is answered.
fn serve_files(world: &World, pod: Machine) -> anyhow::Result<Process> {
    let folder = world.path(pod.name);
    fs::create_dir(&folder)?;
    fs::write(folder.join("file"), vec![7; SIZE])?;
    let folder = folder.to_string_lossy().into_owned();
    let file = format!("{folder}/nginx.conf");
    let configuration = format!(
        "daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_max_body_size 32m;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{ listen {PORT}; listen [::]:{PORT}; root {folder}; location /up {{ proxy_pass http://127.0.0.1:{SINK}; }} }}
  server {{ listen 127.0.0.1:{SINK}; location / {{ return 204; }} }}
}}
"
    );
    fs::write(&file, configuration)?;
    let error_log = format!("{folder}/error.log");
    world.start(Place::Pod(pod), "nginx", &["-c", &file, "-e", &error_log])
}

/// Sends everything by the router between the machines, whose links to `narrow` carry less: a machine
/// and what is behind it.
fn narrow(world: &World, pairs: &[(Machine, &[&str])]) -> anyhow::Result<()> {
    world.namespace(WIRE).sysctl(&[
        ("ipv4/ip_forward", "1"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/conf/wire/send_redirects", "0"),
    ])?;
    let mut wire = String::new();
    for (machine, behind) in pairs {
        world.namespace(machine.name).sysctl(&[
            ("ipv4/conf/all/accept_redirects", "0"),
            ("ipv6/conf/all/accept_redirects", "0"),
            ("ipv6/conf/eth0/accept_redirects", "0"),
        ])?;
        writeln!(wire, "route replace {}/32 dev wire mtu lock {NARROW}", machine.v4)?;
        writeln!(wire, "route replace {}/128 dev wire mtu lock {NARROW}", machine.v6)?;
        for range in *behind {
            let via = if range.contains(':') { machine.v6.to_string() } else { machine.v4.to_string() };
            writeln!(wire, "route replace {range} via {via} dev wire mtu lock {NARROW}")?;
        }
        let mut script = String::new();
        for (_, ranges) in pairs.iter().filter(|(other, _)| other != machine) {
            for range in *ranges {
                let via = if range.contains(':') { ROUTER.v6.to_string() } else { ROUTER.v4.to_string() };
                writeln!(script, "route replace {range} via {via} dev {UPLINK}")?;
            }
        }
        for (other, _) in pairs.iter().filter(|(other, _)| other != machine) {
            writeln!(script, "route replace {}/32 via {} dev {UPLINK}", other.v4, ROUTER.v4)?;
            writeln!(script, "route replace {}/128 via {} dev {UPLINK}", other.v6, ROUTER.v6)?;
        }
        world.ip(machine.name, &script)?;
    }
    world.ip(WIRE, &wire)
}

/// A transfer each way, which must end; without path-MTU discovery none does.
fn transfer(world: &World, place: Place, to: SocketAddr) -> anyhow::Result<()> {
    let source = world.path(place.machine().name).join("upload");
    if !source.exists() {
        fs::create_dir_all(source.parent().context("a folder")?)?;
        fs::write(&source, vec![9; SIZE])?;
    }
    let data = format!("@{}", source.display());
    let shown = "%{http_code} %{size_download} %{size_upload}";
    let common =
        ["--silent", "--show-error", "--globoff", "--max-time", "30", "--output", "/dev/null", "-w", shown];
    let (down, up) = (format!("http://{to}/file"), format!("http://{to}/up"));
    let upload = ["--header", "Expect:", "--data-binary", &data, &up];
    for (arguments, right) in
        [(&[&down[..]][..], format!("200 {SIZE} 0")), (&upload[..], format!("204 0 {SIZE}"))]
    {
        let output = world.run(place, "curl", &[&common[..], arguments].concat())?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(text == right, "{place:?} {arguments:?}: {output:?}");
    }
    Ok(())
}

/// Waits for the servers.
fn ready(world: &World, place: Place, to: SocketAddr) -> anyhow::Result<()> {
    until("nginx", PATIENCE, || {
        let url = format!("http://{to}/none");
        let output = world.run(place, "curl", &["--silent", "--globoff", "--max-time", "5", &url])?;
        Ok(String::from_utf8_lossy(&output.stdout).contains("404").then_some(()))
    })?;
    Ok(())
}

const NEAR: u8 = 150;
const FAR: u8 = 151;
const SILENT: u8 = 152;

fn begin(world: &World) -> anyhow::Result<(Agent, [Process; 2])> {
    world.publish_text("near.yaml", &service("near", NEAR, &[POD1], PORT))?;
    world.publish_text("far.yaml", &service("far", FAR, &[POD3], PORT))?;
    let servers = [serve_files(world, POD1)?, serve_files(world, POD3)?];
    let agent = Agent::start(world, &["--socket-lb", "off"])?;
    Ok((agent, servers))
}

#[test]
fn a_narrow_link_to_an_outside_client_is_found() -> anyhow::Result<()> {
    world(|world| {
        let services = ["198.51.100.0/24", "203.0.113.0/24", "2001:db8:2::/64", "2001:db8:3::/64"];
        narrow(world, &[(CLIENT, &[]), (NODE1, &services)])?;
        let _running = begin(world)?;
        for number in [NEAR, FAR] {
            for family in Family::ALL {
                let to = Frontend::LoadBalancer.of(number, family);
                ready(world, Place::Outside, to)?;
                transfer(world, Place::Outside, to)?;
            }
        }
        Ok(())
    })
}

#[test]
fn a_narrow_link_between_nodes_is_found() -> anyhow::Result<()> {
    world(|world| {
        let (pods1, pods2) =
            (["10.244.1.0/24", "fd00:10:244:1::/64"], ["10.244.2.0/24", "fd00:10:244:2::/64"]);
        narrow(world, &[(NODE1, &pods1), (NODE2, &pods2)])?;
        let _running = begin(world)?;
        for family in Family::ALL {
            for (place, frontend) in [
                (Place::Pod(POD2), Frontend::ClusterIp),
                (Place::Host, Frontend::ClusterIp),
                (Place::Outside, Frontend::LoadBalancer),
            ] {
                let to = frontend.of(FAR, family);
                ready(world, place, to)?;
                transfer(world, place, to)?;
            }
        }
        Ok(())
    })
}

#[test]
fn a_closed_port_behind_a_service_is_told_at_once() -> anyhow::Result<()> {
    const REQUESTS: u32 = 2;
    world(|world| {
        for (name, number, pod) in [("near", NEAR, POD1), ("silent", SILENT, POD3)] {
            world.publish_text(&format!("{name}.yaml"), &service(name, number, &[pod], 9))?;
        }
        let agent = Agent::start(world, &["--socket-lb", "off"])?;
        for number in [NEAR, SILENT] {
            for (place, frontend) in [
                (Place::Pod(POD2), Frontend::ClusterIp),
                (Place::Host, Frontend::ClusterIp),
                (Place::Outside, Frontend::LoadBalancer),
            ] {
                for family in Family::ALL {
                    let to = frontend.of(number, family);
                    let answers = world.ask(place, Mode::Udp, to, REQUESTS)?;
                    let refused = answers.errors.get("ECONNREFUSED").copied().unwrap_or(0);
                    ensure!(refused == REQUESTS, "{place:?} {to}: {answers:?}\n{}", agent.log().text());
                }
            }
        }
        Ok(())
    })
}
