//! For how long flows are remembered after their last packet.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize, Serializer};
use svclb_common::flow::{FlowState, Timeouts};

use super::duration::{GoDuration, go};

/// The fields of `flowTimeouts`, and the states that each is for.
const FIELDS: [(&str, &[FlowState]); 12] = [
    ("tcpSynSent", &[FlowState::SynSent]),
    ("tcpSynReceived", &[FlowState::SynReceived]),
    ("tcpEstablished", &[FlowState::Established]),
    // Whichever side has closed.
    ("tcpCloseWait", &[FlowState::FinWait, FlowState::CloseWait]),
    ("tcpTimeWait", &[FlowState::TimeWait]),
    ("tcpClosed", &[FlowState::Closed]),
    ("tcpReset", &[FlowState::Reset]),
    ("udp", &[FlowState::UdpNew]),
    ("udpStream", &[FlowState::UdpStream]),
    ("sctp", &[FlowState::SctpNew]),
    ("sctpEstablished", &[FlowState::SctpEstablished]),
    ("sctpClosed", &[FlowState::SctpClosed]),
];

/// For how long flows are remembered after their last packet; netfilter's defaults unless set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowTimeouts(pub Timeouts);

impl Default for FlowTimeouts {
    fn default() -> Self {
        Self(Timeouts::DEFAULT)
    }
}

impl FlowTimeouts {
    /// With another value for a field, if there is one. Fractions of a second are rounded up.
    #[must_use]
    pub(super) fn with(mut self, field: &str, timeout: Option<Duration>) -> Self {
        let states = FIELDS.iter().find(|(name, _)| *name == field).map_or(&[][..], |(_, states)| *states);
        if let Some(timeout) = timeout {
            let seconds = timeout.as_secs().saturating_add(u64::from(timeout.subsec_nanos() > 0));
            let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
            self.0 = states.iter().fold(self.0, |timeouts, state| timeouts.with(*state, seconds));
        }
        self
    }

    /// A field that is zero, at which nothing would be remembered.
    pub(super) fn zero(&self) -> Option<&'static str> {
        let is_zero = |states: &[FlowState]| states.iter().any(|state| self.0.of(*state) == 0);
        FIELDS.iter().find(|(_, states)| is_zero(states)).map(|(name, _)| *name)
    }
}

impl Serialize for FlowTimeouts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = |states: &[FlowState]| go(Duration::from_secs(u64::from(self.0.of(states[0]))));
        serializer.collect_map(FIELDS.iter().map(|(name, states)| (name, text(states))))
    }
}

impl<'de> Deserialize<'de> for FlowTimeouts {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = BTreeMap::<String, Option<String>>::deserialize(deserializer)?;
        fields.into_iter().try_fold(Self::default(), |timeouts, (name, text)| {
            let timeout = text.map(|text| text.parse::<GoDuration>()).transpose();
            Ok(timeouts.with(&name, timeout.map_err(serde::de::Error::custom)?.map(|timeout| timeout.0)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_field() {
        for state in FlowState::ALL {
            assert_eq!(FIELDS.iter().filter(|(_, states)| states.contains(&state)).count(), 1, "{state:?}");
        }
    }

    #[test]
    fn fields_are_read_and_written() {
        let text = serde_json::json!({ "udp": "1.5s", "tcpCloseWait": "2h0m0s", "sctp": null });
        let timeouts: FlowTimeouts = serde_json::from_value(text).unwrap();
        let expected = Timeouts::DEFAULT
            .with(FlowState::UdpNew, 2)
            .with(FlowState::FinWait, 7200)
            .with(FlowState::CloseWait, 7200);
        assert_eq!(timeouts, FlowTimeouts(expected));
        let written = serde_json::to_value(timeouts).unwrap();
        assert_eq!((&written["udp"], &written["tcpCloseWait"]), (&"2s".into(), &"2h0m0s".into()));
        assert_eq!(serde_json::from_value::<FlowTimeouts>(written).unwrap(), timeouts);
        assert_eq!(timeouts.zero(), None);
        assert_eq!(timeouts.with("tcpReset", Some(Duration::ZERO)).zero(), Some("tcpReset"));
        assert_eq!(timeouts.with("udp", Some(Duration::MAX)).0.of(FlowState::UdpNew), u32::MAX);
    }
}
