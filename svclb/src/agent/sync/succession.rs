//! Taking over from an agent of an older layout, once all hooks have this agent's programs behind the older ones.

use super::Syncer;
use crate::{
    datapath::{Error, carry::Carry},
    netdev::Network,
};

impl Syncer {
    /// Goes through the rest of the steps, if the first ones are done. Each may be done again after a failure.
    pub(super) async fn succeed(&mut self, network: &Network) -> Result<(), Error> {
        let Some(mut older) = self.older.take() else { return Ok(()) };
        let result = self.succeed_to(&mut older, network).await;
        if matches!(result, Ok(true)) {
            let version = older.version();
            older.forget()?;
            tracing::info!("took over from the agent of layout {version}: its programs and tables are gone");
        } else {
            self.older = Some(older);
        }
        result.map(drop)
    }

    async fn succeed_to(&mut self, older: &mut Carry, network: &Network) -> Result<bool, Error> {
        let Some(wanted) = &self.attached else { return Ok(false) };
        if !self.attachments.are_behind(older, wanted) {
            return Ok(false);
        }
        let mut moved = older.close()?.and(older.empty()?);
        older.front()?;
        self.attachments.adopt_xdp()?;
        self.attached = None;
        self.sync_hooks_beside(network, Some(older)).await?;
        older.release()?;
        moved = moved.and(older.empty()?);
        tracing::info!(
            written = moved.written,
            updated = moved.updated,
            left = moved.left,
            "flows taken over"
        );
        Ok(true)
    }
}
