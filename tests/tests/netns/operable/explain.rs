//! `svclb explain` names the cause, and leaves no trace.

use std::{collections::BTreeMap, net::SocketAddr};

use anyhow::{Context as _, ensure};
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray};
use serde_json::Value;
use svclb::datapath::pins::Pins;
use svclb_common::{
    FlowRecord,
    family::Addr4,
    fragment::{FragmentHead, FragmentKey},
    key::{FlowKey, FrontendKey, SocketKey},
    layout::map,
    service::{Affinity, AffinityKey, Frontend as Kind, Load, Traffic},
    snat::{PortsKey, PortsMemory},
    socket::SocketPeer,
    wire::Transport,
};
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{CLIENT, Family, Frontend, Machine, NODE1, NODE2, POD1, POD2, POD3, POD4, UPLINK},
    manifest::{Service, State},
    wait::{PROMISE, until},
};

use crate::support::world;

const SERVICE: u8 = 190;

fn service(pods: &[Machine]) -> Service {
    Service::new("web", SERVICE, pods)
}

fn ask(world: &World, from: &Machine, to: SocketAddr, more: &[&str]) -> anyhow::Result<Value> {
    let family = if to.is_ipv4() { Family::V4 } else { Family::V6 };
    let (from, to) = (from.address(family).to_string(), to.to_string());
    let arguments = [&["explain", "--from", &from, "--to", &to, "-o", "json"], more].concat();
    let output = world.svclb(&arguments)?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).context("not the promised JSON")
}

/// What is asked, and what the answer must say: action, reason, words of the causes.
fn expect(
    world: &World,
    from: &Machine,
    to: SocketAddr,
    (action, reason, words): (&str, Option<&str>, &str),
) -> anyhow::Result<()> {
    until("the cause", PROMISE * 5, || {
        let told = ask(world, from, to, &[])?;
        let causes = told["causes"].to_string();
        let is_told = told["verdict"]["action"] == action
            && told["verdict"]["reason"].as_str() == reason
            && causes.contains(words);
        if !is_told {
            eprintln!("{from:?} {to}: {told:#}");
        }
        Ok(is_told.then_some(()))
    })
    .with_context(|| format!("{} to {to}: {action} {reason:?} {words}", from.name))?;
    Ok(())
}

/// Both families.
fn expect_each(
    world: &World,
    from: &Machine,
    frontend: Frontend,
    wanted: (&str, Option<&str>, &str),
) -> anyhow::Result<()> {
    Family::ALL.into_iter().try_for_each(|family| expect(world, from, frontend.of(SERVICE, family), wanted))
}

#[test]
fn nobody_serves() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&service(&[]))?;
        let _agent = Agent::start(world, &[])?;
        let none = ("refused", Some("no_backend"), "Service default/web has no endpoints");
        expect_each(world, &POD1, Frontend::ClusterIp, none)?;
        expect(world, &NODE1, Frontend::ClusterIp.of(SERVICE, Family::V4), none)?;
        world.publish(&service(&[]).endpoint(POD2, State::NotReady).endpoint(POD3, State::NotReady))?;
        let unready = ("refused", Some("no_backend"), "has 2 endpoints and none is ready");
        expect_each(world, &POD1, Frontend::ClusterIp, unready)?;
        expect_each(world, &CLIENT, Frontend::LoadBalancer, unready)
    })
}

#[test]
fn the_policy_is_local_and_nobody_is_here() -> anyhow::Result<()> {
    world(|world| {
        let local = "internalTrafficPolicy: Local";
        world.publish(&service(&[POD3, POD4]).spec(local).spec("externalTrafficPolicy: Local"))?;
        let _agent = Agent::start(world, &[])?;
        let told = |field: &str| {
            format!(
                "{field} of Service default/web is Local, and its endpoints are all on other nodes: node2 (2)"
            )
        };
        let dropped = Some("no_local_backend");
        expect_each(world, &POD1, Frontend::ClusterIp, ("dropped", dropped, &told("internalTrafficPolicy")))?;
        expect_each(
            world,
            &CLIENT,
            Frontend::LoadBalancer,
            ("dropped", dropped, &told("externalTrafficPolicy")),
        )
    })
}

#[test]
fn source_ranges_shut_the_client_out() -> anyhow::Result<()> {
    world(|world| {
        world.publish(
            &service(&[POD2]).spec("loadBalancerSourceRanges: [\"198.51.100.0/28\", \"2001:db8:9::/64\"]"),
        )?;
        let _agent = Agent::start(world, &[])?;
        let dropped = Some("source_range");
        for (family, range) in [(Family::V4, "198.51.100.0/28"), (Family::V6, "2001:db8:9::/64")] {
            let words = format!("do not admit {}: {range}", CLIENT.address(family));
            expect(world, &CLIENT, Frontend::LoadBalancer.of(SERVICE, family), ("dropped", dropped, &words))?;
        }
        expect_each(world, &CLIENT, Frontend::ExternalIp, ("translated", None, ""))
    })
}

#[test]
fn node_ports_do_not_answer_there() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&service(&[POD2]))?;
        let _agent = Agent::start(
            world,
            &["--nodeport-addresses", "198.51.100.7/32", "--nodeport-addresses", "2001:db8:9::7/128"],
        )?;
        let words = "node ports do not answer on";
        expect_each(world, &CLIENT, Frontend::NodePort, ("passed", None, words))?;
        expect_each(world, &CLIENT, Frontend::NodePort, ("passed", None, "--nodeport-addresses"))
    })
}

#[test]
fn the_pod_has_opted_out() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&service(&[POD2]))?;
        let pod = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{ name: shy, namespace: default, uid: u-1, labels: {{ svclb.io/socket-lb: \"off\" }} }}\n\
             spec: {{ nodeName: node1 }}\nstatus: {{ phase: Running, podIPs: [{{ ip: {} }}, {{ ip: \"{}\" }}] }}\n",
            POD1.v4, POD1.v6
        );
        world.publish_text("pod.yaml", &pod)?;
        let _agent = Agent::start(world, &["--socket-lb", "all"])?;
        expect_each(
            world,
            &POD1,
            Frontend::ClusterIp,
            ("translated", None, "Pod default/shy has opted out"),
        )?;
        let told = ask(world, &POD1, Frontend::ClusterIp.of(SERVICE, Family::V4), &[])?;
        ensure!(told["verdict"]["to"] == format!("{}:8080", POD2.v4), "{told:#}");
        Ok(())
    })
}

#[test]
fn the_backends_node_is_dead() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&service(&[POD3]))?;
        let _agent = Agent::start(world, &[])?;
        let to = Frontend::ClusterIp.of(SERVICE, Family::V4);
        let told = ask(world, &POD1, to, &[])?;
        ensure!(
            told["verdict"]["action"] == "translated" && told["causes"] == serde_json::json!([]),
            "{told:#}"
        );
        world.ip(NODE2.name, &format!("link set {UPLINK} down\n"))?;
        world.ip(NODE1.name, "neigh flush all\n")?;
        let answers = world.ask(Place::Pod(POD1), Mode::Tcp, to, 1)?;
        ensure!(answers.failed() == 1, "{answers:?}");
        expect(world, &POD1, to, ("translated", None, "on node node2, which may be down: its next hop"))?;
        expect(world, &NODE1, to, ("translated", None, "does not answer"))
    })
}

#[test]
fn tables_and_api_disagree() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&service(&[POD2, POD3]))?;
        let _agent = Agent::start(world, &[])?;
        let to = Frontend::ClusterIp.of(SERVICE, Family::V4);
        let told = ask(world, &POD1, to, &[])?;
        ensure!(told["disagreements"] == serde_json::json!([]), "{told:#}");
        ensure!(told["steps"].to_string().contains("\"kind\":\"EndpointSlice\""), "{told:#}");
        let pins = Pins::new(world.bpffs(&NODE1));
        world.namespace(NODE1.name).run(move || {
            let pin = pins.map(&format!("{}_V4", map::FRONTENDS));
            let data = Map::HashMap(MapData::from_pin(pin)?);
            let mut frontends = HashMap::<_, FrontendKey<Addr4>, Kind>::try_from(data)?;
            let SocketAddr::V4(to) = to else { return Ok(()) };
            let key = FrontendKey::new(Addr4::from(*to.ip()), to.port().to_be(), Transport::Tcp);
            frontends.remove(&key).context("the frontend")
        })??;
        let told = ask(world, &POD1, to, &[])?;
        let line = format!("Service default/web: frontend ClusterIP {to}/TCP is missing in the tables");
        ensure!(told["disagreements"].to_string().contains(&line), "{told:#}");
        // Those of another frontend of the Service, whose own is in the tables.
        let told = ask(world, &CLIENT, Frontend::LoadBalancer.of(SERVICE, Family::V4), &[])?;
        ensure!(
            told["disagreements"].to_string().contains(&format!("frontend ClusterIP {to} is missing")),
            "{told:#}"
        );
        Ok(())
    })
}

type Dump = BTreeMap<String, Vec<(Vec<u8>, Vec<u8>)>>;

/// All that programs write of IPv4, byte for byte.
fn dump(world: &World) -> anyhow::Result<Dump> {
    let pins = Pins::new(world.bpffs(&NODE1));
    world.namespace(NODE1.name).run(move || {
        const FLOW: (usize, usize) = (size_of::<FlowKey<Addr4>>(), size_of::<FlowRecord<Addr4>>());
        const SOCKET: (usize, usize) = (size_of::<SocketKey<Addr4>>(), size_of::<SocketPeer<Addr4>>());
        const CLIENT: (usize, usize) = (size_of::<AffinityKey<Addr4>>(), size_of::<Affinity>());
        const PART: (usize, usize) = (size_of::<FragmentKey<Addr4>>(), size_of::<FragmentHead>());
        const SEARCH: (usize, usize) = (size_of::<PortsKey<Addr4>>(), size_of::<PortsMemory>());
        let mut dump = Dump::new();
        hash::<{ FLOW.0 }, { FLOW.1 }>(&pins, map::FLOWS, &mut dump)?;
        hash::<{ FLOW.0 }, { FLOW.1 }>(&pins, map::HALF_OPEN, &mut dump)?;
        hash::<{ SOCKET.0 }, { SOCKET.1 }>(&pins, map::SOCKETS, &mut dump)?;
        hash::<{ CLIENT.0 }, { CLIENT.1 }>(&pins, map::AFFINITIES, &mut dump)?;
        hash::<{ PART.0 }, { PART.1 }>(&pins, map::FRAGMENTS, &mut dump)?;
        hash::<{ SEARCH.0 }, { SEARCH.1 }>(&pins, map::SEARCHES, &mut dump)?;
        array::<{ size_of::<u64>() }>(&pins, map::ACTIVE, &mut dump)?;
        per_cpu::<{ size_of::<Traffic>() }>(&format!("{}_V4", map::TRAFFIC), &pins, &mut dump)?;
        per_cpu::<{ size_of::<Load>() }>(map::LOADS, &pins, &mut dump)?;
        per_cpu::<8>(map::DROPS, &pins, &mut dump)?;
        anyhow::Ok(dump)
    })?
}

fn open(pins: &Pins, name: &str) -> anyhow::Result<MapData> {
    Ok(MapData::from_pin(pins.map(&format!("{name}_V4")))?)
}

fn array<const V: usize>(pins: &Pins, name: &str, dump: &mut Dump) -> anyhow::Result<()> {
    let array = Array::<_, [u8; V]>::try_from(Map::Array(open(pins, name)?))?;
    let values = array.iter().map(|value| anyhow::Ok((Vec::new(), value?.into())));
    dump.insert(name.into(), values.collect::<Result<_, _>>()?);
    Ok(())
}

fn hash<const K: usize, const V: usize>(pins: &Pins, name: &str, dump: &mut Dump) -> anyhow::Result<()> {
    let table = HashMap::<_, [u8; K], [u8; V]>::try_from(Map::LruHashMap(open(pins, name)?))?;
    let mut entries = table
        .iter()
        .map(|item| item.map(|(key, value)| (key.into(), value.into())))
        .collect::<Result<Vec<_>, _>>()?;
    entries.sort();
    dump.insert(name.into(), entries);
    Ok(())
}

fn per_cpu<const V: usize>(name: &str, pins: &Pins, dump: &mut Dump) -> anyhow::Result<()> {
    let array = PerCpuArray::<_, [u8; V]>::try_from(Map::PerCpuArray(MapData::from_pin(pins.map(name))?))?;
    // What is counted of the first cells, which are given out first.
    let values =
        (0..array.len().min(64)).map(|index| anyhow::Ok((Vec::new(), array.get(&index, 0)?.concat())));
    dump.insert(name.into(), values.collect::<Result<_, _>>()?);
    Ok(())
}

#[test]
fn nothing_of_it_is_left() -> anyhow::Result<()> {
    world(|world| {
        let sticky = "sessionAffinity: ClientIP";
        world
            .publish(&service(&[POD2, POD3]).spec(sticky).annotation("svclb.io/algorithm", "round-robin"))?;
        world.publish(&Service::new("void", SERVICE + 1, &[]))?;
        let agent = Agent::start(world, &["--socket-lb", "off"])?;
        let seen = Frontend::ClusterIp.of(SERVICE, Family::V4);
        for place in [Place::Pod(POD1), Place::Outside] {
            let to = if matches!(place, Place::Outside) {
                Frontend::LoadBalancer.of(SERVICE, Family::V4)
            } else {
                seen
            };
            ensure!(world.ask(place, Mode::Tcp, to, 2)?.answered() == 2, "{place:?}");
        }
        // It forgets what is over, whoever looks.
        agent.kill()?;
        let mut last = dump(world)?;
        let mut same = 0;
        let (before, _) = until("packets that are all there", PROMISE * 60, || {
            let now = dump(world)?;
            same = if now == last { same + 1 } else { 0 };
            last.clone_from(&now);
            Ok((same > 2).then_some(now))
        })?;
        ensure!(before.values().map(Vec::len).sum::<usize>() > 4, "nothing to be changed");
        for (from, number, frontend) in [
            (POD1, SERVICE, Frontend::ClusterIp),
            (NODE1, SERVICE, Frontend::ClusterIp),
            (CLIENT, SERVICE, Frontend::LoadBalancer),
            (POD1, SERVICE + 1, Frontend::ClusterIp),
            (CLIENT, SERVICE + 1, Frontend::NodePort),
        ] {
            for protocol in ["tcp", "udp", "sctp"] {
                ask(world, &from, frontend.of(number, Family::V4), &["--protocol", protocol])?;
            }
        }
        let after = dump(world)?;
        for (name, entries) in &before {
            ensure!(after.get(name) == Some(entries), "{name} is not as it was");
        }
        Ok(())
    })
}
