//! Connections that kube-proxy's rules have set up go on under svclb, and svclb's under such rules.

use anyhow::{Context as _, ensure};
use svclb_tests::{
    netns::{
        Agent, Place, World,
        client::{Held, Mode},
        kube_proxy::{self, Rule},
        layout::{Family, Frontend, POD1, POD2, POD3},
        manifest::Service,
        wait::{PATIENCE, until},
    },
    probe::Answers,
};

use crate::support::world;

/// The rules lead to a pod of the node; svclb knows one of the other node as well.
const LOCAL: u8 = 161;
/// The other way round.
const REMOTE: u8 = 162;

const RULES: [Rule; 2] = [Rule { service: LOCAL, pod: POD2 }, Rule { service: REMOTE, pod: POD3 }];

/// How a connection is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tcp,
    /// A datagram socket that names its destination each time.
    Unconnected,
    Connected,
}

const KINDS: [Kind; 3] = [Kind::Tcp, Kind::Unconnected, Kind::Connected];

/// A connection that is there before the other proxy is.
struct Line {
    what: String,
    held: Held,
    /// What its backend has said first: who it is, and whom it sees.
    said: Answers,
    /// Whether it is silent until the end.
    is_idle: bool,
}

impl Line {
    fn open(world: &World, place: Place, kind: Kind, rule: Rule, family: Family) -> anyhow::Result<Self> {
        let frontend = if place == Place::Outside { Frontend::NodePort } else { Frontend::ClusterIp };
        let to = frontend.of(rule.service, family);
        let what = format!("{kind:?} from {place:?} to {to}");
        let mut held = match kind {
            Kind::Tcp => world.hold(place, to)?,
            Kind::Unconnected => world.hold_udp(place, to)?,
            Kind::Connected => world.hold_connected(place, to)?,
        };
        let said = held.ask().with_context(|| what.clone())?;
        ensure!(said.answered() == 1 && said.failed() == 0, "{what}: {said:?}");
        let is_idle = kind == Kind::Tcp && family == Family::V6;
        Ok(Self { what, held, said, is_idle })
    }

    fn goes_on(&mut self, when: &str) -> anyhow::Result<()> {
        let now = self.held.ask().with_context(|| format!("{} {when}", self.what))?;
        ensure!(now == self.said, "{} {when}: {:?}, then {now:?}", self.what, self.said);
        Ok(())
    }
}

/// One of each kind, from everywhere, to both Services. The pod that a rule leads to calls itself as well.
fn lines(world: &World, is_one: impl Fn(Place, Kind) -> bool) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for family in Family::ALL {
        for rule in RULES {
            for place in [Place::Pod(POD1), Place::Host, Place::Outside, Place::Pod(POD2)] {
                for kind in KINDS.into_iter().filter(|kind| is_one(place, *kind)) {
                    lines.push(Line::open(world, place, kind, rule, family)?);
                }
            }
        }
    }
    Ok(lines)
}

/// All of them, or those that are never silent.
fn all_go_on(lines: &mut [Line], is_last: bool, when: &str) -> anyhow::Result<()> {
    lines.iter_mut().filter(|line| is_last || !line.is_idle).try_for_each(|line| line.goes_on(when))
}

fn publish(world: &World) -> anyhow::Result<()> {
    world.publish(&Service::new("local", LOCAL, &[POD2, POD3]))?;
    world.publish(&Service::new("remote", REMOTE, &[POD2, POD3]))
}

/// Both pods answer new connections, by TCP and UDP, which rules do not do.
fn new_ones_are_svclbs(world: &World) -> anyhow::Result<()> {
    for (place, frontend) in [
        (Place::Pod(POD1), Frontend::ClusterIp),
        (Place::Host, Frontend::ClusterIp),
        (Place::Outside, Frontend::NodePort),
    ] {
        for mode in [Mode::Tcp, Mode::Udp] {
            let answers = world.ask(place, mode, frontend.of(LOCAL, Family::V4), 40)?;
            let pods: Vec<_> = answers.pods.keys().map(String::as_str).collect();
            ensure!(
                answers.failed() == 0 && pods == [POD2.name, POD3.name],
                "{mode:?} from {place:?}: {answers:?}"
            );
        }
    }
    Ok(())
}

fn has_own_table(world: &World) -> anyhow::Result<bool> {
    let tables = world.must_run(&["nft", "list", "tables"], &[])?;
    Ok(tables.lines().any(|line| line.ends_with(" svclb")))
}

/// Sets for how many seconds the first node's stack remembers something.
fn remember(world: &World, settings: &[(&str, u32)]) -> anyhow::Result<()> {
    settings.iter().try_for_each(|(name, seconds)| {
        let setting = format!("net.netfilter.nf_conntrack_{name}={seconds}");
        world.must_run(&["sysctl", "-q", "-w"], &[&setting]).map(drop)
    })
}

/// Long enough for the slowest machine to start an agent.
const LONG: [(&str, u32); 2] = [("udp_timeout", 900), ("udp_timeout_stream", 900)];

fn takes_over(world: &World, mode: kube_proxy::Mode, flags: &[&str]) -> anyhow::Result<()> {
    publish(world)?;
    remember(world, &LONG)?;
    world.put_rules(mode, &RULES)?;
    let mut lines = lines(world, |_, _| true)?;
    for line in &lines {
        let pod = if line.what.contains(&LOCAL.to_string()) { POD2 } else { POD3 };
        ensure!(line.said.pods.contains_key(pod.name), "{}: {:?}", line.what, line.said);
    }

    let agent = Agent::start(world, flags)?;
    let log = || agent.log().text();
    all_go_on(&mut lines, false, "beside the rules").with_context(log)?;
    if flags != ["--socket-lb", "off"] {
        new_ones_are_svclbs(world).context("beside the rules").with_context(log)?;
    }
    ensure!(log().contains("rules are still there"), "{}", log());
    ensure!(has_own_table(world)?, "nothing keeps the kernel's NAT going");

    world.remove_rules(mode)?;
    all_go_on(&mut lines, true, "without the rules").with_context(log)?;
    all_go_on(&mut lines, true, "a second time").with_context(log)?;
    new_ones_are_svclbs(world).context("without the rules").with_context(log)?;

    ensure!(agent.terminate()?.success());
    let agent = Agent::start(world, flags)?;
    all_go_on(&mut lines, true, "after a restart").with_context(|| agent.log().text())?;
    drop(lines);
    new_ones_are_svclbs(world)
}

#[test]
fn connections_of_iptables_rules_go_on() -> anyhow::Result<()> {
    world(|world| takes_over(world, kube_proxy::Mode::Iptables, &["--socket-lb", "all"]))
}

#[test]
fn connections_of_nftables_rules_go_on() -> anyhow::Result<()> {
    world(|world| takes_over(world, kube_proxy::Mode::Nftables, &["--socket-lb", "all"]))
}

#[test]
fn connections_of_rules_go_on_under_per_packet_translation() -> anyhow::Result<()> {
    world(|world| takes_over(world, kube_proxy::Mode::Nftables, &["--socket-lb", "off"]))
}

/// What was taken over ends, and nothing of it is left.
#[test]
fn flows_that_were_taken_over_are_forgotten_when_they_end() -> anyhow::Result<()> {
    world(|world| {
        publish(world)?;
        world.put_rules(kube_proxy::Mode::Nftables, &RULES)?;
        remember(world, &LONG)?;
        let to = Frontend::ClusterIp.of(LOCAL, Family::V4);
        let mut datagrams = [
            world.hold_udp(Place::Pod(POD1), to)?,
            world.hold_udp(Place::Host, to)?,
            world.hold_connected(Place::Pod(POD1), to)?,
        ];
        let mut connection = world.hold(Place::Pod(POD1), to)?;
        for held in datagrams.iter_mut().chain([&mut connection]) {
            ensure!(held.ask()?.pods.contains_key(POD2.name), "the rules lead nowhere");
        }
        let agent = Agent::start(world, &[])?;
        world.remove_rules(kube_proxy::Mode::Nftables)?;
        let short = ["udp_timeout", "udp_timeout_stream", "tcp_timeout_time_wait", "tcp_timeout_last_ack"]
            .map(|name| (name, 8));
        remember(world, &short)?;
        for held in datagrams.iter_mut().chain([&mut connection]) {
            ensure!(held.ask()?.pods.contains_key(POD2.name), "{}", agent.log().text());
        }
        drop(connection);
        until("the end of all of them", PATIENCE * 6, || Ok((!has_own_table(world)?).then_some(())))
            .with_context(|| agent.log().text())?;
        for held in &mut datagrams {
            let answers = held.ask()?;
            ensure!(answers.answered() == 1, "{answers:?}\n{}", agent.log().text());
        }
        Ok(())
    })
}

fn hands_over(world: &World, mode: kube_proxy::Mode, flags: &[&str]) -> anyhow::Result<()> {
    publish(world)?;
    let agent = Agent::start(world, flags)?;
    // What was translated at a socket goes on by itself, unless each datagram names its destination.
    let at_socket = |place| flags == ["--socket-lb", "all"] && place != Place::Outside;
    // What the node sends packet by packet meets the rules before svclb does.
    let is_left_out = |place| place == Place::Host && flags == ["--socket-lb", "off"];
    let mut lines =
        lines(world, |place, kind| !is_left_out(place) && (kind != Kind::Unconnected || !at_socket(place)))?;
    world.put_rules(mode, &RULES)?;
    all_go_on(&mut lines, false, "beside new rules")?;

    ensure!(agent.terminate()?.success());
    let cleanup = world.svclb(&["cleanup", "--handover"])?;
    let told = format!("{cleanup:?}");
    ensure!(cleanup.status.success() && told.contains("flows are handed over"), "{told}");
    ensure!(world.pinned()?.is_empty() && !has_own_table(world)?, "something is left: {told}");
    // Nobody names the frontend any more to who asks for the other end of a socket that was translated.
    for line in &mut lines {
        let now = line.held.ask()?;
        let (now, said) = ((now.lines, now.errors), (line.said.lines.clone(), line.said.errors.clone()));
        ensure!(now == said, "{} under the rules: {said:?}, then {now:?}\n{told}", line.what);
    }
    for rule in RULES {
        for (place, frontend) in
            [(Place::Pod(POD1), Frontend::ClusterIp), (Place::Outside, Frontend::NodePort)]
        {
            let answers = world.ask(place, Mode::Tcp, frontend.of(rule.service, Family::V4), 20)?;
            ensure!(answers.pods.keys().eq([rule.pod.name]), "{place:?}: {answers:?}");
        }
    }
    Ok(())
}

#[test]
fn connections_go_on_under_iptables_rules() -> anyhow::Result<()> {
    world(|world| hands_over(world, kube_proxy::Mode::Iptables, &["--socket-lb", "off"]))
}

#[test]
fn connections_go_on_under_nftables_rules() -> anyhow::Result<()> {
    world(|world| hands_over(world, kube_proxy::Mode::Nftables, &["--socket-lb", "all"]))
}
