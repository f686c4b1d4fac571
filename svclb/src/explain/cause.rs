//! Why a packet ended as it did, and what to look at: in terms of objects, not of programs.

use std::{collections::BTreeMap, net::SocketAddr};

use svclb_common::{service::FrontendKind, verdict::DropReason};

use super::{
    packet::Packet,
    question::Objects,
    report::Explanation,
    scene::Scene,
    story::{Played, join},
};
use crate::model::{EndpointAccount, Family, ServicePortKey};

impl Scene {
    /// Tells whether the pod that sends has opted out.
    pub(super) async fn tell_opt_out(&mut self, told: &mut Explanation) {
        let Some(objects) = self.objects(None).await else { return };
        let from = told.packet.from.ip();
        for pod in objects.opted_out {
            if pod.addresses.contains(&from) {
                told.causes.push(format!(
                    "Pod {} has opted out of translation at sockets (svclb.io/socket-lb: off, or its runtime class): what counts \
                     is what becomes of its packets",
                    pod.pod
                ));
            } else if pod.addresses.is_empty() {
                told.step(
                    "opt-out",
                    format!(
                        "Pod {} of this node has opted out of translation at sockets; its address is not known here",
                        pod.pod
                    ),
                );
            }
        }
    }

    /// Why a process of the host was refused.
    pub(super) async fn socket_causes(&mut self, told: &mut Explanation) {
        let reason = DropReason::ALL.iter().find(|reason| Some(reason.as_str()) == told.verdict.reason);
        if let Some(reason) = reason {
            self.cause_of(told, *reason).await;
        } else {
            let to = told.verdict.to.as_deref().and_then(|to| to.parse().ok());
            self.dead_hop(told, to).await;
        }
    }

    /// Why.
    pub(super) async fn causes(&mut self, told: &mut Explanation, played: &Played) {
        if let Some(reason) = played.ran.reasons.first() {
            self.cause_of(told, *reason).await;
            return;
        }
        match told.verdict.action {
            "passed" => self.not_called(told).await,
            "translated" => {
                let backend = self.chosen(told, played);
                self.dead_hop(told, backend).await;
            }
            _ => {}
        }
    }

    async fn cause_of(&mut self, told: &mut Explanation, reason: DropReason) {
        let called = self.called(&told.packet);
        let cause = match (reason, called) {
            (DropReason::NoBackend, Some((key, _))) => {
                let objects = self.objects(Some(&key)).await;
                no_backend(&key, objects.as_ref())
            }
            (DropReason::NoLocalBackend, Some((key, kind))) => {
                let objects = self.objects(Some(&key)).await;
                let field = if kind == FrontendKind::ClusterIp {
                    "internalTrafficPolicy"
                } else {
                    "externalTrafficPolicy"
                };
                no_local(&key, field, objects.as_ref())
            }
            (DropReason::SourceRange, Some((key, _))) => {
                let ranges = self
                    .applied
                    .service_id(&key)
                    .and_then(|id| self.applied.tables(key.family).source_ranges(id))
                    .map_or_else(|| "none".into(), |it| join(it.iter().map(ToString::to_string)));
                format!(
                    "loadBalancerSourceRanges of Service {}/{} do not admit {}: {ranges}",
                    key.namespace,
                    key.name,
                    told.packet.from.ip()
                )
            }
            (DropReason::UnknownPort, _) => self.other_ports(&told.packet),
            (DropReason::UnallocatedVip, _) => {
                let mut text = format!(
                    "no Service that svclb proxies has the address {}; it is in a Service CIDR",
                    told.packet.to.ip()
                );
                text.push_str(&self.not_proxied().await);
                text
            }
            (reason, _) => super::story::words(reason).into(),
        };
        told.causes.push(cause);
    }

    /// Tells whether the API has a frontend that the tables do not have.
    pub(super) async fn tell_missing(&mut self, told: &mut Explanation) {
        let to = told.packet.to;
        let Some(service) = self.objects_at(to.ip()).await.and_then(|objects| objects.service) else {
            return;
        };
        let protocol = told.packet.protocol.to_uppercase();
        let mut wanted =
            service.ports.iter().filter(|port| port.protocol == protocol).flat_map(|port| &port.frontends);
        if let Some(frontend) = wanted.find(|it| it.ends_with(&format!(" {to}"))) {
            told.disagreements.push(format!(
                "Service {}/{}: frontend {frontend}/{protocol} is missing in the tables",
                service.namespace, service.name
            ));
        }
    }

    /// Why a packet is not taken for a Service's.
    async fn not_called(&mut self, told: &mut Explanation) {
        let packet = &told.packet;
        let to = packet.to;
        if let Some((key, FrontendKind::NodePort)) = self.called(packet) {
            let allowed = self.ground.node_port_addresses(to.ip());
            if !allowed.contains(&to.ip()) {
                let on = if allowed.is_empty() {
                    "none".into()
                } else {
                    join(allowed.iter().map(ToString::to_string))
                };
                told.causes.push(format!(
                    "{} is node port {} of Service {}/{}, and node ports do not answer on {} (--nodeport-addresses): they do on {on}",
                    to,
                    to.port(),
                    key.namespace,
                    key.name,
                    to.ip()
                ));
            }
            return;
        }
        let others = self.other_ports(packet);
        if !others.is_empty() {
            told.causes.push(others);
            return;
        }
        let rest = self.not_proxied().await;
        if !rest.is_empty() {
            told.causes.push(format!("no Service that svclb proxies is called by {to}{rest}"));
        }
    }

    /// What else the address of a packet is.
    fn other_ports(&self, packet: &Packet) -> String {
        let tables = self.applied.tables(packet.family());
        let mut found = BTreeMap::<String, Vec<String>>::new();
        for (frontend, entry) in tables.frontends() {
            if frontend.address == Some(packet.to.ip())
                && let Some(key) = self.owner(packet.family(), entry.service)
            {
                let service = format!("{}/{}", key.namespace, key.name);
                found.entry(service).or_default().push(format!("{}/{}", frontend.port, frontend.protocol));
            }
        }
        let texts = found.iter().map(|(service, ports)| {
            format!(
                "{} is an address of Service {service}, which has other ports: {}",
                packet.to.ip(),
                join(ports)
            )
        });
        texts.collect::<Vec<_>>().join("; ")
    }

    async fn not_proxied(&mut self) -> String {
        let Some(objects) = self.objects(None).await else { return String::new() };
        let services = objects.not_proxied.iter().map(|(service, reason)| format!("{service} ({reason})"));
        let services: Vec<_> = services.collect();
        if services.is_empty() { String::new() } else { format!("; not proxied are: {}", join(services)) }
    }

    /// Whether the way to the backend ends at a next hop that does not answer.
    async fn dead_hop(&mut self, told: &mut Explanation, backend: Option<SocketAddr>) {
        let Some(backend) = backend else { return };
        let Some(route) = self.ground.route(backend.ip()).await else {
            told.causes.push(format!("the node has no route to the backend {backend}"));
            return;
        };
        if !self.ground.is_dead(&route).await {
            return;
        }
        let node = self.node_of(backend);
        let on = node.map_or(String::new(), |node| format!(" on node {node}, which may be down"));
        told.causes.push(format!(
            "backend {backend} is{on}: its next hop {} by {} does not answer (neighbour FAILED)",
            route.hop,
            self.ground.name(route.device)
        ));
    }

    fn node_of(&self, backend: SocketAddr) -> Option<String> {
        let tables = self.applied.tables(Family::of(backend.ip()));
        let found = tables
            .backends()
            .find(|(_, it)| (it.key.address, it.key.port) == (backend.ip(), backend.port()))?;
        self.applied.node(found.1.flags.node).map(str::to_owned)
    }
}

/// Those of the port's family.
fn endpoints<'o>(key: &ServicePortKey, objects: Option<&'o Objects>) -> Option<Vec<&'o EndpointAccount>> {
    let service = objects?.service.as_ref()?;
    let all = service.account.slices.iter().flat_map(|slice| &slice.endpoints);
    Some(all.filter(|endpoint| Family::of(endpoint.address) == key.family).collect())
}

fn no_backend(key: &ServicePortKey, objects: Option<&Objects>) -> String {
    let service = format!("Service {}/{}", key.namespace, key.name);
    let Some(endpoints) = endpoints(key, objects) else {
        return format!(
            "{service} has no endpoint in the tables (the agent does not answer, so nobody says why)"
        );
    };
    if endpoints.is_empty() {
        return format!(
            "{service} has no endpoints: its EndpointSlices are empty, so its selector matches no pod, or it has none"
        );
    }
    let ready = endpoints.iter().filter(|endpoint| endpoint.ready).count();
    let terminating = endpoints.iter().filter(|endpoint| endpoint.terminating).count();
    if ready == 0 {
        let rest =
            if terminating > 0 { format!(", {terminating} of them terminating") } else { String::new() };
        return format!("{service} has {} endpoints and none is ready{rest}", endpoints.len());
    }
    format!("{service} has {ready} ready endpoints, and none for port {key}")
}

fn no_local(key: &ServicePortKey, field: &str, objects: Option<&Objects>) -> String {
    let service = format!("Service {}/{}", key.namespace, key.name);
    let mut nodes = BTreeMap::<&str, usize>::new();
    for endpoint in endpoints(key, objects).unwrap_or_default() {
        if endpoint.ready {
            *nodes.entry(endpoint.node.as_deref().unwrap_or("no node")).or_default() += 1;
        }
    }
    let elsewhere = join(nodes.iter().map(|(node, count)| format!("{node} ({count})")));
    let elsewhere = if elsewhere.is_empty() { "other nodes".into() } else { elsewhere };
    format!("{field} of {service} is Local, and its endpoints are all on other nodes: {elsewhere}")
}
