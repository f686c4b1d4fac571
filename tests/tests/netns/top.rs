//! `svclb top`, in a terminal and without one.

use anyhow::{Context as _, ensure};
use serde_json::Value;
use svclb_tests::{
    netns::{
        Agent, Place, World,
        client::Mode,
        layout::{Family, Frontend, NODE1, POD1, POD2, POD3},
        manifest::Service,
        process,
    },
    terminal::Terminal,
};

use crate::support::world;

fn terminal(world: &World, arguments: &[&str]) -> anyhow::Result<Terminal> {
    let svclb = world.ground().svclb.to_string_lossy().into_owned();
    let bpffs = world.bpffs(&NODE1).to_string_lossy().into_owned();
    let arguments = arguments.iter().copied().map(String::from);
    let arguments = [svclb, "top".into(), "--bpffs".into(), bpffs].into_iter().chain(arguments);
    let namespace = world.namespace(NODE1.name);
    Terminal::start(
        arguments,
        |program, arguments| process::command(&world.cgroup(NODE1.name), program, arguments),
        |mut command| namespace.run(move || command.spawn())?.context("cannot start svclb top"),
    )
}

/// The words of the first line of a text that begins so.
fn words<'a>(text: &'a str, begin: &str) -> Vec<&'a str> {
    let line = text.lines().find(|line| line.starts_with(begin)).unwrap_or_default();
    line.split_whitespace().collect()
}

/// Whether a screen shows what it is to.
type Seen<'a> = &'a dyn Fn(&str) -> bool;

#[test]
fn keys_show_what_happens() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("web", 10, &[POD1, POD2]))?;
        world.publish(&Service::new("idle", 11, &[POD3]))?;
        let agent = Agent::start(world, &[])?;
        let load = world.load(Place::Outside, Mode::Tcp, Frontend::NodePort.of(10, Family::V4))?;
        let mut top = terminal(world, &["--interval", "300ms"])?;
        // The busiest first, with a rate.
        let text = top.wait_for("a rate", |text| {
            let first = text.lines().nth(4).unwrap_or_default();
            first.starts_with("default/web:tcp") && !matches!(words(text, "default/web:tcp")[2], "0" | "2")
        })?;
        ensure!(text.contains("in sync, agent") && top.is_taken(), "{text}");
        ensure!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        let steps: [(&str, &str, Seen<'_>); 8] = [
            ("s", "another order", &|text| text.contains("sort: packets")),
            ("\r", "the backends of the busiest", &|text| {
                text.contains("default/web:tcp  TCP4") && text.contains(&format!("{}:", POD1.v4))
            }),
            ("\u{1b}", "all Services", &|text| text.contains("SERVICE  ")),
            ("/idle udp", "what the filter says", &|text| {
                text.contains("/idle udp") && text.contains("default/idle:udp") && !text.contains("web")
            }),
            ("\r\u{1b}", "no filter", &|text| text.contains("default/web:tcp")),
            ("?", "help", &|text| text.contains("go through the Services")),
            ("?", "no help", &|text| text.contains("SERVICE  ")),
            (" ", "a pause", &|text| text.contains("paused")),
        ];
        for (keys, what, shows) in steps {
            top.press(keys)?;
            top.wait_for(what, shows)?;
        }
        // Without an agent it goes on.
        top.press(" ")?;
        agent.kill()?;
        top.wait_for("that no agent runs", |text| text.contains("no agent runs"))?;
        top.press("q")?;
        ensure!(top.wait()?.success() && !top.is_taken(), "{}", top.text());
        load.finish()?;
        Ok(())
    })
}

#[test]
fn without_a_terminal_it_is_one_table() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("web", 10, &[POD1, POD2]))?;
        let _agent = Agent::start(world, &[])?;
        let load = world.load(Place::Outside, Mode::Udp, Frontend::NodePort.of(10, Family::V4))?;
        let output = world.svclb(&["top", "--interval", "500ms"])?;
        let text = String::from_utf8(output.stdout)?;
        ensure!(output.status.success() && text.starts_with("SERVICE  "), "{text}");
        let second = text.lines().nth(1).context("no Service")?;
        ensure!(
            second.starts_with("default/web:udp  UDP") && words(&text, "default/web:udp")[3] != "0",
            "{text}"
        );

        let output = world.svclb(&["top", "--interval", "500ms", "-o", "json"])?;
        let told: Value = serde_json::from_slice(&output.stdout)?;
        let first = &told["services"][0];
        ensure!(first["per_second"]["bytes"].as_f64() > Some(0.0), "{first}");
        let shares = first["backends"].as_array().context("no backends")?;
        ensure!(shares.iter().all(|backend| backend["flows_per_second"].as_f64() > Some(0.0)), "{first}");
        load.finish()?;
        let output = world.raw(&NODE1, &["top".into(), "--interval".into(), "0s".into()])?;
        ensure!(output.status.code() == Some(2), "{output:?}");
        Ok(())
    })
}
