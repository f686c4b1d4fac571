//! Fixtures: their files, and running them. `bpf-fixtures/README.md` explains the format.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use svclb_common::{
    client::ANY_DEVICE,
    config::{
        DSR_GUE, DSR_TCP, DSR_UDP, DatapathConfig, MASQUERADE_ALL, MASQUERADE_COMPAT, MOVES,
        NODE_PORT_LOOPBACK_V4, NODE_PORT_LOOPBACK_V6, SocketMode, VIP_ECHO,
    },
    event::Event,
    service::Traffic,
    verdict::DropReason,
};
use svclb_tests::packet::{Packet, differences, judge};

use crate::{
    aside::BESIDE,
    cidr::{self, Cidr},
    lab::{Flows, Hook, Lab, Verdict},
    node::{Device, Node},
    tables::{Services, Written},
    way::Way,
};

/// A file of fixtures.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Theme {
    /// What the cases have in common; for readers.
    #[serde(rename = "about")]
    _about: String,
    /// The services of all cases.
    #[serde(default)]
    services: Services,
    /// Settings of all cases.
    #[serde(default)]
    settings: Settings,
    cases: Vec<Case>,
}

/// A story: packets one after the other, over tables that begin without flows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    steps: Vec<Step>,
}

/// Settings of the programs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    /// The one port for source translation, so that a fixture can name it.
    snat_port: Option<u16>,
    /// Whether host processes are translated at their sockets, not per packet.
    host_sockets: bool,
    /// Who answers outside clients when the backend is on another node: `dsr`, `dsr-gue`, `hybrid`;
    /// else this node.
    external_mode: Option<String>,
    /// Whether flows to `ClusterIP`s get the node's address as their source.
    masquerade_all: bool,
    /// Whether `ClusterIP`s answer to echo.
    vip_echo: bool,
    /// Whether node ports do not answer on loopback addresses.
    no_loopback_node_ports: bool,
    /// Whether clients are masqueraded wherever kube-proxy does it.
    masquerade_compat: bool,
    /// The pods' addresses, at most one range per family.
    cluster_cidrs: Vec<Cidr>,
    /// The device behind which pods are, instead of by their addresses.
    pod_device: Option<Device>,
    /// The node's addresses that node ports answer on; all of them unless told.
    node_port_addresses: Option<Vec<IpAddr>>,
    /// The prefix of all `ClusterIP`s, at most one range per family.
    cluster_ips: Vec<Cidr>,
    /// Ranges of `ClusterIP`s.
    service_cidrs: Vec<Cidr>,
}

/// A packet and what becomes of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// Changes of the tables before the packet comes.
    #[serde(default)]
    before: Change,
    /// The program.
    at: Hook,
    /// Another device than the program's usual one.
    #[serde(rename = "on")]
    device: Option<Device>,
    #[serde(rename = "in")]
    packet: String,
    verdict: Verdict,
    /// What leaves the program; not for packets that it drops.
    out: Option<String>,
    /// The drop or refusal that is counted and reported; without it none may be.
    reason: Option<Reported>,
    /// Entries of established flows after the packet.
    established: Option<usize>,
    /// Entries of other flows after the packet.
    half_open: Option<usize>,
    /// States of all flows after the packet, as reports name them.
    states: Option<Vec<String>>,
    /// Traffic since the case began, by service.
    #[serde(default)]
    traffic: BTreeMap<String, Counted>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Change {
    /// New lists of backends, by service.
    serve: BTreeMap<String, Vec<String>>,
    /// Backends whose cells are given up.
    retire: Vec<SocketAddr>,
    /// Services that have taken all the new flows that they take for long.
    spend: Vec<String>,
    /// Services whose slots are made to name nothing.
    break_slots: Vec<String>,
    /// Seconds by which clients that come back come later.
    later: u64,
    /// Seconds by which the last packet of every flow is longer ago.
    idle: u64,
}

/// `<reason>`, or `<reason> as <source> > <destination>` where the report names another
/// tuple than the packet had.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Reported {
    reason: DropReason,
    ends: Option<(SocketAddr, SocketAddr)>,
}

impl TryFrom<String> for Reported {
    type Error = anyhow::Error;

    fn try_from(text: String) -> anyhow::Result<Self> {
        let (label, ends) =
            text.split_once(" as ").map_or((&text[..], None), |(label, ends)| (label, Some(ends)));
        let reason =
            DropReason::ALL.iter().find(|reason| reason.as_str() == label).context("no such reason")?;
        let ends = ends.map(|ends| {
            let (src, dst) = ends.split_once(" > ").context("no ` > ` between source and destination")?;
            anyhow::Ok((src.parse()?, dst.parse()?))
        });
        Ok(Self { reason: *reason, ends: ends.transpose()? })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counted {
    flows: u64,
    packets: u64,
    bytes: u64,
}

/// Room for a few Maglev tables.
const SLOTS: u32 = 4096;

/// The folder of the fixtures.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../bpf-fixtures")
}

/// Runs every case of a theme; the error tells of all that fail.
pub(crate) fn run(theme: &str, way: Way) -> anyhow::Result<()> {
    let path = folder().join(format!("{theme}.yaml"));
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let theme: Theme = serde_saphyr::from_str(&text).with_context(|| path.display().to_string())?;
    ensure!(!theme.cases.is_empty(), "{} has no cases", path.display());
    let node = Node::new()?;
    let mut config = theme.settings.config();
    if way == Way::WhileMoving {
        config.flags |= MOVES;
    }
    let sizes = [("SLOTS_V4", SLOTS), ("SLOTS_V6", SLOTS)];
    let mut lab = Lab::new(config, &[&sizes[..], &BESIDE].concat())?;
    theme.settings.detect(&mut lab, &node)?;
    cidr::write(&mut lab, &theme.settings.cluster_ips, &theme.settings.service_cidrs)?;
    let failures: Vec<String> = theme
        .cases
        .iter()
        .filter_map(|case| {
            let error = case.run(&node, &mut lab, &theme, way).err()?;
            Some(format!("{}: {}: {error:#}", path.file_name()?.display(), case.name))
        })
        .collect();
    ensure!(
        failures.is_empty(),
        "{} of {} cases failed\n\n{}",
        failures.len(),
        theme.cases.len(),
        failures.join("\n\n")
    );
    Ok(())
}

impl Settings {
    fn config(&self) -> DatapathConfig {
        let mut config = DatapathConfig::PER_PACKET;
        if let Some(port) = self.snat_port {
            (config.snat_port_min, config.snat_port_max) = (port, port);
        }
        if self.host_sockets {
            config.socket_mode = SocketMode::Host as u32;
        }
        config.flags |= match self.external_mode.as_deref() {
            None => 0,
            Some("dsr") => DSR_TCP | DSR_UDP,
            Some("dsr-gue") => DSR_TCP | DSR_UDP | DSR_GUE,
            Some("hybrid") => DSR_TCP,
            Some(other) => panic!("no external mode {other}"),
        };
        if self.masquerade_all {
            config.flags |= MASQUERADE_ALL;
        }
        if self.vip_echo {
            config.flags |= VIP_ECHO;
        }
        if self.no_loopback_node_ports {
            config.flags &= !(NODE_PORT_LOOPBACK_V4 | NODE_PORT_LOOPBACK_V6);
        }
        if self.masquerade_compat {
            config.flags |= MASQUERADE_COMPAT;
        }
        config
    }

    /// Says who is a local pod: by address, or whoever is behind a device.
    fn detect(&self, lab: &mut Lab, node: &Node) -> anyhow::Result<()> {
        self.cluster_cidrs.iter().try_for_each(|cidr| cidr.detect(lab, ANY_DEVICE))?;
        if let Some(device) = self.pod_device {
            for (everybody, nobody) in [("0.0.0.0/0", "0.0.0.0/32"), ("::/0", "::/128")] {
                Cidr::try_from(everybody.to_owned())?.detect(lab, node.index(device))?;
                Cidr::try_from(nobody.to_owned())?.detect(lab, ANY_DEVICE)?;
            }
        }
        Ok(())
    }
}

impl Case {
    fn run(&self, node: &Node, lab: &mut Lab, theme: &Theme, way: Way) -> anyhow::Result<()> {
        lab.forget()?;
        let node_ports = &theme.settings.node_port_addresses;
        let has_node_ports = |ip| node_ports.as_ref().is_none_or(|ips| ips.contains(&ip));
        let mut written = Written::new(lab, node, &theme.services, has_node_ports)?;
        for (at, step) in self.steps.iter().enumerate() {
            step.run(node, lab, &mut written, way).with_context(|| format!("step {}", at + 1))?;
        }
        Ok(())
    }
}

impl Step {
    fn run(&self, node: &Node, lab: &mut Lab, written: &mut Written, way: Way) -> anyhow::Result<()> {
        self.before.apply(lab, written)?;
        let before = lab.drops()?;
        let packet: Packet = self.packet.parse()?;
        let ifindex = node.index(self.device.unwrap_or(self.at.device()));
        // What comes from a wire has its checksum.
        let front =
            way == Way::WithXdp && self.at == Hook::UplinkIngress && ifindex == node.index(Device::Uplink);
        if way == Way::WhileMoving {
            lab.set_aside()?;
        }
        let (verdict, frame) = if front && !self.packet.contains("check=partial") {
            lab.run_both(ifindex, &packet.frame())?
        } else {
            lab.run_on(ifindex, self.at, &packet.frame())?
        };
        if way == Way::WhileMoving {
            lab.bring_back()?;
        }
        ensure!(verdict == self.verdict, "verdict {verdict:?} instead of {:?}", self.verdict);
        self.check_frame(&packet, &frame)?;
        self.check_reports(lab, &packet, ifindex, &before)?;
        self.check_tables(lab, written, packet.src.is_ipv4())
    }

    /// Compares every byte, so also those that must not change.
    fn check_frame(&self, packet: &Packet, frame: &[u8]) -> anyhow::Result<()> {
        let Some(out) = &self.out else {
            ensure!(self.verdict == Verdict::Drop, "the fixture must say what comes out");
            return Ok(());
        };
        ensure!(self.verdict != Verdict::Drop, "nothing comes out of a drop");
        let expected = packet.then(out)?;
        let bytes = expected.frame();
        ensure!(bytes == frame, "another frame\n{}", differences(&bytes, frame));
        if expected.ethertype.is_none() && expected.is_checked() {
            judge(frame).map_err(anyhow::Error::msg)?;
        }
        Ok(())
    }

    fn check_reports(
        &self,
        lab: &mut Lab,
        packet: &Packet,
        ifindex: u32,
        before: &[(DropReason, u64)],
    ) -> anyhow::Result<()> {
        for ((reason, now), (_, before)) in lab.drops()?.into_iter().zip(before) {
            let expected = u64::from(self.reason.as_ref().is_some_and(|reported| reported.reason == reason));
            ensure!(now - before == expected, "{} was counted {} times", reason.as_str(), now - before);
        }
        // What a packet shows of its flow is no drop.
        let events: Vec<_> =
            lab.events()?.into_iter().filter(|event| DropReason::of(event.reason).is_some()).collect();
        match (&self.reason, &events[..]) {
            (None, []) => Ok(()),
            (Some(reported), [event]) => reported.check(event, packet, ifindex),
            (_, events) => bail!("{} events", events.len()),
        }
    }

    fn check_tables(&self, lab: &mut Lab, written: &Written, is_v4: bool) -> anyhow::Result<()> {
        let Flows { established, half_open } = lab.flows()?;
        if let Some(expected) = self.established {
            ensure!(established == expected, "{established} established entries instead of {expected}");
        }
        if let Some(expected) = self.half_open {
            ensure!(half_open == expected, "{half_open} half-open entries instead of {expected}");
        }
        if let Some(expected) = &self.states {
            let states = lab.states()?;
            ensure!(
                states.iter().map(|state| state.as_str()).eq(expected),
                "{states:?} instead of {expected:?}"
            );
        }
        for (name, expected) in &self.traffic {
            let Traffic { flows, packets, bytes } = lab.traffic(is_v4, written.service(name)?)?;
            let counted = Counted { flows, packets, bytes };
            ensure!(counted == *expected, "{name}: {counted:?} instead of {expected:?}");
        }
        Ok(())
    }
}

impl Reported {
    fn check(&self, event: &Event, packet: &Packet, ifindex: u32) -> anyhow::Result<()> {
        ensure!(event.reason == self.reason as u32, "an event of reason {}", event.reason);
        ensure!(event.ifindex == ifindex, "an event of device {}", event.ifindex);
        let (src, dst) = self.ends.unwrap_or((packet.source(), packet.destination()));
        let port = u16::from_be;
        let found = ((event.src, port(event.sport)), (event.dst, port(event.dport)));
        let wide = |end: SocketAddr| (wide(end), end.port());
        ensure!(found == (wide(src), wide(dst)), "an event of {found:?} instead of {src} > {dst}");
        ensure!(event.time != 0, "an event without a time");
        Ok(())
    }
}

/// An address as events hold it.
fn wide(end: SocketAddr) -> [u8; 16] {
    match end {
        SocketAddr::V4(end) => {
            let [a, b, c, d] = end.ip().octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        SocketAddr::V6(end) => end.ip().octets(),
    }
}

impl Change {
    fn apply(&self, lab: &mut Lab, written: &mut Written) -> anyhow::Result<()> {
        for (name, backends) in &self.serve {
            written.serve(lab, name, backends)?;
        }
        if self.later != 0 {
            lab.age_affinities(self.later)?;
        }
        if self.idle != 0 {
            lab.age_flows(self.idle)?;
        }
        for backend in &self.retire {
            written.retire(lab, *backend)?;
        }
        self.spend.iter().try_for_each(|name| written.spend(lab, name, u64::MAX / 2))?;
        self.break_slots.iter().try_for_each(|name| written.break_slots(lab, name))
    }
}
