//! Services of SCTP that are reached by other addresses than a ClusterIP.
//!
//! No socket call of SCTP passes a program, so that a host process is served per packet, as it leaves. What it sends to
//! an address of this node leaves by the loopback device, which therefore carries programs while there are such
//! Services, whatever `--socket-lb` says.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Delta, FrontendKind, Protocol, ServicePort, ServicePortKey};

/// Their service ports.
#[derive(Debug, Default)]
pub(super) struct Streams(BTreeSet<ServicePortKey>);

impl Streams {
    /// Whether there are any.
    pub(super) fn exist(&self) -> bool {
        !self.0.is_empty()
    }

    /// Takes in what has changed, and says whether [`exist`](Self::exist) has.
    pub(super) fn take(&mut self, delta: &Delta, services: &BTreeMap<ServicePortKey, ServicePort>) -> bool {
        let existed = self.exist();
        for key in delta.services.iter().filter(|key| key.protocol == Protocol::Sctp) {
            let mut frontends = services.get(key).into_iter().flat_map(|service| &service.frontends);
            if frontends.any(|frontend| frontend.kind != FrontendKind::ClusterIp) {
                self.0.insert(key.clone());
            } else {
                self.0.remove(key);
            }
        }
        self.exist() != existed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, Frontend};

    #[test]
    fn services_of_sctp_come_and_go() {
        let key = |name: &str, protocol| ServicePortKey {
            namespace: "default".into(),
            name: name.into(),
            port_name: "".into(),
            protocol,
            family: Family::V4,
        };
        let with = |kinds: &[FrontendKind]| {
            let frontends = kinds.iter().map(|kind| Frontend { kind: *kind, address: None, port: 80 });
            Some(ServicePort { frontends: frontends.collect(), ..ServicePort::default() })
        };
        let (a, b) = (key("a", Protocol::Sctp), key("b", Protocol::Sctp));
        let (tcp, both) = (key("a", Protocol::Tcp), [FrontendKind::ClusterIp, FrontendKind::NodePort]);
        let mut services = BTreeMap::new();
        let mut streams = Streams::default();
        // what becomes of which; whether there are any then
        let steps = [
            (&tcp, with(&both), false),
            (&a, with(&both[..1]), false),
            (&a, with(&both), true),
            (&b, with(&[FrontendKind::ExternalIp]), true),
            (&a, None, true),
            (&b, with(&both[..1]), false),
        ];
        for (step, (key, service, exist)) in steps.into_iter().enumerate() {
            match service {
                Some(service) => services.insert(key.clone(), service),
                None => services.remove(key),
            };
            let existed = streams.exist();
            let delta = Delta { services: [key.clone()].into(), ..Delta::default() };
            let has_changed = streams.take(&delta, &services);
            assert_eq!((streams.exist(), has_changed), (exist, exist != existed), "step {step}");
        }
    }
}
