//! Which service ports are looked at, and in which order.

use std::{cmp::Ordering, str::FromStr};

use clap::ValueEnum;

use super::ServicePort;

/// What comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Order {
    /// What carries most bytes a second.
    #[default]
    Bytes,
    /// What carries most packets a second.
    Packets,
    /// What gets most new flows a second.
    Flows,
    /// By namespace, name and port.
    Name,
}

impl Order {
    /// All of them, in the order in which they take turns.
    pub const ALL: [Self; 4] = [Self::Bytes, Self::Packets, Self::Flows, Self::Name];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bytes => "bytes",
            Self::Packets => "packets",
            Self::Flows => "flows",
            Self::Name => "name",
        }
    }

    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self::ALL[(self as usize + 1) % Self::ALL.len()]
    }

    fn compare(self, a: &ServicePort, b: &ServicePort) -> Ordering {
        let by = |rate: fn(&super::Rate) -> f64, count: fn(&super::PortTraffic) -> u64| {
            let value = |port: &ServicePort| port.per_second.as_ref().map_or(0.0, rate);
            // Without a rate, or with the same one, what has carried more in all.
            value(b).total_cmp(&value(a)).then_with(|| count(&b.traffic).cmp(&count(&a.traffic)))
        };
        let order = match self {
            Self::Bytes => by(|rate| rate.bytes, |traffic| traffic.bytes),
            Self::Packets => by(|rate| rate.packets, |traffic| traffic.packets),
            Self::Flows => by(|rate| rate.flows, |traffic| traffic.flows),
            Self::Name => Ordering::Equal,
        };
        order.then_with(|| a.key.cmp(&b.key))
    }
}

impl FromStr for Order {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|order| order.as_str() == text).ok_or(())
    }
}

/// Words that a service port has to have, each somewhere: in its name, its protocol, an address of a frontend or of a
/// backend, or the name of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter(Vec<String>);

impl Filter {
    /// From words between spaces. Case makes no difference.
    pub fn new(text: &str) -> Self {
        Self(text.split_whitespace().map(str::to_lowercase).collect())
    }

    /// Whether it lets a service port through.
    pub fn admits(&self, port: &ServicePort) -> bool {
        let Self(words) = self;
        words.iter().all(|word| has(port, word))
    }
}

fn has(port: &ServicePort, word: &str) -> bool {
    let is_in = |text: &str| text.to_lowercase().contains(word);
    is_in(&port.title())
        || is_in(port.protocol)
        || is_in(port.ip_family)
        || port.frontends.iter().any(|frontend| {
            is_in(frontend.kind) || is_in(&frontend.address.to_string()) || frontend.port.to_string() == word
        })
        || port
            .backends
            .iter()
            .any(|backend| is_in(&backend.address.to_string()) || backend.node.as_deref().is_some_and(is_in))
}

/// The places in `ports` of those that the filter admits, in this order.
pub fn rank(ports: &[ServicePort], filter: &Filter, order: Order) -> Vec<usize> {
    let mut found: Vec<_> = (0..ports.len()).filter(|&at| filter.admits(&ports[at])).collect();
    found.sort_by(|&a, &b| order.compare(&ports[a], &ports[b]));
    found
}
