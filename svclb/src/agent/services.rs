//! From what a source tells to what the tables hold: the one writer of Services.

use std::collections::BTreeSet;

use super::stranded::Stranded;
use crate::{
    datapath::{Error, tables::Tables},
    model::{self, Delta, Family, Model, ServicePortKey},
    plan::{Applied, Limits, MapOp, Plan, Readback, Refused, TableOp, plan, plan_all, retained},
    source::Batch,
};

/// The model of what is wanted, and the tables that are to hold it.
pub(super) struct Services {
    model: Model,
    limits: Limits,
    tables: Tables,
    applied: Applied,
    /// What an earlier agent left.
    inherited: BTreeSet<ServicePortKey>,
    /// Whether the source has told everything once.
    is_loaded: bool,
    /// Whether the source holds what could not be read.
    is_partial: bool,
    /// Whether the next plan compares everything: the first one, and one after a failure.
    is_whole: bool,
    /// Service ports that changed and are not in the tables yet; those without room stay.
    pending: BTreeSet<ServicePortKey>,
}

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// How many writes to tables that were.
    pub(super) writes: usize,
    /// Whether everything was compared.
    pub(super) is_full: bool,
    /// What has no room.
    pub(super) refused: Vec<Refused>,
    /// Whether connected sockets may have lost their backend.
    pub(super) may_strand: bool,
    /// Whether the addresses of Services are others.
    pub(super) moves_cluster_ips: bool,
}

impl Services {
    /// Takes over what `read` found in `tables`.
    pub(super) fn adopt(
        mut tables: Tables,
        read: Readback,
        limits: Limits,
        settings: model::Settings,
    ) -> Result<Self, Error> {
        let Readback { applied, repairs } = read;
        for repair in repairs {
            tracing::warn!("tables repaired: {}", repair.fault);
            tables.apply(&repair.op)?;
        }
        tables.recount_frontends()?;
        tables.release()?;
        Ok(Self {
            model: Model::new(settings),
            limits,
            tables,
            inherited: applied.services().map(|(key, _)| key.clone()).collect(),
            applied,
            is_loaded: false,
            is_partial: false,
            is_whole: true,
            pending: BTreeSet::new(),
        })
    }

    /// Begins with what `model` has been told before.
    pub(super) fn begin_with(&mut self, model: Model) {
        self.model = model;
    }

    /// What is wanted.
    pub(super) fn model(&self) -> &Model {
        &self.model
    }

    /// The tables, for who reads them or writes others beside them.
    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// What is in the tables.
    pub(super) fn applied(&self) -> &Applied {
        &self.applied
    }

    /// Whether the tables hold Services of SCTP that are reached by more than a `ClusterIP`, also those of an earlier
    /// agent of which the source has told nothing yet.
    pub(super) fn have_streams(&self) -> bool {
        Family::ALL.into_iter().any(|family| self.applied.tables(family).have_streams())
    }

    /// Whether the tables hold something that is worth being attached to: what the source has told, or until then
    /// what an earlier agent left.
    pub(super) fn are_usable(&self) -> bool {
        self.is_loaded || !self.inherited.is_empty()
    }

    /// Whether the source has told everything once.
    pub(super) fn are_loaded(&self) -> bool {
        self.is_loaded
    }

    /// Whether the source knows that it has not told everything.
    pub(super) fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// Whether everything that is wanted is in the tables.
    pub(super) fn are_complete(&self) -> bool {
        self.is_loaded && !self.is_partial && !self.is_whole && self.pending.is_empty()
    }

    /// Takes in what the source tells.
    pub(super) fn take(&mut self, batch: Batch) {
        for change in batch.changes {
            // What counts of it is in the model then, and the rest can go.
            self.model.apply(&change);
        }
        if batch.is_part {
            return;
        }
        // What an earlier agent left is looked for among everything, again when that is over.
        self.is_whole |= batch.is_partial || self.is_partial;
        self.is_partial = batch.is_partial;
        self.is_loaded = true;
        if !batch.is_partial {
            // From now on the source has told of everything that there is.
            self.inherited.clear();
        }
    }

    /// Takes as little memory as possible, at the cost of a look at everything.
    pub(super) fn compact(&mut self) -> Result<(), Error> {
        self.model.compact();
        self.applied.compact(self.model.services());
        self.tables.release()
    }

    /// Finds what is different since the last time.
    pub(super) fn settle(&mut self) -> Delta {
        if !self.is_loaded {
            return Delta::default();
        }
        let delta = self.model.settle();
        self.pending.extend(delta.services.iter().cloned());
        delta
    }

    /// Whether there is anything to write.
    pub(super) fn are_due(&self) -> bool {
        self.is_loaded && (self.is_whole || !self.pending.is_empty())
    }

    /// Makes the tables hold what is wanted. After a failure the next call compares everything.
    pub(super) fn write(&mut self) -> Result<Written, Error> {
        let mut written = Written { is_full: self.is_whole, ..Written::default() };
        // A plan that frees what another needs is followed by one that finds the room.
        for _ in 0..2 {
            let Plan { ops, refused } = self.plan();
            self.is_whole = true;
            written.moves_cluster_ips |= ops.iter().any(moves_cluster_ips);
            for op in &ops {
                written.may_strand |= Stranded::is_by(op, &self.applied);
                self.tables.apply(op)?;
                self.applied.apply(op);
            }
            self.is_whole = false;
            self.pending = refused.iter().map(|refused| refused.key.clone()).collect();
            written.writes += ops.len();
            written.refused = refused;
            if written.refused.is_empty() || ops.is_empty() {
                break;
            }
        }
        let state = self.tables.state()?;
        state.applied.store(state.applied.load() + 1);
        Ok(written)
    }

    fn plan(&self) -> Plan {
        let wanted = self.model.services();
        if self.is_partial {
            plan_all(&retained(wanted, &self.applied, &self.inherited), &self.applied, &self.limits)
        } else if self.is_whole {
            plan_all(wanted, &self.applied, &self.limits)
        } else {
            let changed = self.pending.iter().map(|key| (key, wanted.get(key)));
            plan(changed, &self.applied, &self.limits)
        }
    }
}

fn moves_cluster_ips(op: &MapOp) -> bool {
    matches!(op, MapOp::Table { op: TableOp::AddClusterIp { .. } | TableOp::RemoveClusterIp { .. }, .. })
}
