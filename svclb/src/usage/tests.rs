//! Rates, order and filter.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{fixture::port, *};

fn reading(at: Instant, packets: &[u64]) -> Reading {
    let ports = (0..).zip(packets).map(|(number, packets)| port(number, *packets)).collect();
    let drops = vec![Drop { reason: "no_backend", count: packets.iter().sum(), per_second: None }];
    Reading { at, synced: true, agent: None, ports, drops }
}

fn packets_per_second(snapshot: &Snapshot) -> Vec<Option<f64>> {
    snapshot.services.iter().map(|port| port.per_second.map(|rate| rate.packets)).collect()
}

#[test]
fn rates_are_of_what_came_between_two_readings() {
    let at = Instant::now();
    let first = reading(at, &[100, 200]);
    let alone = Snapshot::between(None, first.clone());
    assert_eq!((packets_per_second(&alone), alone.interval_seconds), (vec![None, None], None));
    // One goes on, one has begun anew, and one was not there.
    let second = reading(at + Duration::from_secs(4), &[140, 8, 999]);
    let both = Snapshot::between(Some(&Counters::of(&first)), second);
    assert_eq!(packets_per_second(&both), [Some(10.0), Some(2.0), Some(0.0)]);
    assert!((both.total().packets - 12.0).abs() < 1e-9);
    assert_eq!(both.services[0].backends[1].flows_per_second, Some(0.75));
    assert_eq!(both.drops[0].per_second, Some((1147.0 - 300.0) / 4.0));
    // A reading of the same moment says nothing about speed.
    let same = Snapshot::between(Some(&Counters::of_snapshot(&both)), reading(both.at, &[1]));
    assert_eq!(packets_per_second(&same), [None]);
}

#[test]
fn a_filter_asks_for_words_anywhere() {
    let port = port(3, 0);
    let table = [
        ("", true),
        ("SHOP", true),
        ("shop/s3:http", true),
        ("10.96.0.3", true),
        ("tcp node1", true),
        ("clusterip", true),
        ("80", true),
        ("ipv4", true),
        ("10.96.0.4", false),
        ("shop udp", false),
    ];
    for (text, admits) in table {
        assert_eq!(Filter::new(text).admits(&port), admits, "{text:?}");
    }
}

proptest! {
    #[test]
    fn every_order_has_each_service_once_and_most_first(packets in prop::collection::vec(0..5_u64, 0..20)) {
        let at = Instant::now();
        let before = Counters::of(&reading(at, &vec![0; packets.len()]));
        let after = Snapshot::between(Some(&before), reading(at + Duration::from_secs(1), &packets));
        for order in Order::ALL {
            let ranked = rank(&after.services, &Filter::default(), order);
            let mut places = ranked.clone();
            places.sort_unstable();
            prop_assert_eq!(places, (0..packets.len()).collect::<Vec<_>>());
            let ranked: Vec<_> = ranked.into_iter().map(|at| &after.services[at]).collect();
            let is_ranked = ranked.windows(2).all(|pair| match order {
                Order::Name => pair[0].key < pair[1].key,
                Order::Flows => pair[0].traffic.flows >= pair[1].traffic.flows,
                _ => pair[0].traffic.packets >= pair[1].traffic.packets,
            });
            prop_assert!(is_ranked);
            prop_assert_eq!(order.as_str().parse(), Ok(order));
        }
    }
}
