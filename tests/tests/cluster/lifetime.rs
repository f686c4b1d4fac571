//! Services come, go, and come back; agents too.

use anyhow::ensure;
use svclb_tests::{
    cluster::{Scene, expect::Expect},
    netns::{
        Place,
        client::Mode,
        layout::{NODE1, POD_PORT, POD1, POD2, POD3},
    },
};

use crate::scenario::{Scenario, inside};

pub(crate) const SCENARIOS: &[Scenario] = &[
    inside("up_and_down_services", up_and_down),
    inside("work_after_a_service_has_been_recreated", recreated),
    inside("work_after_the_agent_has_been_restarted", agent_restart),
    inside("catch_up_with_what_changed_while_no_agent_ran", catch_up),
    inside("connections_outlive_their_endpoint", connections),
];

const CLIENTS: [Place; 2] = [Place::Pod(POD1), Place::Host];

fn service(scene: &Scene<'_>, name: &str) -> anyhow::Result<std::net::SocketAddr> {
    scene.kubectl(&["create", "service", "clusterip", name, &format!("--tcp=80:{POD_PORT}")])?;
    scene.cluster(name, 80)
}

fn up_and_down(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    let (one, two) = (service(scene, "one")?, service(scene, "two")?);
    scene.pod(&POD2, "one")?;
    scene.pod(&POD3, "two")?;
    scene.all_see(&CLIENTS, one, Expect::From(&["pod2"]))?;
    scene.all_see(&CLIENTS, two, Expect::From(&["pod3"]))?;
    scene.delete("service/one")?;
    scene.sees(Place::Host, Mode::Tcp, one, Expect::NoAnswer)?;
    scene.all_see(&CLIENTS, two, Expect::From(&["pod3"]))?;
    scene.kubectl(&["expose", "pod", POD2.name, "--name=three", "--port=80", "--target-port=serve"])?;
    let three = scene.cluster("three", 80)?;
    ensure!(three != two, "two Services have one address");
    scene.all_see(&CLIENTS, three, Expect::From(&["pod2"]))?;
    scene.all_see(&CLIENTS, two, Expect::From(&["pod3"]))
}

fn recreated(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    scene.pod(&POD2, "web")?;
    let old = service(scene, "web")?;
    scene.all_see(&CLIENTS, old, Expect::From(&["pod2"]))?;
    scene.delete("service/web")?;
    // Keeps the old address from being given to the next.
    scene.kubectl(&[
        "create",
        "service",
        "clusterip",
        "holder",
        "--tcp=81:81",
        &format!("--clusterip={}", old.ip()),
    ])?;
    let new = service(scene, "web")?;
    ensure!(new != old, "a new Service has the address of the old one, which is held");
    scene.all_see(&CLIENTS, new, Expect::From(&["pod2"]))?;
    scene.sees(Place::Host, Mode::Tcp, old, Expect::NoAnswer)
}

fn agent_restart(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let first = scene.agent(&NODE1, &[])?;
    let to = service(scene, "web")?;
    scene.pod(&POD2, "web")?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod2"]))?;
    let load = scene.world.load(Place::Pod(POD1), Mode::Tcp, to)?;
    ensure!(first.terminate()?.success(), "SIGTERM");
    let _second = scene.agent(&NODE1, &[])?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod2"]))?;
    let answers = load.finish()?;
    ensure!(answers.failed() == 0 && answers.answered() > 0, "meanwhile: {answers:?}");
    Ok(())
}

fn catch_up(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let first = scene.agent(&NODE1, &[])?;
    let (kept, deleted) = (service(scene, "kept")?, service(scene, "deleted")?);
    scene.pod(&POD2, "kept")?;
    scene.pod(&POD3, "deleted")?;
    scene.all_see(&CLIENTS, kept, Expect::From(&["pod2"]))?;
    scene.all_see(&CLIENTS, deleted, Expect::From(&["pod3"]))?;
    first.kill()?;
    scene.delete("service/deleted")?;
    scene.kubectl(&["label", "pod", POD2.name, "app=made", "--overwrite"])?;
    scene.kubectl(&["label", "pod", POD3.name, "app=kept", "--overwrite"])?;
    let made = service(scene, "made")?;
    let _second = scene.agent(&NODE1, &[])?;
    scene.all_see(&CLIENTS, kept, Expect::From(&["pod3"]))?;
    scene.all_see(&CLIENTS, made, Expect::From(&["pod2"]))?;
    scene.sees(Place::Host, Mode::Tcp, deleted, Expect::NoAnswer)
}

/// Kubernetes ends no TCP connection when its endpoint goes from the list.
fn connections(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    let to = service(scene, "web")?;
    scene.pod(&POD2, "web")?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod2"]))?;
    for place in CLIENTS {
        let mut held = scene.world.hold(place, to)?;
        let before = held.ask()?;
        ensure!(before.pods.contains_key("pod2"), "{before:?}");
        scene.kubectl(&["label", "pod", POD2.name, "app=other", "--overwrite"])?;
        scene.sees(place, Mode::Tcp, to, Expect::Refused)?;
        ensure!(held.ask()? == before, "an open connection from {place:?} has ended");
        scene.kubectl(&["label", "pod", POD2.name, "app=web", "--overwrite"])?;
        scene.sees(place, Mode::Tcp, to, Expect::From(&["pod2"]))?;
    }
    Ok(())
}
