//! Following the node's network.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, channel::mpsc::UnboundedReceiver};
use netlink_packet_route::RouteNetlinkMessage;
use rtnetlink::{
    Handle, MulticastGroup, new_connection, new_multicast_connection,
    packet_core::{NetlinkMessage, NetlinkPayload},
    sys::{AsyncSocket, SocketAddr},
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout_at},
};
use tracing::{debug, warn};

use super::{Error, Network, change::Change, dump};

/// Notifications that arrive within this time of the first are one publication:
/// a pod that starts is a dozen of them.
const BURST: Duration = Duration::from_millis(20);
/// How long to wait before trying again when the kernel refuses a dump.
const RETRY: Duration = Duration::from_secs(1);
/// Room for the notifications of a node that starts a thousand pods at once.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Follows the network of the calling thread's namespace.
///
/// The receiver holds a complete [`Network`] from the start, and a new one
/// within 20 ms of a change, at once for a new device. The task that feeds it
/// ends with the last receiver. A device in it may be gone by the time anyone
/// looks.
pub async fn watch() -> Result<watch::Receiver<Arc<Network>>, Error> {
    let source = Source::open()?;
    let network = dump::network(&source.dumps).await?;
    let (publish, receiver) = watch::channel(Arc::new(network.clone()));
    tokio::spawn(Watcher { source, network, stale_routes: false, publish }.run());
    Ok(receiver)
}

struct Watcher {
    source: Source,
    network: Network,
    stale_routes: bool,
    publish: watch::Sender<Arc<Network>>,
}

impl Watcher {
    async fn run(mut self) {
        let publish = self.publish.clone();
        loop {
            tokio::select! {
                () = publish.closed() => return,
                () = self.step() => {}
            }
        }
    }

    async fn step(&mut self) {
        if let Err(error) = self.burst().await {
            warn!(%error, "listing the node's network again");
            self.resync().await;
        }
    }

    /// Waits for a notification and takes in those that follow closely.
    async fn burst(&mut self) -> Result<(), Error> {
        let mut change = self.source.next().await?;
        let deadline = Instant::now() + BURST;
        loop {
            let mut new_link = self.take(change);
            // A thousand devices that are already announced are one publication.
            while let Some(queued) = self.source.next().now_or_never() {
                new_link |= self.take(queued?);
            }
            if new_link {
                self.publish();
            }
            match timeout_at(deadline, self.source.next()).await {
                Ok(next) => change = next?,
                Err(_elapsed) => break,
            }
        }
        if self.stale_routes {
            self.network.default_routes = dump::default_routes(&self.source.dumps).await?;
            self.stale_routes = false;
        }
        self.publish();
        Ok(())
    }

    /// Applies a change and tells whether it brought a new device.
    fn take(&mut self, change: Option<Change>) -> bool {
        let Some(change) = change else { return false };
        debug!(?change, "network");
        let effect = self.network.apply(change);
        self.stale_routes |= effect.stale_routes;
        effect.new_link
    }

    fn publish(&self) {
        self.publish.send_if_modified(|published| {
            let differs = **published != self.network;
            if differs {
                *published = Arc::new(self.network.clone());
            }
            differs
        });
    }

    /// Starts over with new sockets: after a loss nothing that is still queued
    /// can be trusted to be in order.
    async fn resync(&mut self) {
        loop {
            match Self::reopen().await {
                Ok((source, mut network)) => {
                    network.succeed(&self.network);
                    (self.source, self.network) = (source, network);
                    self.stale_routes = false;
                    return self.publish();
                }
                Err(error) => {
                    warn!(%error, "cannot list the node's network");
                    sleep(RETRY).await;
                }
            }
        }
    }

    async fn reopen() -> Result<(Source, Network), Error> {
        let source = Source::open()?;
        let network = dump::network(&source.dumps).await?;
        Ok((source, network))
    }
}

/// Two sockets. One would not do: notifications carry the sequence number of
/// whoever caused them, and one that happens to equal a pending dump's would
/// be taken for its answer, ending it early.
struct Source {
    notifications: UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>,
    dumps: Handle,
    /// Aborted when the source is dropped, which closes the sockets.
    _connections: JoinSet<()>,
}

impl Source {
    /// Subscribes. The notifications of everything that happens after this are
    /// kept, so that a dump made later misses nothing.
    fn open() -> Result<Self, Error> {
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
        ];
        let (mut multicast, _, notifications) = new_multicast_connection(&groups).map_err(Error::Open)?;
        multicast.socket_mut().socket_mut().set_rx_buf_sz(RECEIVE_BUFFER).map_err(Error::Open)?;
        let (unicast, dumps, _) = new_connection().map_err(Error::Open)?;
        let mut connections = JoinSet::new();
        connections.spawn(multicast);
        connections.spawn(unicast);
        Ok(Self { notifications, dumps, _connections: connections })
    }

    /// The next notification, `None` if it is nothing to the agent.
    async fn next(&mut self) -> Result<Option<Change>, Error> {
        let (message, _) = self.notifications.next().await.ok_or(Error::Closed)?;
        match message.payload {
            NetlinkPayload::InnerMessage(message) => Ok(Change::from_message(&message)),
            NetlinkPayload::Overrun(_) => Err(Error::Overrun),
            _ => Ok(None),
        }
    }
}
