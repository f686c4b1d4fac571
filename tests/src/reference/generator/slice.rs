//! Changes of EndpointSlices.

use super::Generator;
use crate::reference::{
    Family, Reference,
    object::{Change, Endpoint, Service, Slice, SlicePort, Step},
};

impl Generator {
    /// A slice comes for a Service, or is another one now.
    pub(super) fn slice_comes(&mut self, reference: &Reference) -> Step {
        let Some(service) = self.some_service(reference) else { return self.create(reference) };
        let family = if self.rng.bool() { Family::IPv4 } else { Family::IPv6 };
        vec![Change::Slice(self.slice(&service, family))]
    }

    /// A slice goes.
    pub(super) fn slice_goes(&mut self, reference: &Reference) -> Step {
        match self.some_slice(reference) {
            Some(slice) => vec![Change::NoSlice(slice.name)],
            None => self.slice_comes(reference),
        }
    }

    /// An endpoint goes from one slice of its Service to another: at once, by standing in both, or by standing in none.
    pub(super) fn endpoint_moves(&mut self, reference: &Reference) -> Step {
        let Some(mut from) = self.some_slice(reference) else { return self.slice_comes(reference) };
        let others: Vec<_> = reference
            .slices_of(&from.service)
            .filter(|slice| slice.name != from.name && slice.family == from.family)
            .collect();
        let Some(mut to) = self.rng.choice(others).cloned() else { return self.slice_alters(reference) };
        if from.endpoints.is_empty() {
            return self.slice_alters(reference);
        }
        let mut endpoint = from.endpoints.remove(self.rng.usize(0..from.endpoints.len()));
        if self.seldom() {
            self.flap(&mut endpoint);
        }
        to.endpoints.push(endpoint);
        let (from, to) = (Change::Slice(from), Change::Slice(to));
        match self.rng.u8(0..3) {
            0 => vec![from, to],
            1 => {
                self.planned.push_back(vec![from]);
                vec![to]
            }
            _ => {
                self.planned.push_back(vec![to]);
                vec![from]
            }
        }
    }

    /// A Service loses all endpoints, or all of them cease to be ready.
    pub(super) fn last_endpoint_goes(&mut self, reference: &Reference) -> Step {
        let Some(service) = self.some_service(reference) else { return self.create(reference) };
        let (empties, serving) = (self.rng.bool(), self.rng.bool());
        let lose = |slice: &Slice| {
            let mut slice = slice.clone();
            if empties {
                slice.endpoints.clear();
            }
            for endpoint in &mut slice.endpoints {
                (endpoint.ready, endpoint.serving) = (Some(false), Some(serving));
                endpoint.terminating = Some(true);
            }
            Change::Slice(slice)
        };
        reference.slices_of(&service.name).map(lose).collect()
    }

    /// One thing about a slice changes.
    pub(super) fn slice_alters(&mut self, reference: &Reference) -> Step {
        let Some(mut slice) = self.some_slice(reference) else { return self.slice_comes(reference) };
        let which = self.rng.usize(0..slice.endpoints.len().max(1));
        match self.rng.u8(0..16) {
            0..3 => slice.endpoints.push(self.endpoint(slice.family)),
            3 | 4 if which < slice.endpoints.len() => drop(slice.endpoints.remove(which)),
            5 if !slice.ports.is_empty() => {
                let number = self.pick(&self.ground.targets.clone());
                let which = self.rng.usize(0..slice.ports.len());
                slice.ports[which].port = if self.seldom() { None } else { number };
            }
            6 => self.rng.shuffle(&mut slice.endpoints),
            7 => slice.headless = !slice.headless,
            8 => {
                slice.service = if self.seldom() {
                    String::new()
                } else {
                    self.pick(&self.ground.services.clone()).unwrap_or_default()
                };
            }
            9 | 10 => self.hint_all(&mut slice),
            _ => {
                let mut endpoints = std::mem::take(&mut slice.endpoints);
                if let Some(endpoint) = endpoints.get_mut(which) {
                    self.flap(endpoint);
                }
                slice.endpoints = endpoints;
            }
        }
        vec![Change::Slice(slice)]
    }

    /// Slices for a Service that is new, or not.
    pub(super) fn slices_for(&mut self, reference: &Reference, service: &Service) -> Step {
        let mut step = Step::new();
        for family in Family::ALL {
            for _ in 0..self.rng.u8(0..3) {
                let slice = self.slice(service, family);
                let is_new = !reference.slices.contains_key(&slice.name);
                if is_new || self.often() {
                    step.push(Change::Slice(slice));
                }
            }
        }
        step
    }

    fn some_slice(&mut self, reference: &Reference) -> Option<Slice> {
        let all: Vec<_> = reference.slices.values().collect();
        self.rng.choice(all).cloned()
    }

    fn slice(&mut self, service: &Service, family: Family) -> Slice {
        let name = format!("{}-{}-{}", service.name, family.bits(), self.rng.u8(0..3));
        let mut ports = Vec::new();
        for port in &service.ports {
            // Some ports have no endpoints here.
            if self.rng.u8(0..8) > 0 {
                let number = self.pick(&self.ground.targets.clone());
                ports.push(SlicePort { name: port.name.clone(), protocol: port.protocol, port: number });
            }
        }
        let count = self.rng.u8(0..4);
        let mut slice = Slice {
            name,
            service: service.name.clone(),
            headless: false,
            family,
            ports,
            endpoints: (0..count).map(|_| self.endpoint(family)).collect(),
        };
        if self.rng.u8(0..4) == 0 {
            self.hint_all(&mut slice);
        }
        slice
    }

    fn endpoint(&mut self, family: Family) -> Endpoint {
        let which = self.rng.usize(0..self.ground.pods.len());
        let pod = &self.ground.pods[which];
        let mut endpoint = Endpoint {
            address: pod.addresses[usize::from(family == Family::IPv6)],
            node: Some(pod.node.clone()),
            ready: Some(true),
            serving: Some(true),
            terminating: Some(false),
            zones: Vec::new(),
            nodes: Vec::new(),
        };
        if self.rng.u8(0..12) == 0 {
            endpoint.node = None;
        }
        if self.rng.u8(0..3) == 0 {
            self.flap(&mut endpoint);
        }
        endpoint
    }

    /// Hints for all endpoints, or all but one.
    fn hint_all(&mut self, slice: &mut Slice) {
        let (has_zones, has_nodes) = (self.often(), self.rng.bool());
        let (zones, pods) = (self.ground.zones.clone(), self.ground.pods.clone());
        for endpoint in &mut slice.endpoints {
            let is_hinted = self.rng.u8(0..8) > 0;
            endpoint.zones = self.pick(&zones).into_iter().filter(|_| has_zones && is_hinted).collect();
            let nodes = self.pick(&pods).map(|pod| pod.node);
            endpoint.nodes = nodes.into_iter().filter(|_| has_nodes && is_hinted).collect();
            if endpoint.zones.len() == 1 && self.seldom() {
                endpoint.zones.clone_from(&zones);
            }
        }
    }

    /// Its conditions are others.
    fn flap(&mut self, endpoint: &mut Endpoint) {
        let of = |ready, serving, terminating| [Some(ready), Some(serving), Some(terminating)];
        let states = [
            of(true, true, false),
            of(true, true, false),
            of(true, true, true),
            of(false, true, true),
            of(false, true, true),
            of(false, true, false),
            of(false, false, true),
            of(false, false, false),
            [None, None, None],
            [None, Some(false), None],
            [Some(false), None, Some(true)],
        ];
        if let Some(state) = self.pick(&states) {
            [endpoint.ready, endpoint.serving, endpoint.terminating] = state;
        }
    }
}
