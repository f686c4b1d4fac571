//! The node, its Services, and the flows that are there before anything is measured.

use std::{
    fmt::Write as _,
    io::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process::{Command, Stdio},
};

use anyhow::{Context as _, ensure};
use svclb_common::{
    config::{DSR_TCP, DatapathConfig, SocketMode},
    layout::capacity,
};
use svclb_tests::prog::{
    lab::{Hook, Lab, Verdict},
    node::Node,
    tables::{Services, Written},
};

use crate::{
    case::{Family, MANY},
    frame::{ACK, SYN, answer, between, ends, of_client, with_flags},
    wrapper::DEVICES,
};

/// Backends of the Service that is measured, all on another node. Each port of ours is used towards each of them once,
/// so that one backend alone could not take all flows.
const BACKENDS: u16 = 64;

/// Ends of flows, by family.
pub(crate) struct Ends {
    /// Outside.
    pub(crate) client: SocketAddr,
    /// A pod of this node.
    pub(crate) pod: SocketAddr,
    /// A pod of another node.
    pub(crate) far_pod: SocketAddr,
    /// Port of this node that leads to pods of another one.
    pub(crate) node_port: SocketAddr,
    /// Port of this node that leads to a pod here.
    pub(crate) local_port: SocketAddr,
    pub(crate) cluster_ip: SocketAddr,
    /// A process of this node that is no Service.
    pub(crate) process: SocketAddr,
}

impl Ends {
    pub(crate) fn of(family: Family) -> Self {
        let ip = |v4: [u8; 4], v6: [u16; 8]| match family {
            Family::V4 => IpAddr::from(Ipv4Addr::from(v4)),
            Family::V6 => IpAddr::from(Ipv6Addr::from(v6)),
        };
        let node = ip([192, 0, 2, 1], [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]);
        Self {
            client: (ip([100, 64, 0, 0], [0x2001, 0xdb8, 0x8000, 0, 0, 0, 0, 7]), 50000).into(),
            pod: (ip([10, 244, 1, 77], [0xfd00, 0x244, 1, 0, 0, 0, 0, 0x77]), 8080).into(),
            far_pod: (ip([10, 244, 2, 200], [0xfd00, 0x244, 2, 0, 0, 0, 0, 0x200]), 40000).into(),
            node_port: (node, 30080).into(),
            local_port: (node, 30081).into(),
            cluster_ip: (ip([10, 96, 0, 10], [0xfd00, 0x96, 0, 0, 0, 0, 0, 0x10]), 80).into(),
            process: (node, 22).into(),
        }
    }
}

/// A backend of the Service that is measured, by number.
fn backend(family: Family, number: u16) -> SocketAddr {
    let ip = match family {
        Family::V4 => IpAddr::from([10, 244, 2, number as u8 + 1]),
        Family::V6 => IpAddr::from([0xfd00, 0x244, 2, 0, 0, 0, 0, number + 1]),
    };
    (ip, 8080).into()
}

/// All backends of the Service that is measured.
pub(crate) fn backends(family: Family) -> impl Iterator<Item = SocketAddr> {
    (0..BACKENDS).map(move |number| backend(family, number))
}

/// The Services, as fixtures write them.
fn services() -> anyhow::Result<Services> {
    let mut text = String::from("web:\n  frontends: [node-port ipv4:30080/tcp, node-port ipv6:30080/tcp");
    for family in Family::BOTH {
        write!(text, ", 'cluster-ip {}/tcp'", Ends::of(family).cluster_ip)?;
    }
    text.push_str("]\n  backends:\n");
    for family in Family::BOTH {
        for backend in backends(family) {
            writeln!(text, "    - '{backend}/tcp'")?;
        }
    }
    text.push_str("here:\n  frontends: [node-port ipv4:30081/tcp, node-port ipv6:30081/tcp]\n  backends:\n");
    for family in Family::BOTH {
        writeln!(text, "    - '{}/tcp local'", Ends::of(family).pod)?;
    }
    Ok(serde_saphyr::from_str(&text)?)
}

/// Moves the thread into a namespace of its own. What differs from the node of the tests: the way to the outside is
/// known, and there are devices for the wrappers.
pub(crate) fn node() -> anyhow::Result<Node> {
    let node = Node::new()?;
    let [first, second] = DEVICES;
    let lines = format!(
        "neigh add 192.0.2.254 lladdr 02:00:00:00:02:fe dev uplink\n\
         neigh add 2001:db8::fe lladdr 02:00:00:00:02:fe dev uplink\n\
         link add {first} type veth peer name {second}\n"
    );
    let mut ip = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().context("ip")?;
    ip.stdin.take().context("ip has no input")?.write_all(lines.as_bytes())?;
    ensure!(ip.wait()?.success(), "ip did not furnish the node");
    Ok(node)
}

/// The node and the programs on it, over tables of two kinds.
pub(crate) struct World<'n> {
    pub(crate) node: &'n Node,
    /// Both translations, as by default.
    pub(crate) snat: Lab,
    /// Packets to other nodes' backends travel in another one.
    pub(crate) dsr: Lab,
    /// Like the first, without flows. What is measured there would leave a mark of each new flow in the filters, and no
    /// collector is here that forgets them: what is no Service's meets none.
    pub(crate) fresh: Lab,
}

/// Where the packets of a flow pass.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) there: Hook,
    pub(crate) back: Hook,
}

/// From outside to another node and back.
pub(crate) const THROUGH: Way = Way { there: Hook::UplinkIngress, back: Hook::UplinkIngress };
/// From outside to a pod here and back.
pub(crate) const INTO: Way = Way { there: Hook::UplinkIngress, back: Hook::UplinkEgress };
/// From a pod to another node and back.
pub(crate) const OUT_OF: Way = Way { there: Hook::PodIngress, back: Hook::PodEgress };

impl<'n> World<'n> {
    /// Loads a build of the datapath's object.
    pub(crate) fn new(node: &'n Node, object: &[u8]) -> anyhow::Result<Self> {
        // Host processes are translated at their sockets, as by default.
        let socket_mode = SocketMode::Host as u32;
        let snat = DatapathConfig { socket_mode, ..DatapathConfig::PER_PACKET };
        let dsr = DatapathConfig { flags: snat.flags | DSR_TCP, ..snat };
        let [snat, dsr, fresh] = [snat, dsr, snat].map(|config| lab(node, object, config));
        Ok(Self { node, snat: snat?, dsr: dsr?, fresh: fresh? })
    }

    /// Says what was dropped: each pass looks at the verdict of its last packet only.
    pub(crate) fn tell_drops(&mut self) -> anyhow::Result<()> {
        for lab in [&mut self.snat, &mut self.dsr, &mut self.fresh] {
            for (reason, packets) in lab.drops()?.into_iter().filter(|(_, packets)| *packets != 0) {
                eprintln!("hotpath: {packets} packets dropped or refused: {reason:?}");
            }
        }
        Ok(())
    }

    /// Establishes a connection; returns a frame of its answers.
    pub(crate) fn connect(&mut self, family: Family, way: Way, frame: &[u8]) -> anyhow::Result<Vec<u8>> {
        let Self { node, snat, .. } = self;
        let run = |snat: &mut Lab, hook, frame: &[u8]| -> anyhow::Result<Vec<u8>> {
            let (verdict, out) = snat.run(node, hook, frame)?;
            ensure!(verdict != Verdict::Drop, "{hook:?} drops {:?}", ends(family, frame)?);
            Ok(out)
        };
        let there = run(snat, way.there, &with_flags(family, frame, SYN))?;
        ensure!(ends(family, &there)? != ends(family, frame)?, "{:?} is not translated", way.there);
        run(snat, way.back, &answer(family, &there, SYN | ACK))?;
        run(snat, way.there, frame)?;
        let [client, backend] = ends(family, &there)?;
        between(backend, client)
    }

    /// Establishes a connection whose answers do not come this way.
    pub(crate) fn connect_one_way(&mut self, family: Family, frame: &[u8]) -> anyhow::Result<()> {
        for flags in [SYN, ACK] {
            let frame = with_flags(family, frame, flags);
            let (verdict, _) = self.dsr.run(self.node, Hook::UplinkIngress, &frame)?;
            ensure!(verdict == Verdict::Redirect, "{verdict:?}");
        }
        Ok(())
    }

    /// Establishes the connections of [`Flows::Many`](crate::case::Flows::Many), client by client.
    pub(crate) fn connect_many(&mut self, family: Family, frame: &[u8]) -> anyhow::Result<()> {
        for bits in 0..MANY {
            self.connect(family, THROUGH, &of_client(frame, bits)).with_context(|| format!("flow {bits}"))?;
        }
        Ok(())
    }

    /// The same without answers.
    pub(crate) fn connect_many_one_way(&mut self, family: Family, frame: &[u8]) -> anyhow::Result<()> {
        (0..MANY).try_for_each(|bits| self.connect_one_way(family, &of_client(frame, bits)))
    }
}

fn lab(node: &Node, object: &[u8], config: DatapathConfig) -> anyhow::Result<Lab> {
    let sizes = [
        ("FLOWS", capacity::FLOWS),
        ("HALF_OPEN", capacity::HALF_OPEN),
        ("FRONTENDS", capacity::FRONTENDS),
        ("CLUSTER_IPS", capacity::FRONTENDS),
        ("LOCALS", capacity::LOCALS),
    ];
    let names: Vec<(String, u32)> = sizes
        .iter()
        .flat_map(|(name, size)| ["V4", "V6"].map(|family| (format!("{name}_{family}"), *size as u32)))
        .collect();
    let entries: Vec<(&str, u32)> = names.iter().map(|(name, size)| (name.as_str(), *size)).collect();
    let mut lab = Lab::of(object, config, &entries)?;
    Written::new(&mut lab, node, &services()?, |_ip| true)?;
    Ok(lab)
}
