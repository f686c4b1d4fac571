//! Changes of Services.

use std::net::IpAddr;

use super::Generator;
use crate::reference::{
    Family, Ground, Reference,
    object::{Change, Ingress, IpMode, Port, Protocol, Service, ServiceType, Step},
};

const TYPES: [ServiceType; 6] = [
    ServiceType::ClusterIP,
    ServiceType::NodePort,
    ServiceType::NodePort,
    ServiceType::LoadBalancer,
    ServiceType::LoadBalancer,
    ServiceType::ExternalName,
];

/// Names of ports, the empty one among them.
const PORT_NAMES: [&str; 4] = ["", "http", "dns", "extra"];

impl Generator {
    /// A Service that there may be already becomes another one, with slices of its own.
    pub(super) fn create(&mut self, reference: &Reference) -> Step {
        let Some(name) = self.pick(&self.ground.services.clone()) else { return Step::new() };
        let service = self.service(&name);
        let slices = self.slices_for(reference, &service);
        let mut step = vec![Change::Service(service)];
        match self.rng.u8(0..3) {
            0 => self.planned.push_back(slices),
            1 => {
                let service = std::mem::replace(&mut step, slices);
                self.planned.push_back(service);
            }
            _ => step.extend(slices),
        }
        step
    }

    /// A Service goes before its slices, after them, with them or alone.
    pub(super) fn delete(&mut self, reference: &Reference) -> Step {
        let Some(service) = self.some_service(reference) else { return self.create(reference) };
        let gone = vec![Change::NoService(service.name.clone())];
        let slices: Step =
            reference.slices_of(&service.name).map(|slice| Change::NoSlice(slice.name.clone())).collect();
        match self.rng.u8(0..4) {
            0 => {
                self.planned.push_back(slices);
                gone
            }
            1 => {
                self.planned.push_back(gone);
                slices
            }
            2 => gone.into_iter().chain(slices).collect(),
            _ => gone,
        }
    }

    /// A Service goes and comes back under its name, at once or a step later, as it was or not.
    pub(super) fn recreate(&mut self, reference: &Reference) -> Step {
        let Some(mut service) = self.some_service(reference) else { return self.create(reference) };
        let gone = Change::NoService(service.name.clone());
        if self.often() {
            service = self.service(&service.name);
        }
        let mut back = vec![Change::Service(service.clone())];
        if self.seldom() {
            back.extend(self.slices_for(reference, &service));
        }
        if self.rng.bool() {
            return [gone].into_iter().chain(back).collect();
        }
        self.planned.push_back(back);
        vec![gone]
    }

    /// Two Services exchange what can be had once.
    pub(super) fn exchange(&mut self, reference: &Reference) -> Step {
        let (Some(mut one), Some(mut other)) = (self.some_service(reference), self.some_service(reference))
        else {
            return self.create(reference);
        };
        if one.name == other.name {
            return self.alter(reference);
        }
        match self.rng.u8(0..5) {
            0 => {
                for (a, b) in one.ports.iter_mut().zip(&mut other.ports) {
                    std::mem::swap(&mut a.node_port, &mut b.node_port);
                }
            }
            1 => std::mem::swap(&mut one.cluster_ips, &mut other.cluster_ips),
            2 => std::mem::swap(&mut one.ports, &mut other.ports),
            3 => std::mem::swap(&mut one.external_ips, &mut other.external_ips),
            _ => std::mem::swap(&mut one.ingress, &mut other.ingress),
        }
        vec![Change::Service(one), Change::Service(other)]
    }

    /// One thing about a Service changes.
    pub(super) fn alter(&mut self, reference: &Reference) -> Step {
        let Some(mut service) = self.some_service(reference) else { return self.create(reference) };
        let fresh = self.service(&service.name);
        match self.rng.u8(0..17) {
            0 => service.kind = fresh.kind,
            1 => service.cluster_ips = fresh.cluster_ips,
            2 => self.toggle_family(&mut service),
            3 => service.ports = fresh.ports,
            4 => self.toggle_port(&mut service),
            5 | 6 => self.alter_port(&mut service),
            7 => service.external_ips = fresh.external_ips,
            8 => service.external_ips.extend(self.foreign_address(reference)),
            9 => service.ingress = fresh.ingress,
            10 => {
                if let Some(ingress) = service.ingress.first_mut() {
                    ingress.mode = if ingress.mode == IpMode::Proxy { IpMode::VIP } else { IpMode::Proxy };
                }
            }
            11 => service.source_ranges = self.source_ranges(),
            12 => {
                service.affinity =
                    if service.affinity.is_some() { None } else { Some(self.rng.u32(1..=86_400)) }
            }
            13 => service.internal_local = !service.internal_local,
            14 => service.external_local = !service.external_local,
            15 => service.created = fresh.created,
            _ => service.other_proxy = !service.other_proxy,
        }
        vec![Change::Service(service)]
    }

    pub(super) fn some_service(&mut self, reference: &Reference) -> Option<Service> {
        let all: Vec<_> = reference.services.values().collect();
        self.rng.choice(all).cloned()
    }

    fn service(&mut self, name: &str) -> Service {
        let kind = self.pick(&TYPES).unwrap_or_default();
        let mut service = Service {
            name: name.into(),
            created: if self.seldom() { None } else { Some(self.rng.u32(0..4)) },
            kind,
            internal_local: self.seldom(),
            external_local: self.rng.u8(0..3) == 0,
            health_port: self.ground.health_port(name),
            affinity: if self.seldom() { Some(self.rng.u32(1..=86_400)) } else { None },
            other_proxy: self.rng.u8(0..20) == 0,
            ..Service::default()
        };
        if self.rng.u8(0..12) > 0 {
            for family in Family::ALL {
                if self.often() {
                    service.cluster_ips.extend(self.address(&self.ground.cluster_ips.clone(), family));
                }
            }
            self.rng.shuffle(&mut service.cluster_ips);
        }
        for _ in 0..self.rng.u8(1..4) {
            self.toggle_port(&mut service);
        }
        if self.rng.u8(0..3) == 0 {
            service.external_ips = self.some_addresses(&self.ground.external_ips.clone());
        }
        if kind == ServiceType::LoadBalancer || self.rng.u8(0..10) == 0 {
            let modes = [IpMode::Unset, IpMode::VIP, IpMode::VIP, IpMode::Proxy];
            let addresses = self.some_addresses(&self.ground.balancer_ips.clone());
            service.ingress = addresses
                .into_iter()
                .map(|ip| Ingress { ip, mode: self.pick(&modes).unwrap_or_default() })
                .collect();
            if self.rng.bool() {
                service.source_ranges = self.source_ranges();
            }
        }
        service
    }

    fn source_ranges(&mut self) -> Vec<String> {
        let mut ranges = self.ground.source_ranges.clone();
        self.rng.shuffle(&mut ranges);
        ranges.truncate(self.rng.usize(0..4));
        ranges
    }

    fn some_addresses(&mut self, from: &[IpAddr]) -> Vec<IpAddr> {
        let count = self.rng.usize(1..4);
        (0..count).filter_map(|_| self.pick(from)).collect()
    }

    fn address(&mut self, from: &[IpAddr], family: Family) -> Option<IpAddr> {
        self.pick(&Ground::of(from, family))
    }

    /// An address that some Service has already, for whatever reason.
    fn foreign_address(&mut self, reference: &Reference) -> Option<IpAddr> {
        let of_services = reference.services.values().flat_map(|service| {
            let balanced = service.ingress.iter().map(|ingress| ingress.ip);
            service.cluster_ips.iter().copied().chain(balanced).chain(service.external_ips.iter().copied())
        });
        let all: Vec<_> = of_services.collect();
        self.pick(&all)
    }

    fn toggle_family(&mut self, service: &mut Service) {
        let family = if self.rng.bool() { Family::IPv4 } else { Family::IPv6 };
        let before = service.cluster_ips.len();
        service.cluster_ips.retain(|address| Family::of(*address) != family);
        if service.cluster_ips.len() == before {
            service.cluster_ips.extend(self.address(&self.ground.cluster_ips.clone(), family));
        }
    }

    /// A port comes; or goes, if there is one of its name and protocol.
    fn toggle_port(&mut self, service: &mut Service) {
        let (name, protocol) = (self.pick(&PORT_NAMES).unwrap_or_default(), self.protocol());
        let before = service.ports.len();
        service.ports.retain(|port| port.name != name || port.protocol != protocol);
        if service.ports.len() == before {
            let node_port = self.node_port(service.kind);
            let port = self.pick(&self.ground.ports.clone()).unwrap_or(80);
            service.ports.push(Port { name: name.into(), protocol, port, node_port });
        }
    }

    fn alter_port(&mut self, service: &mut Service) {
        let node_port = self.node_port(ServiceType::NodePort);
        let number = self.pick(&self.ground.ports.clone()).unwrap_or(80);
        let name = self.pick(&PORT_NAMES).unwrap_or_default();
        let which = self.rng.usize(0..service.ports.len().max(1));
        let is_taken =
            |protocol| service.ports.iter().any(|port| port.name == name && port.protocol == protocol);
        let is_taken = service.ports.get(which).is_some_and(|port| is_taken(port.protocol));
        let choice = self.rng.u8(0..4);
        let Some(port) = service.ports.get_mut(which) else { return };
        match choice {
            0 => port.port = number,
            1 => port.node_port = node_port,
            2 => port.node_port = 0,
            _ if is_taken => port.port = number,
            _ => port.name = name.into(),
        }
    }

    fn protocol(&mut self) -> Protocol {
        match self.rng.u8(0..8) {
            0..4 => Protocol::Tcp,
            4..7 => Protocol::Udp,
            _ => Protocol::Sctp,
        }
    }

    fn node_port(&mut self, kind: ServiceType) -> u16 {
        let has_one = matches!(kind, ServiceType::NodePort | ServiceType::LoadBalancer);
        if has_one && self.often() { self.pick(&self.ground.node_ports.clone()).unwrap_or(0) } else { 0 }
    }
}
