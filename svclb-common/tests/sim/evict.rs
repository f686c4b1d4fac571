//! What happens when a table forgets half of a flow.

use svclb_common::{
    flow::{Action, FlowState},
    wire::Transport,
};

use crate::{
    pair::Pair,
    world::{
        ACK, FAR, FAR2, FIN, OUTSIDE, POD, POD_IN, POD_OUT, RST, SYN, UPLINK_IN, VIP, World, at, everywhere,
        families, next, open, reply, translated,
    },
};

everywhere! {
    /// A table that forgot only the reply's entry, before the flow was established.
    fn a_lost_reply_entry_is_written_again<F>(transport) {
        let pair = Pair::<F>::new(transport);
        let sent = pair.there(SYN);
        pair.back(sent, SYN | ACK);
        pair.world.half_open.retain(|entry| entry.recipe.is_original());
        assert_eq!(pair.there(ACK), sent, "the flow keeps its backend and its port");
        let back = pair.back(sent, ACK);
        assert_eq!(back, translated(Action::Pass, 0, at::<F>(VIP, 80), at::<F>(POD, 40000)));
    }

    /// The same behind source translation, where the port must stay as well.
    fn a_lost_reply_entry_is_written_again_with_its_port<F>(transport) {
        let mut world = World::<F>::new();
        let (client, vip) = (at::<F>(OUTSIDE, 50000), at::<F>(VIP, 80));
        world.serve(transport, vip, &[at::<F>(FAR, 8080), at::<F>(FAR2, 8080)]);
        let sent = world.send(UPLINK_IN, &open(transport, client, vip));
        world.half_open.retain(|entry| entry.recipe.is_original());
        assert_eq!(world.send(UPLINK_IN, &next(transport, client, vip)), sent);
        let back = world.send(UPLINK_IN, &next(transport, sent.dst, sent.src));
        assert_eq!(back, translated(Action::Forward, 0, vip, client));
    }

    /// A table that forgot only the client's entry: the tuple may be taken anew, and the
    /// backend's packets still reach the client.
    fn a_lost_original_entry_is_safe<F>(transport) {
        let mut world = World::<F>::new();
        let (client, vip, backend) = (at::<F>(POD, 40000), at::<F>(VIP, 80), at::<F>(FAR, 8080));
        world.serve(transport, vip, &[backend]);
        let sent = world.send(POD_IN, &open(transport, client, vip));
        world.send(POD_OUT, &reply(transport, backend, client));
        world.send(POD_IN, &next(transport, client, vip));
        world.flows.retain(|entry| !entry.recipe.is_original());
        let back = translated(Action::Pass, 0, vip, client);
        assert_eq!(world.send(POD_OUT, &next(transport, backend, client)), back);
        assert_eq!(world.send(POD_IN, &next(transport, client, vip)), sent);
        assert_eq!(world.send(POD_OUT, &next(transport, backend, client)), back);
    }
}

families! {
    /// An established flow whose other half was pushed out is written anew as a whole: no old copy of the client's entry
    /// stays behind that would not hear of the end.
    fn half_a_flow_ends_as_a_whole_one<F>() {
        let pair = Pair::<F>::new(Transport::Tcp);
        let sent = pair.there(SYN);
        pair.back(sent, SYN | ACK);
        pair.there(ACK);
        assert_eq!(pair.world.flows.len(), 2);
        pair.world.flows.retain(|entry| entry.recipe.is_original());
        assert_eq!(pair.there(FIN | ACK), sent);
        assert_eq!((pair.world.flows.len(), pair.world.half_open.len()), (0, 2), "each once");
        pair.back(sent, FIN | ACK);
        pair.there(ACK);
        assert_eq!(pair.world.collect().states, [FlowState::TimeWait]);
    }

    /// The end of a connection is translated by the entry that is left, and a reset of
    /// nothing opens nothing.
    fn half_of_a_flow_knows_its_end<F>() {
        for end in [FIN | ACK, RST, RST | ACK] {
            let pair = Pair::<F>::new(Transport::Tcp);
            let sent = pair.there(SYN);
            let back = pair.back(sent, SYN | ACK);
            pair.there(ACK);
            pair.world.flows.retain(|entry| !entry.recipe.is_original());
            assert_eq!(pair.back(sent, end), back, "the backend ends with {end:#x}");

            let pair = Pair::<F>::new(Transport::Tcp);
            let sent = pair.there(SYN);
            pair.back(sent, SYN | ACK);
            pair.there(ACK);
            pair.world.flows.retain(|entry| entry.recipe.is_original());
            assert_eq!(pair.there(end), sent, "the client ends with {end:#x}");
        }
        let pair = Pair::<F>::new(Transport::Tcp);
        pair.there(RST);
        assert_eq!((pair.world.flows.len(), pair.world.half_open.len()), (0, 0));
    }

    /// A stray reset, which the receiver ignores, costs a live connection nothing for long.
    fn who_goes_on_after_a_reset_is_established_again<F>() {
        let pair = Pair::<F>::new(Transport::Tcp);
        let sent = pair.there(SYN);
        pair.back(sent, SYN | ACK);
        pair.there(ACK);
        pair.back(sent, RST);
        assert_eq!(pair.world.flows.len(), 0);
        pair.back(sent, ACK);
        assert_eq!(pair.there(ACK), sent);
        assert_eq!((pair.world.flows.len(), pair.world.half_open.len()), (2, 0));
    }

    fn a_flood_of_syns_leaves_established_flows_alone<F>() {
        let mut world = World::<F>::new().with_half_open(16);
        let (vip, backend) = (at::<F>(VIP, 80), at::<F>(FAR, 8080));
        world.serve(Transport::Tcp, vip, &[backend]);
        let client = at::<F>(POD, 40000);
        let there = translated(Action::Pass, 0, client, backend);
        assert_eq!(world.send(POD_IN, &open(Transport::Tcp, client, vip)), there);
        world.send(POD_OUT, &reply(Transport::Tcp, backend, client));
        assert_eq!(world.send(POD_IN, &next(Transport::Tcp, client, vip)), there);
        for n in 0..1000 {
            let forged = at::<F>(OUTSIDE, 1000 + n);
            let sent = world.send(UPLINK_IN, &open(Transport::Tcp, forged, vip));
            assert_eq!(sent.dst, backend);
        }
        assert_eq!((world.flows.len(), world.half_open.len()), (2, 16));
        assert_eq!(world.send(POD_IN, &next(Transport::Tcp, client, vip)), there);
        let back = translated(Action::Pass, 0, vip, client);
        assert_eq!(world.send(POD_OUT, &next(Transport::Tcp, backend, client)), back);
    }
}
