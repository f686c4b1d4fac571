//! `loadBalancerSourceRanges`: who may use load balancer addresses, and nothing else.

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{CLIENT, Family, Frontend, NODE1, POD1, POD2, POD3},
    manifest::Service,
    wait::{PROMISE, until},
};

use crate::support::world;

const SERVICE: u8 = 100;

fn ranged(ranges: &str) -> Service {
    Service::new("ranged", SERVICE, &[POD2, POD3]).spec(&format!("loadBalancerSourceRanges: {ranges}"))
}

fn admits(world: &World, place: Place, family: Family) -> anyhow::Result<bool> {
    let answers = world.ask(place, Mode::Tcp, Frontend::LoadBalancer.of(SERVICE, family), 1)?;
    ensure!(!answers.errors.contains_key("ECONNREFUSED"), "refused instead of dropped: {answers:?}");
    Ok(answers.answered() == 1)
}

fn ranges(world: &World, socket_lb: &str) -> anyhow::Result<()> {
    let own = |machine: &svclb_tests::netns::layout::Machine| {
        format!("[\" {}/32 \", \"{}/128\"]", machine.v4, machine.v6)
    };
    // Who is admitted: the ranges, then the pod, the host, the outside client.
    let table = [
        (own(&CLIENT), [false, false, true]),
        (own(&POD1), [true, false, false]),
        (own(&NODE1), [false, true, false]),
        ("[\"0.0.0.0/0\", \"::/0\"]".into(), [true, true, true]),
        (own(&CLIENT), [false, false, true]),
    ];
    world.publish(&ranged(&table[0].0))?;
    let node = format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{ name: node1 }}\nstatus:\n  addresses: [{{ type: InternalIP, \
         address: \"{}\" }}, {{ type: InternalIP, address: \"{}\" }}]\n",
        NODE1.v4, NODE1.v6
    );
    world.publish_text("node.yaml", &node)?;
    let _agent = Agent::start(world, &["--socket-lb", socket_lb])?;
    let mut before = table[0].1;
    for (ranges, wanted) in table {
        world.publish(&ranged(&ranges))?;
        let places = [Place::Pod(POD1), Place::Host, Place::Outside];
        // Only a place that is treated otherwise than before shows that the ranges are in force. Both families: each
        // is written by itself.
        let changed =
            places.iter().zip(before.iter().zip(wanted)).find(|(_, (before, wanted))| *before != wanted);
        if let Some((place, (_, wanted))) = changed {
            for family in Family::ALL {
                // One that is dropped takes its time to be noticed.
                until("the ranges in force", PROMISE * 10, || {
                    Ok((admits(world, *place, family)? == wanted).then_some(()))
                })?;
            }
        }
        before = wanted;
        for (place, wanted) in places.into_iter().zip(wanted) {
            for family in Family::ALL {
                let admitted = admits(world, place, family)?;
                ensure!(admitted == wanted, "{ranges} {place:?} {family:?}: admitted {admitted}");
                // Every other frontend is open to everybody.
                for frontend in [Frontend::NodePort, Frontend::ExternalIp] {
                    let answers = world.ask(place, Mode::Tcp, frontend.of(SERVICE, family), 1)?;
                    ensure!(answers.answered() == 1, "{ranges} {place:?} {frontend:?}: {answers:?}");
                }
            }
        }
    }
    ensure!(world.drops("source_range")? > 0, "the drops are not counted");
    Ok(())
}

#[test]
fn ranges_bind_packets() -> anyhow::Result<()> {
    world(|world| ranges(world, "off"))
}

#[test]
fn ranges_bind_sockets() -> anyhow::Result<()> {
    world(|world| ranges(world, "all"))
}
