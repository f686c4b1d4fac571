//! A table of flows is full.

use anyhow::ensure;
use svclb_tests::netns::{
    Agent,
    flood::Flood,
    layout::{CLIENT, Family, Frontend, POD2},
    manifest::Service,
};

use crate::support::world;

const SERVICE: u8 = 36;

#[test]
fn a_full_table_is_named_with_its_size() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("flooded", SERVICE, &[POD2]))?;
        let _agent = Agent::start(world, &["--max-flows", "65536", "--socket-lb", "off"])?;
        super::healthy(world)?;
        let target = Frontend::LoadBalancer.of(SERVICE, Family::V4);
        Flood::Syns.start(world.namespace(CLIENT.name), target, 50_000)?.finish()?;
        let (problem, _) = super::problem(world, "half-open flows is full", "HALF_OPEN_V4")?;
        ensure!(problem.what.contains(" of "), "{problem:?}");
        Ok(())
    })
}
