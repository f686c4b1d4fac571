//! The flows that were taken over, until they are over.
//!
//! Connection tracking alone knows how long it translates. So each flow's entry there is looked at again before it can be
//! forgotten: a datagram flow is svclb's a little earlier than the kernel would forget it, so that no datagram finds
//! nobody. A thread of its own does it, which ends with the last flow.

use std::{
    collections::BTreeSet,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{Flows, decide::is_over};
use crate::{
    condition,
    datapath::{Error, inherited::InheritedFlows, pins::Pins},
    model::Protocol,
    netfilter::{
        conntrack::Conntrack,
        entry::{Entry, Tuple},
        rules,
    },
};

/// So many seconds before the kernel forgets a datagram flow it is svclb's.
const MARGIN: u32 = 5;
/// A connection's end is noticed after so many seconds.
const PERIOD: u32 = 30;

/// The flows, until they are over or this is dropped.
pub(super) struct Watch {
    _stop: Sender<()>,
}

impl Watch {
    /// Watches `flows`. `lapsed` is told when one is over that a socket may still go by.
    pub(super) fn start(pins: &Pins, flows: Flows, lapsed: Arc<Notify>) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let (conntrack, writer) = (Conntrack::open()?, InheritedFlows::open(pins).map_err(io::Error::other)?);
        let now = Instant::now();
        let due = flows.keys().map(|key| (now, *key)).collect();
        let watcher = Watcher { conntrack, writer, flows, due, lapsed, stopped };
        thread::Builder::new().name("takeover".into()).spawn(move || watcher.run())?;
        Ok(Self { _stop: stop })
    }
}

struct Watcher {
    conntrack: Conntrack,
    writer: InheritedFlows,
    flows: Flows,
    /// When each is looked at again.
    due: BTreeSet<(Instant, Tuple)>,
    lapsed: Arc<Notify>,
    stopped: Receiver<()>,
}

impl Watcher {
    fn run(mut self) {
        while let Some((when, _)) = self.due.first() {
            let rest = when.saturating_duration_since(Instant::now());
            match self.stopped.recv_timeout(rest) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
            if let Err(error) = self.round() {
                tracing::warn!("flows that another proxy has set up are not watched any more: {error}");
                return;
            }
        }
        match rules::leave_nat() {
            Ok(()) => tracing::info!("no flow is left that another proxy has set up"),
            Err(error) => tracing::warn!("the nftables table svclb stays: {error}"),
        }
    }

    /// Looks at all flows that are due.
    fn round(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        // Whoever loads rules anew may have removed all that there were.
        if let Err(error) = rules::keep_nat() {
            tracing::debug!("the nftables table svclb: {error}");
        }
        let before = self.flows.len();
        while let Some((when, key)) = self.due.pop_first() {
            if when > now {
                self.due.insert((when, key));
                break;
            }
            let Some(flow) = self.flows.get(&key) else { continue };
            let found = match self.conntrack.get(&key) {
                Ok(found) => found.filter(|entry| entry.reply.src == flow.backend),
                Err(error) => return Err(super::unread(&error)),
            };
            if let Some(seconds) = found.and_then(|entry| left(&entry, flow.protocol)) {
                self.due.insert((now + Duration::from_secs(seconds.into()), key));
                continue;
            }
            self.writer.remove(flow)?;
            if flow.is_by_socket {
                self.lapsed.notify_one();
            }
            self.flows.remove(&key);
        }
        if self.flows.len() != before {
            condition::tell_inherited(self.flows.len());
        }
        Ok(())
    }
}

/// Seconds until the flow is to be looked at again; none if it is over.
fn left(entry: &Entry, protocol: Protocol) -> Option<u32> {
    if is_over(entry) {
        return None;
    }
    if protocol == Protocol::Udp {
        // Whoever shortens the kernel's memory shortens it from the next packet on.
        return entry.timeout.checked_sub(MARGIN).filter(|seconds| *seconds > 0).map(|it| it.min(PERIOD));
    }
    Some(entry.timeout.clamp(1, PERIOD))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netfilter::entry::TcpState;

    #[test]
    fn datagrams_are_svclbs_before_the_kernel_forgets_them() {
        let tuple =
            Tuple { src: "10.0.0.1:1".parse().unwrap(), dst: "10.0.0.2:2".parse().unwrap(), protocol: 17 };
        let entry =
            Entry { original: tuple, reply: tuple.reversed(), status: 0, timeout: 0, tcp: None, zone: 0 };
        for (timeout, udp, tcp) in [
            (0, None, Some(1)),
            (MARGIN, None, Some(5)),
            (MARGIN + 1, Some(1), Some(6)),
            (20, Some(20 - MARGIN), Some(20)),
            (120, Some(PERIOD), Some(PERIOD)),
        ] {
            let entry = Entry { timeout, ..entry };
            assert_eq!(left(&entry, Protocol::Udp), udp, "{timeout}");
            assert_eq!(left(&entry, Protocol::Tcp), tcp, "{timeout}");
        }
        let ended = Entry { timeout: 100, tcp: Some(TcpState::TimeWait), ..entry };
        assert_eq!(left(&ended, Protocol::Tcp), None);
    }
}
