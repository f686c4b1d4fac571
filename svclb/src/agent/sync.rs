//! One pass from what is wanted to what is in the kernel.

use std::{collections::BTreeSet, process};

use super::{RunError, Settings, devices::addresses};
use crate::{
    datapath::{
        Error,
        addresses::AddressMaps,
        attach::{Attachments, Wanted},
        loader::{self, Programs},
        loopback, readback,
        tables::Tables,
    },
    model::{self, Notice, Objects, ServicePortKey, build},
    netdev::Network,
    plan::{Applied, Limits, Readback, plan_all, retained},
    sys::mapped::Access,
};

/// The one writer of tables and hooks.
pub(super) struct Syncer {
    settings: Settings,
    model: model::Settings,
    limits: Limits,
    programs: Programs,
    tables: Tables,
    applied: Applied,
    /// What an earlier agent left.
    inherited: BTreeSet<ServicePortKey>,
    addresses: AddressMaps,
    attachments: Attachments,
    /// What was last attached to; hooks are left alone while it stays.
    attached: Option<Wanted>,
    /// Devices that a default route has left by, while they are there.
    uplinks: BTreeSet<u32>,
    /// What was told of and still holds, so that it is told once.
    notices: Vec<Notice>,
    refused: Vec<String>,
    missing: Vec<String>,
    failures: Vec<String>,
}

impl Syncer {
    /// Loads the programs and takes over what is in the kernel.
    pub(super) fn new(settings: &Settings) -> Result<Self, RunError> {
        let pins = &settings.pins;
        let programs = loader::load(pins, &settings.capacities(), &settings.datapath()?)?;
        let mut tables = Tables::open(pins, Access::Write)?;
        let state = tables.state()?;
        state.synced.store(0);
        state.pid.store(process::id());
        state.writes.store(0);
        state.applied.store(0);

        let limits = Limits::default();
        let Readback { applied, repairs } = Readback::new(readback::read(&tables)?, &limits);
        for repair in repairs {
            tracing::warn!("tables repaired: {}", repair.fault);
            tables.apply(&repair.op)?;
        }
        let attachments = Attachments::adopt(pins, settings.tc)?;
        Ok(Self {
            settings: settings.clone(),
            inherited: applied.services().map(|(key, _)| key.clone()).collect(),
            uplinks: attachments.uplinks(),
            model: model::Settings { node_name: settings.node_name.clone() },
            limits,
            programs,
            tables,
            applied,
            addresses: AddressMaps::open(pins)?,
            attachments,
            attached: None,
            notices: Vec::new(),
            refused: Vec::new(),
            missing: Vec::new(),
            failures: Vec::new(),
        })
    }

    /// Brings the kernel to what is wanted. False if something failed and is to be
    /// tried again; what was written stays written, and is known.
    pub(super) async fn sync(&mut self, objects: &Objects, network: &Network) -> bool {
        let wanted = self.settings.devices.wanted(network, &self.uplinks);
        self.uplinks.retain(|index| network.links.contains_key(index));
        self.uplinks.extend(&network.default_routes);
        self.tell_missing(network);

        // Each part goes as far as it can: a full table of addresses must not keep
        // Services from changing.
        // A device leads somewhere once it carries programs, so addresses come before hooks
        // for those that do and after them for those that did not.
        let before = self.sync_addresses(network);
        let tables = self.sync_tables(objects);
        let hooks = self.sync_hooks(wanted).await.map(|()| true);
        let after = self.sync_addresses(network);
        let mut works = true;
        let mut complete = true;
        for result in [before, tables, hooks, after] {
            match result {
                Ok(part) => complete &= part,
                Err(error) => {
                    works = false;
                    let line = error.to_string();
                    if !self.failures.contains(&line) {
                        tracing::error!("{line}");
                        self.failures.push(line);
                    }
                }
            }
        }
        if works {
            self.failures.clear();
        }
        self.mark(works && complete && !self.attachments.is_incomplete());
        works && !self.attachments.is_incomplete()
    }

    fn sync_addresses(&mut self, network: &Network) -> Result<bool, Error> {
        let wanted = addresses(network, |index| self.attachments.carries(index));
        self.addresses.apply(&wanted, &self.tables).map(|()| true)
    }

    /// Warns of uplinks that the operator named and that are not there.
    fn tell_missing(&mut self, network: &Network) {
        let missing = self.settings.devices.roles(network).missing;
        if missing != self.missing {
            for name in &missing {
                tracing::warn!("--uplink {name}: there is no such device");
            }
            self.missing = missing;
        }
    }

    /// True when everything that is wanted is in the tables.
    fn sync_tables(&mut self, objects: &Objects) -> Result<bool, Error> {
        let snapshot = build(objects, &self.model);
        if snapshot.notices != self.notices {
            for notice in snapshot.notices.iter().filter(|notice| !self.notices.contains(notice)) {
                tracing::warn!("{}: {}: {}", notice.object, notice.field, notice.message);
            }
            self.notices.clone_from(&snapshot.notices);
        }
        let services = if objects.is_partial() {
            retained(&snapshot.services, &self.applied, &self.inherited)
        } else {
            snapshot.services
        };
        // A plan that frees what another needs is followed by one that finds the room.
        for _ in 0..2 {
            let plan = plan_all(&services, &self.applied, &self.limits);
            if !plan.ops.is_empty() {
                self.mark(false);
                tracing::info!(writes = plan.ops.len(), services = services.len(), "tables change");
            }
            for op in &plan.ops {
                self.tables.apply(op)?;
                self.applied.apply(op);
            }
            let refused: Vec<_> =
                plan.refused.iter().map(|refused| format!("{}: {}", refused.key, refused.reason)).collect();
            if refused.is_empty() || plan.ops.is_empty() {
                for line in refused.iter().filter(|line| !self.refused.contains(line)) {
                    tracing::error!("{line}");
                }
                self.refused = refused;
                break;
            }
        }
        let state = self.tables.state()?;
        state.applied.store(state.applied.load() + 1);
        Ok(self.refused.is_empty() && !objects.is_partial())
    }

    /// Hooks come after the tables: a program that finds a frontend finds its backends.
    async fn sync_hooks(&mut self, wanted: Wanted) -> Result<(), Error> {
        if self.attached.as_ref() == Some(&wanted) && !self.attachments.is_incomplete() {
            return Ok(());
        }
        if self.attached.is_none() {
            if wanted.loopback {
                loopback::open(&self.settings.pins)?;
            } else {
                loopback::close(&self.settings.pins)?;
            }
        }
        // Until it is sure, nothing is.
        self.attached = None;
        self.attachments.apply(&mut self.programs, &wanted).await?;
        self.attached = Some(wanted);
        Ok(())
    }

    /// Tells other processes.
    fn mark(&self, synced: bool) {
        if let Ok(state) = self.tables.state() {
            state.synced.store(synced.into());
        }
    }

    /// Says that nobody follows changes any more.
    pub(super) fn leave(&self) {
        self.mark(false);
    }
}
