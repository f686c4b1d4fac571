//! What the API says of one Service, for whoever asks why it is treated as it is.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::slice::SliceFacts;

/// What the API says of one Service, beside its ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// `metadata.resourceVersion` of its last state that made a difference; empty where no API server has given one.
    pub resource_version: String,
    /// Why it is not proxied, if it is not.
    pub not_proxied: Option<String>,
    /// Its slices.
    pub slices: Vec<SliceAccount>,
    /// Fields that are ignored, contested or malformed.
    pub notices: Vec<String>,
}

/// What an EndpointSlice says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceAccount {
    /// Its name.
    pub name: String,
    /// As the Service's.
    pub resource_version: String,
    /// Its ports: name, protocol, number.
    pub ports: Vec<(String, String, u16)>,
    /// Its endpoints.
    pub endpoints: Vec<EndpointAccount>,
}

/// What a slice says of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointAccount {
    /// Its address.
    pub address: IpAddr,
    /// The node that it is on.
    pub node: Option<String>,
    /// `conditions.ready`.
    pub ready: bool,
    /// `conditions.serving`.
    pub serving: bool,
    /// `conditions.terminating`.
    pub terminating: bool,
}

impl SliceAccount {
    /// Of a slice.
    pub(super) fn of(name: &str, facts: &SliceFacts) -> Self {
        let ports = facts.ports.iter();
        let endpoints = facts.endpoints.iter().map(|endpoint| EndpointAccount {
            address: endpoint.address,
            node: endpoint.node.as_deref().map(Into::into),
            ready: endpoint.ready,
            serving: endpoint.serving,
            terminating: endpoint.terminating,
        });
        Self {
            name: name.into(),
            resource_version: facts.version.to_string(),
            ports: ports
                .map(|port| (port.name.as_ref().into(), port.protocol.as_str().into(), port.number))
                .collect(),
            endpoints: endpoints.collect(),
        }
    }
}
