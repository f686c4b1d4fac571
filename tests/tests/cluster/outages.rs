//! The API server goes, and comes back.

use anyhow::{Context as _, ensure};
use svclb_tests::{
    cluster::{Plane, Scene, expect::Expect},
    netns::{
        Agent, Place, World,
        client::Mode,
        ground::Ground,
        layout::{NODE1, POD_PORT, POD1, POD2, POD3},
    },
};

use crate::scenario::{Scenario, alone, inside};

pub(crate) const SCENARIOS: &[Scenario] = &[
    alone("work_after_restarting_the_api_server", restart),
    inside("catch_up_with_what_changed_while_the_api_server_was_out_of_reach", cut_off),
    inside("an_agent_that_starts_without_an_api_server_waits_for_it", late),
];

const CLIENTS: [Place; 2] = [Place::Pod(POD1), Place::Host];

fn service(scene: &Scene<'_>) -> anyhow::Result<std::net::SocketAddr> {
    scene.kubectl(&["create", "service", "clusterip", "web", &format!("--tcp=80:{POD_PORT}")])?;
    scene.pod(&POD2, "web")?;
    scene.cluster("web", 80)
}

/// The Service answers without an API server, and changes arrive when there is one again.
fn restart(ground: Ground, plane: &Plane) -> anyhow::Result<()> {
    let scene = Scene::build(ground, plane, "restart")?;
    let agent = scene.agent(&NODE1, &[])?;
    let to = service(&scene)?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod2"]))?;
    plane.restart_apiserver(|| answers(&scene.world, &agent, to, "without an API server"))?;
    answers(&scene.world, &agent, to, "with an API server again")?;
    scene.pod(&POD3, "web")?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod2", "pod3"]))
}

fn cut_off(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let agent = scene.agent(&NODE1, &[])?;
    let to = service(scene)?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod2"]))?;
    scene.disconnect();
    scene.pod(&POD3, "web")?;
    scene.remove(&POD2)?;
    answers(&scene.world, &agent, to, "out of reach")?;
    scene.connect()?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod3"]))
}

fn late(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let to = service(scene)?;
    scene.disconnect();
    let mut agent = scene.launch(&NODE1, &[])?;
    agent
        .log()
        .wait_for(0, svclb_tests::cluster::plane::START, |line| line.contains("192.0.2.1"))
        .context("the agent does not say which API server it waits for")?;
    scene.connect()?;
    scene.synced(&mut agent, &NODE1)?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod2"]))
}

fn answers(world: &World, agent: &Agent, to: std::net::SocketAddr, when: &str) -> anyhow::Result<()> {
    for place in CLIENTS {
        let answers = world.ask(place, Mode::Tcp, to, 20)?;
        ensure!(answers.answered() == 20, "{when}, {place:?}: {answers:?}\n{}", agent.log().text());
    }
    Ok(())
}
