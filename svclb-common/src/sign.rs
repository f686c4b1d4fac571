//! What is seen of flows that do not go well, beside what a program drops; and what both are called.
//!
//! Nothing is done to these packets: they go on as ever.

use crate::verdict::{DropReason, labelled};

labelled! {
    /// Something that a flow's packets show. Signs count per backend; the number is also the
    /// event's, above those of [`DropReason`].
    pub enum Sign {
        /// The backend's first answer to a SYN was a reset (or an association was aborted at once).
        RefusedByBackend = 64, "refused_by_backend",
            "the backend answered with a reset: nobody listens on that port there; compare the Service's targetPort with the pod's";
        /// The backend has reset a connection that it had answered.
        ResetByBackend = 65, "reset_by_backend",
            "the backend ended the connection with a reset: look at its process";
        /// The client has reset a connection.
        ResetByClient = 66, "reset_by_client",
            "the client ended the connection with a reset: it gave up, or closes that way";
        /// A SYN came again, and nobody had answered the one before.
        Unanswered = 67, "unanswered",
            "the client repeats its SYN and the backend has not answered: its node or its network is gone, or a policy drops";
        /// An ICMP error says that the backend cannot be reached, or that nobody listens there.
        Unreachable = 68, "unreachable",
            "an ICMP error says that the backend cannot be reached or that nobody listens on that port there";
        /// A client's packets go to another backend than before: the one before is gone.
        BackendSwitched = 69, "backend_switched",
            "the backend of before is no endpoint any more, and the client goes on with another one";
    }
}

/// How many signs there are.
pub const SIGNS: usize = Sign::ALL.len();

impl Sign {
    /// The number of the first one.
    pub const FIRST: u32 = Self::RefusedByBackend as u32;

    /// The sign of that number.
    pub fn of(number: u32) -> Option<Self> {
        Self::ALL.iter().copied().find(|sign| *sign as u32 == number)
    }
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A packet or a call was dropped or refused.
    Drop(DropReason),
    /// A flow shows something.
    Sign(Sign),
}

impl Cause {
    /// The cause of that number.
    pub fn of(number: u32) -> Option<Self> {
        DropReason::of(number).map(Self::Drop).or_else(|| Sign::of(number).map(Self::Sign))
    }

    /// Each of them.
    pub fn each() -> impl Iterator<Item = Self> {
        let drops = DropReason::ALL.iter().copied().map(Self::Drop);
        drops.chain(Sign::ALL.iter().copied().map(Self::Sign))
    }

    /// The label for metrics and events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drop(reason) => reason.as_str(),
            Self::Sign(sign) => sign.as_str(),
        }
    }

    /// What it means and where to look, in a line.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Drop(reason) => reason.explanation(),
            Self::Sign(sign) => sign.explanation(),
        }
    }

    /// What kind of event it is: `drop`, `refuse` (the sender was told), `reset`, `silence`, `error` or `switch`.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Drop(DropReason::NoBackend | DropReason::UnknownPort) => "refuse",
            Self::Drop(_) => "drop",
            Self::Sign(Sign::RefusedByBackend | Sign::ResetByBackend | Sign::ResetByClient) => "reset",
            Self::Sign(Sign::Unanswered) => "silence",
            Self::Sign(Sign::Unreachable) => "error",
            Self::Sign(Sign::BackendSwitched) => "switch",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn causes_have_numbers_labels_and_texts_of_their_own() {
        let mut labels = BTreeSet::new();
        for cause in Cause::each() {
            let number = match cause {
                Cause::Drop(reason) => reason as u32,
                Cause::Sign(sign) => sign as u32,
            };
            assert_eq!(Cause::of(number), Some(cause));
            assert!(labels.insert(cause.as_str()), "{}", cause.as_str());
            let text = cause.explanation();
            assert!(text.len() > 20 && !text.ends_with('.'), "{}: {text}", cause.as_str());
        }
        assert_eq!(Cause::of(Sign::FIRST + SIGNS as u32), None);
    }

    #[test]
    fn signs_are_rows() {
        for (row, sign) in Sign::ALL.iter().enumerate() {
            assert_eq!(*sign as u32, Sign::FIRST + row as u32);
        }
    }
}
