//! The loopback device: whether it carries programs, and that its sysctls are set accordingly.
//!
//! With `--socket-lb=off` host processes are served per packet, as it leaves, and what they send to an address of this
//! node leaves by the loopback device. No socket call of SCTP passes a program, so that for SCTP the same holds
//! whatever `--socket-lb` says: while Services of it are reached by more than a ClusterIP, programs are there as well.

use super::told::Told;
use crate::datapath::Error;

/// Who is served there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nobody.
    Nobody,
    /// Those who speak SCTP.
    Streams,
    /// Every process of the host.
    Everybody,
}

/// What was done about its sysctls.
#[derive(Debug, Default)]
pub(super) struct Loopback {
    /// Whether they are set for programs; not known at first, and after a failure.
    is_open: Option<bool>,
    troubles: Told,
}

impl Loopback {
    /// Says whether the device is to carry programs, once its sysctls are set for them by `open`, or put back by `close`.
    ///
    /// Not every container may write to `/proc/sys`. Only where nobody of the host is served without it, that is an
    /// error; else it is told, and keeps nobody but those who speak SCTP from being served.
    pub(super) fn choose(
        &mut self,
        need: Need,
        open: impl FnOnce() -> Result<(), Error>,
        close: impl FnOnce() -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let mut troubles = Vec::new();
        let mut chosen = Ok(need != Need::Nobody);
        if need != Need::Nobody && self.is_open != Some(true) {
            match open() {
                Ok(()) => self.is_open = Some(true),
                Err(error) => {
                    // What it has kept would be put back by a later agent, whatever the value is then.
                    self.is_open = None;
                    if need == Need::Everybody {
                        chosen = Err(error);
                    } else {
                        chosen = Ok(false);
                        troubles.push(format!(
                            "no programs on lo, so no SCTP from this host to its own addresses: {error}"
                        ));
                    }
                }
            }
        }
        if !matches!(chosen, Ok(true)) && self.is_open != Some(false) {
            self.is_open = None;
            match close() {
                Ok(()) => self.is_open = Some(false),
                Err(error) => troubles.push(format!("sysctls of lo stay as svclb has set them: {error}")),
            }
        }
        self.troubles.now(troubles, |line| tracing::warn!("{line}"));
        chosen
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{Need::*, *};

    fn refused(what: &'static str) -> Result<(), Error> {
        Err(Error::file(what)(io::ErrorKind::ReadOnlyFilesystem.into()))
    }

    /// Who is served; whether open and close are refused; what is done; what is chosen.
    type Pass = (Need, [bool; 2], &'static str, Option<bool>);

    #[test]
    fn what_is_refused_is_taken_back_and_keeps_nobody_else_from_being_served() {
        let tables: [&[Pass]; 4] = [
            // an agent starts over whatever is there, and does each thing once
            &[
                (Nobody, [false; 2], "close", Some(false)),
                (Nobody, [false; 2], "", Some(false)),
                (Streams, [false; 2], "open", Some(true)),
                (Streams, [false; 2], "", Some(true)),
                (Everybody, [false; 2], "", Some(true)),
                (Nobody, [false; 2], "close", Some(false)),
            ],
            // one that inherits need leaves everything as it is
            &[(Streams, [false; 2], "open", Some(true))],
            // what is refused is taken back, and tried again
            &[
                (Streams, [true, false], "open close", Some(false)),
                (Streams, [true, false], "open close", Some(false)),
                (Streams, [true; 2], "open close", Some(false)),
                (Nobody, [true; 2], "close", Some(false)),
                (Nobody, [true, false], "close", Some(false)),
                (Nobody, [true; 2], "", Some(false)),
                (Streams, [false; 2], "open", Some(true)),
                (Nobody, [false, true], "close", Some(false)),
            ],
            &[
                (Everybody, [true, false], "open close", None),
                (Everybody, [true; 2], "open close", None),
                (Everybody, [false, true], "open", Some(true)),
            ],
        ];
        for (table, steps) in tables.into_iter().enumerate() {
            let mut loopback = Loopback::default();
            for (step, (need, [no_open, no_close], done, chosen)) in steps.iter().enumerate() {
                let calls = std::cell::RefCell::new(Vec::new());
                let call = |what, is_refused: &bool| {
                    calls.borrow_mut().push(what);
                    if *is_refused { refused(what) } else { Ok(()) }
                };
                let found = loopback.choose(*need, || call("open", no_open), || call("close", no_close));
                assert_eq!(found.ok(), *chosen, "{table}.{step}");
                assert_eq!(calls.into_inner().join(" "), *done, "{table}.{step}");
            }
        }
    }
}
