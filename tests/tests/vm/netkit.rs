//! Pods behind netkit pairs (since Linux 6.7).

use anyhow::Context as _;
use rtnetlink::{LinkNetkit, packet_route::link::NetkitMode};
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{NODE1, POD1, POD2, POD3, POINT, UPLINK},
    manifest::Service,
};

use crate::support::{served, world};

const SERVICE: u8 = 41;

/// The node's end.
const DEVICE: &str = "netkit-pod1";

/// Makes a pair in the namespace of the node. Not every `ip` knows the kind.
fn pair(world: &World, mode: NetkitMode) -> anyhow::Result<()> {
    let made = world.namespace(NODE1.name).run(move || -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (connection, handle, _) = rtnetlink::new_connection()?;
            tokio::spawn(connection);
            Ok(handle.link().add(LinkNetkit::new(DEVICE, "other-end", mode).build()).execute().await?)
        })
    })?;
    made.context("cannot make a netkit pair")
}

/// Gives the first pod a netkit pair in place of its veth.
fn plug(world: &World, mode: NetkitMode) -> anyhow::Result<()> {
    world.ip(NODE1.name, "link del veth-pod1\n")?;
    pair(world, mode)?;
    let tid = world.namespace(POD1.name).tid();
    world.ip(
        NODE1.name,
        &format!(
            "link set other-end netns {tid} name {UPLINK}\n\
             link set {DEVICE} up\n\
             addr add {}/32 dev {DEVICE}\n\
             addr add {}/64 dev {DEVICE} nodad\n\
             route add {}/32 dev {DEVICE} src {}\n\
             route add {}/128 dev {DEVICE} src {}\n",
            POINT.v4, POINT.v6, POD1.v4, NODE1.v4, POD1.v6, NODE1.v6
        ),
    )?;
    world.ip(
        POD1.name,
        &format!(
            "link set {UPLINK} up\n\
             addr add {}/32 dev {UPLINK}\n\
             addr add {}/128 dev {UPLINK} nodad\n\
             route add {}/32 dev {UPLINK}\n\
             route add default via {} dev {UPLINK}\n\
             route add default via {} dev {UPLINK}\n",
            POD1.v4, POD1.v6, POINT.v4, POINT.v4, POINT.v6
        ),
    )
}

fn serves(mode: NetkitMode, flags: &[&str]) -> anyhow::Result<()> {
    world(|world| {
        plug(world, mode)?;
        world.publish(&Service::new("pairs", SERVICE, &[POD2]))?;
        let agent = Agent::start(world, flags)?;
        for backend in [POD2, POD3] {
            world.publish(&Service::new("pairs", SERVICE, &[backend]))?;
            served(world, &agent, Place::Pod(POD1), SERVICE, &Mode::ALL, &backend)?;
        }
        world.publish(&Service::new("pairs", SERVICE, &[POD1]))?;
        for place in [Place::Pod(POD1), Place::Pod(POD2), Place::Host, Place::Outside] {
            served(world, &agent, place, SERVICE, &Mode::ALL, &POD1)?;
        }
        Ok(())
    })
}

#[test]
fn a_pair_with_ethernet_is_a_pods_device() -> anyhow::Result<()> {
    serves(NetkitMode::L2, &["--socket-lb", "off"])
}

#[test]
fn a_pair_without_addresses_is_a_pods_device() -> anyhow::Result<()> {
    serves(NetkitMode::L3, &["--socket-lb", "off"])
}

#[test]
fn a_pair_takes_filters() -> anyhow::Result<()> {
    serves(NetkitMode::L2, &["--socket-lb", "off", "--tc", "clsact"])
}
