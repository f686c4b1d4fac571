//! What changes when svclb takes kube-proxy's place.

use std::fs;

use anyhow::ensure;
use serde_json::Value;
use svclb_tests::netns::{
    Place, World,
    kube_proxy::{Mode, Rule},
    layout::{NODE1, POD2, UPLINK},
};

use crate::support::world;

/// The findings of a check, as lines.
fn findings(world: &World, arguments: &[&str]) -> anyhow::Result<Vec<String>> {
    let arguments: Vec<_> = ["check", "-o", "json"].iter().chain(arguments).copied().collect();
    let output = world.svclb(&arguments)?;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{error}");
    let found: Vec<Value> = serde_json::from_slice(&output.stdout)?;
    let text = |it: &Value, field: &str| it[field].as_str().unwrap_or_default().to_owned();
    Ok(found
        .iter()
        .map(|it| format!("{} {}: {}", text(it, "result"), text(it, "what"), text(it, "detail")))
        .collect())
}

fn has(found: &[String], beginning: &str, word: &str) -> anyhow::Result<()> {
    let is_there = found.iter().any(|line| line.starts_with(beginning) && line.contains(word));
    ensure!(is_there, "no {beginning:?} with {word:?} in {found:#?}");
    Ok(())
}

#[test]
fn a_file_is_gone_through_field_by_field() -> anyhow::Result<()> {
    world(|world| {
        let path = world.path("kube-proxy.yaml");
        let text = "\
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: ipvs
clusterCIDR: 10.244.0.0/16
ipvs: { scheduler: sh, strictARP: true }
";
        fs::write(&path, text)?;
        let path = path.to_string_lossy().into_owned();
        let found = findings(world, &["--from-kube-proxy", "--kube-proxy-config", &path])?;
        has(&found, "taken clusterCIDR", "10.244.0.0/16")?;
        has(&found, "ignored ipvs.scheduler", "source-hash")?;
        has(&found, "ignored ipvs.strictARP", "no address of a Service is on a device")?;
        has(&found, "differs addresses on devices", "ping")?;
        has(&found, "ok metricsBindAddress", "127.0.0.1:10249")?;
        has(&found, "step step 2", "stop kube-proxy")?;
        has(&found, "step step 4", "--cleanup")?;

        fs::write(&path, "kind: KubeProxyConfiguration\n")?;
        let output = world.svclb(&["check", "--from-kube-proxy", "--kube-proxy-config", &path])?;
        let error = String::from_utf8(output.stderr)?;
        ensure!(
            !output.status.success() && error.contains("apiVersion") && error.lines().count() == 1,
            "{error}"
        );
        Ok(())
    })
}

#[test]
fn the_mode_is_told_by_what_is_in_the_kernel() -> anyhow::Result<()> {
    for (mode, name) in [(Mode::Iptables, "iptables"), (Mode::Nftables, "nftables")] {
        world(|world| {
            world.put_rules(mode, &[Rule { service: 40, pod: POD2 }])?;
            let found = findings(world, &["--from-kube-proxy"])?;
            has(&found, "note rules", name)?;
            has(&found, "note configuration", "kubectl")?;
            has(&found, "step step 4", "--cleanup")?;
            let differs =
                if mode == Mode::Iptables { "wrong port of a ClusterIP" } else { "nodePortAddresses" };
            has(&found, &format!("differs {differs}"), "")?;
            // An ordinary check says so as well.
            has(&findings(world, &[])?, &format!("differs {differs}"), "")
        })?;
    }
    Ok(())
}

#[test]
fn a_port_in_use_and_the_device_of_mode_ipvs_are_named() -> anyhow::Result<()> {
    world(|world| {
        world.ip(NODE1.name, "link add kube-ipvs0 type bridge")?;
        let _listener =
            world.namespace(NODE1.name).run(|| std::net::TcpListener::bind(("127.0.0.1", 10_249)))??;
        let found = findings(world, &["--from-kube-proxy"])?;
        has(&found, "conflict metricsBindAddress", "10249")?;
        has(&found, "step ipvs", "kube-ipvs0")?;
        has(&found, "differs scheduler", "round-robin")?;
        ensure!(world.run(Place::Host, "ip", &["link", "show", UPLINK])?.status.success());
        Ok(())
    })
}
