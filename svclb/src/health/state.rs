//! Whether changes reach the tables in time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::record::Record;
use crate::model::{Family, NodeState};

/// A point in time, by a clock that only goes on and by one that people read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// For differences.
    pub monotonic: Instant,
    /// For people.
    pub wall: SystemTime,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }
}

/// What a node counts as that has no Node object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbsentNode {
    /// One that may be sent new connections: a folder of manifests need not have Nodes.
    Eligible,
    /// One that is on its way out.
    Ineligible,
}

/// Whether changes reach the tables in time, and whether the node may be sent new connections. A clone is the same
/// state.
#[derive(Clone, Debug)]
pub struct State(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    patience: Duration,
    absent: AbsentNode,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    families: BTreeMap<Family, Record>,
    eligible: bool,
}

/// The state at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether all families are.
    pub is_healthy: bool,
    /// Whether the node may be sent new connections.
    pub is_eligible: bool,
    /// For each family, whether it is healthy and when everything was in the tables last.
    pub families: BTreeMap<Family, (bool, Option<SystemTime>)>,
}

impl State {
    /// A state in which nothing is known of the Node and nothing is pending. A change that has waited for twice the
    /// sync period makes it unhealthy.
    pub fn new(sync_period: Duration, absent: AbsentNode) -> Self {
        let known = Known { families: BTreeMap::new(), eligible: absent == AbsentNode::Eligible };
        Self(Arc::new(Inner { patience: sync_period.saturating_mul(2), absent, known: Mutex::new(known) }))
    }

    /// A change of a family waits to be in the tables. Only the oldest counts.
    pub fn queued(&self, family: Family, at: Moment) {
        self.known().families.entry(family).or_default().pending.get_or_insert(at.monotonic);
    }

    /// All changes of a family that were queued are in the tables.
    pub fn applied(&self, family: Family, at: Moment) {
        self.known().families.insert(family, Record { pending: None, updated: Some(at.wall) });
    }

    /// What the Node object says.
    pub fn set_node(&self, node: &NodeState) {
        let absent = !node.exists && self.0.absent == AbsentNode::Eligible;
        self.known().eligible = absent || node.is_eligible;
    }

    /// The state at a moment.
    pub fn health(&self, now: Moment) -> Health {
        let known = self.known();
        let in_time = |since: Instant| now.monotonic.saturating_duration_since(since) < self.0.patience;
        let families: BTreeMap<_, _> = known
            .families
            .iter()
            .map(|(family, record)| (*family, (record.pending.is_none_or(in_time), record.updated)))
            .collect();
        let is_healthy = families.values().all(|(healthy, _)| *healthy);
        Health { is_healthy, is_eligible: known.eligible, families }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // Whoever panicked has left whole values.
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Family::{V4, V6};

    const PERIOD: Duration = Duration::from_secs(30);

    #[test]
    fn a_change_that_waits_too_long_is_unhealthy() {
        enum Step {
            Queued(Family),
            Applied(Family),
        }
        use Step::{Applied, Queued};
        // At which second what happens, and who is healthy at second 100.
        type Case = (&'static str, &'static [(u64, Step)], &'static [(Family, bool)]);
        let table: [Case; 8] = [
            ("nothing has happened", &[], &[]),
            ("nothing is pending", &[(0, Queued(V4)), (1, Applied(V4))], &[(V4, true)]),
            ("it never ran, but nobody has waited", &[(41, Queued(V4))], &[(V4, true)]),
            ("the limit", &[(40, Queued(V4))], &[(V4, false)]),
            ("the oldest counts", &[(40, Queued(V4)), (99, Queued(V4))], &[(V4, false)]),
            ("applied clears", &[(1, Queued(V4)), (99, Applied(V4)), (99, Queued(V4))], &[(V4, true)]),
            (
                "families are apart",
                &[(0, Queued(V4)), (0, Queued(V6)), (99, Applied(V6))],
                &[(V4, false), (V6, true)],
            ),
            ("a clock that is behind", &[(200, Queued(V4))], &[(V4, true)]),
        ];
        let start = Moment::now();
        let at = |second| Moment {
            monotonic: start.monotonic + Duration::from_secs(second),
            wall: start.wall + Duration::from_secs(second),
        };
        for (name, steps, expected) in table {
            let state = State::new(PERIOD, AbsentNode::Eligible);
            for (second, step) in steps {
                match step {
                    Queued(family) => state.queued(*family, at(*second)),
                    Applied(family) => state.clone().applied(*family, at(*second)),
                }
            }
            let health = state.health(at(100));
            let families: Vec<_> =
                health.families.iter().map(|(family, (healthy, _))| (*family, *healthy)).collect();
            assert_eq!(families, expected, "{name}");
            assert_eq!(health.is_healthy, expected.iter().all(|(_, healthy)| *healthy), "{name}");
        }
    }

    #[test]
    fn a_node_is_eligible_by_its_object() {
        let node = |exists, is_eligible| NodeState { exists, is_eligible, ..NodeState::default() };
        let table = [
            (AbsentNode::Ineligible, None, false),
            (AbsentNode::Ineligible, Some(node(false, false)), false),
            (AbsentNode::Ineligible, Some(node(true, true)), true),
            (AbsentNode::Ineligible, Some(node(true, false)), false),
            (AbsentNode::Eligible, None, true),
            (AbsentNode::Eligible, Some(node(false, false)), true),
            (AbsentNode::Eligible, Some(node(true, false)), false),
        ];
        for (absent, node, expected) in table {
            let state = State::new(PERIOD, absent);
            if let Some(node) = &node {
                state.set_node(node);
            }
            assert_eq!(state.health(Moment::now()).is_eligible, expected, "{absent:?} {node:?}");
        }
    }
}
