//! Datagrams leave an endpoint that is gone, on sockets that stay open.

use std::net::SocketAddr;

use anyhow::ensure;
use svclb_tests::{
    cluster::{
        Scene,
        expect::{BUDGET, Expect},
    },
    netns::{
        Place,
        client::{Held, Mode},
        layout::{NODE1, POD_PORT, POD1, POD2, POD3},
        wait::until,
    },
};

use crate::scenario::{Scenario, inside};

pub(crate) const SCENARIOS: &[Scenario] = &[
    inside("datagrams_follow_when_the_pod_of_a_cluster_ip_cycles", cluster_ip),
    inside("datagrams_follow_when_the_pod_of_a_cluster_ip_cycles_for_the_host", host),
    inside("datagrams_follow_when_the_pod_of_a_node_port_cycles", node_port),
    inside("datagrams_arrive_when_endpoints_get_ready", get_ready),
];

/// `kubectl create service` knows TCP only.
fn service(scene: &Scene<'_>, kind: &str) -> anyhow::Result<()> {
    scene.create(&format!(
        r#"{{"apiVersion": "v1", "kind": "Service", "metadata": {{"name": "web"}}, "spec": {{
            "type": "{kind}", "selector": {{"app": "web"}},
            "ports": [{{"port": 80, "targetPort": {POD_PORT}, "protocol": "UDP"}}]}}}}"#
    ))
}

/// Asks on one socket until a pod answers.
fn reaches(held: &mut Held, pod: &str) -> anyhow::Result<()> {
    let what = format!("an answer from {pod} on a socket that stays");
    until(&what, BUDGET, || Ok(held.ask()?.pods.contains_key(pod).then_some(())))?;
    for _ in 0..5 {
        let answers = held.ask()?;
        ensure!(answers.pods.contains_key(pod), "no longer from {pod}: {answers:?}");
    }
    Ok(())
}

/// The second pod is there before the first one goes; it is on another node.
fn cycles(scene: &Scene<'_>, place: Place, to: SocketAddr) -> anyhow::Result<()> {
    scene.pod(&POD2, "web")?;
    scene.sees(place, Mode::SendTo, to, Expect::From(&["pod2"]))?;
    let mut held = scene.world.hold_udp(place, to)?;
    reaches(&mut held, "pod2")?;
    scene.pod(&POD3, "web")?;
    scene.remove(&POD2)?;
    reaches(&mut held, "pod3")
}

fn cluster_ip(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    service(scene, "ClusterIP")?;
    cycles(scene, Place::Pod(POD1), scene.cluster("web", 80)?)
}

fn host(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    service(scene, "ClusterIP")?;
    cycles(scene, Place::Host, scene.cluster("web", 80)?)
}

fn node_port(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    service(scene, "NodePort")?;
    cycles(scene, Place::Outside, scene.node("web", &NODE1)?)
}

/// What was sent in vain must not keep later datagrams of the socket from arriving.
fn get_ready(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    service(scene, "NodePort")?;
    scene.pod(&POD2, "web")?;
    scene.report(&POD2, false)?;
    let to = scene.node("web", &NODE1)?;
    scene.sees(Place::Outside, Mode::SendTo, to, Expect::NoAnswer)?;
    let mut held = scene.world.hold_udp(Place::Outside, to)?;
    ensure!(held.ask()?.answered() == 0, "an answer without an endpoint that is ready");
    scene.report(&POD2, true)?;
    reaches(&mut held, "pod2")
}
