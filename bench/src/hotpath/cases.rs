//! Everything that is measured: the floor, and svclb's paths.

use anyhow::{Context as _, ensure};
use svclb_tests::{
    packet::judge,
    prog::{
        figures::stacks,
        lab::{
            Hook::{self, PodEgress, PodIngress, UplinkEgress, UplinkIngress, UplinkXdp},
            Lab,
        },
        node::Node,
    },
};

use crate::{
    case::{
        Case, Family, Figures,
        Flows::{self, Many, New, One},
        Medium,
    },
    frame::{SYN, between, first, with_flags},
    world::{Ends, INTO, OUT_OF, THROUGH, World},
    wrapper::{Wrapper, check_restored, figures},
};

/// `enum xdp_action` and `TC_ACT_*` (linux/bpf.h, `linux/pkt_cls.h`).
const XDP_PASS: i32 = 2;
const XDP_TX: i32 = 3;
const TC_OK: i32 = 0;
const TC_UNSPEC: i32 = -1;
const TC_REDIRECT: i32 = 7;

/// A verdict behind the wrapper, and nothing else.
const VERDICT: &str = "xdp: verdict";
const VERDICT_MANY: &str = "xdp: verdict, 64k flows";
const VERDICT_NEW: &str = "xdp: verdict, new flows";
const VERDICT_GROWN: &str = "xdp: verdict, room made";
const VERDICT_TC: &str = "tc: verdict";

/// What paths are measured by.
const FLOOR: &str = "xdp: floor";
const FLOOR_MANY: &str = "xdp: floor, 64k flows";
const FLOOR_NEW: &str = "xdp: floor, new flows";
const FLOOR_TC: &str = "tc: floor";
/// The same with the kernel's routes.
pub(crate) const ROUTED: &str = "xdp: floor with bpf_fib_lookup";

/// How many flows are made before packets of new ones are counted: more than any table holds.
const FILL: u32 = 400_000;

/// A build of the datapath's object.
pub(crate) struct Build {
    /// Behind the path's name, if it is not the only one.
    pub(crate) label: String,
    pub(crate) object: Vec<u8>,
}

/// All cases that have `only` in their path and all that they are compared with, with their tables filled.
pub(crate) fn all<'n>(
    wrapper: &mut Wrapper,
    node: &'n Node,
    builds: &[Build],
    only: &str,
) -> anyhow::Result<(Vec<Case>, Vec<World<'n>>)> {
    let mut cases = Vec::new();
    for family in Family::BOTH {
        floors(&mut cases, wrapper, node, family)?;
    }
    let mut worlds = Vec::new();
    for build in builds {
        let mut world = World::new(node, &build.object)?;
        for family in Family::BOTH {
            paths(&mut cases, wrapper, &mut world, build, (family, only)).with_context(|| family.name())?;
        }
        worlds.push(world);
    }
    keep(&mut cases, only);
    // The tables go when their world does.
    Ok((cases, worlds))
}

/// A program of the bench's own: path, program, flows, base, floor.
type Own = (&'static str, &'static str, Flows, Option<&'static str>, Option<&'static str>);

const OWN: &[Own] = &[
    (VERDICT, "verdict_xdp", One, None, None),
    (VERDICT_MANY, "verdict_xdp", Many, None, None),
    (VERDICT_NEW, "verdict_xdp", New, None, None),
    (VERDICT_GROWN, "grow", One, None, None),
    (VERDICT_TC, "verdict_tc", One, None, None),
    ("xdp: parse", "parse_xdp", One, Some(VERDICT), Some(FLOOR)),
    ("xdp: parse, service", "service_xdp", One, Some(VERDICT), Some(FLOOR)),
    ("xdp: parse, call", "call_xdp", One, Some(VERDICT), Some(FLOOR)),
    ("xdp: parse, coarse clock", "coarse_clock_xdp", One, Some(VERDICT), Some(FLOOR)),
    ("xdp: parse, jiffies", "jiffies_xdp", One, Some(VERDICT), Some(FLOOR)),
    ("xdp: parse, counter", "counter_xdp", One, Some(VERDICT), Some(FLOOR)),
    (FLOOR, "floor_xdp", One, Some(VERDICT), Some(FLOOR)),
    (ROUTED, "route_xdp", One, Some(VERDICT), Some(FLOOR)),
    (FLOOR_MANY, "floor_xdp", Many, Some(VERDICT_MANY), Some(FLOOR_MANY)),
    ("xdp: floor with bpf_fib_lookup, 64k flows", "route_xdp", Many, Some(VERDICT_MANY), Some(FLOOR_MANY)),
    (FLOOR_NEW, "new_xdp", New, Some(VERDICT_NEW), Some(FLOOR_NEW)),
    ("xdp: floor, new flows, both directions", "new_pair_xdp", New, Some(VERDICT_NEW), Some(FLOOR_NEW)),
    ("tc: parse", "parse_tc", One, Some(VERDICT_TC), Some(FLOOR_TC)),
    ("tc: parse, service", "service_tc", One, Some(VERDICT_TC), Some(FLOOR_TC)),
    ("tc: parse, l4_csum_replace", "l4_csum_replace_tc", One, Some(VERDICT_TC), Some(FLOOR_TC)),
    (FLOOR_TC, "floor_tc", One, Some(VERDICT_TC), Some(FLOOR_TC)),
];

fn floors(cases: &mut Vec<Case>, wrapper: &mut Wrapper, node: &Node, family: Family) -> anyhow::Result<()> {
    let ends = Ends::of(family);
    let frame = between(ends.client, ends.node_port)?;
    for &(path, program, flows, base, floor) in OWN {
        let program = match (program, family) {
            ("grow", Family::V4) => "grow20_xdp",
            ("grow", Family::V6) => "grow40_xdp",
            _ => program,
        };
        let is_tc = program.ends_with("_tc");
        let frame = if flows == New { with_flags(family, &frame, SYN) } else { frame.clone() };
        let (program, figures) = wrapper.program(program)?;
        let case = Case {
            path: path.to_owned(),
            family,
            medium: if is_tc { Medium::Tc } else { Medium::Xdp },
            flows,
            program,
            figures,
            ifindex: node.index(UplinkXdp.device()),
            frame,
            verdict: if is_tc { TC_OK } else { XDP_TX },
            base,
            floor,
            goal: None,
        };
        if path == FLOOR {
            let (learn, _) = wrapper.program("learn_xdp")?;
            let many = Case { flows: Many, frame: case.frame.clone(), program: learn, ..like(&case)? };
            wrapper.run(&many, crate::case::MANY, 0, 1)?;
        }
        if flows == New && base.is_some() {
            wrapper.run(&case, FILL, 0, 1)?;
        }
        check_restored(wrapper, &case)?;
        cases.push(case);
    }
    Ok(())
}

/// Another case of the same kind.
fn like(case: &Case) -> anyhow::Result<Case> {
    Ok(Case {
        path: case.path.clone(),
        program: case.program.try_clone()?,
        frame: case.frame.clone(),
        ..*case
    })
}

/// The tables that a path is measured on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Snat,
    Dsr,
    Fresh,
}

/// A path of svclb's.
struct Path {
    name: &'static str,
    hook: Hook,
    frame: Vec<u8>,
    flows: Flows,
    verdict: i32,
    goal: Option<f64>,
}

fn paths(
    cases: &mut Vec<Case>,
    wrapper: &mut Wrapper,
    world: &mut World<'_>,
    build: &Build,
    (family, only): (Family, &str),
) -> anyhow::Result<()> {
    let ends = Ends::of(family);
    let outside = between(ends.client, ends.node_port)?;
    world.connect_one_way(family, &outside)?;
    let answer = world.connect(family, THROUGH, &outside)?;
    let inside = between(ends.client, ends.local_port)?;
    let inside_answer = world.connect(family, INTO, &inside)?;
    let pod = between(ends.pod, ends.cluster_ip)?;
    let pod_answer = world.connect(family, OUT_OF, &pod)?;
    let syn = with_flags(family, &outside, SYN);
    let (syn_to_pod, syn_from_pod) = (first(ends.far_pod, ends.pod)?, first(ends.pod, ends.far_pod)?);
    let to_pod = between(ends.far_pod, ends.pod)?;
    let from_pod = between(ends.pod, ends.far_pod)?;
    let to_process = between(ends.client, ends.process)?;

    let path = |name, hook, frame: &[u8], flows, verdict, goal| Path {
        name,
        hook,
        frame: frame.to_vec(),
        flows,
        verdict,
        goal,
    };
    let snat = [
        path("uplink_xdp: node port, snat", UplinkXdp, &outside, One, XDP_TX, Some(1.0)),
        path("uplink_xdp: node port, snat, answer", UplinkXdp, &answer, One, XDP_TX, Some(1.0)),
        path("uplink_xdp: node port, snat, 64k flows", UplinkXdp, &outside, Many, XDP_TX, Some(1.1)),
        path("uplink_xdp: node port, snat, new flows", UplinkXdp, &syn, New, XDP_TX, Some(1.2)),
        path("uplink_xdp: no Service's, to a pod", UplinkXdp, &to_pod, One, XDP_PASS, Some(0.8)),
        path("uplink_xdp: no Service's, to the node", UplinkXdp, &to_process, One, XDP_PASS, Some(0.8)),
        path("pod_ingress: pod to ClusterIP", PodIngress, &pod, One, TC_UNSPEC, Some(1.1)),
        path("pod_egress: pod to ClusterIP, answer", PodEgress, &pod_answer, One, TC_UNSPEC, Some(1.1)),
        path("uplink_ingress: node port, backend here", UplinkIngress, &inside, One, TC_UNSPEC, None),
        path("uplink_egress: node port, answer", UplinkEgress, &inside_answer, One, TC_UNSPEC, None),
        path("uplink_ingress: node port, snat", UplinkIngress, &outside, One, TC_REDIRECT, None),
        path("pod_ingress: no Service's", PodIngress, &from_pod, One, TC_UNSPEC, Some(0.8)),
        path("pod_egress: no Service's", PodEgress, &to_pod, One, TC_UNSPEC, Some(0.8)),
        path("uplink_ingress: no Service's", UplinkIngress, &to_pod, One, TC_UNSPEC, Some(0.8)),
        path("uplink_egress: no Service's", UplinkEgress, &from_pod, One, TC_UNSPEC, Some(0.8)),
    ];
    let dsr = [
        path("uplink_xdp: node port, dsr", UplinkXdp, &outside, One, XDP_TX, Some(1.2)),
        path("uplink_xdp: node port, dsr, 64k flows", UplinkXdp, &outside, Many, XDP_TX, None),
    ];
    let fresh = [
        path("pod_ingress: no Service's, SYN", PodIngress, &syn_from_pod, One, TC_UNSPEC, None),
        path("pod_egress: no Service's, SYN", PodEgress, &syn_to_pod, One, TC_UNSPEC, None),
    ];
    let stacks = stacks(&build.object)?;
    let mut has_many = [false; 2];
    let all = snat.into_iter().map(|path| (Kind::Snat, path)).chain(dsr.map(|path| (Kind::Dsr, path)));
    for (kind, path) in all.chain(fresh.map(|path| (Kind::Fresh, path))) {
        let lab_is_dsr = kind == Kind::Dsr;
        if !path.name.contains(only) {
            continue;
        }
        if path.flows == Many && !std::mem::replace(&mut has_many[usize::from(lab_is_dsr)], true) {
            eprintln!("hotpath: making {} flows of {}", crate::case::MANY, family.name());
            if lab_is_dsr {
                world.connect_many_one_way(family, &outside)?;
            } else {
                world.connect_many(family, &outside)?;
            }
        }
        let ifindex = world.node.index(path.hook.device());
        let World { node, snat, dsr, fresh } = &mut *world;
        let lab = match kind {
            Kind::Snat => snat,
            Kind::Dsr => dsr,
            Kind::Fresh => fresh,
        };
        let stack = stacks.get(path.hook.program()).copied().unwrap_or_default();
        let mut case = case(lab, family, ifindex, stack, &path, lab_is_dsr)?;
        case.path.push_str(&build.label);
        if path.flows == New {
            wrapper.run(&case, FILL, 0, 1)?;
        }
        let ran = check_restored(wrapper, &case)?;
        if path.flows != New {
            // Without the wrapper as with it.
            let (_, alone) = lab.run(node, path.hook, &case.frame)?;
            ensure!(ran.frame == alone, "{}: the wrapper makes a difference", path.name);
        }
        if path.flows != New {
            judge(&ran.frame).map_err(anyhow::Error::msg).with_context(|| case.path.clone())?;
        }
        cases.push(case);
    }
    Ok(())
}

fn case(
    lab: &mut Lab,
    family: Family,
    ifindex: u32,
    stack: u32,
    path: &Path,
    is_grown: bool,
) -> anyhow::Result<Case> {
    let loaded = lab.load(path.hook)?;
    let is_frame = path.hook == UplinkXdp;
    let figures: Figures = figures(&loaded.info, stack)?;
    let (base, floor) = match (is_frame, path.flows) {
        (false, _) => (VERDICT_TC, FLOOR_TC),
        (true, One) if is_grown => (VERDICT_GROWN, FLOOR),
        (true, One) => (VERDICT, FLOOR),
        (true, Many) => (VERDICT_MANY, FLOOR_MANY),
        (true, New) => (VERDICT_NEW, FLOOR_NEW),
    };
    Ok(Case {
        path: path.name.to_owned(),
        family,
        medium: if is_frame { Medium::Xdp } else { Medium::Tc },
        flows: path.flows,
        program: loaded.program,
        figures,
        ifindex,
        frame: path.frame.clone(),
        verdict: path.verdict,
        base: Some(base),
        floor: Some(floor),
        goal: path.goal,
    })
}

/// Keeps the cases that have `text` in their path, and all that they are compared with.
fn keep(cases: &mut Vec<Case>, text: &str) {
    let mut paths: Vec<String> = [VERDICT, FLOOR, ROUTED].map(str::to_owned).into();
    for case in cases.iter().filter(|case| case.path.contains(text)) {
        let floor = cases.iter().find(|floor| Some(&*floor.path) == case.floor);
        let others = case.base.into_iter().chain(case.floor).chain(floor.and_then(|floor| floor.base));
        paths.push(case.path.clone());
        paths.extend(others.map(str::to_owned));
    }
    cases.retain(|case| paths.contains(&case.path));
}
