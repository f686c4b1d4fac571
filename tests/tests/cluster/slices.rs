//! EndpointSlices that somebody else than the controller writes.

use std::net::SocketAddr;

use svclb_tests::{
    cluster::{
        Scene,
        expect::Expect,
        object::{Conditions, SECOND_PORT, plain_slice, slice},
    },
    netns::{
        Place,
        client::Mode,
        layout::{Machine, NODE1, POD_PORT, POD1, POD2, POD3, POD4},
    },
};

use crate::scenario::{Scenario, inside};

pub(crate) const SCENARIOS: &[Scenario] = &[
    inside("several_slices_of_a_service_add_up", add_up),
    inside("different_ports_in_different_slices", different_ports),
    inside("an_endpoint_moves_between_slices", moves),
    inside("terminating_endpoints_of_custom_slices_are_a_fallback", terminating),
];

const CLIENTS: [Place; 2] = [Place::Pod(POD1), Place::Host];

/// A Service without a selector: nobody but the scenario writes its slices.
fn bare(scene: &Scene<'_>, ports: &str) -> anyhow::Result<SocketAddr> {
    scene.create(&format!(
        r#"{{"apiVersion": "v1", "kind": "Service", "metadata": {{"name": "bare"}}, "spec": {{"ports": [{ports}]}}}}"#
    ))?;
    scene.cluster("bare", 80)
}

fn put(scene: &Scene<'_>, name: &str, endpoints: &[(Machine, Conditions)]) -> anyhow::Result<()> {
    scene.apply(&plain_slice(name, "bare", endpoints).to_string())
}

fn add_up(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    let to = bare(scene, r#"{"port": 80}"#)?;
    scene.all_see(&CLIENTS, to, Expect::Refused)?;
    put(scene, "one", &[(POD2, Conditions::READY)])?;
    put(scene, "two", &[(POD3, Conditions::READY), (POD4, Conditions::READY)])?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod2", "pod3", "pod4"]))?;
    put(scene, "two", &[(POD4, Conditions::READY)])?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod2", "pod4"]))?;
    scene.delete("endpointslice/one")?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod4"]))
}

fn different_ports(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let second = scene.serve_second(&POD3)?;
    let _agent = scene.agent(&NODE1, &[])?;
    let to = bare(scene, r#"{"name": "a", "port": 80}, {"name": "b", "port": 81}"#)?;
    let (one, two) = ([(POD2, Conditions::READY)], [(POD3, Conditions::READY)]);
    scene.create(&slice("one", "bare", &[("a", POD_PORT)], &one).to_string())?;
    scene.create(&slice("two", "bare", &[("b", SECOND_PORT)], &two).to_string())?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod2"]))?;
    scene.all_see(&CLIENTS, scene.cluster("bare", 81)?, Expect::From(&[&second]))
}

/// The same address in two slices counts once, and survives when either goes.
fn moves(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    let to = bare(scene, r#"{"port": 80}"#)?;
    put(scene, "old", &[(POD2, Conditions::READY), (POD3, Conditions::READY)])?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod2", "pod3"]))?;
    put(scene, "new", &[(POD2, Conditions::READY)])?;
    put(scene, "old", &[(POD3, Conditions::READY)])?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod2", "pod3"]))?;
    scene.delete("endpointslice/old")?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod2"]))
}

fn terminating(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    let to = bare(scene, r#"{"port": 80}"#)?;
    let gone = Conditions { serving: false, ..Conditions::ENDING };
    put(scene, "one", &[(POD2, Conditions::ENDING), (POD3, Conditions::READY), (POD4, gone)])?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod3"]))?;
    put(scene, "one", &[(POD2, Conditions::ENDING), (POD4, gone)])?;
    scene.all_see(&CLIENTS, to, Expect::From(&["pod2"]))?;
    put(scene, "one", &[(POD4, gone)])?;
    scene.sees(Place::Host, Mode::Tcp, to, Expect::Refused)
}
