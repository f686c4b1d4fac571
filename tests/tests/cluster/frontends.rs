//! The addresses and ports by which a Service is found.

use std::net::SocketAddr;

use svclb_tests::{
    cluster::{Scene, expect::Expect},
    netns::{
        Place,
        client::Mode,
        layout::{NODE1, NODE2, POD_PORT, POD1, POD2, POD3},
    },
};

use crate::scenario::{Scenario, inside, own};

pub(crate) const SCENARIOS: &[Scenario] = &[
    inside("create_a_functioning_node_port_service", node_port),
    inside("a_node_port_stops_answering_when_it_is_removed", node_port_goes),
    inside("connect_by_an_external_ip_that_no_node_has", external_ip),
    inside("connect_by_a_load_balancers_address", load_balancer),
    inside("serve_on_the_same_port_by_different_protocols", protocols),
    inside("a_node_port_of_one_number_for_different_protocols", node_port_protocols),
    own("serve_on_a_new_service_cidr", new_cidr),
    own("the_api_server_is_reached_by_its_own_service", kubernetes),
];

/// A Service with two pods, on different nodes.
fn service(scene: &Scene<'_>, kind: &str) -> anyhow::Result<()> {
    scene.kubectl(&["create", "service", kind, "web", &format!("--tcp=80:{POD_PORT}")])?;
    scene.pod(&POD2, "web")?;
    scene.pod(&POD3, "web")
}

const BOTH: Expect<'_> = Expect::From(&["pod2", "pod3"]);

fn node_port(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agents = [scene.agent(&NODE1, &[])?, scene.agent(&NODE2, &[])?];
    service(scene, "nodeport")?;
    let (one, two) = (scene.node("web", &NODE1)?, scene.node("web", &NODE2)?);
    scene.all_see(&[Place::Pod(POD1), Place::Host], scene.cluster("web", 80)?, BOTH)?;
    scene.all_see(&[Place::Pod(POD1), Place::Host, Place::Outside], one, BOTH)?;
    scene.all_see(&[Place::Pod(POD1), Place::Host, Place::Outside], two, BOTH)
}

fn node_port_goes(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    service(scene, "nodeport")?;
    let (node, cluster) = (scene.node("web", &NODE1)?, scene.cluster("web", 80)?);
    scene.sees(Place::Outside, Mode::Tcp, node, BOTH)?;
    scene.patch("service/web", r#"{"spec": {"type": "ClusterIP"}}"#)?;
    scene.sees(Place::Outside, Mode::Tcp, node, Expect::Refused)?;
    scene.sees(Place::Pod(POD1), Mode::Tcp, cluster, BOTH)
}

fn external_ip(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    service(scene, "clusterip")?;
    let to: SocketAddr = "198.51.100.10:80".parse()?;
    scene.patch("service/web", &format!(r#"{{"spec": {{"externalIPs": ["{}"]}}}}"#, to.ip()))?;
    scene.all_see(&[Place::Pod(POD1), Place::Host, Place::Outside], to, BOTH)?;
    scene.patch("service/web", r#"{"spec": {"externalIPs": null}}"#)?;
    scene.sees(Place::Outside, Mode::Tcp, to, Expect::NoAnswer)
}

fn load_balancer(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    service(scene, "loadbalancer")?;
    let to: SocketAddr = "203.0.113.10:80".parse()?;
    let ingress = |ingress: String| {
        let status = format!(r#"{{"status": {{"loadBalancer": {{"ingress": [{ingress}]}}}}}}"#);
        scene.kubectl(&[
            "patch",
            "service",
            "web",
            "--subresource",
            "status",
            "--type=merge",
            "--patch",
            &status,
        ])
    };
    ingress(format!(r#"{{"ip": "{}", "ipMode": "VIP"}}"#, to.ip()))?;
    scene.all_see(&[Place::Pod(POD1), Place::Host, Place::Outside], to, BOTH)?;
    // From now on the load balancer itself has to be asked, which is nowhere here.
    ingress(format!(r#"{{"ip": "{}", "ipMode": "Proxy"}}"#, to.ip()))?;
    scene.sees(Place::Outside, Mode::Tcp, to, Expect::NoAnswer)
}

fn protocols(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    let port = |protocol: &str| {
        format!(
            r#"{{"name": "{}", "port": 80, "targetPort": {POD_PORT}, "protocol": "{protocol}"}}"#,
            protocol.to_lowercase()
        )
    };
    let ports = [port("TCP"), port("UDP")].join(",");
    scene.create(&format!(
        r#"{{"apiVersion": "v1", "kind": "Service", "metadata": {{"name": "web"}},
            "spec": {{"selector": {{"app": "web"}}, "ports": [{ports}]}}}}"#
    ))?;
    scene.pod(&POD2, "web")?;
    let (to, from) = (scene.cluster("web", 80)?, Place::Pod(POD1));
    for mode in Mode::ALL {
        scene.sees(from, mode, to, Expect::From(&["pod2"]))?;
    }
    scene.patch("service/web", &format!(r#"{{"spec": {{"ports": [{}]}}}}"#, port("TCP")))?;
    scene.sees(from, Mode::Udp, to, Expect::NoAnswer)?;
    scene.sees(from, Mode::Tcp, to, Expect::From(&["pod2"]))
}

fn node_port_protocols(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    service(scene, "nodeport")?;
    let node = scene.node("web", &NODE1)?;
    let port = |protocol: &str| {
        format!(
            r#"{{"name": "{}", "port": 80, "targetPort": {POD_PORT}, "nodePort": {}, "protocol": "{protocol}"}}"#,
            protocol.to_lowercase(),
            node.port()
        )
    };
    let both = [port("TCP"), port("UDP")].join(",");
    scene.patch("service/web", &format!(r#"{{"spec": {{"ports": [{both}]}}}}"#))?;
    scene.sees(Place::Outside, Mode::Udp, node, BOTH)?;
    scene.sees(Place::Outside, Mode::Tcp, node, BOTH)
}

/// A range that no flag of anybody has named.
fn new_cidr(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    scene.create(
        r#"{"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "more"},
            "spec": {"cidrs": ["10.77.0.0/24"]}}"#,
    )?;
    scene.pod(&POD2, "web")?;
    scene.create(&format!(
        r#"{{"apiVersion": "v1", "kind": "Service", "metadata": {{"name": "web"}}, "spec": {{
            "clusterIP": "10.77.0.10", "selector": {{"app": "web"}},
            "ports": [{{"port": 80, "targetPort": {POD_PORT}}}]}}}}"#
    ))?;
    let to = "10.77.0.10:80".parse()?;
    scene.all_see(&[Place::Pod(POD1), Place::Host], to, Expect::From(&["pod2"]))
}

/// Its endpoint is the address of the relay, by which the agent itself follows the API server.
fn kubernetes(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    let address = scene.kubectl(&[
        "get",
        "service",
        "kubernetes",
        "--namespace=default",
        "-o=jsonpath={.spec.clusterIP}",
    ])?;
    let to = (address.parse::<std::net::IpAddr>()?, 443).into();
    for place in [Place::Pod(POD1), Place::Host] {
        // It speaks TLS and is asked in plain text, and says so.
        let answer = scene.world.curl(place, to)?;
        let text = String::from_utf8_lossy(&answer.stdout);
        anyhow::ensure!(text.contains("HTTPS server"), "from {place:?}: {answer:?}");
    }
    Ok(())
}
