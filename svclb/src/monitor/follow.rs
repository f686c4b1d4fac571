//! What is new in the recorder since the last look.

use std::collections::HashMap;

use svclb_common::event::{Log, LogKey, RING, Record};

/// What was seen of each log.
#[derive(Debug, Default)]
pub(super) struct Follower {
    seen: HashMap<LogKey, Seen>,
    is_begun: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// The number of the last record.
    number: u64,
    /// How many events there were, and how many of them were noted.
    total: u64,
    written: u64,
}

/// What a look has found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// New records, in the order in which they happened.
    pub(super) records: Vec<Record>,
    /// Events that are in no record: there were too many, or too many since the last look.
    pub(super) left_out: u64,
}

impl Follower {
    /// Compares the recorder with what it was.
    pub(super) fn step(&mut self, logs: Vec<(LogKey, Log)>) -> Step {
        let mut step = Step::default();
        for (key, log) in logs {
            let known = self.seen.get(&key).copied();
            // A log that begins anew has been another one's memory meanwhile.
            let before = known.filter(|seen| seen.written <= log.written).unwrap_or_default();
            let mut records: Vec<_> = log
                .records
                .iter()
                .filter(|record| record.is_whole() && LogKey::of(&record.event) == key)
                .filter(|record| record.number > before.number && record.number <= log.written)
                .copied()
                .collect();
            records.sort_unstable_by_key(|record| record.number);
            let number = records.last().map_or(before.number, |record| record.number);
            if self.is_begun {
                let happened = log.total.saturating_sub(before.total);
                step.left_out += happened.saturating_sub(log.written.saturating_sub(before.written));
                step.left_out += (number - before.number).saturating_sub(RING as u64);
            }
            step.records.append(&mut records);
            self.seen.insert(key, Seen { number, total: log.total, written: log.written });
        }
        self.is_begun = true;
        step.records.sort_by_key(|record| record.event.time);
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> LogKey {
        LogKey { service: 7, cause: 0, family: 2 }
    }

    /// A log in which so many happened and so many of them were noted.
    fn log(total: u64, written: u64) -> Log {
        let mut log: Log = bytemuck::Zeroable::zeroed();
        (log.total, log.written) = (total, written);
        for number in written.saturating_sub(RING as u64) + 1..=written {
            let record = &mut log.records[(number as usize - 1) % RING];
            (record.number, record.end) = (number, number as u32);
            (record.event.service, record.event.family, record.event.time) = (7, 2, number);
        }
        log
    }

    fn numbers(step: &Step) -> Vec<u64> {
        step.records.iter().map(|record| record.number).collect()
    }

    #[test]
    fn what_is_new_is_told_once_and_in_order() {
        let mut follower = Follower::default();
        assert_eq!(numbers(&follower.step(vec![(key(), log(3, 3))])), [1, 2, 3]);
        assert_eq!(follower.step(vec![(key(), log(3, 3))]), Step::default());
        let step = follower.step(vec![(key(), log(5, 5))]);
        assert_eq!((numbers(&step), step.left_out), (vec![4, 5], 0));
    }

    #[test]
    fn what_is_in_no_record_is_counted() {
        let mut follower = Follower::default();
        follower.step(vec![]);
        let step = follower.step(vec![(key(), log(1000, 12))]);
        assert_eq!(numbers(&step), (5..=12).collect::<Vec<_>>());
        assert_eq!(step.left_out, 1000 - 8);
    }

    #[test]
    fn a_log_that_begins_anew_is_told_from_its_beginning() {
        let mut follower = Follower::default();
        follower.step(vec![(key(), log(9, 9))]);
        assert_eq!(numbers(&follower.step(vec![(key(), log(2, 2))])), [1, 2]);
    }

    #[test]
    fn a_torn_record_waits_and_anothers_is_never_told() {
        let mut follower = Follower::default();
        follower.step(vec![]);
        let mut torn = log(2, 2);
        torn.records[1].end = 0;
        assert_eq!(numbers(&follower.step(vec![(key(), torn)])), [1]);
        let mut taken = log(2, 2);
        taken.records[0].event.service = 8;
        assert_eq!(numbers(&follower.step(vec![(key(), taken)])), [2]);
    }
}
