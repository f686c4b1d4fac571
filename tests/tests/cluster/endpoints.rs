//! Reachability follows Pods and ports.

use svclb_tests::{
    cluster::{Scene, expect::Expect, object::SECOND_PORT},
    netns::{
        Place,
        client::Mode,
        layout::{NODE1, POD_PORT, POD1, POD2, POD3},
    },
};

use crate::scenario::{Scenario, inside};

pub(crate) const SCENARIOS: &[Scenario] = &[
    inside("serve_a_basic_endpoint_from_pods", basic),
    inside("serve_multiport_endpoints_from_pods", multiport),
    inside("be_updated_after_adding_renaming_and_removing_ports", ports),
    inside("expose_a_pod", expose),
    inside("support_named_target_ports_that_differ_between_endpoints", named),
    inside("two_services_with_the_same_selector_are_independent", twins),
    inside("answer_in_both_families", dual_stack),
];

/// `kubectl create service` with a selector `app=NAME`.
fn basic(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    scene.kubectl(&["create", "service", "clusterip", "web", &format!("--tcp=80:{POD_PORT}")])?;
    let to = scene.cluster("web", 80)?;
    let places = [Place::Pod(POD1), Place::Host];
    scene.all_see(&places, to, Expect::Refused)?;
    scene.pod(&POD2, "web")?;
    scene.all_see(&places, to, Expect::From(&["pod2"]))?;
    scene.pod(&POD3, "web")?;
    scene.all_see(&places, to, Expect::From(&["pod2", "pod3"]))?;
    scene.remove(&POD2)?;
    scene.all_see(&places, to, Expect::From(&["pod3"]))?;
    scene.remove(&POD3)?;
    scene.all_see(&places, to, Expect::Refused)
}

fn multiport(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let second = scene.serve_second(&POD2)?;
    let _agent = scene.agent(&NODE1, &[])?;
    let tcp = [format!("--tcp=80:{POD_PORT}"), format!("--tcp=81:{SECOND_PORT}")];
    scene.kubectl(&["create", "service", "clusterip", "web", &tcp[0], &tcp[1]])?;
    scene.pod(&POD2, "web")?;
    let from = Place::Pod(POD1);
    scene.sees(from, Mode::Tcp, scene.cluster("web", 80)?, Expect::From(&["pod2"]))?;
    scene.sees(from, Mode::Tcp, scene.cluster("web", 81)?, Expect::From(&[&second]))?;
    scene.remove(&POD2)?;
    scene.sees(from, Mode::Tcp, scene.cluster("web", 81)?, Expect::Refused)
}

fn ports(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let second = scene.serve_second(&POD2)?;
    let _agent = scene.agent(&NODE1, &[])?;
    scene.kubectl(&["create", "service", "clusterip", "web", &format!("--tcp=80:{POD_PORT}")])?;
    scene.pod(&POD2, "web")?;
    let (first, other) = (scene.cluster("web", 80)?, scene.cluster("web", 81)?);
    let from = [Place::Pod(POD1), Place::Host];
    scene.all_see(&from, first, Expect::From(&["pod2"]))?;

    let replace = |ports: &str| scene.patch("service/web", &format!(r#"{{"spec": {{"ports": [{ports}]}}}}"#));
    let port = |name: &str, port: u16, target: u16| {
        format!(r#"{{"name": "{name}", "port": {port}, "targetPort": {target}, "protocol": "TCP"}}"#)
    };
    replace(&[port("one", 80, POD_PORT), port("two", 81, SECOND_PORT)].join(","))?;
    scene.all_see(&from, other, Expect::From(&[&second]))?;
    scene.all_see(&from, first, Expect::From(&["pod2"]))?;

    // The names trade places: a port that is found by its old name leads to the wrong target.
    replace(&[port("two", 80, POD_PORT), port("one", 81, SECOND_PORT)].join(","))?;
    scene.all_see(&from, first, Expect::From(&["pod2"]))?;
    scene.all_see(&from, other, Expect::From(&[&second]))?;

    replace(&port("three", 81, SECOND_PORT))?;
    scene.all_see(&from, other, Expect::From(&[&second]))?;
    scene.all_see(&from, first, Expect::NoAnswer)
}

fn expose(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    scene.pod(&POD2, "web")?;
    let target = format!("--target-port={POD_PORT}");
    scene.kubectl(&["expose", "pod", POD2.name, "--name=web", "--port=80", &target])?;
    let to = scene.cluster("web", 80)?;
    scene.all_see(&[Place::Pod(POD1), Place::Host], to, Expect::From(&["pod2"]))?;
    scene.delete("service/web")?;
    scene.sees(Place::Host, Mode::Tcp, to, Expect::NoAnswer)
}

fn named(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let second = scene.serve_second(&POD3)?;
    let _agent = scene.agent(&NODE1, &[])?;
    scene.pod_with(&POD2, "web", &[("serve", POD_PORT)])?;
    scene.pod_with(&POD3, "web", &[("serve", SECOND_PORT)])?;
    scene.kubectl(&["create", "service", "clusterip", "web", "--tcp=80:serve"])?;
    let to = scene.cluster("web", 80)?;
    scene.all_see(&[Place::Pod(POD1), Place::Host], to, Expect::From(&["pod2", &second]))
}

fn twins(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    scene.pod(&POD2, "web")?;
    let target = format!("--target-port={POD_PORT}");
    for name in ["one", "two"] {
        scene.kubectl(&["expose", "pod", POD2.name, "--name", name, "--port=80", &target])?;
    }
    let (one, two) = (scene.cluster("one", 80)?, scene.cluster("two", 80)?);
    scene.sees(Place::Pod(POD1), Mode::Tcp, one, Expect::From(&["pod2"]))?;
    scene.sees(Place::Pod(POD1), Mode::Tcp, two, Expect::From(&["pod2"]))?;
    scene.delete("service/one")?;
    scene.sees(Place::Pod(POD1), Mode::Tcp, one, Expect::NoAnswer)?;
    scene.sees(Place::Pod(POD1), Mode::Tcp, two, Expect::From(&["pod2"]))
}

fn dual_stack(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let _agent = scene.agent(&NODE1, &[])?;
    scene.kubectl(&["create", "service", "clusterip", "web", &format!("--tcp=80:{POD_PORT}")])?;
    scene.pod(&POD2, "web")?;
    scene.pod(&POD3, "web")?;
    let both = Expect::From(&["pod2", "pod3"]);
    scene.sees(Place::Pod(POD1), Mode::Tcp, scene.cluster("web", 80)?, both)?;
    scene.patch("service/web", r#"{"spec": {"ipFamilyPolicy": "PreferDualStack"}}"#)?;
    let second = scene.field("service/web", ".spec.clusterIPs[1]")?;
    // A cluster that is there already may have one family only.
    let Ok(second) = second.parse() else { return Ok(()) };
    scene.all_see(&[Place::Pod(POD1), Place::Host], (std::net::IpAddr::V6(second), 80).into(), both)
}
