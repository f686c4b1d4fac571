//! Traffic policies: local endpoints only, and what says so to load balancers.

use std::net::SocketAddr;

use anyhow::ensure;
use svclb_tests::{
    cluster::{
        Scene,
        expect::{BUDGET, Expect},
    },
    netns::{
        Place,
        client::Mode,
        layout::{CLIENT, Family, Machine, NODE1, NODE2, POD_PORT, POD1, POD2, POD3},
        process,
        wait::until,
    },
};

use crate::scenario::{Scenario, inside};

pub(crate) const SCENARIOS: &[Scenario] = &[
    inside("internal_traffic_policy_local", internal),
    inside("internal_traffic_policy_local_falls_back_to_local_terminating_endpoints", internal_fallback),
    inside("external_traffic_policy_local_of_a_node_port", external),
    inside("external_traffic_policy_local_falls_back_to_local_terminating_endpoints", external_fallback),
    inside("external_traffic_policy_cluster_falls_back_to_terminating_endpoints", cluster_fallback),
    inside("a_health_check_node_port_tells_local_endpoints", health_check),
];

/// A Service of a type with one pod, on the first node or the second.
fn service(scene: &Scene<'_>, kind: &str, pods: &[Machine]) -> anyhow::Result<()> {
    scene.kubectl(&["create", "service", kind, "web", &format!("--tcp=80:{POD_PORT}")])?;
    pods.iter().try_for_each(|pod| scene.pod(pod, "web"))
}

fn policy(scene: &Scene<'_>, kind: &str, policy: &str) -> anyhow::Result<()> {
    scene.patch("service/web", &format!(r#"{{"spec": {{"{kind}TrafficPolicy": "{policy}"}}}}"#))
}

const LOCAL: [Place; 2] = [Place::Pod(POD1), Place::Host];

fn internal(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agents = [scene.agent(&NODE1, &[])?, scene.agent(&NODE2, &[])?];
    service(scene, "clusterip", &[POD2])?;
    let to = scene.cluster("web", 80)?;
    let remote = Place::Pod(POD3);
    scene.sees(remote, Mode::Tcp, to, Expect::From(&["pod2"]))?;
    policy(scene, "internal", "Local")?;
    scene.sees(remote, Mode::Tcp, to, Expect::Silence)?;
    scene.all_see(&LOCAL, to, Expect::From(&["pod2"]))?;
    policy(scene, "internal", "Cluster")?;
    scene.sees(remote, Mode::Tcp, to, Expect::From(&["pod2"]))
}

fn internal_fallback(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agents = [scene.agent(&NODE1, &[])?, scene.agent(&NODE2, &[])?];
    service(scene, "clusterip", &[POD2])?;
    policy(scene, "internal", "Local")?;
    scene.terminate(&POD2)?;
    let to = scene.cluster("web", 80)?;
    scene.all_see(&LOCAL, to, Expect::From(&["pod2"]))?;
    scene.sees(Place::Pod(POD3), Mode::Tcp, to, Expect::Silence)?;
    // A ready endpoint elsewhere does not rescue what is local.
    scene.pod(&POD3, "web")?;
    scene.sees(Place::Pod(POD3), Mode::Tcp, to, Expect::From(&["pod3"]))?;
    scene.all_see(&LOCAL, to, Expect::From(&["pod2"]))
}

/// The source that the pods saw of an outside client.
fn sources(scene: &Scene<'_>, to: SocketAddr) -> anyhow::Result<Vec<String>> {
    let answers = scene.world.ask(Place::Outside, Mode::Tcp, to, 10)?;
    let source = |line: &String| line.split(' ').nth(1).unwrap_or_default().to_owned();
    Ok(answers.lines.keys().map(source).collect())
}

fn external(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agents = [scene.agent(&NODE1, &[])?, scene.agent(&NODE2, &[])?];
    service(scene, "nodeport", &[POD2])?;
    let (here, there) = (scene.node("web", &NODE1)?, scene.node("web", &NODE2)?);
    scene.sees(Place::Outside, Mode::Tcp, there, Expect::From(&["pod2"]))?;
    policy(scene, "external", "Local")?;
    scene.sees(Place::Outside, Mode::Tcp, there, Expect::Silence)?;
    scene.sees(Place::Outside, Mode::Tcp, here, Expect::From(&["pod2"]))?;
    let sources = sources(scene, here)?;
    ensure!(sources == [CLIENT.v4.to_string()], "the pod saw {sources:?}");
    // The pods and the host of a node are not outside, and may use any endpoint.
    scene.sees(Place::Pod(POD3), Mode::Tcp, there, Expect::From(&["pod2"]))?;
    scene.all_see(&LOCAL, here, Expect::From(&["pod2"]))?;
    scene.sees(Place::Pod(POD3), Mode::Tcp, scene.cluster("web", 80)?, Expect::From(&["pod2"]))
}

fn external_fallback(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agents = [scene.agent(&NODE1, &[])?, scene.agent(&NODE2, &[])?];
    service(scene, "nodeport", &[POD2, POD3])?;
    policy(scene, "external", "Local")?;
    scene.terminate(&POD2)?;
    let (here, there) = (scene.node("web", &NODE1)?, scene.node("web", &NODE2)?);
    scene.sees(Place::Outside, Mode::Tcp, here, Expect::From(&["pod2"]))?;
    scene.sees(Place::Outside, Mode::Tcp, there, Expect::From(&["pod3"]))?;
    // The cluster's own list falls back by itself: there is a ready endpoint.
    scene.sees(Place::Pod(POD1), Mode::Tcp, scene.cluster("web", 80)?, Expect::From(&["pod3"]))?;
    scene.remove(&POD2)?;
    scene.sees(Place::Outside, Mode::Tcp, here, Expect::Silence)
}

fn cluster_fallback(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agents = [scene.agent(&NODE1, &[])?, scene.agent(&NODE2, &[])?];
    service(scene, "nodeport", &[POD2])?;
    scene.terminate(&POD2)?;
    for node in [NODE1, NODE2] {
        scene.sees(Place::Outside, Mode::Tcp, scene.node("web", &node)?, Expect::From(&["pod2"]))?;
    }
    Ok(())
}

fn health_check(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agents = [scene.agent(&NODE1, &[])?, scene.agent(&NODE2, &[])?];
    service(scene, "loadbalancer", &[POD2])?;
    policy(scene, "external", "Local")?;
    let port: u16 = scene.field("service/web", ".spec.healthCheckNodePort")?.parse()?;
    answers(scene, &NODE1, port, "200")?;
    answers(scene, &NODE2, port, "503")?;
    scene.pod(&POD3, "web")?;
    answers(scene, &NODE2, port, "200")?;
    // It still serves, and load balancers are to send nothing new.
    scene.terminate(&POD2)?;
    answers(scene, &NODE1, port, "503")?;
    let node = scene.node("web", &NODE1)?;
    scene.sees(Place::Outside, Mode::Tcp, node, Expect::From(&["pod2"]))?;
    policy(scene, "external", "Cluster")?;
    answers(scene, &NODE1, port, "000")
}

/// Waits for the status that a load balancer gets from a node; `curl` says 000 where nobody listens.
fn answers(scene: &Scene<'_>, node: &Machine, port: u16, wanted: &str) -> anyhow::Result<()> {
    let url = format!("http://{}/", SocketAddr::from((node.address(Family::V4), port)));
    let mut last = String::new();
    let arrived = until("a health check", BUDGET, || {
        let arguments =
            ["--silent", "--max-time", "5", "--output", "/dev/null", "--write-out", "%{http_code}", &url];
        let command = process::command(&scene.world.cgroup(CLIENT.name), "curl".as_ref(), arguments);
        last = String::from_utf8(process::output(scene.world.namespace(CLIENT.name), command)?.stdout)?;
        Ok((last == wanted).then_some(()))
    });
    ensure!(arrived.is_ok(), "{url}: expected {wanted}, not {last}");
    Ok(())
}
