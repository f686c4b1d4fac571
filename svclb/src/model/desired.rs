//! The desired state of the node, Service by Service.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use super::{
    Frontend, Frontends, HealthCheck, NoLocal, Notice, ObjectKey, ObjectKind, Reason, ServicePort,
    ServicePortKey,
    claim::{Claim, Claims, Rank, lost},
    compute::{Computed, ComputedPort},
    no_local::Drops,
    notice_board::NoticeBoard,
};
use crate::compact::compact;

/// The desired state of the node, and what is needed to change it Service by Service.
#[derive(Debug, Default)]
pub(super) struct Desired {
    /// Every proxied Service port.
    pub(super) services: BTreeMap<ServicePortKey, ServicePort>,
    /// What cannot be had.
    pub(super) notices: NoticeBoard,
    /// Health checks by Service.
    pub(super) health_checks: BTreeMap<ObjectKey, HealthCheck>,
    /// Service ports that drop for lack of local endpoints.
    pub(super) no_local: NoLocal,
    /// Services to which the zone of the node matters.
    pub(super) hinted: BTreeSet<ObjectKey>,
    /// Services to which the addresses of the node matter.
    pub(super) ranged: BTreeSet<ObjectKey>,
    held: BTreeMap<ObjectKey, Held>,
    claims: Claims,
}

/// What a Service holds.
#[derive(Debug, Default)]
struct Held {
    ports: Box<[HeldPort]>,
    notices: Box<[Notice]>,
}

/// What a Service port holds, besides its record in the desired state.
#[derive(Debug)]
struct HeldPort {
    rank: Arc<Rank>,
    wanted: Box<[Frontend]>,
    drops: Drops,
    /// Which frontends others have.
    lost: Vec<Notice>,
}

/// What has been replaced and is not settled yet.
#[derive(Default)]
pub(super) struct Round {
    affected: BTreeSet<ServicePortKey>,
    fresh: BTreeMap<ServicePortKey, ServicePort>,
    touched: BTreeSet<Claim>,
    /// Whether a health check is another one.
    pub(super) health_checks_changed: bool,
}

impl Desired {
    /// Replaces all that `service` asks for. Which frontends it keeps is decided at the end of the round.
    pub(super) fn replace(
        &mut self,
        service: &ObjectKey,
        created: Option<k8s_openapi::jiff::Timestamp>,
        computed: Computed,
        round: &mut Round,
    ) {
        let Held { ports: old_ports, notices: old_notices } = self.held.remove(service).unwrap_or_default();
        self.notices.withdraw(old_notices);
        self.notices.post(computed.notices.iter().cloned());
        round.health_checks_changed |= match computed.health_check {
            Some(check) => self.health_checks.insert(service.clone(), check) != Some(check),
            None => self.health_checks.remove(service).is_some(),
        };
        mark(&mut self.hinted, service, computed.has_hints);
        mark(&mut self.ranged, service, computed.has_ranges);

        let mut old_ports: BTreeMap<_, _> =
            old_ports.into_iter().map(|port| (port.rank.key.clone(), port)).collect();
        let ports: Box<[_]> = computed
            .ports
            .into_iter()
            .map(|port| {
                let old = old_ports.remove(&port.key);
                self.replace_port(old, created, port, round)
            })
            .collect();
        for old in old_ports.into_values() {
            self.no_local.remove(old.rank.key.family, old.drops);
            self.notices.withdraw(old.lost);
            let claims = &mut self.claims;
            round.touched.extend(old.wanted.iter().map(|frontend| claims.remove(&old.rank, frontend)));
            round.affected.insert(old.rank.key.clone());
        }
        if !ports.is_empty() || !computed.notices.is_empty() {
            self.held.insert(service.clone(), Held { ports, notices: computed.notices.into() });
        }
    }

    fn replace_port(
        &mut self,
        old: Option<HeldPort>,
        created: Option<k8s_openapi::jiff::Timestamp>,
        ComputedPort { key, wanted, port, drops }: ComputedPort,
        round: &mut Round,
    ) -> HeldPort {
        self.no_local.add(key.family, drops);
        round.affected.insert(key.clone());
        round.fresh.insert(key.clone(), port);
        let rank = Rank::new(created, key);
        let Some(old) = old else {
            let rank = Arc::new(rank);
            round.touched.extend(wanted.iter().map(|frontend| self.claims.insert(&rank, frontend)));
            return HeldPort { rank, wanted, drops, lost: Vec::new() };
        };
        self.no_local.remove(old.rank.key.family, old.drops);
        if *old.rank == rank && old.wanted == wanted {
            return HeldPort { drops, ..old };
        }
        round.touched.extend(old.wanted.iter().map(|frontend| self.claims.remove(&old.rank, frontend)));
        let rank = if *old.rank == rank { old.rank } else { Arc::new(rank) };
        round.touched.extend(wanted.iter().map(|frontend| self.claims.insert(&rank, frontend)));
        HeldPort { rank, wanted, drops, lost: old.lost }
    }

    /// Takes as little memory as possible.
    pub(super) fn compact(&mut self) {
        compact(&mut self.services);
        compact(&mut self.held);
        self.claims.compact();
    }

    /// Ends a round: gives every claim that changed to its first claimant. Returns the Service ports that changed,
    /// came or went; `uid` knows the Services.
    pub(super) fn finish<'a>(
        &mut self,
        round: Round,
        uid: impl Fn(&ObjectKey) -> Option<&'a str>,
    ) -> BTreeSet<ServicePortKey> {
        let Round { mut affected, mut fresh, touched, .. } = round;
        affected.extend(touched.iter().flat_map(|claim| self.claims.claimants(claim)).cloned());
        affected.retain(|key| {
            let service = ObjectKey { namespace: key.namespace.clone(), name: key.name.clone() };
            let ports = self.held.get_mut(&service).map(|held| &mut held.ports[..]).unwrap_or_default();
            let Ok(place) = ports.binary_search_by(|port| port.rank.key.cmp(key)) else {
                return self.services.remove(key).is_some();
            };
            let held = &mut ports[place];
            let mut frontends = Vec::with_capacity(held.wanted.len());
            let mut lost_now = Vec::new();
            for frontend in &held.wanted {
                match self.claims.judge(key, frontend) {
                    Ok(()) => frontends.push(*frontend),
                    Err(owner) => lost_now.push(Notice {
                        kind: ObjectKind::Service,
                        object: service.clone(),
                        field: frontend.kind.field().to_owned(),
                        reason: Reason::AddressConflict,
                        message: lost(frontend, key, owner),
                        uid: uid(&service).map(str::to_owned),
                    }),
                }
            }
            self.notices.withdraw(mem::replace(&mut held.lost, lost_now.clone()));
            self.notices.post(lost_now);
            let frontends: Frontends = frontends.into_iter().collect();
            match (fresh.remove(key), self.services.get_mut(key)) {
                (Some(port), Some(known)) => {
                    let port = ServicePort { frontends, ..port };
                    let is_changed = *known != port;
                    *known = port;
                    is_changed
                }
                (Some(port), None) => {
                    self.services.insert(key.clone(), ServicePort { frontends, ..port });
                    true
                }
                (None, Some(known)) => {
                    let is_changed = known.frontends != frontends;
                    known.frontends = frontends;
                    is_changed
                }
                (None, None) => false,
            }
        });
        affected
    }
}

fn mark(set: &mut BTreeSet<ObjectKey>, service: &ObjectKey, is_in: bool) {
    if is_in {
        set.insert(service.clone());
    } else {
        set.remove(service);
    }
}
