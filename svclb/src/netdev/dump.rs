//! Asking the kernel for the whole network at once.

use std::{
    collections::BTreeSet,
    future::ready,
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use futures::{Stream, TryStreamExt};
use rtnetlink::{Handle, RouteMessageBuilder};
use tokio::time::timeout;

use super::{
    Births, Error, Link, Network,
    change::{default_devices, local},
};

/// A dump is a conversation with the kernel alone: one that takes longer than
/// this lost its end to a full buffer.
const DUMP_TIMEOUT: Duration = Duration::from_secs(10);

/// Lists everything.
///
/// What changes meanwhile may be half in it. That does no harm to a caller who
/// subscribed before and applies the notifications after.
pub(super) async fn network(handle: &Handle) -> Result<Network, Error> {
    let links = list("devices", handle.link().get().execute(), |message| {
        Some((message.header.index, Link::from_message(&message)))
    })
    .await?;
    let addresses = list("addresses", handle.address().get().execute(), |message| {
        local(&message).map(|ip| (message.header.index, ip))
    })
    .await?;
    Ok(Network {
        links: links.into_iter().collect(),
        addresses: addresses.into_iter().collect(),
        default_routes: default_routes(handle).await?,
        births: Births::default(),
    })
}

/// Lists the devices of the default routes.
pub(super) async fn default_routes(handle: &Handle) -> Result<BTreeSet<u32>, Error> {
    let v4 = RouteMessageBuilder::<Ipv4Addr>::new().build();
    let v6 = RouteMessageBuilder::<Ipv6Addr>::new().build();
    let mut devices = BTreeSet::new();
    for family in [v4, v6] {
        let routes = handle.route().get(family).execute();
        devices.extend(
            list("routes", routes, |route| Some(default_devices(&route))).await?.into_iter().flatten(),
        );
    }
    Ok(devices)
}

async fn list<M, T>(
    what: &'static str,
    messages: impl Stream<Item = Result<M, rtnetlink::Error>>,
    mut pick: impl FnMut(M) -> Option<T>,
) -> Result<Vec<T>, Error> {
    let picked = messages.try_filter_map(|message| ready(Ok(pick(message)))).try_collect();
    timeout(DUMP_TIMEOUT, picked)
        .await
        .map_err(|_elapsed| Error::Late { what })?
        .map_err(|source| Error::Dump { what, source })
}
