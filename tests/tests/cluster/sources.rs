//! Whom a pod sees: its client's address, where that can be kept.

use anyhow::ensure;
use svclb_tests::{
    cluster::{Scene, expect::Expect},
    netns::{
        Place,
        client::Mode,
        layout::{Machine, NODE1, POD_PORT, POD1, POD2, POD3},
    },
};

use crate::scenario::{Scenario, inside};

pub(crate) const SCENARIOS: &[Scenario] = &[
    inside("preserve_source_pod_ip_for_traffic_through_a_cluster_ip", preserved),
    inside("pods_hairpin_back_to_themselves", hairpin),
];

fn service(scene: &Scene<'_>, pods: &[Machine]) -> anyhow::Result<std::net::SocketAddr> {
    scene.kubectl(&["create", "service", "clusterip", "web", &format!("--tcp=80:{POD_PORT}")])?;
    pods.iter().try_for_each(|pod| scene.pod(pod, "web"))?;
    scene.cluster("web", 80)
}

fn preserved(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    let to = service(scene, &[POD2, POD3])?;
    let from = Place::Pod(POD1);
    scene.sees(from, Mode::Tcp, to, Expect::From(&["pod2", "pod3"]))?;
    let answers = scene.world.ask(from, Mode::Tcp, to, 40)?;
    let wanted = ["pod2", "pod3"].map(|pod| format!("{pod} {}", POD1.v4));
    ensure!(answers.lines.keys().eq(&wanted), "{:?}", answers.lines);
    Ok(())
}

fn hairpin(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    let to = service(scene, &[POD1])?;
    scene.sees(Place::Pod(POD1), Mode::Tcp, to, Expect::From(&["pod1"]))?;
    scene.pod(&POD2, "web")?;
    scene.sees(Place::Pod(POD1), Mode::Tcp, to, Expect::From(&["pod1", "pod2"]))
}
