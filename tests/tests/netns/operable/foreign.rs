//! Another program drops packets before svclb's sees them.

use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::ensure;
use nix::net::if_::if_nametoindex;
use svclb::sys::{
    link::{self, Side},
    program::{self, Instruction, Kind},
};
use svclb_tests::netns::{
    Agent, World,
    layout::{NODE1, POD2, UPLINK},
    manifest::Service,
};

use crate::support::world;

/// `TC_ACT_SHOT` (`linux/pkt_cls.h`), `TC_ACT_UNSPEC`, and `XDP_PASS` (`linux/bpf.h`).
const SHOT: i32 = 2;
const UNSPEC: i32 = -1;
const XDP_PASS: i32 = 2;

/// Attaches a program that answers so to each packet, in front of all others, as long as it is held.
fn foreign(world: &World, kind: Kind, answer: i32) -> anyhow::Result<OwnedFd> {
    world.namespace(NODE1.name).run(move || {
        let verdict = [Instruction::Put(0, answer), Instruction::Exit];
        let program = program::load(kind, "somebody_elses", &verdict)?;
        let ifindex = if_nametoindex(UPLINK)?;
        anyhow::Ok(match kind {
            Kind::Classifier => link::attach_tcx(program.as_fd(), ifindex, Side::Ingress, None)?,
            Kind::Xdp => link::attach_xdp(program.as_fd(), ifindex, false)?,
        })
    })?
}

#[test]
fn a_program_that_drops_is_named_with_its_device() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("web", 31, &[POD2]))?;
        let _agent = Agent::start(world, &[])?;
        super::healthy(world)?;
        let dropping = foreign(world, Kind::Classifier, SHOT)?;
        for family in ["IPv4", "IPv6"] {
            let (problem, status) =
                super::problem(world, "was not translated", &format!("{UPLINK} ingress ({family})"))?;
            ensure!(problem.what.contains("somebody_elses") && !status.healthy, "{problem:?}");
        }
        let text = super::screen(world)?;
        ensure!(text.starts_with("NOT HEALTHY") && text.contains("somebody_elses"), "{text}");
        let output = world.svclb(&["check"])?;
        let text = String::from_utf8(output.stdout)?;
        ensure!(text.lines().any(|line| line.contains("somebody_elses") && line.contains(UPLINK)), "{text}");
        drop(dropping);
        let status = super::healthy(world)?;
        ensure!(status.problems.is_empty(), "{:?}", status.problems);
        Ok(())
    })
}

#[test]
fn a_program_that_lets_pass_is_a_warning() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("web", 32, &[POD2]))?;
        let _agent = Agent::start(world, &["--xdp", "off"])?;
        for (kind, answer) in [(Kind::Classifier, UNSPEC), (Kind::Xdp, XDP_PASS)] {
            let _passing = foreign(world, kind, answer)?;
            let (problem, status) = super::problem(world, "may drop them", UPLINK)?;
            ensure!(problem.severity == "warning" && problem.what.contains("somebody_elses"), "{problem:?}");
            ensure!(status.healthy, "{status:?}");
        }
        Ok(())
    })
}
