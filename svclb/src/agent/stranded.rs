//! Connected datagram sockets of the host that nothing could bring back to a backend.
//!
//! Their destination was chosen when they were connected, and no hook sees what they send. So a socket whose backend
//! has been given up is told: its process hears of it at its next call, and connects to the frontend anew, as it would
//! after a server's "port unreachable". The same goes for one that was connected to a `ClusterIP` before svclb knew it.
//! Sockets that svclb has not translated, and that no Service concerns, are left alone.

use std::io;

use super::told::Told;
use crate::{
    datapath::{
        Error,
        pins::Pins,
        tables::Tables,
        translations::{End, Translations},
    },
    model::Protocol,
    plan::{Applied, MapOp, TableOp},
    sockets::{self, Connected, Diagnosis},
};

/// How many are ended in one pass; the others have to wait for the next.
const MOST: usize = 1024;

/// The sockets, and whether any may be stranded.
pub(super) struct Stranded {
    /// None where nobody is translated at sockets, and where the kernel has no such thing.
    translations: Option<Translations>,
    is_due: bool,
    failures: Told,
}

impl Stranded {
    /// Looks at what is pinned, if sockets are translated.
    pub(super) fn open(pins: &Pins, are_translated: bool) -> Result<Self, Error> {
        // An agent before this one may have given backends up and have ended then.
        Ok(Self {
            translations: are_translated.then(|| Translations::open(pins)).transpose()?,
            is_due: true,
            failures: Told::default(),
        })
    }

    /// Whether a write to tables that hold `applied` may strand somebody: it takes a backend of datagrams away, or
    /// gives them a frontend.
    pub(super) fn is_by(op: &MapOp, applied: &Applied) -> bool {
        let MapOp::Table { family, op } = op else { return false };
        let protocol = match op {
            TableOp::FreeBackend { id } => {
                applied.tables(*family).backend(*id).map(|backend| backend.key.protocol)
            }
            TableOp::AddFrontend { key, .. } => Some(key.protocol),
            _ => None,
        };
        protocol == Some(Protocol::Udp)
    }

    /// Takes note of such a write.
    pub(super) fn note(&mut self) {
        self.is_due = true;
    }

    /// Ends those that are stranded. Tells whether there may be more.
    pub(super) fn end(&mut self, tables: &Tables) -> Result<bool, Error> {
        let Some(translations) = self.translations.as_ref().filter(|_| self.is_due) else { return Ok(false) };
        match end(translations, tables)? {
            Ok(count) => {
                if count > 0 {
                    tracing::info!(count, "connected datagram sockets of the host are told to connect anew");
                }
                self.is_due = count >= MOST;
                self.failures = Told::default();
            }
            Err(error) if sockets::is_lasting(&error) => {
                tracing::warn!(
                    "connected datagram sockets of the host keep backends that go, for the kernel does not end them \
                     (it needs CONFIG_INET_UDP_DIAG and CONFIG_INET_DIAG_DESTROY, and the agent CAP_NET_ADMIN): {error}"
                );
                self.translations = None;
            }
            Err(error) => {
                let line = format!("connected datagram sockets of the host are not looked at: {error}");
                self.failures.now([line], |line| tracing::warn!("{line}"));
            }
        }
        Ok(self.translations.is_some() && self.is_due)
    }
}

fn end(translations: &Translations, tables: &Tables) -> Result<io::Result<usize>, Error> {
    let found = Diagnosis::open().and_then(|diagnosis| Ok((diagnosis.connected()?, diagnosis)));
    let (connected, diagnosis) = match found {
        Ok(found) => found,
        Err(error) => return Ok(Err(error)),
    };
    let mut count = 0;
    for socket in &connected {
        if !is_stranded(translations, tables, socket)? {
            continue;
        }
        match diagnosis.abort(socket) {
            Ok(ended) => count += usize::from(ended),
            Err(error) => return Ok(Err(error)),
        }
        if count >= MOST {
            break;
        }
    }
    Ok(Ok(count))
}

fn is_stranded(translations: &Translations, tables: &Tables, socket: &Connected) -> Result<bool, Error> {
    Ok(translations.end_of(tables, socket.cookie(), socket.port(), socket.peer())? != End::Fine)
}
