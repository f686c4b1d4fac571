//! From API objects to the desired state of the node.

use std::collections::BTreeMap;

use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};

use super::{
    Family, Notice, ObjectKey, Objects, ServicePort, Skipped, Snapshot,
    claim::{Claimant, arbitrate},
    endpoint,
    port::{self, ProxiedPort},
    skip, unhonoured, vip,
};

/// What the model has to know about the node it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Settings {
    /// The name of the Node object. An endpoint is local if its `nodeName` is exactly this.
    pub node_name: String,
}

/// The desired state that `objects` ask for. Pure: equal arguments give equal snapshots.
pub fn build(objects: &Objects, settings: &Settings) -> Snapshot {
    let slices = slices_by_service(objects);
    let mut claimants = Vec::new();
    let mut skipped = Vec::new();
    let mut notices = Vec::new();
    for service in objects.services() {
        let key = ObjectKey::of(&service.metadata);
        if let Some(reason) = skip::reason(service) {
            skipped.push(Skipped { namespace: key.namespace, name: key.name, reason });
            continue;
        }
        let slices = slices.get(&key).map(Vec::as_slice).unwrap_or_default();
        let (ports, left_out) = port::of_service(service);
        claimants.extend(claimants_of(service, &ports, slices, settings));
        notices.extend(left_out);
        notices.extend(notices_of(service, slices));
    }
    let (services, lost) = arbitrate(claimants);
    notices.extend(lost);
    notices.sort();
    notices.dedup();
    Snapshot { services, skipped, notices }
}

fn slices_by_service(objects: &Objects) -> BTreeMap<ObjectKey, Vec<&EndpointSlice>> {
    let mut by_service: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for slice in objects.slices() {
        if let Some(owner) = endpoint::owner(slice) {
            by_service.entry(owner).or_default().push(slice);
        }
    }
    by_service
}

/// Each of the `ports` of `service` in every family in which it has a ClusterIP.
fn claimants_of<'a>(
    service: &'a Service,
    ports: &[ProxiedPort],
    slices: &[&EndpointSlice],
    settings: &Settings,
) -> Vec<Claimant<'a>> {
    let families = Family::ALL.into_iter().filter(|&family| vip::cluster_ip(service, family).is_some());
    let of_family = |family| {
        let vips = vip::vips(service, family);
        ports.iter().map(move |port| {
            let key = port.key(service, family);
            let backends = endpoint::backends(slices, &key, &settings.node_name);
            Claimant {
                service,
                key,
                port: ServicePort { frontends: port.frontends(&vips), backends, ..ServicePort::default() },
            }
        })
    };
    families.flat_map(of_family).collect()
}

fn notices_of(service: &Service, slices: &[&EndpointSlice]) -> Vec<Notice> {
    let of_slices = slices.iter().flat_map(|slice| {
        let unusable = endpoint::notices(slice);
        unusable.into_iter().chain(unhonoured::of_slice(slice))
    });
    let of_service = vip::notices(service).into_iter().chain(unhonoured::of_service(service));
    of_service.chain(of_slices).collect()
}

#[cfg(test)]
mod tests;
