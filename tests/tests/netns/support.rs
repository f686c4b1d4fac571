//! What all tests of this ring begin with.

use svclb_tests::netns::{self, World, ground::Ground, world::PodNetwork};

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

/// Runs a test in a world on a ground that is not the usual one.
pub(crate) fn world_on(
    adapt: impl FnOnce(&mut Ground) -> anyhow::Result<()>,
    body: impl FnOnce(&mut World) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    netns::test(PROBE, |mut ground| {
        adapt(&mut ground)?;
        body(&mut World::build(ground, PodNetwork::PointToPoint)?)
    })
}
