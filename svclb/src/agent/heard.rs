//! What the source tells before there are tables that it could be written to.

use super::RunError;
use crate::{
    model::{Model, Settings},
    source::{Batch, Change},
};

/// What the source has told while programs are loaded: in the model at once, so that no object is kept as a whole.
pub(super) struct Heard {
    /// What is wanted so far.
    pub(super) model: Model,
    /// The last part of the first batch, if it has come. Nothing is listened to after that.
    pub(super) last: Option<Batch>,
    /// How many changes of Services were told in the other parts.
    pub(super) services: u64,
    /// How many of slices.
    pub(super) slices: u64,
}

impl Heard {
    /// Nothing yet.
    pub(super) fn new(settings: Settings) -> Self {
        Self { model: Model::new(settings), last: None, services: 0, slices: 0 }
    }

    /// Whether the first batch is not complete.
    pub(super) fn wants_more(&self) -> bool {
        self.last.is_none()
    }

    /// Takes in a part of the first batch.
    pub(super) fn take(&mut self, batch: Option<Batch>) -> Result<(), RunError> {
        let batch = batch.ok_or_else(|| RunError::other("the source of Services has ended"))?;
        if !batch.is_part {
            self.last = Some(batch);
            return Ok(());
        }
        for change in batch.changes {
            match change {
                Change::Service(..) => self.services += 1,
                Change::Slice(..) => self.slices += 1,
                _ => {}
            }
            self.model.apply(&change);
        }
        Ok(())
    }
}
