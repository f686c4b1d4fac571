//! What load balancers and the kubelet ask: health of the agent and of its Services.

use anyhow::{Context as _, ensure};
use svclb_tests::netns::{
    Agent, Place, World,
    layout::{Family, NODE1, POD1, POD2, POD3},
    manifest::{Service, State},
    wait::{PROMISE, until},
};

use crate::support::world;

const SERVICE: u8 = 120;
const PORT: u16 = 32_100;

/// The status and the body.
fn get(world: &World, place: Place, url: &str) -> anyhow::Result<Option<(u16, String)>> {
    let arguments = ["--silent", "--max-time", "3", "--globoff", "--include", url];
    let output = world.run(place, "curl", &arguments)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some(status) = text.split(' ').nth(1) else { return Ok(None) };
    Ok(Some((status.parse().with_context(|| text.clone())?, text)))
}

fn service() -> Service {
    Service::new("checked", SERVICE, &[])
        .spec("externalTrafficPolicy: Local")
        .spec(&format!("healthCheckNodePort: {PORT}"))
}

#[test]
fn a_service_is_checked_by_its_health_port() -> anyhow::Result<()> {
    world(|world| {
        let check = |wanted: u16, endpoints: usize| {
            for family in Family::ALL {
                let address = std::net::SocketAddr::from((NODE1.address(family), PORT));
                let url = format!("http://{address}/healthz");
                until(&format!("{wanted} from {url}"), PROMISE, || {
                    let Some((status, text)) = get(world, Place::Outside, &url)? else { return Ok(None) };
                    let is_right = status == wanted
                        && text.contains(&format!("\"localEndpoints\":{endpoints}"))
                        && text
                            .to_lowercase()
                            .contains(&format!("x-load-balancing-endpoint-weight: {endpoints}"));
                    Ok(is_right.then_some(()))
                })?;
            }
            anyhow::Ok(())
        };
        world.publish(&service().endpoint(POD2, State::Ready).endpoint(POD3, State::Ready))?;
        let _agent = Agent::start(world, &["--healthz-bind-address", "0.0.0.0:10256"])?;
        check(200, 1)?;
        world.publish(&service().endpoint(POD1, State::Ready).endpoint(POD2, State::Ready))?;
        check(200, 2)?;
        // Terminating pods still serve, and a load balancer is to look elsewhere.
        world.publish(&service().endpoint(POD2, State::Draining))?;
        check(503, 0)?;
        world.publish(&Service::new("checked", SERVICE, &[POD2]))?;
        let url = format!("http://{}:{PORT}/", NODE1.v4);
        until("a closed port", PROMISE, || Ok(get(world, Place::Outside, &url)?.is_none().then_some(())))?;
        Ok(())
    })
}

#[test]
fn the_agent_says_that_it_is_healthy() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("checked", SERVICE, &[POD2]))?;
        let _agent = Agent::start(world, &[])?;
        for path in ["healthz", "livez"] {
            let url = format!("http://{}:10256/{path}", NODE1.v4);
            let (status, text) = get(world, Place::Outside, &url)?.context("no answer")?;
            ensure!(status == 200 && text.contains("lastUpdated"), "{url}: {text}");
        }
        let metrics = |path: &str| get(world, Place::Host, &format!("http://127.0.0.1:10249/{path}"));
        let (status, text) = metrics("proxyMode")?.context("no answer")?;
        ensure!(status == 200 && text.ends_with("svclb"), "{text}");
        let (_, text) = metrics("metrics")?.context("no answer")?;
        for name in [
            "kubeproxy_sync_proxy_rules_duration_seconds_bucket",
            "kubeproxy_sync_proxy_rules_endpoint_changes_total",
            "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
        ] {
            ensure!(text.contains(name), "no {name} in {text}");
        }
        let (status, text) = metrics("configz")?.context("no answer")?;
        ensure!(status == 200 && text.contains("node1"), "{text}");
        Ok(())
    })
}
