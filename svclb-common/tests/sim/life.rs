//! The life of a flow: when it is established, and when it leaves its backend.

use svclb_common::{flow::Action, wire::Transport};

use crate::{
    pair::Pair,
    world::{
        ACK, FAR, POD, POD_IN, POD_OUT, RST, SECOND, SYN, VIP, Verdict, at, everywhere, families, open,
        reply, translated, untouched,
    },
};

everywhere! {
    fn a_flow_is_established_once_both_ends_have_spoken<F>(transport) {
        let pair = Pair::<F>::new(transport);
        let sent = pair.there(SYN);
        assert_eq!(pair.there(SYN), sent);
        assert_eq!((pair.world.flows.len(), pair.world.half_open.len()), (0, 2));
        pair.back(sent, SYN | ACK);
        assert_eq!((pair.world.flows.len(), pair.world.half_open.len()), (0, 2));
        pair.there(ACK);
        assert_eq!((pair.world.flows.len(), pair.world.half_open.len()), (2, 0));
    }

    fn an_established_flow_keeps_a_backend_that_left_the_service<F>(transport) {
        let mut pair = Pair::<F>::new(transport);
        let sent = pair.establish();
        pair.world.set_backends(pair.service, &[]);
        assert_eq!(pair.there(ACK), sent);
    }
}

families! {
    fn udp_leaves_a_backend_that_is_gone<F>() {
        for established in [false, true] {
            let mut pair = Pair::<F>::new(Transport::Udp);
            let sent = if established { pair.establish() } else { pair.there(0) };
            pair.retire(sent);
            let moved = pair.there(0);
            assert_ne!(moved.dst, sent.dst);
            let back = translated(Action::Pass, 0, at::<F>(VIP, 80), at::<F>(POD, 40000));
            assert_eq!(pair.back(moved, 0), back);
            assert_eq!(pair.there(0), moved);
        }
    }

    fn udp_leaves_a_backend_whose_service_is_gone_too<F>() {
        for established in [false, true] {
            let mut pair = Pair::<F>::new(Transport::Udp);
            let sent = if established { pair.establish() } else { pair.there(0) };
            pair.world.remove_frontend(Transport::Udp, at::<F>(VIP, 80));
            pair.world.retire(if sent.dst == at::<F>(FAR, 8080) { 1 } else { 2 });
            let packet = open(Transport::Udp, at::<F>(POD, 40000), at::<F>(VIP, 80));
            assert_eq!(pair.world.send(POD_IN, &packet), untouched(Verdict::NotOurs, &packet));
        }
    }

    fn tcp_never_leaves_a_backend<F>() {
        let mut pair = Pair::<F>::new(Transport::Tcp);
        let sent = pair.establish();
        pair.retire(sent);
        assert_eq!(pair.there(ACK), sent);
        let back = translated(Action::Pass, 0, at::<F>(VIP, 80), at::<F>(POD, 40000));
        assert_eq!(pair.back(sent, ACK), back);
    }

    fn a_repeated_syn_keeps_its_backend<F>() {
        let pair = Pair::<F>::new(Transport::Tcp);
        let sent = pair.there(SYN);
        for seconds in [1, 2, 4, 8, 16, 32] {
            pair.world.wait(seconds * SECOND);
            assert_eq!(pair.there(SYN), sent);
        }
    }

    fn a_repeated_syn_leaves_a_backend_that_is_gone<F>() {
        let mut pair = Pair::<F>::new(Transport::Tcp);
        let sent = pair.there(SYN);
        pair.retire(sent);
        let moved = pair.there(SYN);
        assert_ne!(moved.dst, sent.dst);
        // The first backend was slow, not dead. Its answer belongs to a connection that
        // the client has never heard of.
        let late = reply(Transport::Tcp, sent.dst, sent.src);
        assert_eq!(pair.world.send(POD_OUT, &late), untouched(Verdict::NotOurs, &late));
    }

    fn a_reset_establishes_nothing<F>() {
        let pair = Pair::<F>::new(Transport::Tcp);
        let sent = pair.there(SYN);
        pair.back(sent, RST | ACK);
        pair.there(ACK);
        assert_eq!(pair.world.flows.len(), 0);
        let pair = Pair::<F>::new(Transport::Tcp);
        let sent = pair.there(SYN);
        pair.back(sent, SYN | ACK);
        pair.there(RST);
        assert_eq!(pair.world.flows.len(), 0);
    }
}
