//! What the API says of a Service, for who asks.

use super::Syncer;
use crate::{
    explain::{About, Objects, OptedOut, PortAccount, ServiceObjects},
    model::{ObjectKey, ServicePort},
};

/// Not proxied Services and pods that are told of at most; the rest is counted.
const MOST: usize = 100;

impl Syncer {
    /// What is known of whom somebody has asked about.
    pub(in crate::agent) fn answer(&self, about: &About) -> Objects {
        let model = self.model();
        let service = match about {
            About::Nobody => None,
            About::Service(key) => Some(key.clone()),
            About::Address(address) => {
                let has_it =
                    |port: &ServicePort| port.frontends.iter().any(|it| it.address == Some(*address));
                let found = model.services().iter().find(|(_, port)| has_it(port));
                found.map(|(key, _)| ObjectKey { namespace: key.namespace.clone(), name: key.name.clone() })
            }
        };
        let opted_out = model.opt_outs().pods();
        let skipped = model.skipped();
        Objects {
            node: self.settings.model.node_name.clone(),
            is_written: self.services.are_complete(),
            service: service.and_then(|key| {
                let account = model.account(&key)?;
                let ports = model
                    .services()
                    .iter()
                    .filter(|(port, _)| port.namespace == key.namespace && port.name == key.name);
                Some(ServiceObjects {
                    namespace: key.namespace.as_ref().into(),
                    name: key.name.as_ref().into(),
                    account,
                    ports: ports.map(|(key, port)| PortAccount::wanted(key, port)).collect(),
                })
            }),
            not_proxied: skipped
                .iter()
                .take(MOST)
                .map(|it| (format!("{}/{}", it.namespace, it.name), it.reason.explain().to_owned()))
                .collect(),
            opted_out: opted_out
                .take(MOST)
                .map(|(pod, addresses)| OptedOut { pod: pod.to_string(), addresses: addresses.to_vec() })
                .collect(),
        }
    }
}
