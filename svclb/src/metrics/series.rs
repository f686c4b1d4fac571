//! Which Service ports have series of their own, and what the others carry together.
//!
//! A scrape must not grow with the cluster, and a counter must not fall because another Service is looked at. So those
//! that carry most are told one by one, a newcomer takes a place only if it carries twice as much as who has it, and of
//! the others it is counted what they carry while they are others.

use std::{
    collections::{BTreeSet, HashMap},
    hash::{BuildHasher as _, RandomState},
};

use crate::{config::ServiceSeries, model::ServicePortKey, usage::PortTraffic};

/// How many times as much as another a Service port has to carry to take its place.
const CLEARLY: u64 = 2;

/// The name that stands for all others; no Service has it.
pub(super) const OTHERS: &str = "(others)";

/// What is known from one scrape to the next.
#[derive(Debug)]
pub(super) struct Series {
    which: ServiceSeries,
    /// What each Service port had at the last scrape, by the hash of its key.
    seen: HashMap<u64, Seen>,
    hasher: RandomState,
    /// Those that have series of their own.
    own: BTreeSet<u64>,
    /// What others have carried.
    others: PortTraffic,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    traffic: PortTraffic,
    /// Packets, those of earlier scrapes counting half as much with each one.
    score: u64,
}

/// What a scrape tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Service ports with series of their own.
    pub(super) own: Vec<(ServicePortKey, PortTraffic)>,
    /// What all others have carried since the agent looked first; none if every Service port is told.
    pub(super) others: Option<PortTraffic>,
    /// How many others there are.
    pub(super) left_out: u64,
}

impl Series {
    pub(super) fn new(which: ServiceSeries) -> Self {
        Self {
            which,
            seen: HashMap::new(),
            hasher: RandomState::new(),
            own: BTreeSet::new(),
            others: PortTraffic::default(),
        }
    }

    /// How many Service ports have series of their own, if that is bounded.
    pub(super) fn most(&self) -> Option<usize> {
        match self.which {
            ServiceSeries::Most(most) => Some(most as usize),
            ServiceSeries::All => None,
        }
    }

    /// The next scrape.
    pub(super) fn tell(&mut self, traffic: Vec<(ServicePortKey, PortTraffic)>) -> Told {
        let ServiceSeries::Most(most) = self.which else {
            return Told { own: traffic, ..Told::default() };
        };
        let is_first = self.seen.is_empty();
        let mut seen = HashMap::with_capacity(traffic.len());
        let mut hashed = Vec::with_capacity(traffic.len());
        for (key, now) in traffic {
            let hash = self.hasher.hash_one(&key);
            let before = self.seen.get(&hash);
            // What has come since is new as a whole. At the first look nobody knows since when it has been counted.
            let more = if is_first { now } else { since(before.map(|before| before.traffic), now) };
            let score = before.map_or(0, |before| before.score / 2).saturating_add(more.packets);
            if !is_first && !self.own.contains(&hash) {
                add(&mut self.others, more);
            }
            seen.insert(hash, Seen { traffic: now, score });
            hashed.push((hash, key, now));
        }
        self.seen = seen;
        self.choose(most as usize);
        let left_out = (hashed.len() - self.own.len()) as u64;
        hashed.retain(|(hash, ..)| self.own.contains(hash));
        let own = hashed.into_iter().map(|(_, key, now)| (key, now)).collect();
        Told { own, others: Some(self.others), left_out }
    }

    /// Fills free places with those that carry most, and gives places to those that carry clearly more.
    fn choose(&mut self, most: usize) {
        let Self { seen, own, .. } = self;
        own.retain(|hash| seen.contains_key(hash));
        let score = |hash: &u64| seen.get(hash).map_or(0, |seen| seen.score);
        let mut rest: Vec<u64> = seen.keys().filter(|hash| !own.contains(hash)).copied().collect();
        rest.sort_by_key(|hash| (score(hash), *hash));
        while own.len() < most
            && let Some(hash) = rest.pop()
        {
            own.insert(hash);
        }
        let mut least: Vec<u64> = own.iter().copied().collect();
        least.sort_by_key(|hash| (score(hash), *hash));
        for (weak, strong) in least.into_iter().zip(rest.into_iter().rev()) {
            if score(&strong) <= score(&weak).saturating_mul(CLEARLY) {
                break;
            }
            own.remove(&weak);
            own.insert(strong);
        }
    }
}

/// A counter that is less than before has begun anew.
fn since(before: Option<PortTraffic>, now: PortTraffic) -> PortTraffic {
    let before = before.unwrap_or_default();
    let more = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
    PortTraffic {
        flows: more(now.flows, before.flows),
        packets: more(now.packets, before.packets),
        bytes: more(now.bytes, before.bytes),
    }
}

fn add(sum: &mut PortTraffic, more: PortTraffic) {
    sum.flows += more.flows;
    sum.packets += more.packets;
    sum.bytes += more.bytes;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Family, Protocol};

    fn key(number: usize) -> ServicePortKey {
        ServicePortKey {
            namespace: "shop".into(),
            name: format!("s{number}").into(),
            port_name: "".into(),
            protocol: Protocol::Tcp,
            family: Family::V4,
        }
    }

    fn all(packets: &[u64]) -> Vec<(ServicePortKey, PortTraffic)> {
        let traffic = |&packets: &u64| PortTraffic { flows: packets / 10, packets, bytes: packets * 100 };
        packets.iter().enumerate().map(|(number, packets)| (key(number), traffic(packets))).collect()
    }

    fn names(told: &Told) -> String {
        told.own.iter().map(|(key, _)| key.name.as_ref()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn who_carries_most_is_told_and_a_newcomer_has_to_carry_clearly_more() {
        let mut series = Series::new(ServiceSeries::Most(2));
        // Packets counted at each scrape, and who has series of its own then.
        let table: [(&[u64], &str, u64); 6] = [
            (&[100, 200, 300], "s1 s2", 0),
            (&[100, 200, 300], "s1 s2", 0),
            // More than s1, and not twice as much: 175 are what others carried.
            (&[275, 300, 400], "s1 s2", 175),
            (&[1275, 300, 400], "s0 s2", 1175),
            // One of its own again: nothing is added, and nothing falls.
            (&[9275, 300, 400], "s0 s2", 1175),
            (&[9275, 310, 400], "s0 s2", 1185),
        ];
        for (packets, own, others) in table {
            let told = series.tell(all(packets));
            assert_eq!((names(&told).as_str(), told.left_out), (own, 1), "{packets:?}");
            assert_eq!(told.others.unwrap().packets, others, "{packets:?}");
        }
        // A Service goes, and its place is free.
        assert_eq!(names(&series.tell(all(&[9275, 310]))), "s0 s1");
    }

    #[test]
    fn all_and_none() {
        let told = Series::new(ServiceSeries::All).tell(all(&[1, 2, 3]));
        assert_eq!((told.own.len(), told.others, told.left_out), (3, None, 0));
        let mut none = Series::new(ServiceSeries::Most(0));
        none.tell(all(&[1, 2, 3]));
        let told = none.tell(all(&[2, 2, 3]));
        assert_eq!((told.own.len(), told.left_out), (0, 3));
        assert_eq!(told.others.unwrap(), PortTraffic { flows: 0, packets: 1, bytes: 100 });
    }

    proptest! {
        #[test]
        fn the_rest_never_falls_and_nothing_is_counted_twice(
            scrapes in prop::collection::vec(prop::collection::vec(0..1_000_u64, 6), 1..12),
            most in 0..7_u32,
        ) {
            let mut series = Series::new(ServiceSeries::Most(most));
            let mut packets = vec![0; 6];
            let (mut before, mut own) = (0, BTreeSet::new());
            for more in scrapes {
                packets.iter_mut().zip(&more).for_each(|(sum, more)| *sum += more);
                let told = series.tell(all(&packets));
                prop_assert_eq!(told.own.len() as u32, most.min(6));
                prop_assert_eq!(told.left_out, 6 - told.own.len() as u64);
                let others = told.others.unwrap().packets;
                // What those carried that had no series of their own when it came.
                let carried: u64 =
                    (0..6).filter(|number| !own.contains(&key(*number))).map(|number| more[number]).sum();
                if !own.is_empty() || most == 0 && before > 0 {
                    prop_assert_eq!(others, before + carried);
                }
                (before, own) = (others, told.own.into_iter().map(|(key, _)| key).collect());
            }
        }
    }
}
