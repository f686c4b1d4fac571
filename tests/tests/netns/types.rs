//! A Service that changes: its type, its ports, its labels.

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{Family, Frontend, POD_PORT, POD1, POD2, POD3, node_port},
    manifest::Service,
    wait::{PROMISE, until},
};

use crate::support::world;

const SERVICE: u8 = 160;

fn slices() -> String {
    Service::new("changing", SERVICE, &[POD2]).slices()
}

/// The Service alone, with these lines in its metadata and its spec.
fn publish(world: &World, metadata: &str, spec: &str) -> anyhow::Result<()> {
    let text = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{ name: changing, namespace: default{metadata} }}\nspec:\n{spec}{}",
        slices()
    );
    world.publish_text("changing.yaml", &text)
}

fn vip() -> std::net::SocketAddr {
    Frontend::ClusterIp.of(SERVICE, Family::V4)
}

/// Waits until requests to the ClusterIP and the node port are answered, or not, as wanted.
fn becomes(world: &World, cluster_ip: bool, by_node_port: bool) -> anyhow::Result<()> {
    let what = format!("cluster IP {cluster_ip}, node port {by_node_port}");
    until(&what, PROMISE * 8, || {
        let ask = |to| anyhow::Ok(world.ask(Place::Pod(POD1), Mode::Tcp, to, 1)?.answered() == 1);
        let found = (ask(vip())?, ask(Frontend::NodePort.of(SERVICE, Family::V4))?);
        Ok((found == (cluster_ip, by_node_port)).then_some(()))
    })?;
    Ok(())
}

#[test]
fn a_service_changes_its_type_and_back() -> anyhow::Result<()> {
    world(|world| {
        let external = "  type: ExternalName\n  externalName: example.com\n";
        let cluster = format!(
            "  clusterIP: {}\n  ports: [{{ name: tcp, port: 80, targetPort: {POD_PORT} }}]\n",
            vip().ip()
        );
        let node = format!(
            "  type: NodePort\n  clusterIP: {}\n  ports: [{{ name: tcp, port: 80, targetPort: {POD_PORT}, nodePort: {} }}]\n",
            vip().ip(),
            node_port(SERVICE)
        );
        publish(world, "", external)?;
        let _agent = Agent::start(world, &[])?;
        becomes(world, false, false)?;
        for (spec, cluster_ip, by_node_port) in [
            (node.as_str(), true, true),
            (external, false, false),
            (&cluster, true, false),
            (&node, true, true),
            (&cluster, true, false),
            (external, false, false),
            (&node, true, true),
        ] {
            publish(world, "", spec)?;
            becomes(world, cluster_ip, by_node_port)?;
        }
        // Another proxy's, and ours again.
        publish(world, ", labels: { service.kubernetes.io/service-proxy-name: other }", &node)?;
        becomes(world, false, false)?;
        publish(world, "", &node)?;
        becomes(world, true, true)?;
        Ok(())
    })
}

#[test]
fn one_port_number_serves_two_protocols() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("changing", SERVICE, &[POD2, POD3]))?;
        let _agent = Agent::start(world, &[])?;
        let ask = |mode| anyhow::Ok(world.ask(Place::Pod(POD1), mode, vip(), 2)?.answered() == 2);
        ensure!(ask(Mode::Tcp)? && ask(Mode::Udp)?, "both protocols are served");
        let spec = format!(
            "  clusterIP: {}\n  ports: [{{ name: udp, protocol: UDP, port: 80, targetPort: {POD_PORT} }}]\n",
            vip().ip()
        );
        publish(world, "", &spec)?;
        until("one protocol", PROMISE, || Ok((!ask(Mode::Tcp)?).then_some(())))?;
        ensure!(ask(Mode::Udp)?, "the other one stays");
        Ok(())
    })
}
