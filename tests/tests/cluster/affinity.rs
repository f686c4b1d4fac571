//! Clients that stay with their endpoint.

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
        layout::{NODE1, POD_PORT, POD1, POD2, POD3, POD4},
        wait::until,
    },
};

use crate::scenario::{Scenario, inside};

pub(crate) const SCENARIOS: &[Scenario] = &[
    inside("session_affinity_of_a_cluster_ip", cluster_ip),
    inside("session_affinity_of_a_node_port", node_port),
    inside("session_affinity_ends_with_its_endpoint", ends),
];

/// Requests that confirm affinity: the number of Kubernetes' own tests. Of three pods,
/// random choice is the same that often once in five million times.
const CONFIRMATION: u32 = 15;

const PODS: Expect<'_> = Expect::From(&["pod2", "pod3", "pod4"]);

fn service(scene: &Scene<'_>, kind: &str) -> anyhow::Result<()> {
    scene.kubectl(&["create", "service", kind, "web", &format!("--tcp=80:{POD_PORT}")])?;
    [POD2, POD3, POD4].iter().try_for_each(|pod| scene.pod(pod, "web"))
}

fn affinity(scene: &Scene<'_>, affinity: &str) -> anyhow::Result<()> {
    scene.patch("service/web", &format!(r#"{{"spec": {{"sessionAffinity": "{affinity}"}}}}"#))
}

/// Waits until a client stays with one pod, and tells with which.
fn stays(scene: &Scene<'_>, place: Place, to: SocketAddr) -> anyhow::Result<String> {
    let (pod, _) = until("affinity", BUDGET, || {
        let answers = scene.world.ask(place, Mode::Tcp, to, CONFIRMATION)?;
        let mut pods = answers.pods.into_iter();
        Ok(pods.next().filter(|(_, count)| *count == CONFIRMATION).map(|(pod, _)| pod))
    })?;
    let again = scene.world.ask(place, Mode::Tcp, to, CONFIRMATION)?;
    ensure!(again.pods.get(&pod) == Some(&CONFIRMATION), "{place:?}: first {pod}, then {again:?}");
    Ok(pod)
}

fn switches(scene: &Scene<'_>, place: Place, to: SocketAddr) -> anyhow::Result<()> {
    scene.sees(place, Mode::Tcp, to, PODS)?;
    affinity(scene, "ClientIP")?;
    stays(scene, place, to)?;
    affinity(scene, "None")?;
    scene.sees(place, Mode::Tcp, to, PODS)
}

fn cluster_ip(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    service(scene, "clusterip")?;
    let to = scene.cluster("web", 80)?;
    [Place::Pod(POD1), Place::Host].into_iter().try_for_each(|place| switches(scene, place, to))
}

fn node_port(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    service(scene, "nodeport")?;
    switches(scene, Place::Outside, scene.node("web", &NODE1)?)
}

fn ends(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    service(scene, "clusterip")?;
    affinity(scene, "ClientIP")?;
    let (to, place) = (scene.cluster("web", 80)?, Place::Pod(POD1));
    let first = stays(scene, place, to)?;
    let gone = [POD2, POD3, POD4].into_iter().find(|pod| pod.name == first);
    ensure!(gone.is_some(), "no such pod: {first}");
    gone.iter().try_for_each(|pod| scene.remove(pod))?;
    until("another pod", BUDGET, || {
        let answers = scene.world.ask(place, Mode::Tcp, to, CONFIRMATION)?;
        Ok((!answers.pods.contains_key(&first) && answers.failed() == 0).then_some(()))
    })?;
    let second = stays(scene, place, to)?;
    ensure!(second != first, "{first} is gone");
    Ok(())
}
