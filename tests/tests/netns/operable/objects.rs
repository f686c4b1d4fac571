//! Objects that cannot be implemented as they are.

use anyhow::ensure;
use svclb_tests::netns::{Agent, layout::POD2, manifest::Service};

use crate::support::world;

#[test]
fn objects_and_files_that_cannot_be_taken_are_named_with_the_field() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("first", 37, &[POD2]))?;
        let claim = Service::new("second", 38, &[POD2]).yaml();
        let first = svclb_tests::netns::layout::Frontend::ExternalIp;
        let family = svclb_tests::netns::layout::Family::V4;
        let claim =
            claim.replace(&first.of(38, family).ip().to_string(), &first.of(37, family).ip().to_string());
        world.publish_text("second.yaml", &claim)?;
        let _agent = Agent::start(world, &[])?;
        let (problem, status) = super::problem(world, "AddressConflict: spec.externalIPs", "second")?;
        ensure!(problem.severity == "warning" && status.healthy && problem.since.is_some(), "{status:?}");

        world.publish_text("third.yaml", "kind: [")?;
        let (problem, _) = super::problem(world, "a manifest cannot be read", "third.yaml")?;
        ensure!(problem.what.contains("third.yaml:"), "{problem:?}");
        Ok(())
    })
}
