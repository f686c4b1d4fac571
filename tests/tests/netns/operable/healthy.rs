//! A node that is all right says so, and how it knows.

use anyhow::{Context as _, ensure};
use svclb_tests::netns::{
    Agent, Place, World,
    layout::{POD2, UPLINK},
    manifest::Service,
    wait::{PATIENCE, until},
};

use crate::support::world;

/// Waits until all paths have been probed, and tells them.
fn probed(world: &World) -> anyhow::Result<Vec<String>> {
    let (paths, _) = until("a self-probe of each path", PATIENCE, || {
        let status = world.status()?;
        let mut paths: Vec<_> =
            status.self_probe.iter().map(|it| format!("{} {} {}", it.path, it.ip_family, it.ok)).collect();
        paths.sort();
        Ok((paths.len() >= 4).then_some(paths))
    })?;
    Ok(paths)
}

#[test]
fn the_self_probe_goes_by_uplinks_and_sockets() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("web", 30, &[POD2]))?;
        let _agent = Agent::start(world, &[])?;
        let expected = ["IPv4", "IPv6"]
            .map(|family| [format!("sockets {family} true"), format!("{UPLINK} {family} true")]);
        let mut expected: Vec<_> = expected.into_iter().flatten().collect();
        expected.sort();
        ensure!(probed(world)? == expected, "{:?}", world.status()?.self_probe);
        let status = super::healthy(world)?;
        ensure!(status.problems.is_empty(), "{:?}", status.problems);
        ensure!(status.flows == 0, "the self-probe leaves {} flows", status.flows);
        ensure!(status.drops.values().all(|count| *count == 0), "{:?}", status.drops);
        let text = super::screen(world)?;
        ensure!(text.starts_with("HEALTHY") && text.contains("in sync") && text.contains("µs"), "{text}");

        // Its Service is nobody's business.
        let output = world.svclb(&["services", "-o", "json"])?;
        let services = String::from_utf8(output.stdout)?;
        ensure!(services.contains("web") && !services.contains("self-probe"), "{services}");
        let url = ["--silent", "--max-time", "3", "http://127.0.0.1:10249/metrics"];
        let metrics = String::from_utf8(world.run(Place::Host, "curl", &url)?.stdout)?;
        let success = format!("svclb_self_probe_success{{path=\"{UPLINK}\",ip_family=\"IPv4\"}} 1");
        ensure!(metrics.contains(&success) && !metrics.contains("service=\"self-probe\""), "{metrics}");
        metrics
            .lines()
            .find(|line| line.starts_with("svclb_problems{severity=\"error\"} 0"))
            .context(metrics.clone())?;
        Ok(())
    })
}

#[test]
fn other_ways_of_attaching_are_probed_as_well() -> anyhow::Result<()> {
    for flags in [
        &["--tc", "clsact"][..],
        &["--xdp", "generic"],
        &["--masquerade", "compat"],
        &["--external-mode", "dsr"],
    ] {
        world(|world| {
            world.publish(&Service::new("web", 30, &[POD2]))?;
            let _agent = Agent::start(world, flags)?;
            let paths = probed(world)?;
            ensure!(paths.iter().all(|path| path.ends_with("true")), "{flags:?}: {paths:?}");
            // To look at hooks leaves them as they are.
            let status = super::healthy(world)?;
            ensure!(status.problems.is_empty(), "{flags:?}: {:?}", status.problems);
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn it_can_be_switched_off() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("web", 30, &[POD2]))?;
        let agent = Agent::start(world, &[])?;
        probed(world)?;
        agent.kill()?;
        let _agent = Agent::start(world, &["--self-probe=false"])?;
        let status = super::healthy(world)?;
        ensure!(status.self_probe.is_empty(), "{:?}", status.self_probe);
        let output = world.svclb(&["status", "-o", "json"])?;
        let status: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        ensure!(status["services"] == 4 && output.status.success(), "{status}");
        Ok(())
    })
}
