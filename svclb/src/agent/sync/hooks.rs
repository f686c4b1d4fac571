//! Programs on their hooks, while flow tables change their size as well.

use super::Syncer;
use crate::datapath::{
    Error,
    attach::{Attachments, Wanted},
    carry::Carry,
    loader,
};

impl Syncer {
    /// Attaches what is wanted. If flows move to other tables, all hooks get the programs of one step after the other.
    pub(super) async fn attach(&mut self, wanted: &Wanted, older: Option<&Carry>) -> Result<(), Error> {
        let pins = self.settings.pins.clone();
        let capacities = self.settings.capacities();
        loop {
            if self.is_outdated {
                self.programs = loader::load(&pins, &capacities, &self.resize, &self.datapath)?;
                // What is attached is as another agent would have left it.
                self.attachments = Attachments::adopt(&pins, self.settings.tc)?;
                self.is_outdated = false;
            }
            self.attachments.apply(&mut self.programs, wanted, older).await?;
            // A device that refuses keeps its programs, and those their tables.
            if self.attachments.is_incomplete() || !self.resize.advance(&pins, &capacities)? {
                return Ok(());
            }
            self.is_outdated = true;
        }
    }
}
