//! All kinds together.

use k8s_openapi::api::{
    core::v1::{Node, Pod, Service},
    discovery::v1::EndpointSlice,
    networking::v1::ServiceCIDR,
};
use kube::Client;
use tokio::sync::mpsc;

use super::{
    Settings,
    follow::follow,
    told::{News, Told},
};
use crate::source::Batch;

/// So many changes at once are worth a look at how what is known lies in memory.
const MANY: usize = 1000;

/// So many objects of lists that are not complete are told as a part of the first batch.
const PART: usize = 256;

/// How many news may wait to be folded.
const BACKLOG: usize = 256;

/// What is heard, by kind.
enum Heard {
    Services(News<Service>),
    Slices(News<EndpointSlice>),
    Nodes(News<Node>),
    ServiceCidrs(News<ServiceCIDR>),
    Pods(News<Pod>),
}

/// Follows the API server: what it tells, and the task that has to run for it. The task ends when nobody listens
/// any more, and never by itself.
///
/// The first batch is complete; it does not come before every kind is listed (or, if the agent can do without,
/// found not to be served). Each later one holds what has changed since the one before.
pub fn watch(
    client: &Client,
    settings: &Settings,
) -> (mpsc::Receiver<Batch>, impl Future<Output = ()> + Send + use<>) {
    // One batch may wait: what comes meanwhile is folded into the next.
    let (batches, receiver) = mpsc::channel(1);
    let (client, settings) = (client.clone(), settings.clone());
    let task = async move {
        let (sender, heard) = mpsc::channel(BACKLOG);
        let (name, pace) = (settings.node_name.as_str(), settings.pace);
        let following = async {
            let pods = async {
                if settings.follows_pods {
                    follow(client.clone(), name, pace, Heard::Pods, sender.clone()).await;
                } else {
                    // Whoever does not listen has ended the task already.
                    sender.send(Heard::Pods(News::Unavailable)).await.ok();
                }
            };
            tokio::join!(
                pods,
                follow(client.clone(), name, pace, Heard::Services, sender.clone()),
                follow(client.clone(), name, pace, Heard::Slices, sender.clone()),
                follow(client.clone(), name, pace, Heard::Nodes, sender.clone()),
                follow(client.clone(), name, pace, Heard::ServiceCidrs, sender.clone()),
            )
        };
        tokio::select! {
            _ = following => {}
            () = gather(heard, batches) => {}
        }
    };
    (receiver, task)
}

/// Folds what is heard into batches until nobody takes them.
async fn gather(mut heard: mpsc::Receiver<Heard>, batches: mpsc::Sender<Batch>) {
    let mut world = World::default();
    let mut buffer = Vec::with_capacity(BACKLOG);
    loop {
        tokio::select! {
            biased;
            permit = batches.reserve(), if world.is_worth_telling() => match permit {
                Ok(permit) => permit.send(world.take()),
                Err(_nobody_listens) => return,
            },
            count = heard.recv_many(&mut buffer, BACKLOG) => {
                if count == 0 {
                    return;
                }
                buffer.drain(..).for_each(|news| world.hear(news));
            }
            () = batches.closed() => return,
        }
    }
}

/// What is known of all kinds.
#[derive(Default)]
struct World {
    services: Told<Service>,
    slices: Told<EndpointSlice>,
    nodes: Told<Node>,
    service_cidrs: Told<ServiceCIDR>,
    pods: Told<Pod>,
    /// Whether what was told last was partial; `None` before the first batch.
    told_partial: Option<bool>,
}

impl World {
    fn hear(&mut self, heard: Heard) {
        match heard {
            Heard::Services(news) => self.services.hear(news),
            Heard::Slices(news) => self.slices.hear(news),
            Heard::Nodes(news) => self.nodes.hear(news),
            Heard::ServiceCidrs(news) => self.service_cidrs.hear(news),
            Heard::Pods(news) => self.pods.hear(news),
        }
    }

    fn is_worth_telling(&self) -> bool {
        let Self { services, slices, nodes, service_cidrs, pods, told_partial } = self;
        let is_complete = self.is_complete();
        let has_changes = services.has_changes()
            || slices.has_changes()
            || nodes.has_changes()
            || service_cidrs.has_changes()
            || pods.has_changes();
        if is_complete { has_changes || *told_partial != Some(self.is_partial()) } else { self.has_part() }
    }

    /// Whether a part of the first batch is worth being told.
    fn has_part(&self) -> bool {
        self.told_partial.is_none() && self.services.changes() + self.slices.changes() >= PART
    }

    fn is_complete(&self) -> bool {
        let Self { services, slices, nodes, service_cidrs, pods, .. } = self;
        services.is_complete()
            && slices.is_complete()
            && nodes.is_complete()
            && service_cidrs.is_complete()
            && pods.is_complete()
    }

    /// A pod that cannot be read keeps no Service in the tables.
    fn is_partial(&self) -> bool {
        self.services.is_partial()
            || self.slices.is_partial()
            || self.nodes.is_partial()
            || self.service_cidrs.is_partial()
    }

    fn take(&mut self) -> Batch {
        let (is_partial, is_part) = (self.is_partial(), !self.is_complete());
        let is_first = self.told_partial.is_none() && !is_part;
        if !is_part {
            self.told_partial = Some(is_partial);
        }
        let Self { services, slices, nodes, service_cidrs, pods, told_partial: _ } = self;
        let changes = services.take().chain(slices.take()).chain(nodes.take());
        let changes: Vec<_> = changes.chain(service_cidrs.take()).chain(pods.take()).collect();
        if is_first || changes.len() >= MANY {
            services.compact();
            slices.compact();
        }
        Batch { changes, is_partial, is_part }
    }
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::ObjectKey, source::Change};

    fn told(world: &mut World) -> Option<usize> {
        world.is_worth_telling().then(|| world.take().changes.len())
    }

    #[test]
    fn nothing_is_told_before_every_list_is_complete() {
        let mut world = World::default();
        let key = ObjectKey { namespace: "a".into(), name: "b".into() };
        let entry = super::super::told::Entry::new(key.clone(), Ok(Service::default().into()));
        world.hear(Heard::Services(News::Listed(vec![entry])));
        assert_eq!(told(&mut world), None);
        world.hear(Heard::Nodes(News::Listed(vec![])));
        assert_eq!(told(&mut world), None);
        world.hear(Heard::ServiceCidrs(News::Unavailable));
        assert_eq!(told(&mut world), None);
        world.hear(Heard::Slices(News::Listed(vec![])));
        assert_eq!(told(&mut world), None);
        world.hear(Heard::Pods(News::Listed(vec![])));
        assert_eq!(told(&mut world), Some(1));
        assert_eq!(told(&mut world), None);
        world.hear(Heard::Services(News::Deleted(key.clone())));
        assert!(world.is_worth_telling());
        assert_eq!(world.take().changes, [Change::Service(key, None)]);
    }

    #[test]
    fn an_empty_cluster_is_told_as_well() {
        let mut world = World::default();
        world.hear(Heard::Services(News::Listed(vec![])));
        world.hear(Heard::Slices(News::Listed(vec![])));
        world.hear(Heard::Nodes(News::Listed(vec![])));
        world.hear(Heard::ServiceCidrs(News::Listed(vec![])));
        world.hear(Heard::Pods(News::Unavailable));
        assert_eq!(told(&mut world), Some(0));
        assert_eq!(told(&mut world), None);
    }
}
