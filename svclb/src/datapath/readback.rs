//! What the maps hold: for an agent that takes them over, and for reports.

use std::collections::BTreeMap;

use svclb_common::{
    cell::Word32,
    layout::map,
    service::{
        BACKEND_FREE, BACKEND_LOCAL, BACKEND_TERMINATING, BackendHead, FrontendKind, List, Slab,
        node_port_index,
    },
    wire::Transport,
};

use super::{
    Error,
    family::MapFamily,
    tables::{FamilyTables, Tables, read_error, text},
};
use crate::{
    model::{Protocol, ServicePortKey},
    plan::{BackendEntry, BackendFlags, BackendKey, FrontendEntry, FrontendKey, Raw, RawTables},
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
    let services = tables
        .services
        .iter()
        .map(|(id, cell)| (id, (cell.slab(List::Cluster), cell.capacities[List::Cluster as usize].load())))
        .filter(|(_, entry)| *entry != (Slab::default(), 0))
        .collect::<BTreeMap<_, _>>();
    let used =
        services.values().map(|(slab, capacity)| slab.base.saturating_add(*capacity)).max().unwrap_or(0);
    let slots =
        (0..used.min(tables.slots.len())).filter_map(|index| Some(tables.slots.get(index)?.load())).collect();
    Ok(RawTables {
        frontends: frontends(tables)?,
        services,
        names: names(tables)?,
        slots,
        backends: backends(tables),
    })
}

fn protocol(number: u8) -> Option<Protocol> {
    [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].into_iter().find(|protocol| protocol.number() == number)
}

fn frontends<F: MapFamily>(tables: &FamilyTables<F>) -> Result<BTreeMap<FrontendKey, FrontendEntry>, Error> {
    let mut found = BTreeMap::new();
    for item in &tables.frontends {
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
                namespace: text(&name.namespace),
                name: text(&name.name),
                port_name: text(&name.port_name),
                protocol,
                family: F::MODEL,
            };
            found.insert(id, key);
        }
    }
    Ok(found)
}

fn backends<F: MapFamily>(tables: &FamilyTables<F>) -> BTreeMap<u32, BackendEntry> {
    let entry = |cell: &svclb_common::service::BackendCell<F::Addr>| {
        let head = BackendHead::unpack(cell.head.load());
        let protocol = protocol(head.proto).filter(|_| head.flags & BACKEND_FREE == 0)?;
        let key = BackendKey { address: cell.addr.load().into(), port: u16::from_be(head.port), protocol };
        let flags = BackendFlags {
            local: head.flags & BACKEND_LOCAL != 0,
            terminating: head.flags & BACKEND_TERMINATING != 0,
            node: cell.node.load(),
        };
        Some(BackendEntry { key, flags })
    };
    tables.backends.iter().filter_map(|(id, cell)| Some((id, entry(cell)?))).collect()
}
