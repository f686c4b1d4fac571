//! Changes at random, with a weight on what gets into each other's way.
//!
//! What takes several steps (a Service goes before its slices, an endpoint stands in two slices while it moves) is
//! planned as a whole; other changes do not come between.

mod service;
mod slice;

use std::collections::VecDeque;

use fastrand::Rng;

use super::{
    Reference,
    ground::Ground,
    object::{Change, Node, Step},
};

/// Makes changes.
pub struct Generator {
    ground: Ground,
    rng: Rng,
    planned: VecDeque<Step>,
}

impl Generator {
    /// Makes the changes of that seed.
    pub fn new(seed: u64, ground: Ground) -> Self {
        Self { ground, rng: Rng::with_seed(seed), planned: VecDeque::new() }
    }

    /// What happens next, given the objects that there are.
    pub fn next(&mut self, reference: &Reference) -> Step {
        if let Some(step) = self.planned.pop_front() {
            return step;
        }
        if self.rng.u8(0..6) > 0 {
            return self.one(reference);
        }
        // Several at once, which know nothing of each other but see what those before have left.
        let (mut reference, mut all) = (reference.clone(), Step::new());
        for _ in 0..self.rng.u8(2..5) {
            let step = self.one(&reference);
            reference.apply_all(&step);
            all.extend(step);
            for step in self.planned.drain(..) {
                reference.apply_all(&step);
                all.extend(step);
            }
        }
        all
    }

    fn one(&mut self, reference: &Reference) -> Step {
        match self.rng.u8(0..100) {
            0..10 => self.create(reference),
            10..16 => self.delete(reference),
            16..22 => self.recreate(reference),
            22..50 => self.alter(reference),
            50..58 => self.exchange(reference),
            58..62 => self.nothing(reference),
            62..67 => self.slice_comes(reference),
            67..71 => self.slice_goes(reference),
            71..77 => self.endpoint_moves(reference),
            77..80 => self.last_endpoint_goes(reference),
            80..97 => self.slice_alters(reference),
            _ => self.node(reference),
        }
    }

    /// The Node comes, goes or is in another zone.
    fn node(&mut self, reference: &Reference) -> Step {
        if !self.ground.has_node {
            return self.alter(reference);
        }
        if reference.node.is_some() && self.rng.u8(0..4) == 0 {
            return vec![Change::NoNode];
        }
        let zone = if self.rng.u8(0..3) == 0 { None } else { self.pick(&self.ground.zones.clone()) };
        vec![Change::Node(Node { zone, addresses: self.ground.node_addresses.clone() })]
    }

    /// What is there is told again, and what nobody reads changes.
    fn nothing(&mut self, reference: &Reference) -> Step {
        let mut step: Step = reference.slices.values().cloned().map(Change::Slice).collect();
        self.rng.shuffle(&mut step);
        step.truncate(2);
        if let Some(mut service) = self.some_service(reference) {
            service.publishes_not_ready = !service.publishes_not_ready;
            step.push(Change::Service(service));
        }
        step
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        self.rng.choice(from.iter()).cloned()
    }

    fn often(&mut self) -> bool {
        self.rng.u8(0..3) > 0
    }

    fn seldom(&mut self) -> bool {
        self.rng.u8(0..5) == 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::reference::ground::small;

    fn play(seed: u64, steps: usize) -> (Vec<Step>, Vec<Reference>) {
        let mut generator = Generator::new(seed, small());
        let mut reference = Reference::new("here");
        let (mut played, mut states) = (Vec::new(), Vec::new());
        for _ in 0..steps {
            let step = generator.next(&reference);
            reference.apply_all(&step);
            played.push(step);
            states.push(reference.clone());
        }
        (played, states)
    }

    #[test]
    fn one_seed_is_one_script() {
        assert_eq!(play(1, 50).0, play(1, 50).0);
        assert_ne!(play(1, 50).0, play(2, 50).0);
    }

    /// Whatever the reference tells apart does occur.
    #[test]
    fn every_situation_occurs() {
        let (_, states) = play(3, 3000);
        let mut seen = BTreeSet::new();
        for state in &states {
            let expected = state.expected();
            let asked = expected.frontends.len();
            seen.extend(expected.frontends.values().map(|owner| format!("{:?}", owner.kind)));
            for port in expected.ports.values() {
                let lists = (port.cluster.is_empty(), port.local.is_empty(), port.has_any);
                seen.insert(format!("{lists:?}"));
                seen.extend(port.internal_local.then(|| "internal".into()));
                seen.extend(port.external_local.then(|| "external".into()));
                seen.extend((port.affinity > 0).then(|| "affinity".into()));
                seen.extend(port.sources.as_ref().map(|it| format!("sources {}", it.admits_node)));
                seen.extend(port.serving.values().any(|it| !it.is_ready).then(|| "leaving".into()));
                let is_hinted = !port.cluster.is_empty()
                    && port.serving.iter().any(|(at, it)| it.is_ready && !port.cluster.contains(at));
                seen.extend(is_hinted.then(|| "hinted".into()));
            }
            seen.extend((!expected.health.is_empty()).then(|| "health".into()));
            seen.extend((asked == 0).then(|| "nothing".into()));
        }
        for wanted in [
            "ClusterIP",
            "NodePort",
            "LoadBalancer",
            "ExternalIP",
            "internal",
            "external",
            "affinity",
            "sources true",
            "sources false",
            "leaving",
            "hinted",
            "health",
            "nothing",
            "(false, false, true)",
            "(false, true, true)",
            "(true, true, false)",
            "(true, true, true)",
        ] {
            assert!(seen.contains(wanted), "{wanted} never occurs: {seen:?}");
        }
    }
}
