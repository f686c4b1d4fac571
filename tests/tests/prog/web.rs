//! A node with one Service, for tests that look into tables.

use svclb_common::config::DatapathConfig;
use svclb_tests::packet::Packet;

use crate::{
    lab::{Hook, Lab, Verdict},
    node::Node,
    tables::{Services, Written},
};

const SERVICES: &str = "\
web:
  frontends: [cluster-ip 10.96.0.10:80/tcp]
  backends: [10.244.2.7:8080/tcp]
";

/// The node, and the programs on it.
pub(crate) struct Web {
    node: Node,
    pub(crate) lab: Lab,
}

impl Web {
    pub(crate) fn new() -> Self {
        let node = Node::new().unwrap();
        let mut lab = Lab::new(DatapathConfig::PER_PACKET, &[]).unwrap();
        let services: Services = serde_saphyr::from_str(SERVICES).unwrap();
        Written::new(&mut lab, &node, &services, |_| true).unwrap();
        Self { node, lab }
    }

    /// What becomes of a packet, and whether it was changed.
    pub(crate) fn send(&mut self, hook: Hook, line: &str) -> (Verdict, bool) {
        let frame = line.parse::<Packet>().unwrap().frame();
        let (verdict, out) = self.lab.run(&self.node, hook, &frame).unwrap();
        (verdict, out != frame)
    }
}
