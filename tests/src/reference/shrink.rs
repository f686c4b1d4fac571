//! The smallest script that still fails.
//!
//! Delta debugging (Zeller and Hildebrandt, 2002): runs of steps are left out, halves first and single ones last, then
//! single changes; then what is left in each object is left out field by field.

use super::{
    object::{Change, IpMode, Service, ServiceType, Slice, Step},
    script::Script,
};

/// Makes `script`, which fails, as small as `fails` allows, by so many attempts.
pub fn shrink(
    script: &Script,
    mut attempts: usize,
    mut fails: impl FnMut(&Script) -> anyhow::Result<bool>,
) -> anyhow::Result<Script> {
    let mut best = script.clone();
    let mut attempt = |best: &mut Script, steps: Vec<Step>| {
        let next = Script { steps, ..best.clone() };
        if attempts == 0 || next.steps == best.steps {
            return Ok(false);
        }
        attempts -= 1;
        let fails = fails(&next)?;
        if fails {
            *best = next;
        }
        anyhow::Ok(fails)
    };
    loop {
        let before = best.steps.clone();
        // Whole steps.
        let mut length = best.steps.len().div_ceil(2);
        while length > 0 {
            let mut at = 0;
            while at < best.steps.len() {
                let mut steps = best.steps.clone();
                steps.drain(at..(at + length).min(best.steps.len()));
                if !attempt(&mut best, steps)? {
                    at += length;
                }
            }
            length = if length == 1 { 0 } else { length.div_ceil(2) };
        }
        // Single changes.
        for step in (0..best.steps.len()).rev() {
            for change in (0..best.steps[step].len()).rev() {
                let mut steps = best.steps.clone();
                steps[step].remove(change);
                attempt(&mut best, steps)?;
            }
        }
        // What is in them.
        for step in 0..best.steps.len() {
            for change in 0..best.steps[step].len() {
                loop {
                    let simpler = simpler(&best.steps[step][change]);
                    let mut is_simpler = false;
                    for candidate in simpler {
                        let mut steps = best.steps.clone();
                        steps[step][change] = candidate;
                        if attempt(&mut best, steps)? {
                            is_simpler = true;
                            break;
                        }
                    }
                    if !is_simpler {
                        break;
                    }
                }
            }
        }
        if best.steps == before {
            return Ok(best);
        }
    }
}

/// The same change with a little less in it, in every way that there is.
fn simpler(change: &Change) -> Vec<Change> {
    match change {
        Change::Service(service) => services(service).into_iter().map(Change::Service).collect(),
        Change::Slice(slice) => slices(slice).into_iter().map(Change::Slice).collect(),
        _ => Vec::new(),
    }
}

fn without<T>(all: &mut Vec<T>, which: usize) {
    all.drain(which..=which);
}

fn services(service: &Service) -> Vec<Service> {
    let mut all = Vec::new();
    let mut with = |edit: &dyn Fn(&mut Service)| {
        let mut simpler = service.clone();
        edit(&mut simpler);
        if simpler != *service {
            all.push(simpler);
        }
    };
    for i in 0..service.ports.len() {
        with(&|it| without(&mut it.ports, i));
        with(&|it| it.ports[i].node_port = 0);
    }
    for i in 0..service.cluster_ips.len() {
        with(&|it| without(&mut it.cluster_ips, i));
    }
    for i in 0..service.external_ips.len() {
        with(&|it| without(&mut it.external_ips, i));
    }
    for i in 0..service.ingress.len() {
        with(&|it| without(&mut it.ingress, i));
        with(&|it| it.ingress[i].mode = IpMode::default());
    }
    for i in 0..service.source_ranges.len() {
        with(&|it| without(&mut it.source_ranges, i));
    }
    with(&|it| it.created = None);
    with(&|it| it.kind = ServiceType::default());
    with(&|it| it.affinity = None);
    with(&|it| it.internal_local = false);
    with(&|it| it.external_local = false);
    with(&|it| it.health_port = 0);
    with(&|it| it.publishes_not_ready = false);
    with(&|it| it.other_proxy = false);
    all
}

fn slices(slice: &Slice) -> Vec<Slice> {
    let mut all = Vec::new();
    let mut with = |edit: &dyn Fn(&mut Slice)| {
        let mut simpler = slice.clone();
        edit(&mut simpler);
        if simpler != *slice {
            all.push(simpler);
        }
    };
    for i in 0..slice.ports.len() {
        with(&|it| without(&mut it.ports, i));
    }
    for i in 0..slice.endpoints.len() {
        with(&|it| without(&mut it.endpoints, i));
        with(&|it| it.endpoints[i].zones.clear());
        with(&|it| it.endpoints[i].nodes.clear());
        with(&|it| {
            let endpoint = &mut it.endpoints[i];
            [endpoint.ready, endpoint.serving, endpoint.terminating] = [None, None, None];
        });
    }
    with(&|it| it.headless = false);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{Generator, Reference, ground::small};

    /// A fault that needs a node port at one number, and that its Service goes later.
    fn fails(script: &Script) -> bool {
        let mut reference = Reference::new("here");
        for step in &script.steps {
            let had = has(&reference);
            reference.apply_all(step);
            if had && step.iter().any(|change| matches!(change, Change::NoService(_))) && !has(&reference) {
                return true;
            }
        }
        false
    }

    fn has(reference: &Reference) -> bool {
        reference.services.values().flat_map(|it| &it.ports).any(|port| port.node_port == 30001)
    }

    #[test]
    fn only_what_matters_is_left() {
        let (mut generator, mut reference) = (Generator::new(9, small()), Reference::new("here"));
        let mut script = Script::default();
        while !fails(&script) {
            let step = generator.next(&reference);
            reference.apply_all(&step);
            script.steps.push(step);
        }
        let before = script.changes();
        let least = shrink(&script, 10_000, |script| Ok(fails(script))).unwrap();
        assert!(before > 2);
        assert_eq!(least.steps.len(), 2, "{}", least.text().unwrap());
        assert_eq!(least.changes(), 2);
        let [Change::Service(service)] = &least.steps[0][..] else { panic!("{:?}", least.steps) };
        assert_eq!((service.ports.len(), service.cluster_ips.len(), service.created), (1, 0, None));
    }

    #[test]
    fn attempts_end() {
        let script = Script::new(vec![vec![Change::NoNode]; 64]);
        let mut count = 0;
        let least = shrink(&script, 10, |_| {
            count += 1;
            Ok(false)
        });
        assert_eq!((least.unwrap(), count), (script, 10));
    }
}
