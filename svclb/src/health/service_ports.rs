//! The `healthCheckNodePort` of Services: what a load balancer asks to know which nodes to send to.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use hyper::{StatusCode, header::HeaderValue};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Moment, State};
use crate::{
    http::{self, Answer},
    model::{HealthCheck, ObjectKey},
};

/// The header that says how many endpoints there are.
const WEIGHT: &str = "x-load-balancing-endpoint-weight";

/// The servers of all Services that have such a port. Dropping it closes them.
#[derive(Debug)]
pub struct ServicePorts {
    state: State,
    open: BTreeMap<Place, Port>,
}

/// Where a Service is asked about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    service: ObjectKey,
    address: SocketAddr,
}

#[derive(Debug)]
struct Port {
    endpoints: Arc<AtomicUsize>,
    stop: DropGuard,
    server: JoinHandle<()>,
}

/// A port that could not be opened. It is tried again at the next sync.
#[derive(Debug)]
pub struct ListenFailure {
    /// Whose port it is.
    pub service: ObjectKey,
    /// Where.
    pub address: SocketAddr,
    /// Why.
    pub error: io::Error,
}

impl fmt::Display for ListenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, address, error } = self;
        write!(f, "Service {service}: cannot listen at {address} (spec.healthCheckNodePort): {error}")
    }
}

impl ServicePorts {
    /// No port yet. What is answered depends on the agent's own state, too.
    pub fn new(state: State) -> Self {
        Self { state, open: BTreeMap::new() }
    }

    /// Opens and closes ports, so that they are those of `checks`, and takes over their numbers of endpoints. A port
    /// that stays is not touched. `addresses` are those that accept node ports; `None` if all do.
    pub async fn sync(
        &mut self,
        checks: &BTreeMap<ObjectKey, HealthCheck>,
        addresses: Option<&[IpAddr]>,
    ) -> Vec<ListenFailure> {
        let wanted: BTreeMap<Place, usize> = checks
            .iter()
            .flat_map(|(service, check)| {
                places(check, addresses)
                    .into_iter()
                    .map(move |(address, endpoints)| (Place { service: service.clone(), address }, endpoints))
            })
            .collect();
        // Before others open: two Services may have exchanged their ports.
        let gone: Vec<_> = self.open.extract_if(.., |place, _| !wanted.contains_key(place)).collect();
        for (_, Port { stop, server, .. }) in gone {
            drop(stop);
            // However it ended, its port is closed.
            drop(server.await);
        }
        let mut failures = Vec::new();
        for (place, endpoints) in wanted {
            if let Some(port) = self.open.get(&place) {
                port.endpoints.store(endpoints, Ordering::Relaxed);
                continue;
            }
            match self.serve(&place, endpoints) {
                Ok(port) => {
                    self.open.insert(place, port);
                }
                Err(error) => {
                    failures.push(ListenFailure { service: place.service, address: place.address, error });
                }
            }
        }
        failures
    }

    fn serve(&self, place: &Place, endpoints: usize) -> io::Result<Port> {
        let listener = http::listen_in_family(place.address)?;
        let endpoints = Arc::new(AtomicUsize::new(endpoints));
        let (service, state, count) = (place.service.clone(), self.state.clone(), Arc::clone(&endpoints));
        let answer = move |_path| {
            let is_healthy = state.health(Moment::now()).is_healthy;
            let answer = answer(&service, count.load(Ordering::Relaxed), is_healthy);
            async { answer }
        };
        let stop = CancellationToken::new();
        let server = tokio::spawn(http::serve(listener, answer, stop.clone()));
        Ok(Port { endpoints, stop: stop.drop_guard(), server })
    }
}

/// Where to listen for a check, with the endpoints of that family.
fn places(check: &HealthCheck, addresses: Option<&[IpAddr]>) -> Vec<(SocketAddr, usize)> {
    let families: [(Option<usize>, IpAddr); 2] =
        [(check.v4, Ipv4Addr::UNSPECIFIED.into()), (check.v6, Ipv6Addr::UNSPECIFIED.into())];
    let mut places = Vec::new();
    for (endpoints, all) in families {
        let Some(endpoints) = endpoints else { continue };
        let own = addresses.unwrap_or(std::slice::from_ref(&all));
        let own = own.iter().filter(|ip| ip.is_ipv4() == all.is_ipv4());
        places.extend(own.map(|ip| (SocketAddr::new(*ip, check.port), endpoints)));
    }
    places
}

fn answer(service: &ObjectKey, endpoints: usize, is_healthy: bool) -> Answer {
    let is_well = endpoints > 0 && is_healthy;
    let status = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "service": { "namespace": *service.namespace, "name": *service.name },
        "localEndpoints": endpoints,
        "serviceProxyHealthy": is_healthy,
    });
    let mut answer = http::answer(status, http::JSON, body.to_string());
    answer.headers_mut().insert(WEIGHT, HeaderValue::from(endpoints));
    answer
}

#[cfg(test)]
mod tests;
