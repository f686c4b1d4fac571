//! When a tuple is free again, and that it never belongs to two flows.

use svclb_common::{flow::Action, wire::Transport};

use crate::{
    pair::Pair,
    world::{
        ACK, FAR, FIN, NODE, OUTSIDE, POD, POD_IN, POD_OUT, RST, SECOND, SYN, Sketch, UPLINK_IN, VIP, VIP2,
        Verdict, World, at, everywhere, families, next, open, reply, translated, untouched,
    },
};

everywhere! {
    /// Two virtual addresses with one backend, reached from one client port.
    fn a_clash_takes_another_port<F>(transport) {
        let mut world = World::<F>::new();
        let (client, backend) = (at::<F>(POD, 40000), at::<F>(FAR, 8080));
        let vips = [at::<F>(VIP, 80), at::<F>(VIP2, 80)];
        let service = world.serve(transport, vips[0], &[backend]);
        world.frontend(transport, vips[1], service);
        let sent = vips.map(|vip| world.send(POD_IN, &open(transport, client, vip)));
        assert_eq!(sent[0], translated(Action::Pass, 0, client, backend));
        assert_eq!(sent[1], translated(Action::Pass, 0, sent[1].src, backend));
        assert_eq!(sent[1].src.ip(), client.ip());
        assert_ne!(sent[1].src.port(), client.port());
        for (sent, vip) in sent.into_iter().zip(vips) {
            let back = translated(Action::Pass, 0, vip, client);
            assert_eq!(world.send(POD_OUT, &reply(transport, backend, sent.src)), back);
            assert_eq!(world.send(POD_IN, &next(transport, client, vip)), sent);
            assert_eq!(world.send(POD_OUT, &next(transport, backend, sent.src)), back);
        }
    }
}

families! {
    fn a_port_is_used_again_after_both_fins<F>() {
        let pair = Pair::<F>::new(Transport::Tcp);
        pair.selects_anew(|sent| {
            pair.back(sent, SYN | ACK);
            assert_eq!(pair.there(ACK), sent);
            assert_eq!(pair.there(FIN | ACK), sent);
            assert_eq!(pair.there(SYN), sent, "one side has finished, not both");
            pair.back(sent, FIN | ACK);
            assert_eq!(pair.there(ACK), sent);
            let again = pair.there(SYN);
            pair.there(RST);
            pair.there(SYN);
            again
        });
    }

    fn a_port_is_used_again_after_a_reset<F>() {
        for from_client in [true, false] {
            let pair = Pair::<F>::new(Transport::Tcp);
            let mut current = pair.there(SYN);
            pair.selects_anew(|_| {
                if from_client { pair.there(RST) } else { pair.back(current, RST | ACK) };
                current = pair.there(SYN);
                current
            });
        }
    }
}
