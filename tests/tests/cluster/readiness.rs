//! Which Pods count: ready ones, and those that are about to end.

use svclb_tests::{
    cluster::{Scene, expect::Expect},
    netns::{
        Place,
        layout::{NODE1, POD_PORT, POD1, POD2, POD3},
    },
};

use crate::scenario::{Scenario, inside};

pub(crate) const SCENARIOS: &[Scenario] = &[
    inside("pods_that_are_not_ready_get_nothing", unready),
    inside("publish_not_ready_addresses_is_toggled_at_runtime", toggled),
    inside("terminating_pods_of_publish_not_ready_addresses_serve", published_terminating),
    inside("terminating_and_unready_pods_do_not_serve", terminating_unready),
    inside("fall_back_to_terminating_endpoints", fallback),
    inside("be_rejected_for_evicted_pods", evicted),
];

const CLIENTS: [Place; 2] = [Place::Pod(POD1), Place::Host];

fn service(scene: &Scene<'_>) -> anyhow::Result<std::net::SocketAddr> {
    scene.kubectl(&["create", "service", "clusterip", "web", &format!("--tcp=80:{POD_PORT}")])?;
    scene.cluster("web", 80)
}

fn publish(scene: &Scene<'_>, value: bool) -> anyhow::Result<()> {
    scene.patch("service/web", &format!(r#"{{"spec": {{"publishNotReadyAddresses": {value}}}}}"#))
}

fn unready(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    let to = service(scene)?;
    scene.pod(&POD2, "web")?;
    scene.pod(&POD3, "web")?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod2", "pod3"]))?;
    scene.report(&POD2, false)?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod3"]))?;
    scene.report(&POD3, false)?;
    scene.all_see(&CLIENTS, to, Expect::Refused)?;
    scene.report(&POD2, true)?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod2"]))
}

fn toggled(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    let to = service(scene)?;
    scene.pod(&POD2, "web")?;
    scene.report(&POD2, false)?;
    scene.all_see(&CLIENTS, to, Expect::Refused)?;
    publish(scene, true)?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod2"]))?;
    publish(scene, false)?;
    scene.all_see(&CLIENTS, to, Expect::Refused)
}

fn published_terminating(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    let to = service(scene)?;
    publish(scene, true)?;
    scene.pod(&POD2, "web")?;
    scene.report(&POD2, false)?;
    scene.terminate(&POD2)?;
    scene.pod(&POD3, "web")?;
    // Ready and terminating at once: it counts as any other, not as a fallback.
    scene.all_see(&CLIENTS, to, Expect::From(&["pod2", "pod3"]))
}

fn terminating_unready(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    let to = service(scene)?;
    scene.pod(&POD2, "web")?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod2"]))?;
    scene.report(&POD2, false)?;
    scene.terminate(&POD2)?;
    scene.all_see(&CLIENTS, to, Expect::Refused)
}

fn fallback(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    let to = service(scene)?;
    scene.pod(&POD2, "web")?;
    scene.pod(&POD3, "web")?;
    scene.terminate(&POD2)?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod3"]))?;
    scene.terminate(&POD3)?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod2", "pod3"]))?;
    scene.remove(&POD2)?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod3"]))?;
    scene.remove(&POD3)?;
    scene.all_see(&CLIENTS, to, Expect::Refused)
}

fn evicted(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    let to = service(scene)?;
    publish(scene, true)?;
    scene.pod(&POD2, "web")?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod2"]))?;
    // What a kubelet reports of an evicted Pod: the phase alone would not reach the slices.
    let status = r#"{"status": {"phase": "Failed", "reason": "Evicted",
        "conditions": [{"type": "Ready", "status": "False", "reason": "PodFailed"}]}}"#;
    scene.kubectl(&["patch", "pod", POD2.name, "--subresource", "status", "--patch", status])?;
    scene.all_see(&CLIENTS, to, Expect::Refused)
}
