//! What counts of an EndpointSlice.

use std::{net::IpAddr, sync::Arc};

use k8s_openapi::{
    api::discovery::v1::{Endpoint as ApiEndpoint, EndpointHints, EndpointPort, EndpointSlice},
    jiff::Timestamp,
};

use super::{
    Family, Notice, ObjectKey, Protocol, Reason, ResourceVersion,
    name::{self, SUBDOMAIN},
    parse_address,
    pool::Pool,
};

const LABEL_SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The endpoints of headless Services, which nobody proxies.
const LABEL_HEADLESS: &str = "service.kubernetes.io/headless";
/// When what changed the endpoints happened, in RFC 3339.
const ANNOTATION_TRIGGER: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// What counts of an EndpointSlice.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SliceFacts {
    /// The Service that it has endpoints for, of the same namespace.
    pub(super) owner: ObjectKey,
    /// The family of its addresses.
    pub(super) family: Family,
    /// Its ports that can be used.
    pub(super) ports: Box<[SlicePort]>,
    /// Its endpoints that can be used.
    pub(super) endpoints: Box<[Endpoint]>,
    /// What cannot be used of it.
    pub(super) notices: Vec<Notice>,
    /// `metadata.resourceVersion`.
    pub(super) version: ResourceVersion,
}

/// A port that all endpoints of a slice have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SlicePort {
    /// The name of the Service port that it is for; empty for a port without a name.
    pub(super) name: Arc<str>,
    /// Its protocol.
    pub(super) protocol: Protocol,
    /// Its number, never 0.
    pub(super) number: u16,
}

/// An endpoint, without its ports. What conditions leave open has the default that the API gives it. The order
/// is without meaning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Endpoint {
    /// Its first address; all addresses of an endpoint are the same pod.
    pub(super) address: IpAddr,
    /// `nodeName`.
    pub(super) node: Option<Arc<str>>,
    /// `conditions.ready`.
    pub(super) ready: bool,
    /// `conditions.serving`.
    pub(super) serving: bool,
    /// `conditions.terminating`.
    pub(super) terminating: bool,
    /// `hints`; few have some.
    pub(super) hints: Option<Box<Hints>>,
}

/// For whom an endpoint is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hints {
    /// `forZones`.
    pub(super) zones: Box<[Arc<str>]>,
    /// `forNodes`.
    pub(super) nodes: Box<[Arc<str>]>,
}

impl Endpoint {
    /// `hints.forZones`.
    pub(super) fn zones(&self) -> &[Arc<str>] {
        self.hints.as_ref().map_or(&[], |hints| &hints.zones)
    }

    /// `hints.forNodes`.
    pub(super) fn nodes(&self) -> &[Arc<str>] {
        self.hints.as_ref().map_or(&[], |hints| &hints.nodes)
    }
}

impl SliceFacts {
    /// What counts of `slice`; `None` if it is to be ignored: it names no Service, belongs to a headless one, or has
    /// addresses of no family.
    pub(super) fn of(slice: &EndpointSlice) -> Option<Self> {
        let owner = owner(slice)?;
        let family = Family::ALL.into_iter().find(|family| family.as_str() == slice.address_type)?;
        let ports = slice.ports.iter().flatten().filter_map(|port| of_port(port).ok());
        let endpoints = slice.endpoints.iter().filter_map(|endpoint| of_endpoint(endpoint, family));
        Some(Self {
            owner,
            family,
            ports: ports.collect(),
            endpoints: endpoints.collect(),
            notices: notices(slice, family),
            version: ResourceVersion::of(&slice.metadata),
        })
    }

    /// Lets it have its texts in common with others.
    pub(super) fn share(&mut self, pool: &mut Pool) {
        let of_endpoints = self.endpoints.iter_mut().flat_map(|endpoint| {
            let hints = endpoint.hints.iter_mut();
            let hints = hints.flat_map(|hints| hints.zones.iter_mut().chain(&mut hints.nodes));
            endpoint.node.iter_mut().chain(hints)
        });
        for text in self.ports.iter_mut().map(|port| &mut port.name).chain(of_endpoints) {
            *text = pool.text(text);
        }
    }

    /// Whether it matters in which zone the node is.
    pub(super) fn has_zone_hints(&self) -> bool {
        self.endpoints.iter().any(|endpoint| !endpoint.zones().is_empty())
    }
}

/// When what changed the endpoints of `slice` happened, if it says so.
pub(super) fn trigger(slice: &EndpointSlice) -> Option<Timestamp> {
    slice.metadata.annotations.as_ref()?.get(ANNOTATION_TRIGGER)?.parse().ok()
}

fn owner(slice: &EndpointSlice) -> Option<ObjectKey> {
    let labels = slice.metadata.labels.as_ref()?;
    let name = labels.get(LABEL_SERVICE_NAME).filter(|name| !name.is_empty())?;
    let ObjectKey { namespace, .. } = ObjectKey::of(&slice.metadata);
    (!labels.contains_key(LABEL_HEADLESS)).then(|| ObjectKey { namespace, name: name.as_str().into() })
}

/// A port, or the field that keeps it from being used and why.
fn of_port(port: &EndpointPort) -> Result<SlicePort, (&'static str, &'static str)> {
    let name = port.name.clone().ok_or(("name", "not set: the port is ignored"))?;
    let number = port.port.and_then(|number| u16::try_from(number).ok()).filter(|&number| number != 0);
    let number = number.ok_or(("port", "not a port number: the port is ignored"))?;
    let protocol = Protocol::parse(port.protocol.as_deref());
    let protocol = protocol.ok_or(("protocol", "not a known protocol: the port is ignored"))?;
    Ok(SlicePort { name: name.into(), protocol, number })
}

fn of_endpoint(endpoint: &ApiEndpoint, family: Family) -> Option<Endpoint> {
    let address = parse_address(endpoint.addresses.first()?).filter(|&it| Family::of(it) == family)?;
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    let EndpointHints { for_nodes, for_zones } = endpoint.hints.clone().unwrap_or_default();
    let hints = Hints {
        zones: for_zones.into_iter().flatten().map(|zone| zone.name.into()).collect(),
        nodes: for_nodes.into_iter().flatten().map(|node| node.name.into()).collect(),
    };
    Some(Endpoint {
        address,
        node: node_name(endpoint).filter(|name| is_node_name(name)).map(Into::into),
        ready: conditions.ready.unwrap_or(true),
        serving: conditions.serving.unwrap_or(true),
        terminating: conditions.terminating.unwrap_or(false),
        hints: (hints != Hints::default()).then(|| Box::new(hints)),
    })
}

fn node_name(endpoint: &ApiEndpoint) -> Option<&str> {
    endpoint.node_name.as_deref()
}

fn is_node_name(name: &str) -> bool {
    name::check(name, SUBDOMAIN).is_ok()
}

fn notices(slice: &EndpointSlice, family: Family) -> Vec<Notice> {
    let ports = slice.ports.iter().flatten().enumerate().filter_map(|(i, port)| {
        let (field, message) = of_port(port).err()?;
        Some(Notice::slice(slice, Reason::InvalidPort, format!("ports[{i}].{field}"), message))
    });
    let endpoints = slice.endpoints.iter().enumerate().filter_map(|(i, endpoint)| {
        let message = format!("the first address is no {family} address: the endpoint is ignored");
        let field = || format!("endpoints[{i}].addresses");
        let is_unusable = of_endpoint(endpoint, family).is_none();
        is_unusable.then(|| Notice::slice(slice, Reason::InvalidAddress, field(), message))
    });
    let nodes = slice.endpoints.iter().enumerate().filter_map(|(i, endpoint)| {
        let is_none = node_name(endpoint).is_some_and(|name| !is_node_name(name));
        let (field, message) = (format!("endpoints[{i}].nodeName"), "not a name: the endpoint is on no node");
        is_none.then(|| Notice::slice(slice, Reason::InvalidName, field, message))
    });
    ports.chain(endpoints).chain(nodes).collect()
}

#[cfg(test)]
mod tests;
