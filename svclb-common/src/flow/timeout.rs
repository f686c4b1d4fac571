//! For how long a flow is remembered after its last packet.

use super::state::FlowState;

/// Room for the timeouts of all states, and of some to come: a power of two, so that a program need not compare.
pub const TIMEOUTS: usize = 16;

/// Seconds after which a flow is forgotten, by the number of its [`FlowState`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Timeouts {
    /// Seconds; 0 behind the last state.
    pub seconds: [u32; TIMEOUTS],
}

const MINUTE: u32 = 60;
const HOUR: u32 = 60 * MINUTE;

impl Timeouts {
    /// netfilter's defaults (`nf_conntrack_*_timeout_*` of Linux 6.2), for established TCP and for one side that has
    /// closed those that kube-proxy sets: a flow that svclb forgets earlier than kube-proxy would be a broken promise.
    ///
    /// An established connection that was reset is kept as long as one that is half closed, instead of for 10
    /// seconds: netfilter looks at a reset's sequence number, which nobody does here.
    pub const DEFAULT: Self = Self::none()
        .with(FlowState::SynSent, 2 * MINUTE)
        .with(FlowState::SynReceived, MINUTE)
        .with(FlowState::Established, 24 * HOUR)
        .with(FlowState::FinWait, HOUR)
        .with(FlowState::CloseWait, HOUR)
        .with(FlowState::TimeWait, 2 * MINUTE)
        .with(FlowState::Closed, 10)
        .with(FlowState::Reset, HOUR)
        .with(FlowState::UdpNew, 30)
        .with(FlowState::UdpStream, 2 * MINUTE)
        .with(FlowState::SctpNew, 30)
        .with(FlowState::SctpEstablished, 210)
        .with(FlowState::SctpClosed, 10);

    /// Nothing is remembered.
    pub const fn none() -> Self {
        Self { seconds: [0; TIMEOUTS] }
    }

    /// With another timeout for a state.
    #[must_use]
    pub const fn with(mut self, state: FlowState, seconds: u32) -> Self {
        self.seconds[state as usize] = seconds;
        self
    }

    /// Seconds for which a flow in `state` is remembered.
    pub const fn of(&self, state: FlowState) -> u32 {
        self.seconds[state as usize]
    }

    /// The shortest of all states, in seconds: nothing that has been used since is forgotten.
    pub fn shortest(&self) -> u32 {
        FlowState::ALL.into_iter().map(|state| self.of(state)).min().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_timeout() {
        assert_eq!(size_of::<Timeouts>(), 4 * TIMEOUTS);
        assert!(FlowState::ALL.into_iter().all(|state| Timeouts::DEFAULT.of(state) > 0));
        assert_eq!(Timeouts::DEFAULT.shortest(), 10);
        assert_eq!(Timeouts::none().with(FlowState::Closed, 3).of(FlowState::Closed), 3);
    }
}
