//! A Service changes its type.

use svclb_tests::{
    cluster::{Scene, expect::Expect},
    netns::{
        Place,
        client::Mode,
        layout::{NODE1, POD_PORT, POD1, POD2},
    },
};

use crate::scenario::{Scenario, inside};

pub(crate) const SCENARIOS: &[Scenario] = &[
    inside("change_from_external_name_to_cluster_ip", to_cluster_ip),
    inside("change_from_external_name_to_node_port", to_node_port),
    inside("change_from_cluster_ip_to_external_name", from_cluster_ip),
    inside("change_from_node_port_to_external_name", from_node_port),
];

const POD: Expect<'_> = Expect::From(&["pod2"]);

/// An alias that has no address.
fn alias(scene: &Scene<'_>) -> anyhow::Result<()> {
    scene.kubectl(&["create", "service", "externalname", "web", "--external-name=example.org"])?;
    scene.pod(&POD2, "web")
}

fn become_proxied(scene: &Scene<'_>, kind: &str) -> anyhow::Result<()> {
    scene.patch(
        "service/web",
        &format!(
            r#"{{"spec": {{"type": "{kind}", "externalName": null, "selector": {{"app": "web"}},
                "ports": [{{"port": 80, "targetPort": {POD_PORT}}}]}}}}"#
        ),
    )
}

fn become_alias(scene: &Scene<'_>) -> anyhow::Result<()> {
    scene.patch(
        "service/web",
        r#"{"spec": {"type": "ExternalName", "externalName": "example.org", "clusterIP": null, "clusterIPs": null}}"#,
    )
}

fn proxied(scene: &Scene<'_>, kind: &str) -> anyhow::Result<()> {
    scene.kubectl(&["create", "service", kind, "web", &format!("--tcp=80:{POD_PORT}")])?;
    scene.pod(&POD2, "web")
}

fn to_cluster_ip(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    alias(scene)?;
    become_proxied(scene, "ClusterIP")?;
    scene.all_see(&[Place::Pod(POD1), Place::Host], scene.cluster("web", 80)?, POD)
}

fn to_node_port(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    alias(scene)?;
    become_proxied(scene, "NodePort")?;
    scene.all_see(&[Place::Pod(POD1), Place::Host], scene.cluster("web", 80)?, POD)?;
    scene.sees(Place::Outside, Mode::Tcp, scene.node("web", &NODE1)?, POD)
}

fn from_cluster_ip(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    proxied(scene, "clusterip")?;
    let to = scene.cluster("web", 80)?;
    scene.all_see(&[Place::Pod(POD1), Place::Host], to, POD)?;
    become_alias(scene)?;
    scene.sees(Place::Host, Mode::Tcp, to, Expect::NoAnswer)
}

fn from_node_port(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    proxied(scene, "nodeport")?;
    let (to, node) = (scene.cluster("web", 80)?, scene.node("web", &NODE1)?);
    scene.sees(Place::Outside, Mode::Tcp, node, POD)?;
    become_alias(scene)?;
    scene.sees(Place::Outside, Mode::Tcp, node, Expect::Refused)?;
    scene.sees(Place::Host, Mode::Tcp, to, Expect::NoAnswer)
}
