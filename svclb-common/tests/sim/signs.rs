//! What packets show of flows that do not go well: resets, silence, lost backends.

use svclb_common::{sign::Sign, wire::Transport};

use crate::{
    pair::Pair,
    world::{ACK, FIN, Net, RST, SECOND, SYN, families},
};

/// What was shown since the last look.
fn shown<F: Net>(pair: &Pair<F>) -> Vec<Sign> {
    let shown = pair.world.shown.take();
    shown.into_iter().map(|shown| Sign::of(shown.sign).unwrap()).collect()
}

families! {
    fn a_flow_that_goes_well_shows_nothing<F>() {
        for transport in [Transport::Tcp, Transport::Udp, Transport::Sctp] {
            let pair = Pair::<F>::new(transport);
            let sent = pair.establish();
            pair.there(ACK);
            pair.back(sent, ACK);
            pair.there(FIN | ACK);
            pair.back(sent, FIN | ACK);
            pair.there(ACK);
            assert_eq!(shown(&pair), [], "{transport:?}");
        }
    }

    fn a_reset_is_the_backends_refusal_or_its_end_or_the_clients<F>() {
        let pair = Pair::<F>::new(Transport::Tcp);
        let sent = pair.there(SYN);
        pair.back(sent, RST | ACK);
        assert_eq!(shown(&pair), [Sign::RefusedByBackend]);
        pair.back(sent, RST | ACK);
        assert_eq!(shown(&pair), [], "a connection is refused once");

        let pair = Pair::<F>::new(Transport::Tcp);
        let sent = pair.establish();
        pair.back(sent, RST);
        assert_eq!(shown(&pair), [Sign::ResetByBackend]);

        let pair = Pair::<F>::new(Transport::Tcp);
        pair.establish();
        pair.there(RST);
        assert_eq!(shown(&pair), [Sign::ResetByClient]);
    }

    fn a_reset_after_a_fin_is_a_way_to_close<F>() {
        let pair = Pair::<F>::new(Transport::Tcp);
        pair.establish();
        pair.there(FIN | ACK);
        pair.there(RST);
        assert_eq!(shown(&pair), []);
    }

    fn a_repeated_syn_that_nobody_has_answered_is_silence<F>() {
        let pair = Pair::<F>::new(Transport::Tcp);
        let sent = pair.there(SYN);
        assert_eq!(shown(&pair), []);
        for _ in 0..3 {
            pair.world.wait(SECOND);
            assert_eq!(pair.there(SYN), sent);
            assert_eq!(shown(&pair), [Sign::Unanswered]);
        }
        pair.back(sent, SYN | ACK);
        pair.there(SYN);
        assert_eq!(shown(&pair), [], "the answer may be on its way");
    }

    fn a_client_that_loses_its_backend_switches<F>() {
        for (transport, flags) in [(Transport::Udp, 0), (Transport::Tcp, SYN)] {
            let mut pair = Pair::<F>::new(transport);
            let sent = pair.there(flags);
            pair.retire(sent);
            assert_ne!(pair.there(flags).dst, sent.dst);
            let shown = pair.world.shown.take();
            let [switch] = shown[..] else { panic!("{shown:?}") };
            assert_eq!(Sign::of(switch.sign), Some(Sign::BackendSwitched));
            assert_ne!(switch.former, 0);
            assert_ne!(switch.former, switch.backend);
            assert_eq!(switch.service, pair.service);
        }
    }

    fn a_port_that_is_used_again_is_no_switch<F>() {
        let pair = Pair::<F>::new(Transport::Tcp);
        let sent = pair.establish();
        pair.there(FIN | ACK);
        pair.back(sent, FIN | ACK);
        pair.there(SYN);
        assert_eq!(shown(&pair), []);
    }
}
