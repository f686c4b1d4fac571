//! What goes on beside the passes, until the agent ends.

use std::{future::Future, sync::Arc};

use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
};

use super::{Settings, recount, self_probe};
use crate::{
    datapath::{Error, account, events},
    netdev::Network,
};

/// Tasks that end when this is dropped.
pub(super) struct Chores {
    _tasks: JoinSet<()>,
    /// Told when a probe finds a hook without its program.
    lost: Arc<Notify>,
}

impl Chores {
    /// Starts all of them.
    pub(super) fn start(settings: &Settings, network: &watch::Receiver<Arc<Network>>) -> Self {
        let (mut tasks, lost) = (JoinSet::new(), Arc::new(Notify::new()));
        let pins = settings.pins.clone();
        tasks.spawn(told("events are not logged", async move { events::log(&pins).await }));
        let pins = settings.pins.clone();
        let publish = async move { account::publish(&pins).await };
        tasks.spawn(told("svclb status does not hear what is wrong", publish));
        let counting = recount::keep(settings.pins.clone());
        tasks.spawn(async move {
            counting.await;
        });
        if settings.config.self_probe {
            let probing = self_probe::keep(settings.pins.clone(), network.clone(), Arc::clone(&lost));
            tasks.spawn(async move {
                probing.await;
            });
        }
        Self { _tasks: tasks, lost }
    }

    /// Resolves when a hook may have lost its program.
    pub(super) async fn lost(&self) {
        self.lost.notified().await;
    }
}

/// Says what follows from a failure.
async fn told<T>(what: &str, task: impl Future<Output = Result<T, Error>>) {
    if let Err(error) = task.await {
        tracing::warn!("{what}: {error}");
    }
}
