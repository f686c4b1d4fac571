//! Between any two writes a program finds what was wanted before or what is wanted now.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{
    kernel::Kernel,
    world::{advance, any_history, owners, wanted},
};
use crate::{
    model::{Family, ServicePortKey, Snapshot},
    plan::{Applied, BackendKey, FrontendKey},
};

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

/// One plan's way from `old` to `new`.
#[derive(Clone, Copy)]
struct Way<'a> {
    old: &'a Snapshot,
    new: &'a Snapshot,
}

impl Way<'_> {
    /// Backends that a service port may have on the way.
    fn allowed(self, key: &ServicePortKey) -> BTreeSet<BackendKey> {
        &wanted(self.old, key) | &wanted(self.new, key)
    }

    /// A program that starts now.
    fn check_reader(self, kernel: &Kernel, family: Family) {
        let (before, after) = (owners(self.old, family), owners(self.new, family));
        let keys: BTreeSet<FrontendKey> = before.keys().chain(after.keys()).copied().collect();
        assert!(kernel.tables(family).frontends.keys().all(|key| keys.contains(key)));
        for key in keys {
            let (before, after) = (before.get(&key).copied(), after.get(&key).copied());
            match kernel.resolve(family, &key) {
                None => assert!(before.is_none() || after.is_none(), "{key:?} is gone for a while"),
                Some((name, found)) if Some(name) == before => {
                    assert!(found.is_subset(&self.allowed(name)));
                    let (old, new) = (wanted(self.old, name), wanted(self.new, name));
                    let may_be_empty =
                        old.is_empty() || new.is_empty() && self.new.services.contains_key(name);
                    assert!(may_be_empty || !found.is_empty(), "{name:?} is empty for a while");
                }
                Some((name, found)) => {
                    assert_eq!(Some(name), after, "{key:?} leads to a third service");
                    assert_eq!(found, wanted(self.new, name), "{key:?} leads to a service in the making");
                }
            }
        }
    }

    /// A program that read slab and backend numbers before the first write, and goes on now.
    fn check_late_reader(self, start: &Kernel, kernel: &Kernel, family: Family) {
        for (id, name) in &start.tables(family).names {
            let Some(&(slab, _)) = start.tables(family).services.get(id) else { continue };
            for &backend in kernel.slots(family, slab) {
                assert!(self.allowed(name).contains(&kernel.ghost(family, backend)));
            }
        }
        for (&id, backend) in &start.tables(family).backends {
            assert_eq!(kernel.ghost(family, id), backend.key);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_prefix_of_a_plan_is_old_or_new(history in any_history()) {
        let (mut applied, mut kernel) = (Applied::default(), Kernel::default());
        let mut old = Snapshot::default();
        for new in history {
            let (start, way) = (kernel.clone(), Way { old: &old, new: &new });
            for op in advance(&new, &mut applied) {
                kernel.write(&op);
                for family in FAMILIES {
                    way.check_reader(&kernel, family);
                    way.check_late_reader(&start, &kernel, family);
                }
            }
            old = new;
        }
    }
}
