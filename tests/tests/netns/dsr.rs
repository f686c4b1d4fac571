//! Direct server return between two nodes: backends that answer an outside client by themselves.

use std::fs;

use anyhow::{Context as _, ensure};
use svclb_tests::netns::{
    Agent, Place, World,
    client::{Held, Mode},
    layout::{CLIENT, Family, Frontend, NODE1, NODE2, POD3},
    manifest::Service,
    process::Process,
    wait::{PATIENCE, until},
};

use crate::support::world;

const SERVICE: u8 = 150;
const FILES: u8 = 151;

/// Where nginx listens in its pod.
const PORT: u16 = 8081;

/// How much is sent at once.
const TEN_MIB: usize = 10 << 20;

/// What a pod sees of the client: its own address, or that of the node that it sent to.
fn seen(by_itself: bool, family: Family) -> String {
    let machine = if by_itself { CLIENT } else { NODE1 };
    format!("{} {}", POD3.name, machine.address(family))
}

/// Asks by every frontend for outside clients, in every way.
fn asks(world: &World, flags: &[&str], tunnels: impl Fn(Mode) -> bool) -> anyhow::Result<()> {
    world.publish(&Service::new("far", SERVICE, &[POD3]))?;
    let agents = [Agent::start_on(world, &NODE1, flags)?, Agent::start_on(world, &NODE2, flags)?];
    for frontend in [Frontend::NodePort, Frontend::LoadBalancer, Frontend::ExternalIp] {
        for family in Family::ALL {
            for mode in Mode::ALL {
                let to = frontend.of(SERVICE, family);
                let answers = world.ask(Place::Outside, mode, to, 4)?;
                let is_right = answers.lines.get(&seen(tunnels(mode), family)) == Some(&4)
                    && answers.peers.keys().all(|peer| *peer == to.to_string());
                let logs = agents.each_ref().map(|agent| agent.log().text());
                ensure!(is_right, "{mode:?} {to} {flags:?}: {answers:?}\n{logs:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn the_backends_node_answers_by_itself() -> anyhow::Result<()> {
    world(|world| asks(world, &["--external-mode", "dsr"], |_mode| true))
}

#[test]
fn packets_travel_in_udp_where_that_is_asked_for() -> anyhow::Result<()> {
    world(|world| asks(world, &["--external-mode", "dsr", "--dsr-encapsulation", "gue"], |_mode| true))
}

#[test]
fn hybrid_is_for_tcp_alone() -> anyhow::Result<()> {
    world(|world| asks(world, &["--external-mode", "hybrid"], |mode| mode == Mode::Tcp))
}

#[test]
fn agents_of_either_node_restart_under_open_connections() -> anyhow::Result<()> {
    world(|world| {
        let flags = ["--external-mode", "dsr"];
        world.publish(&Service::new("far", SERVICE, &[POD3]))?;
        let mut agents = [NODE1, NODE2].map(|node| (node, Some(Agent::start_on(world, &node, &flags))));
        let mut held = Family::ALL
            .map(|family| world.hold(Place::Outside, Frontend::LoadBalancer.of(SERVICE, family)))
            .into_iter()
            .collect::<anyhow::Result<Vec<_>>>()?;
        let before = held.iter_mut().map(Held::ask).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(before.iter().all(|answers| answers.answered() == 1), "{before:?}");
        for (node, agent) in &mut agents {
            agent.take().context("an agent")??.kill()?;
            let without = held.iter_mut().map(Held::ask).collect::<anyhow::Result<Vec<_>>>()?;
            ensure!(without == before, "without {}: {without:?}", node.name);
            *agent = Some(Agent::start_on(world, node, &flags));
            let after = held.iter_mut().map(Held::ask).collect::<anyhow::Result<Vec<_>>>()?;
            ensure!(after == before, "{} is back: {after:?}", node.name);
        }
        Ok(())
    })
}

/// A Service of the nginx that takes and gives files.
fn files() -> String {
    let [c4, c6] = Family::ALL.map(|family| Frontend::ClusterIp.of(FILES, family).ip());
    let [l4, l6] = Family::ALL.map(|family| Frontend::LoadBalancer.of(FILES, family).ip());
    let mut text = format!(
        "apiVersion: v1
kind: Service
metadata: {{ name: files, namespace: default }}
spec:
  type: LoadBalancer
  clusterIP: \"{c4}\"
  clusterIPs: [\"{c4}\", \"{c6}\"]
  ipFamilies: [IPv4, IPv6]
  allocateLoadBalancerNodePorts: false
  ports: [{{ name: http, port: 80, targetPort: {PORT} }}]
status: {{ loadBalancer: {{ ingress: [{{ ip: \"{l4}\" }}, {{ ip: \"{l6}\" }}] }} }}
"
    );
    for family in Family::ALL {
        let slice = format!(
            "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{ name: files-{suffix}, namespace: default, labels: {{ kubernetes.io/service-name: files }} }}
addressType: {kind}
ports: [{{ name: http, port: {PORT} }}]
endpoints: [{{ addresses: [\"{address}\"], nodeName: node2 }}]
",
            suffix = family.as_str().to_lowercase(),
            kind = family.as_str(),
            address = POD3.address(family),
        );
        text.push_str(&slice);
    }
    text
}

/// nginx's configuration: what is sent is read to its end, and its length is the answer.
fn configuration(folder: &str) -> String {
    format!(
        "daemon off;
user root;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_max_body_size 64m;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen {PORT}; listen [::]:{PORT};
    location / {{ proxy_pass http://127.0.0.1:8082; }}
    location /file {{ root {folder}; }}
  }}
  server {{ listen 127.0.0.1:8082; location / {{ return 200 \"$content_length\"; }} }}
}}
"
    )
}

/// Starts nginx in the pod, with a file to give.
fn serve_files(world: &World) -> anyhow::Result<Process> {
    world.publish_text("files.yaml", &files())?;
    let folder = world.path("nginx");
    fs::create_dir(&folder)?;
    fs::write(folder.join("file"), vec![b'x'; TEN_MIB])?;
    let folder = folder.to_string_lossy().into_owned();
    let file = format!("{folder}/nginx.conf");
    fs::write(&file, configuration(&folder))?;
    let error_log = format!("{folder}/error.log");
    world.start(Place::Pod(POD3), "nginx", &["-c", &file, "-e", &error_log])
}

/// Sends a file and gets one.
fn transfer(world: &World, family: Family) -> anyhow::Result<()> {
    let address = Frontend::LoadBalancer.of(FILES, family);
    let file = world.path("nginx").join("file").to_string_lossy().into_owned();
    let common = ["--silent", "--show-error", "--max-time", "60", "--globoff"];
    let (put, get) = (format!("http://{address}/take"), format!("http://{address}/file"));
    let sent = world.run(Place::Outside, "curl", &[&common[..], &["-T", &file, &put]].concat())?;
    let told = String::from_utf8_lossy(&sent.stdout).into_owned();
    ensure!(told == TEN_MIB.to_string(), "{family:?}: {told} {}", String::from_utf8_lossy(&sent.stderr));
    let got = world.run(Place::Outside, "curl", &[&common[..], &[&get]].concat())?;
    let len = got.stdout.len();
    ensure!(len == TEN_MIB, "{family:?}: {len} bytes, {}", String::from_utf8_lossy(&got.stderr));
    Ok(())
}

/// Files go there and back, also when the way between the nodes becomes narrower.
fn transfers(world: &World, flags: &[&str]) -> anyhow::Result<()> {
    let nginx = serve_files(world)?;
    let _agents = [Agent::start_on(world, &NODE1, flags)?, Agent::start_on(world, &NODE2, flags)?];
    let first = format!("http://{}/", Frontend::LoadBalancer.of(FILES, Family::V4));
    until("nginx", PATIENCE, || {
        let output = world.run(Place::Outside, "curl", &["--silent", "--max-time", "5", &first])?;
        Ok(output.status.success().then_some(()))
    })
    .map_err(|error| error.context(nginx.log.text()))?;
    for mtu in [1500, 1400, 1300] {
        let script = format!(
            "route change 10.244.2.0/24 via {} mtu lock {mtu}\nroute change fd00:10:244:2::/64 via {} mtu lock {mtu}\n",
            NODE2.v4, NODE2.v6
        );
        world.ip(NODE1.name, &script)?;
        for family in Family::ALL {
            transfer(world, family).with_context(|| format!("{flags:?}, {mtu} bytes"))?;
        }
    }
    ensure!(world.drops("too_big")? > 0, "nobody was told to send less");
    Ok(())
}

#[test]
fn ten_mib_go_through_a_way_that_becomes_narrower_in_ip() -> anyhow::Result<()> {
    world(|world| transfers(world, &["--external-mode", "dsr"]))
}

#[test]
fn ten_mib_go_through_a_way_that_becomes_narrower_in_udp() -> anyhow::Result<()> {
    world(|world| transfers(world, &["--external-mode", "dsr", "--dsr-encapsulation", "gue"]))
}

#[test]
fn ten_mib_go_through_a_way_that_becomes_narrower_translated() -> anyhow::Result<()> {
    world(|world| transfers(world, &["--external-mode", "snat"]))
}
