//! What single cells say.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use crate::reference::{
    address::Range,
    expected::{ServedPort, Serving, Sources},
};

/// The words of a backend's cell: its address, then head, generation and node.
pub(super) trait Words: aya::Pod {
    /// The address, and the words behind it.
    fn decode(&self) -> (IpAddr, [u32; 3]);
}

impl Words for [u32; 4] {
    fn decode(&self) -> (IpAddr, [u32; 3]) {
        let [address, rest @ ..] = *self;
        (IpAddr::from(address.to_ne_bytes()), rest)
    }
}

impl Words for [u32; 7] {
    fn decode(&self) -> (IpAddr, [u32; 3]) {
        let [a, b, c, d, rest @ ..] = *self;
        let mut bytes = [0; 16];
        for (to, word) in bytes.chunks_mut(4).zip([a, b, c, d]) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        (IpAddr::from(bytes), rest)
    }
}

/// A backend as its cell says.
pub(super) struct Backend {
    pub(super) at: SocketAddr,
    pub(super) protocol: u8,
    pub(super) flags: u8,
    pub(super) node: u32,
}

/// Flags of a backend.
const HERE: u8 = 1;
pub(super) const LEAVING: u8 = 2;
pub(super) const FREE: u8 = 4;

/// What the words of a cell say.
pub(super) fn backend(cell: &impl Words) -> Backend {
    let (address, [head, _generation, node]) = cell.decode();
    let [port_high, port_low, protocol, flags] = head.to_le_bytes();
    let port = u16::from_be_bytes([port_high, port_low]);
    Backend { at: (address, port).into(), protocol, flags, node }
}

/// What the lists of one cell lead to.
pub(super) struct Lists<'a> {
    pub(super) served: ServedPort,
    pub(super) used: &'a mut BTreeSet<u32>,
    pub(super) used_nodes: &'a mut BTreeSet<u32>,
    pub(super) nodes: &'a BTreeMap<u32, String>,
    pub(super) faults: &'a mut Vec<String>,
}

impl Lists<'_> {
    /// Takes in what a slot of a list leads to.
    pub(super) fn take(&mut self, list: usize, backend: &Backend) {
        let at = backend.at;
        let node = self.nodes.get(&backend.node).cloned();
        if node.is_none() && backend.node != 0 {
            self.faults.push(format!("{at} is on node {}, which has no name", backend.node));
        }
        self.used_nodes.insert(backend.node);
        let is_new = match list {
            0 => self.served.cluster.insert(at),
            1 => self.served.local.insert(at),
            // Nobody selects from the third.
            _ => !self.served.serving.contains_key(&at),
        };
        if !is_new {
            self.faults
                .push(format!("{at} stands twice in list {list}, or is there for nothing but its flows"));
        }
        let serving =
            Serving { node, is_here: backend.flags & HERE != 0, is_ready: backend.flags & LEAVING == 0 };
        if let Some(other) = self.served.serving.insert(at, serving.clone())
            && other != serving
        {
            self.faults.push(format!("{at} is both {other:?} and {serving:?}"));
        }
    }
}

/// Takes in the word of a policy, and the ranges of its cell.
pub(super) fn read_policy(
    policy: u64,
    ranges: BTreeSet<Range>,
    port: &mut ServedPort,
    faults: &mut Vec<String>,
) {
    let has = |flag: u64| policy & flag != 0;
    port.affinity = (policy >> 32) as u32;
    [port.internal_local, port.external_local, port.has_any] = [has(1), has(2), has(4)];
    let (is_restricted, admits_node) = (has(8), has(16));
    if !is_restricted && (admits_node || !ranges.is_empty()) {
        faults.push(format!("source ranges that do not bind: {ranges:?}"));
    }
    port.sources = is_restricted.then_some(Sources { ranges, admits_node });
}
