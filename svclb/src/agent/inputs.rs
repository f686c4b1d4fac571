//! Where the agent learns what is wanted, and whom it tells.

use svclb_common::config::SocketMode;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::{RunError, Settings};
use crate::{
    apiserver::{self, Events, Pace},
    config::Source,
    manifest,
    source::Batch,
};

/// Where the agent learns what is wanted, and whom it tells.
pub(super) struct Inputs {
    /// What the source tells; the first batch is complete.
    pub(super) batches: mpsc::Receiver<Batch>,
    /// Events; nobody hears them where there is no API.
    pub(super) events: Events,
}

impl Inputs {
    /// Opens the source that the settings name. What it needs to run is given to `tasks`.
    pub(super) async fn open(settings: &Settings, tasks: &TaskTracker) -> Result<Self, RunError> {
        let kubeconfig = match &settings.config.source {
            Source::Manifests(folder) => {
                let (batches, following) = manifest::watch(folder)
                    .map_err(|error| RunError::Config(format!("--manifests: {error}")))?;
                tasks.spawn(following);
                return Ok(Self { batches, events: Events::none() });
            }
            Source::Kubeconfig(file) => Some(file.clone()),
            Source::InCluster => None,
        };
        let node_name = settings.config.node_name.clone();
        let access = apiserver::Settings {
            kubeconfig,
            node_name: node_name.clone(),
            follows_pods: settings.devices.socket_mode == SocketMode::All,
            pace: Pace::default(),
        };
        let client =
            apiserver::connect(&access).await.map_err(|error| RunError::Config(error.to_string()))?;
        let (batches, following) = apiserver::watch(&client, &access);
        let (events, telling) = Events::new(client, &node_name);
        tasks.spawn(following);
        tasks.spawn(telling);
        Ok(Self { batches, events })
    }
}
