//! The agent's collector over the simulated tables.

use std::convert::Infallible;

use svclb_common::{
    balance::Tables as _,
    collect::{FlowTables, Judge},
    flow::{FlowEntry, FlowRecord, FlowState, Home},
    key::FlowKey,
    service::BackendId,
};

use super::{
    Net, World,
    table::{Table, flow_bytes, flow_key},
};

/// An entry with its key and its table.
pub(crate) type Entry<F> = (Home, FlowKey<<F as svclb_common::family::Family>::Addr>, Record<F>);
type Record<F> = FlowRecord<<F as svclb_common::family::Family>::Addr>;

/// What a walk through both flow tables did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Walk {
    /// Flows that are left, by state.
    pub(crate) states: Vec<FlowState>,
    /// Entries that went.
    pub(crate) removed: u32,
    /// Entries that left the established flows.
    pub(crate) demoted: u32,
}

impl<F: Net> World<F> {
    /// All entries of flows.
    pub(crate) fn entries(&self) -> Vec<Entry<F>> {
        let homes = [(Home::Flows, &self.flows), (Home::HalfOpen, &self.half_open)];
        let rows = homes.into_iter().flat_map(|(home, table)| {
            table.rows().into_iter().map(move |(key, entry)| (home, flow_key(&key), entry.into()))
        });
        rows.collect()
    }

    /// Walks through both tables, as the agent does from time to time.
    pub(crate) fn collect(&self) -> Walk {
        let judge = Judge { now: self.now(), timeouts: self.config.timeouts };
        let mut walk = Walk::default();
        self.eras.write(self.eras.read().walk());
        for (_, key, record) in self.entries() {
            self.mark(&key);
            let Ok(met) = judge.meet(self, &key, &record);
            walk.states.extend(met.state);
            walk.removed += met.removed;
            walk.demoted += u32::from(met.is_demoted);
        }
        self.eras.write(self.eras.read().walked());
        walk.states.sort();
        walk
    }

    fn home(&self, home: Home) -> &Table<FlowEntry<F::Addr>> {
        match home {
            Home::Flows => &self.flows,
            Home::HalfOpen => &self.half_open,
        }
    }
}

impl<F: Net> FlowTables<F::Addr> for World<F> {
    type Error = Infallible;

    fn find(&self, key: &FlowKey<F::Addr>) -> Result<Option<(Home, Record<F>)>, Infallible> {
        let key = flow_bytes(key);
        let found = [Home::Flows, Home::HalfOpen]
            .into_iter()
            .find_map(|home| Some((home, self.home(home).get(&key)?)));
        Ok(found.map(|(home, entry)| (home, entry.into())))
    }

    fn take(&self, home: Home, key: &FlowKey<F::Addr>, judged: &Record<F>) -> Result<bool, Infallible> {
        let (table, key) = (self.home(home), flow_bytes(key));
        let is_it = table.get(&key).is_some_and(|entry| Record::<F>::from(entry) == *judged);
        if is_it {
            table.remove(&key);
        }
        Ok(is_it)
    }

    fn put_back(&self, home: Home, key: &FlowKey<F::Addr>, record: &Record<F>) -> Result<(), Infallible> {
        let (table, key) = (self.home(home), flow_bytes(key));
        if table.get(&key).is_none() {
            table.put(key, record.into());
        }
        Ok(())
    }

    fn generation(&self, backend: BackendId) -> Option<u32> {
        self.backend(backend).map(|backend| backend.generation)
    }
}
