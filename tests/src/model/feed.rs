//! The way of a change to the agent, and how it is known to have arrived.
//!
//! Beside each step a marker changes: a Service of its own, and its slice, in another namespace. A folder's file is in
//! force as a whole, and of each kind of objects an API server tells one after the other. So where both markers are in the
//! tables and these are in sync, the step is.

use std::{fmt::Write as _, net::Ipv4Addr};

use serde_json::{Value, json};

use crate::{
    apiserver::ApiServer,
    netns::world::World,
    reference::{Reference, Step, manifest},
};

/// The namespace of the marker.
pub const NAMESPACE: &str = "model-marker";

/// Its ClusterIP; nobody connects to it.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 8, 1);

/// What both markers say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Of the Service: seconds of affinity.
    pub affinity: u32,
    /// Of the slice: whether its only endpoint is on its way out.
    pub is_leaving: bool,
}

impl Mark {
    /// How many writes to tables it takes from one mark to the next: a policy and the flags of a backend.
    pub const WRITES: u64 = 2;

    /// That of a step.
    pub fn of(step: u32) -> Self {
        Self { affinity: step % 80_000 + 1, is_leaving: step % 2 == 1 }
    }

    fn objects(self) -> [Value; 2] {
        let metadata = json!({ "name": "marker", "namespace": NAMESPACE });
        let mut of_slice = metadata.clone();
        of_slice["labels"] = json!({ "kubernetes.io/service-name": "marker" });
        let service = json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {
                "clusterIP": ADDRESS, "clusterIPs": [ADDRESS], "ipFamilies": ["IPv4"],
                "ports": [{ "port": 9, "protocol": "TCP" }],
                "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": { "clientIP": { "timeoutSeconds": self.affinity } },
            },
        });
        let conditions =
            json!({ "ready": !self.is_leaving, "serving": true, "terminating": self.is_leaving });
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": of_slice,
            "addressType": "IPv4",
            "ports": [{ "name": "", "port": 9, "protocol": "TCP" }],
            "endpoints": [{ "addresses": [ADDRESS], "conditions": conditions }],
        });
        [service, slice]
    }
}

/// Where the agent reads what it is to do.
#[derive(Clone, Copy)]
pub enum Feed<'a> {
    /// One file in the world's folder of manifests, replaced by a rename.
    Folder,
    /// An API server.
    Api(&'a ApiServer),
}

/// The file of [`Feed::Folder`].
const FILE: &str = "model.yaml";

impl Feed<'_> {
    /// Tells of a step, after which there is what `reference` says.
    pub fn publish(
        self,
        world: &World,
        (reference, namespace): (&Reference, &str),
        step: &Step,
        mark: Mark,
    ) -> anyhow::Result<()> {
        match self {
            Self::Folder => {
                let mut text = String::new();
                for object in manifest::all(reference, namespace).into_iter().chain(mark.objects()) {
                    writeln!(text, "---\n{object}")?;
                }
                world.publish_text(FILE, &text)
            }
            Self::Api(server) => {
                for change in step {
                    match manifest::change(change, reference, namespace) {
                        Ok(object) => server.apply(object),
                        Err((plural, name)) => {
                            let namespace = if plural == "nodes" { "" } else { namespace };
                            server.delete(plural, namespace, &name);
                        }
                    }
                }
                mark.objects().into_iter().for_each(|object| server.apply(object));
                Ok(())
            }
        }
    }

    /// Whether a step is told as a whole.
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Folder)
    }

    /// The step that takes everything away.
    pub fn clearing(reference: &Reference) -> Step {
        use crate::reference::Change;
        let services = reference.services.keys().cloned().map(Change::NoService);
        let slices = reference.slices.keys().cloned().map(Change::NoSlice);
        services.chain(slices).chain(reference.node.iter().map(|_| Change::NoNode)).collect()
    }
}
