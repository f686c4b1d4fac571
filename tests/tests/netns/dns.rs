//! A real DNS server behind its ClusterIP, asked by a real resolver.

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    layout::{Family, Frontend, POD1, POD2, SERVICE_PORT},
    wait::{PATIENCE, until},
};

use crate::support::world;

const SERVICE: u8 = 130;

/// Where the server listens in its pod.
const PORT: u16 = 5353;

/// More than 1,400 bytes of answer, in strings of up to 255.
fn long_answer() -> String {
    let strings: Vec<_> = (0..6).map(|number| format!("{number}{}", "x".repeat(230))).collect();
    strings.join(",")
}

fn service() -> String {
    let [v4, v6] = Family::ALL.map(|family| Frontend::ClusterIp.of(SERVICE, family).ip());
    let mut text = format!(
        "apiVersion: v1
kind: Service
metadata: {{ name: dns, namespace: kube-system }}
spec:
  clusterIP: \"{v4}\"
  clusterIPs: [\"{v4}\", \"{v6}\"]
  ipFamilies: [IPv4, IPv6]
  ports:
    - {{ name: dns, protocol: UDP, port: 53, targetPort: {PORT} }}
    - {{ name: dns-tcp, protocol: TCP, port: 53, targetPort: {PORT} }}
"
    );
    for family in Family::ALL {
        let slice = format!(
            "---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{ name: dns-{suffix}, namespace: kube-system, labels: {{ kubernetes.io/service-name: dns }} }}
addressType: {kind}
ports: [{{ name: dns, protocol: UDP, port: {PORT} }}, {{ name: dns-tcp, protocol: TCP, port: {PORT} }}]
endpoints: [{{ addresses: [\"{address}\"], nodeName: node1 }}]
",
            suffix = family.as_str().to_lowercase(),
            kind = family.as_str(),
            address = POD2.address(family),
        );
        text.push_str(&slice);
    }
    text
}

/// What `dig` prints.
fn dig(world: &World, place: Place, family: Family, arguments: &[&str]) -> anyhow::Result<String> {
    let server = format!("@{}", Frontend::ClusterIp.of(SERVICE, family).ip());
    let fixed = [server.as_str(), "+tries=1", "+time=3", "+noidnout"];
    let output = world.run(place, "dig", &[&fixed, arguments].concat())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{place:?} {family:?} dig {arguments:?}: {text}");
    Ok(text)
}

fn answers(world: &World, socket_lb: &str) -> anyhow::Result<()> {
    world.publish_text("dns.yaml", &service())?;
    let _agent = Agent::start(world, &["--socket-lb", socket_lb])?;
    let port = format!("--port={PORT}");
    let long = format!("--txt-record=long.example,{}", long_answer());
    let server = world.start(
        Place::Pod(POD2),
        "dnsmasq",
        &[
            "--keep-in-foreground",
            "--no-resolv",
            "--no-hosts",
            "--conf-file=/dev/null",
            "--pid-file",
            "--user=root",
            "--edns-packet-max=4096",
            &port,
            "--address=/short.example/192.0.2.77",
            &long,
        ],
    )?;
    until("a server that answers", PATIENCE, || {
        Ok(dig(world, Place::Pod(POD1), Family::V4, &["short.example", "+short"]).ok())
    })
    .map_err(|error| error.context(server.log.text()))?;
    for place in [Place::Pod(POD1), Place::Host] {
        for family in Family::ALL {
            for transport in ["+notcp", "+tcp"] {
                let short = dig(world, place, family, &["short.example", "+short", transport])?;
                ensure!(short.trim() == "192.0.2.77", "{place:?} {family:?} {transport}: {short}");
                let arguments = ["long.example", "TXT", "+bufsize=4096", "+ignore", transport];
                let long = dig(world, place, family, &arguments)?;
                let size = long.lines().find_map(|line| line.strip_prefix(";; MSG SIZE  rcvd: "));
                let size: usize = size.unwrap_or("0").parse()?;
                ensure!(size > 1400 && !long.contains(" tc"), "{place:?} {family:?} {transport}: {long}");
            }
        }
    }
    Ok(())
}

#[test]
fn names_are_resolved_by_sockets() -> anyhow::Result<()> {
    world(|world| answers(world, "all"))
}

#[test]
fn names_are_resolved_by_packets() -> anyhow::Result<()> {
    const { assert!(SERVICE_PORT != 53, "the harness's own Services have another port") };
    world(|world| answers(world, "off"))
}
