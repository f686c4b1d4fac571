//! What stays the neighbours' whatever others write.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use proptest::{prelude::*, test_runner::TestCaseError};

use super::template::NODE;
use crate::{
    model::{Model, Notice, ObjectKey, ObjectKind, Objects, Reason, ServicePort, ServicePortKey, Settings},
    source::Change,
};

type Verdict = Result<(), TestCaseError>;

/// The models of these tests.
pub(crate) fn settings() -> Settings {
    Settings { node_name: NODE.into(), sandboxes: vec!["gvisor".into()], ..Settings::default() }
}

/// The neighbours alone: what everything is compared with.
pub(crate) struct Neighbours {
    /// Their objects.
    pub(crate) objects: Objects,
    /// What they ask for.
    pub(crate) model: Model,
}

impl Neighbours {
    /// Those whose objects these changes tell.
    pub(crate) fn of(changes: &[Change]) -> Self {
        let mut objects = Objects::default();
        for change in changes {
            objects.apply(change);
        }
        Self { model: settled(changes), objects }
    }

    fn has_service(&self, key: &ObjectKey) -> bool {
        self.objects.services().any(|service| ObjectKey::of(&service.metadata) == *key)
    }

    fn has_slice(&self, key: &ObjectKey) -> bool {
        self.objects.slices().any(|slice| ObjectKey::of(&slice.metadata) == *key)
    }

    /// Judges the state that `objects` led to, the neighbours' among them.
    pub(crate) fn judge(&self, model: &Model, objects: &Objects) -> Verdict {
        self.judge_services(model, objects)?;
        self.judge_the_rest(model, objects)?;
        self.judge_notices(model, objects)
    }

    /// Backends and policy change by a slice of that Service alone; a frontend goes to another Service alone, and its
    /// loser is told.
    fn judge_services(&self, model: &Model, objects: &Objects) -> Verdict {
        let claimed = self.claimed(objects);
        for (key, alone) in self.model.services() {
            let owner = owner(key);
            let Some(now) = model.services().get(key) else {
                return Err(TestCaseError::fail(format!("{key} is gone")));
            };
            if claimed.contains(&owner) {
                let addresses = |port: &ServicePort| -> BTreeSet<_> {
                    port.backends.iter().map(|backend| (backend.address, backend.port)).collect()
                };
                prop_assert!(addresses(now).is_superset(&addresses(alone)), "{} lost backends", key);
            } else {
                prop_assert_eq!(&now.backends, &alone.backends, "backends of {}", key);
                prop_assert_eq!(&now.policy, &alone.policy, "policy of {}", key);
            }
            prop_assert!(now.frontends.iter().all(|frontend| alone.frontends.contains(frontend)));
            for lost in alone.frontends.iter().filter(|frontend| !now.frontends.contains(frontend)) {
                let is_told = model.notices().any(|notice| {
                    notice.object == owner
                        && notice.reason == Reason::AddressConflict
                        && notice.message.starts_with(&format!("{lost}/{} belongs to ", key.protocol))
                });
                prop_assert!(is_told, "{} lost {} and is not told", key, lost);
            }
        }
        for key in model.services().keys().filter(|key| !self.model.services().contains_key(*key)) {
            let (owner, has) = (owner(key), |metadata: &ObjectMeta| ObjectKey::of(metadata));
            prop_assert!(!self.has_service(&owner), "{} is new", key);
            prop_assert!(
                objects.services().any(|service| has(&service.metadata) == owner),
                "{} is nobody's",
                key
            );
        }
        Ok(())
    }

    /// The neighbours' Services that others have slices for.
    fn claimed(&self, objects: &Objects) -> BTreeSet<ObjectKey> {
        let others = objects.slices().filter(|slice| !self.has_slice(&ObjectKey::of(&slice.metadata)));
        let owner = |metadata: &ObjectMeta| {
            let name = metadata.labels.as_ref()?.get("kubernetes.io/service-name")?;
            Some(ObjectKey { name: name.as_str().into(), ..ObjectKey::of(metadata) })
        };
        others.filter_map(|slice| owner(&slice.metadata)).collect()
    }

    fn judge_the_rest(&self, model: &Model, objects: &Objects) -> Verdict {
        let claimed = self.claimed(objects);
        for (service, check) in self.model.health_checks().iter().filter(|(key, _)| !claimed.contains(*key)) {
            prop_assert_eq!(model.health_checks().get(service), Some(check));
        }
        prop_assert_eq!(model.node(), self.model.node());
        prop_assert!(model.service_cidrs().is_superset(self.model.service_cidrs()));
        let is_neighbours = |namespace: &str, name: &str| {
            self.has_service(&ObjectKey { namespace: namespace.into(), name: name.into() })
        };
        prop_assert!(model.skipped().iter().all(|skipped| !is_neighbours(&skipped.namespace, &skipped.name)));
        Ok(())
    }

    /// Each names an object that there is and a field of it, on one line. The neighbours are told of conflicts alone.
    fn judge_notices(&self, model: &Model, objects: &Objects) -> Verdict {
        for notice in model.notices() {
            let key = &notice.object;
            let is_there = match notice.kind {
                ObjectKind::Service => objects.services().any(|it| ObjectKey::of(&it.metadata) == *key),
                ObjectKind::EndpointSlice => objects.slices().any(|it| ObjectKey::of(&it.metadata) == *key),
                ObjectKind::ServiceCidr => {
                    objects.service_cidrs().any(|it| ObjectKey::of(&it.metadata) == *key)
                }
            };
            let line = notice.to_string();
            prop_assert!(is_there && !key.name.is_empty() && !notice.field.is_empty(), "{}", line);
            prop_assert!(!line.chars().any(char::is_control), "{:?}", line);
            let is_neighbours = match notice.kind {
                ObjectKind::Service => self.has_service(key),
                ObjectKind::EndpointSlice => self.has_slice(key),
                ObjectKind::ServiceCidr => false,
            };
            let is_old = |old: &Notice| old == notice;
            prop_assert!(
                !is_neighbours
                    || notice.reason == Reason::AddressConflict
                    || self.model.notices().any(is_old),
                "{}",
                line
            );
        }
        Ok(())
    }

    /// Judges a state from which all others are gone.
    pub(crate) fn judge_alone(&self, model: &Model) -> Verdict {
        prop_assert_eq!(told(model), told(&self.model));
        Ok(())
    }
}

/// The Service of a Service port.
fn owner(key: &ServicePortKey) -> ObjectKey {
    ObjectKey { namespace: key.namespace.clone(), name: key.name.clone() }
}

/// A model that knows these changes and nothing else.
pub(crate) fn settled(changes: &[Change]) -> Model {
    let mut model = Model::new(settings());
    for change in changes {
        model.apply(change);
    }
    model.settle();
    model
}

/// Everything that a model tells.
pub(crate) fn told(model: &Model) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        model.services().clone(),
        model.notices().cloned().collect::<Vec<_>>(),
        model.skipped(),
        model.health_checks().clone(),
        (model.no_local_endpoints(), model.node().clone(), model.service_cidrs().clone()),
        (
            model.opt_outs().uids().map(ToOwned::to_owned).collect::<Vec<_>>(),
            model.opt_outs().ignored().collect::<Vec<_>>(),
        ),
    )
}
