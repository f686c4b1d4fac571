//! From EndpointSlices to the backends of a Service port.

use std::{cmp::Reverse, collections::BTreeMap, net::IpAddr};

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};

use super::{
    Backend, BackendState, Family, Lists, Notice, ObjectKey, Protocol, ServicePortKey, parse_address,
};

const LABEL_SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The endpoints of headless Services, which nobody proxies.
const LABEL_HEADLESS: &str = "service.kubernetes.io/headless";

/// The Service that `slice` has endpoints for; `None` if it is to be ignored.
pub(super) fn owner(slice: &EndpointSlice) -> Option<ObjectKey> {
    let labels = slice.metadata.labels.as_ref()?;
    let name = labels.get(LABEL_SERVICE_NAME).filter(|name| !name.is_empty())?;
    let ObjectKey { namespace, .. } = ObjectKey::of(&slice.metadata);
    (!labels.contains_key(LABEL_HEADLESS)).then(|| ObjectKey { namespace, name: name.clone() })
}

/// What `port` is balanced over: the ready endpoints of all `slices` or, if there is none, those that still
/// serve while they terminate (kube-proxy's `CategorizeEndpoints`, cluster list without topology).
pub(super) fn backends(slices: &[&EndpointSlice], port: &ServicePortKey, node_name: &str) -> Vec<Backend> {
    let mut endpoints = BTreeMap::new();
    for candidate in slices.iter().flat_map(|slice| candidates(slice, port, node_name)) {
        // An endpoint may stand in two slices while it moves, and a new pod may already have the address of
        // one that still terminates.
        endpoints
            .entry((candidate.backend.address, candidate.backend.port))
            .and_modify(|known: &mut Candidate| {
                if candidate.rank() < known.rank() {
                    *known = candidate.clone();
                }
            })
            .or_insert(candidate);
    }
    let in_state = |state| endpoints.values().filter(move |known| known.backend.state == state);
    let active: Vec<_> = in_state(BackendState::Active).map(|known| known.backend.clone()).collect();
    if !active.is_empty() {
        return active;
    }
    let fallback = in_state(BackendState::Terminating).filter(|known| known.serving && known.terminating);
    fallback.map(|known| known.backend.clone()).collect()
}

/// An endpoint of one port, with the conditions that decide whether it is a backend. What is not ready has
/// the state `Terminating`, for nothing else that is not ready is ever used.
#[derive(Clone)]
struct Candidate {
    backend: Backend,
    serving: bool,
    terminating: bool,
}

impl Candidate {
    /// Which of two entries with one address and port counts: the lesser. That the one which does not
    /// terminate comes first is the rule; the rest makes the choice independent of the order of slices.
    fn rank(&self) -> (bool, BackendState, bool, bool, Reverse<&Option<String>>) {
        let Backend { state, local, ref node, .. } = self.backend;
        (self.terminating, state, !self.serving, !local, Reverse(node))
    }
}

fn candidates<'a>(
    slice: &'a EndpointSlice,
    port: &'a ServicePortKey,
    node_name: &'a str,
) -> impl Iterator<Item = Candidate> + 'a {
    let ports = if slice.address_type == port.family.as_str() { slice.ports.as_deref() } else { None };
    let numbers = ports.unwrap_or_default().iter().filter_map(move |entry| number(entry, port));
    numbers.flat_map(move |number| {
        let endpoints = slice.endpoints.iter();
        endpoints.filter_map(move |endpoint| {
            Some(candidate(endpoint, address(endpoint, port.family)?, number, node_name))
        })
    })
}

fn candidate(endpoint: &Endpoint, address: IpAddr, port: u16, node_name: &str) -> Candidate {
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    let ready = conditions.ready.unwrap_or(true);
    Candidate {
        backend: Backend {
            address,
            port,
            node: endpoint.node_name.clone(),
            local: endpoint.node_name.as_deref() == Some(node_name),
            state: if ready { BackendState::Active } else { BackendState::Terminating },
            lists: Lists::CLUSTER,
        },
        serving: conditions.serving.unwrap_or(true),
        terminating: conditions.terminating.unwrap_or(false),
    }
}

/// The number of a slice's port, if it is an entry for `port`: same name, same protocol.
fn number(entry: &EndpointPort, port: &ServicePortKey) -> Option<u16> {
    let same = entry.name.as_deref() == Some(&port.port_name)
        && Protocol::parse(entry.protocol.as_deref()) == Some(port.protocol);
    valid_number(entry.port?).filter(|_| same)
}

fn valid_number(port: i32) -> Option<u16> {
    u16::try_from(port).ok().filter(|&port| port != 0)
}

/// All addresses of an endpoint are the same pod; only the first is used.
fn address(endpoint: &Endpoint, family: Family) -> Option<IpAddr> {
    parse_address(endpoint.addresses.first()?).filter(|&address| Family::of(address) == family)
}

/// What cannot be used of a slice. One whose `addressType` is no family is not for proxies at all.
pub(super) fn notices(slice: &EndpointSlice) -> Vec<Notice> {
    let Some(family) = Family::ALL.into_iter().find(|family| family.as_str() == slice.address_type) else {
        return Vec::new();
    };
    let notice = |field: String, message: &str| Notice::slice(slice, field, message);
    let ports = slice.ports.iter().flatten().enumerate().filter_map(|(i, port)| {
        if port.name.is_none() {
            Some(notice(format!("ports[{i}].name"), "not set: the port is ignored"))
        } else if port.port.and_then(valid_number).is_none() {
            Some(notice(format!("ports[{i}].port"), "not a port number: the port is ignored"))
        } else if Protocol::parse(port.protocol.as_deref()).is_none() {
            Some(notice(format!("ports[{i}].protocol"), "not a known protocol: the port is ignored"))
        } else {
            None
        }
    });
    let endpoints = slice.endpoints.iter().enumerate().filter_map(|(i, endpoint)| {
        let message = format!("the first address is no {family} address: the endpoint is ignored");
        let unusable = address(endpoint, family).is_none();
        unusable.then(|| notice(format!("endpoints[{i}].addresses"), &message))
    });
    ports.chain(endpoints).collect()
}

#[cfg(test)]
mod tests;
