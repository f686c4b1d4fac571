//! Programs of others on the same hooks: they stay, where they are, whenever they came.

use std::{
    fs::File,
    os::fd::{AsFd as _, OwnedFd},
};

use anyhow::{Context as _, ensure};
use aya::{
    Ebpf, EbpfLoader,
    programs::{CgroupSockAddr, SchedClassifier, TcAttachType},
};
use aya_obj::generated::bpf_attach_type::BPF_CGROUP_INET4_CONNECT;
use nix::net::if_::if_nametoindex;
use svclb::{
    datapath::object::{BYTECODE, Capacities, shapes},
    sys::link::{self, Side, Target},
};
use svclb_common::layout::map;
use svclb_tests::netns::{
    Agent, World,
    layout::{NODE1, POD2},
    manifest::Service,
};

use super::answers;
use crate::support::world;

const SERVICE: u8 = 163;

/// The device that they share with the agent.
const DEVICE: &str = "veth-pod1";

/// Somebody's program on both sides of the device and on the node's control group. It has tables of its own and nothing in
/// them, so that it lets everything pass.
struct Other {
    _programs: Ebpf,
    device: u32,
    links: [OwnedFd; 2],
    socket: OwnedFd,
}

impl Other {
    fn attach(world: &World) -> anyhow::Result<Self> {
        let cgroup = world.cgroup(NODE1.name);
        world.namespace(NODE1.name).run(move || {
            let mut loader = EbpfLoader::new();
            let shapes = shapes(&Capacities::new())?;
            let is_large = |name: &String, entries: u32| entries > 64 && *name != map::EVENTS;
            for (name, _) in shapes.iter().filter(|(name, shape)| is_large(name, shape.max_entries)) {
                loader.map_max_entries(name, 64);
            }
            let mut programs = loader.load(BYTECODE)?;
            let classifier: &mut SchedClassifier =
                programs.program_mut("pod_ingress").context("no program")?.try_into()?;
            classifier.load()?;
            let (device, index) = (classifier.info()?.id(), if_nametoindex(DEVICE)?);
            let attach =
                |side| link::attach_tcx(classifier.fd()?.as_fd(), index, side, None).context("a link");
            let links = [attach(Side::Ingress)?, attach(Side::Egress)?];
            let connect: &mut CgroupSockAddr =
                programs.program_mut("connect4").context("no program")?.try_into()?;
            connect.load()?;
            let group = File::open(cgroup)?;
            let socket = link::attach_cgroup(connect.fd()?.as_fd(), group.as_fd(), BPF_CGROUP_INET4_CONNECT)?;
            Ok(Self { _programs: programs, device, links, socket })
        })?
    }

    fn is_there(&self) -> anyhow::Result<bool> {
        let target = |link: &OwnedFd| link::info(link.as_fd()).map(|info| info.target);
        let on_device = |link| target(link).map(|target| matches!(target, Target::Device(Some(_))));
        let in_group = matches!(target(&self.socket)?, Target::Cgroup(id) if id != 0);
        Ok(on_device(&self.links[0])? && on_device(&self.links[1])? && in_group)
    }
}

/// The programs on either side of the device, in order: those of `others` by their place there.
fn order(world: &World, others: &[&Other]) -> anyhow::Result<[Vec<&'static str>; 2]> {
    let sides = world.namespace(NODE1.name).run(|| {
        [TcAttachType::Ingress, TcAttachType::Egress].map(|side| SchedClassifier::query_tcx(DEVICE, side))
    })?;
    let [ingress, egress] = sides;
    let names = |programs: Vec<aya::programs::ProgramInfo>| -> Vec<_> {
        let place = |id| others.iter().position(|other| other.device == id);
        programs
            .iter()
            .map(|program| place(program.id()).map_or("ours", |at| ["early", "late"][at]))
            .collect()
    };
    Ok([names(ingress?.1), names(egress?.1)])
}

#[test]
fn programs_of_others_stay_where_they_are() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("shared", SERVICE, &[POD2]))?;
        let early = Other::attach(world)?;
        let agent = Agent::start(world, &[])?;
        // Next to the pod: first of what comes from it, last of what goes to it.
        let found = order(world, &[&early])?;
        ensure!(found == [["ours", "early"], ["early", "ours"]], "{found:?}");
        let late = Other::attach(world)?;
        let with_both = [["late", "ours", "early"], ["early", "ours", "late"]];
        let others = [&early, &late];
        ensure!(order(world, &others)? == with_both, "{:?}", order(world, &others)?);
        answers(world, SERVICE, &[POD2])?;
        agent.kill()?;
        let next = Agent::start(world, &[])?;
        ensure!(order(world, &others)? == with_both, "after a restart: {:?}", order(world, &others)?);
        answers(world, SERVICE, &[POD2])?;
        ensure!(early.is_there()? && late.is_there()?, "after a restart");
        ensure!(next.terminate()?.success());
        ensure!(world.svclb(&["cleanup"])?.status.success());
        let left = order(world, &others)?;
        ensure!(left == [["late", "early"], ["early", "late"]], "after a cleanup: {left:?}");
        ensure!(early.is_there()? && late.is_there()?, "after a cleanup");
        Ok(())
    })
}

/// At clsact others have other priorities, and the queueing discipline may be theirs.
#[test]
fn filters_of_others_stay_across_a_restart() -> anyhow::Result<()> {
    const FLAGS: [&str; 4] = ["--tc", "clsact", "--socket-lb", "off"];
    world(|world| {
        world.publish(&Service::new("shared", SERVICE, &[POD2]))?;
        world.tc(&format!("qdisc add dev {DEVICE} clsact"))?;
        let add = |side: &str, priority: u8| {
            let match_all = "u32 match u32 0 0 classid 1:1";
            world.tc(&format!("filter add dev {DEVICE} {side} prio {priority} {match_all}"))
        };
        let theirs = |side: &str| -> anyhow::Result<Vec<String>> {
            let text = world.tc(&format!("filter show dev {DEVICE} {side}"))?;
            Ok(text.lines().filter(|line| line.contains("u32")).map(str::to_owned).collect())
        };
        add("ingress", 7)?;
        let agent = Agent::start(world, &FLAGS)?;
        add("egress", 9)?;
        let before = (theirs("ingress")?, theirs("egress")?);
        ensure!(!before.0.is_empty() && !before.1.is_empty(), "{before:?}");
        answers(world, SERVICE, &[POD2])?;
        agent.kill()?;
        let next = Agent::start(world, &FLAGS)?;
        answers(world, SERVICE, &[POD2])?;
        ensure!(next.terminate()?.success());
        ensure!(world.svclb(&["cleanup"])?.status.success());
        let after = (theirs("ingress")?, theirs("egress")?);
        ensure!(after == before, "was {before:?}, is {after:?}");
        Ok(())
    })
}
