//! Labels by which Services and EndpointSlices leave the sight of a proxy, and come back.

use svclb_tests::{
    cluster::{
        Scene,
        expect::Expect,
        object::{Conditions, plain_slice},
    },
    netns::{
        Place,
        client::Mode,
        layout::{NODE1, POD_PORT, POD1, POD2, POD3},
    },
};

use crate::scenario::{Scenario, inside};

pub(crate) const SCENARIOS: &[Scenario] = &[
    inside("implement_service_proxy_name", proxy_name),
    inside("implement_headless_on_slices", headless_slices),
];

fn proxy_name(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    const LABEL: &str = "service.kubernetes.io/service-proxy-name";
    let _agent = scene.agent(&NODE1, &[])?;
    scene.kubectl(&["create", "service", "clusterip", "web", &format!("--tcp=80:{POD_PORT}")])?;
    scene.pod(&POD2, "web")?;
    let (to, places) = (scene.cluster("web", 80)?, [Place::Pod(POD1), Place::Host]);
    scene.all_see(&places, to, Expect::From(&["pod2"]))?;
    scene.kubectl(&["label", "service", "web", &format!("{LABEL}=another")])?;
    scene.sees(Place::Host, Mode::Tcp, to, Expect::NoAnswer)?;
    // Any value counts, the empty one too.
    scene.kubectl(&["label", "service", "web", "--overwrite", &format!("{LABEL}=")])?;
    scene.sees(Place::Host, Mode::Tcp, to, Expect::NoAnswer)?;
    scene.kubectl(&["label", "service", "web", &format!("{LABEL}-")])?;
    scene.all_see(&places, to, Expect::From(&["pod2"]))
}

fn headless_slices(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    const LABEL: &str = "service.kubernetes.io/headless";
    let _agent = scene.agent(&NODE1, &[])?;
    scene.create(
        r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "bare"}, "spec": {"ports": [{"port": 80}]}}"#,
    )?;
    for (name, pod) in [("one", POD2), ("two", POD3)] {
        scene.create(&plain_slice(name, "bare", &[(pod, Conditions::READY)]).to_string())?;
    }
    let (to, places) = (scene.cluster("bare", 80)?, [Place::Pod(POD1), Place::Host]);
    scene.all_see(&places, to, Expect::From(&["pod2", "pod3"]))?;
    scene.kubectl(&["label", "endpointslice", "one", &format!("{LABEL}=")])?;
    scene.all_see(&places, to, Expect::From(&["pod3"]))?;
    scene.kubectl(&["label", "endpointslice", "two", &format!("{LABEL}=")])?;
    scene.all_see(&places, to, Expect::Refused)?;
    scene.kubectl(&["label", "endpointslice", "one", &format!("{LABEL}-")])?;
    scene.all_see(&places, to, Expect::From(&["pod2"]))
}
