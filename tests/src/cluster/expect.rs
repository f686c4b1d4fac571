//! What clients are to see: at last, and then again and again.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use anyhow::ensure;

use super::Scene;
use crate::{
    netns::{Place, client::Mode, wait::until},
    probe::Answers,
};

/// How long a change may take from the command to the datapath: the budget of
/// Kubernetes' own tests for a change of endpoints.
pub const BUDGET: Duration = Duration::from_secs(30);

/// What a client is to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect<'a> {
    /// Answers from exactly these pods.
    From(&'a [&'a str]),
    /// At once an error that says that nobody is there.
    Refused,
    /// No answer, and nobody says that nobody is there.
    Silence,
    /// No answer, in whatever way.
    NoAnswer,
}

impl Expect<'_> {
    /// Requests to ask at once. Two pods are missed once in 2,000 times, and the round is repeated.
    fn round(&self) -> u32 {
        match self {
            Self::From(pods) => 12 * u32::try_from(pods.len()).unwrap_or(1),
            // Each waits for its time-out.
            Self::Refused | Self::Silence | Self::NoAnswer => 1,
        }
    }

    /// Requests that confirm it.
    fn confirmation(&self) -> u32 {
        match self {
            Self::From(_) => 40,
            Self::Refused => 3,
            Self::Silence | Self::NoAnswer => 1,
        }
    }

    /// Whether these answers are what is expected, or a part of it.
    fn agrees(&self, answers: &Answers, is_whole: bool) -> bool {
        let only = |error: &str| answers.errors.keys().all(|found| found == error);
        let is_unanswered = answers.answered() == 0 && answers.failed() > 0;
        match self {
            Self::From(pods) => {
                let found: BTreeSet<&str> = answers.pods.keys().map(String::as_str).collect();
                let wanted: BTreeSet<&str> = pods.iter().copied().collect();
                answers.failed() == 0 && if is_whole { found == wanted } else { found.is_subset(&wanted) }
            }
            Self::Refused => is_unanswered && only("ECONNREFUSED"),
            // A packet is dropped in silence; a socket that is translated when it connects learns at once what
            // waiting would have shown.
            Self::Silence => is_unanswered && (only("timeout") || only("EHOSTUNREACH")),
            Self::NoAnswer => is_unanswered,
        }
    }
}

impl Scene<'_> {
    /// Asks until a client sees what is expected, and asserts that it goes on to.
    pub fn sees(&self, place: Place, mode: Mode, to: SocketAddr, expect: Expect<'_>) -> anyhow::Result<()> {
        let mut last = Answers::default();
        let arrived = until("what is expected", BUDGET, || {
            last = self.world.ask(place, mode, to, expect.round())?;
            Ok(expect.agrees(&last, true).then_some(()))
        });
        ensure!(arrived.is_ok(), "{} to {to}: expected {expect:?}: {last:?}", describe(place, mode));
        let after = self.world.ask(place, mode, to, expect.confirmation())?;
        ensure!(
            expect.agrees(&after, false),
            "{} to {to}: no longer {expect:?}: {after:?}",
            describe(place, mode)
        );
        Ok(())
    }

    /// Asserts what clients at several places see, by TCP.
    pub fn all_see(&self, places: &[Place], to: SocketAddr, expect: Expect<'_>) -> anyhow::Result<()> {
        places.iter().try_for_each(|place| self.sees(*place, Mode::Tcp, to, expect))
    }
}

fn describe(place: Place, mode: Mode) -> String {
    format!("{mode:?} from {}", place.machine().name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(pods: &[&str], errors: &[&str]) -> Answers {
        let mut answers = Answers::default();
        for pod in pods {
            answers.answer(pod, "peer".into());
        }
        for error in errors {
            answers.error((*error).into());
        }
        answers
    }

    #[test]
    fn expectations_tell_outcomes_apart() {
        let both = Expect::From(&["a", "b"]);
        // what was seen, and whether each of the expectations agrees: both, part, refused, silence, no answer
        let cases: [(&[&str], &[&str], [bool; 5]); 8] = [
            (&["a", "b"], &[], [true, true, false, false, false]),
            (&["a"], &[], [false, true, false, false, false]),
            (&["a", "c"], &[], [false, false, false, false, false]),
            (&["a", "b"], &["timeout"], [false, false, false, false, false]),
            (&[], &["ECONNREFUSED"], [false, false, true, false, true]),
            (&[], &["timeout"], [false, false, false, true, true]),
            (&[], &["EHOSTUNREACH"], [false, false, false, true, true]),
            (&[], &["ECONNREFUSED", "timeout"], [false, false, false, false, true]),
        ];
        for (pods, errors, wanted) in cases {
            let seen = answers(pods, errors);
            let found = [
                both.agrees(&seen, true),
                both.agrees(&seen, false),
                Expect::Refused.agrees(&seen, true),
                Expect::Silence.agrees(&seen, true),
                Expect::NoAnswer.agrees(&seen, true),
            ];
            assert_eq!(found, wanted, "{seen:?}");
        }
    }
}
