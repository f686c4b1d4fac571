//! What the maps hold: for an agent that takes them over, and for reports.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use svclb_common::{
    cell::Word32,
    layout::map,
    service::{
        BACKEND_FREE, BACKEND_LOCAL, BACKEND_TERMINATING, BackendHead, FrontendKind, List, Policy,
        ServiceCell, Slot, node_port_index,
    },
    wire::Transport,
};

use super::{
    Error,
    family::MapFamily,
    tables::{FamilyTables, Hash, Tables, read_error, text},
};
use crate::{
    model::{Protocol, ServicePortKey},
    plan::{
        BackendEntry, BackendFlags, BackendKey, CellEntry, FrontendEntry, FrontendKey, ListEntry, Raw,
        RawTables,
    },
};

/// Reads all maps that hold services.
pub fn read(tables: &Tables) -> Result<Raw, Error> {
    let nodes = tables
        .nodes
        .iter()
        .map(|item| item.map(|(id, name)| (id, text(&name.0))))
        .collect::<Result<_, _>>()
        .map_err(|error| read_error(map::NODES.into(), &error))?;
    Ok(Raw { nodes, v4: read_family(&tables.v4)?, v6: read_family(&tables.v6)? })
}

fn read_family<F: MapFamily>(tables: &FamilyTables<F>) -> Result<RawTables, Error> {
    let cells = tables.services.iter().map(|(id, cell)| (id, cell_entry(cell)));
    // The first cell is no service's; see `NODE_TAKES_OVER`.
    let services: BTreeMap<_, _> =
        cells.filter(|(id, cell)| *id != 0 && *cell != CellEntry::default()).collect();
    let lists = services.values().flat_map(|cell| &cell.lists);
    let used = lists.map(|list| list.slab.base.saturating_add(list.capacity)).max().unwrap_or(0);
    let slots = (0..used.min(tables.slots.len()))
        .filter_map(|index| Some(Slot::unpack(tables.slots.get(index)?.load())));
    let slots = slots.collect();
    Ok(RawTables {
        frontends: frontends(tables)?,
        services,
        names: names(tables)?,
        slots,
        backends: backends(tables),
        source_ranges: source_ranges(tables)?,
        cluster_ips: addresses::<F>(map::CLUSTER_IPS, &tables.cluster_ips)?,
        external_ips: addresses::<F>(map::EXTERNAL_IPS, &tables.external_ips)?,
    })
}

fn cell_entry(cell: &ServiceCell) -> CellEntry {
    let list =
        |list: List| ListEntry { slab: cell.slab(list), capacity: cell.capacities[list as usize].load() };
    CellEntry { lists: List::EACH.map(list), policy: Policy::unpack(cell.policy.load()) }
}

fn protocol(number: u8) -> Option<Protocol> {
    [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().find(|protocol| protocol.number() == number)
}

fn frontends<F: MapFamily>(tables: &FamilyTables<F>) -> Result<BTreeMap<FrontendKey, FrontendEntry>, Error> {
    let mut found = BTreeMap::new();
    for item in &tables.frontends.map {
        let (key, frontend) = item.map_err(|error| read_error(F::map(map::FRONTENDS), &error))?;
        if let (Some(protocol), Some(kind)) = (protocol(key.proto), FrontendKind::of(frontend.kind)) {
            let key = FrontendKey { address: Some(key.addr.into()), port: u16::from_be(key.port), protocol };
            found.insert(key, FrontendEntry { service: frontend.service, kind });
        }
    }
    for transport in Transport::ALL {
        for port in 1..=u16::MAX {
            let service =
                tables.node_ports.get(node_port_index(transport, port.to_be())).map_or(0, Word32::load);
            if let (1.., Some(protocol)) = (service, protocol(transport.number())) {
                let key = FrontendKey { address: None, port, protocol };
                found.insert(key, FrontendEntry { service, kind: FrontendKind::NodePort });
            }
        }
    }
    Ok(found)
}

fn names<F: MapFamily>(tables: &FamilyTables<F>) -> Result<BTreeMap<u32, ServicePortKey>, Error> {
    let mut found = BTreeMap::new();
    for item in &tables.names {
        let (id, name) = item.map_err(|error| read_error(F::map(map::NAMES), &error))?;
        if let Some(protocol) = u8::try_from(name.proto).ok().and_then(protocol) {
            let key = ServicePortKey {
                namespace: text(&name.namespace).into(),
                name: text(&name.name).into(),
                port_name: text(&name.port_name).into(),
                protocol,
                family: F::MODEL,
            };
            found.insert(id, key);
        }
    }
    Ok(found)
}

fn source_ranges<F: MapFamily>(tables: &FamilyTables<F>) -> Result<BTreeMap<u32, BTreeSet<IpNet>>, Error> {
    let mut found = BTreeMap::<_, BTreeSet<_>>::new();
    for item in tables.source_ranges.keys() {
        let key = item.map_err(|error| read_error(F::map(map::SOURCE_RANGES), &error))?;
        let data = key.data();
        // A prefix that ends within the service's number is no range.
        let len = key.prefix_len().checked_sub(u32::BITS).and_then(|len| u8::try_from(len).ok());
        if let Some(range) = len.and_then(|len| IpNet::new(data.addr.into(), len).ok()) {
            found.entry(data.service).or_default().insert(range.trunc());
        }
    }
    Ok(found)
}

fn addresses<F: MapFamily>(name: &str, set: &Hash<F::Addr, u32>) -> Result<BTreeSet<IpAddr>, Error> {
    let addresses = set.keys().map(|item| item.map(Into::into));
    addresses.collect::<Result<_, _>>().map_err(|error| read_error(F::map(name), &error))
}

fn backends<F: MapFamily>(tables: &FamilyTables<F>) -> BTreeMap<u32, BackendEntry> {
    let entry = |cell: &svclb_common::service::BackendCell<F::Addr>| {
        let head = BackendHead::unpack(cell.head.load());
        let protocol = protocol(head.proto).filter(|_| head.flags & BACKEND_FREE == 0)?;
        let (address, port) = (cell.addr.load().into(), u16::from_be(head.port));
        // Whose a UDP backend is follows from the slots.
        let key = BackendKey { address, port, protocol, owner: 0 };
        let flags = BackendFlags {
            local: head.flags & BACKEND_LOCAL != 0,
            terminating: head.flags & BACKEND_TERMINATING != 0,
            node: cell.node.load(),
        };
        Some(BackendEntry { key, flags })
    };
    tables.backends.iter().filter_map(|(id, cell)| Some((id, entry(cell)?))).collect()
}
