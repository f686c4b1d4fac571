//! What all tests of this ring begin with.

use svclb_tests::netns::{self, World, world::PodNetwork};

/// The client's binary.
const PROBE: &str = env!("CARGO_BIN_EXE_svclb-probe");

/// Runs a test in a world of its own, whose pods are on a veth each.
pub(crate) fn world(body: impl FnOnce(&mut World) -> anyhow::Result<()>) -> anyhow::Result<()> {
    world_with(PodNetwork::PointToPoint, body)
}

/// Runs a test in a world of its own.
pub(crate) fn world_with(
    network: PodNetwork,
    body: impl FnOnce(&mut World) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    netns::test(PROBE, |ground| body(&mut World::build(ground, network)?))
}
