//! What holds for any bytes and for any order of packets.

use std::collections::HashMap;

use proptest::{collection::vec, prelude::*};
use svclb_common::{
    balance::{Edge, Learned, Place, Scratch, Tables, learn},
    config::SNAT_PORTS,
    family::{Family, V4, V6},
    flow::Action,
    key::{FlowKey, Hook},
    wire::{TcpFlags, Transport},
};

use crate::{
    refuse::refuse,
    world::{
        ACK, FAR, FAR2, FIN, Net, OUTSIDE, POD, POD_IN, POD_OUT, RST, SECOND, SYN, Sent, Sketch, UPLINK_IN,
        VIP, Verdict, World, at, families, open, translated,
    },
};

/// Bytes that often look like a frame: right type, right version, plausible protocol.
fn frames<F: Net>() -> impl Strategy<Value = Vec<u8>> {
    (vec(any::<u8>(), 0..160), any::<bool>(), 5_u8..=15, any::<bool>()).prop_map(
        |(mut frame, shape, words, tcp)| {
            if shape && frame.len() > 23 {
                let protocol = if tcp { 6 } else { 17 };
                frame[12..14].copy_from_slice(&F::ETHERTYPE.to_ne_bytes());
                if F::AF == V4::AF {
                    frame[14] = 0x40 | words;
                    frame[20..22].fill(0);
                    frame[23] = protocol;
                } else {
                    (frame[14], frame[20]) = (0x60, protocol);
                }
            }
            frame
        },
    )
}

fn places() -> impl Strategy<Value = Place> {
    (any::<bool>(), any::<bool>(), 1_u32..4).prop_map(|(pod, ingress, ifindex)| Place {
        edge: if pod { Edge::Pod } else { Edge::Uplink },
        hook: if ingress { Hook::Ingress } else { Hook::Egress },
        ifindex,
    })
}

/// Any bytes at any place, with a Service wherever they are sent to.
fn survives<F: Net>(frame: &[u8], place: Place) {
    let mut world = World::<F>::new();
    for transport in Transport::ALL {
        let backend = world.add_backend(transport, at::<F>(FAR, 8080), false);
        let service = world.add_service(&[backend]);
        world.catch(frame, service);
    }
    let after = world.pass(place, frame);
    if !matches!(after.verdict, Verdict::Translated(..)) {
        assert_eq!(after.frame, frame);
    }
    assert_eq!(after.frame.len(), frame.len());
    refuse::<F>(frame);
}

#[derive(Clone, Copy, Debug)]
struct Step {
    client: u16,
    vip: u16,
    flags: u8,
    seconds: u64,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let flags = prop_oneof![4 => Just(SYN), 4 => Just(ACK), 1 => Just(RST), 1 => Just(FIN | ACK)];
    let step = (0_u16..3, 0_u16..3, flags, 0_u64..40);
    vec(step.prop_map(|(client, vip, flags, seconds)| Step { client, vip, flags, seconds }), 1..60)
}

/// Where clients stand, and where replies come from.
#[derive(Clone, Copy, Debug)]
struct Side {
    host: u16,
    there: Place,
    back: Place,
    action: Action,
}

const SIDES: [Side; 2] = [
    Side { host: POD, there: POD_IN, back: POD_OUT, action: Action::Pass },
    Side { host: OUTSIDE, there: UPLINK_IN, back: UPLINK_IN, action: Action::Forward },
];

/// Three clients and three virtual addresses before two backends and a handful of ports:
/// whatever is sent, each reply to a flow that lives reaches that flow's client.
fn replies_find_their_client<F: Net>(transport: Transport, side: Side, seed: u64, steps: &[Step]) {
    let mut world = World::<F>::new().with_seed(seed);
    (world.config.snat_port_min, world.config.snat_port_max) = (2000, 2004);
    let backends = [FAR, FAR2].map(|host| world.add_backend(transport, at::<F>(host, 8080), false));
    let service = world.add_service(&backends);
    (0..3).for_each(|n| world.add_frontend(transport, at::<F>(VIP + n, 80), service));
    // The rewritten packet of each flow that lives.
    let mut live: HashMap<(u16, u16), Sent> = HashMap::new();
    let mut over: HashMap<(u16, u16), bool> = HashMap::new();
    for Step { client, vip, flags, seconds } in steps.iter().copied() {
        let (from, to) = (at::<F>(side.host, 40000 + client), at::<F>(VIP + vip, 80));
        let flags = if transport == Transport::Udp { 0 } else { flags };
        let sent = world.send(side.there, &open(transport, from, to).with(flags));
        if let Some(before) = live.get(&(client, vip)) {
            assert_eq!(sent, *before, "a flow that lives keeps its tuple");
        }
        let ends = flags & (RST | FIN) != 0;
        let ended = over.get(&(client, vip)) == Some(&true) && flags != SYN;
        if ends || ended || !matches!(sent.verdict, Verdict::Translated(..)) {
            live.remove(&(client, vip));
            over.insert((client, vip), ends || ended);
        } else {
            live.insert((client, vip), sent);
            over.insert((client, vip), false);
        }
        for ((client, vip), sent) in &live {
            let (front, client) = (at::<F>(VIP + vip, 80), at::<F>(side.host, 40000 + client));
            for flags in [SYN | ACK, ACK] {
                let packet = open(transport, sent.dst, sent.src).with(flags);
                assert_eq!(world.send(side.back, &packet), translated(side.action, 0, front, client));
            }
        }
        world.wait(seconds * SECOND);
    }
}

/// One packet there and one back, with all that a tuple and a payload can be.
fn there_and_back<F: Net>(sketch: &Sketch, vip: u16, backend: u16, ports: (u16, u16)) {
    for side in SIDES {
        let mut world = World::<F>::new();
        let (front, end) = (at::<F>(vip, ports.0), at::<F>(backend, ports.1));
        world.serve(sketch.transport, front, &[end]);
        let sketch = Sketch { dst: front, ..sketch.clone() };
        let sent = world.send(side.there, &sketch);
        assert_eq!(sent, translated(side.action, 0, sent.src, end));
        match side.action {
            Action::Pass => assert_eq!(sent.src, sketch.src),
            _ => assert!((SNAT_PORTS.0..=SNAT_PORTS.1).contains(&sent.src.port())),
        }
        let answer = Sketch { src: end, dst: sent.src, ..sketch.clone() };
        let back = translated(side.action, 0, front, sketch.src);
        assert_eq!(world.send(side.back, &answer), back);
    }
}

fn transports() -> impl Strategy<Value = Transport> {
    (0..Transport::ALL.len()).prop_map(|each| Transport::ALL[each])
}

macro_rules! both {
    ($family:ident, $name:ident) => {
        mod $name {
            use super::*;

            proptest! {
                #[test]
                fn any_bytes_are_survived(frame in frames::<$family>(), place in places()) {
                    survives::<$family>(&frame, place);
                }

                #[test]
                fn replies_of_interleaved_flows_find_their_client(
                    transport in transports(), side in 0..SIDES.len(), seed: u64, steps in steps(),
                ) {
                    replies_find_their_client::<$family>(transport, SIDES[side], seed, &steps);
                }

                #[test]
                fn a_packet_goes_there_and_back(
                    transport in transports(), hosts in (200_u16..300, 300_u16..400, 400_u16..500),
                    sport in 1_u16.., ports in (1_u16.., 1_u16..), flags in 0_u8..0x20, seq: u32,
                    hops: u8, payload in vec(any::<u8>(), 0..64),
                ) {
                    // A reset of nothing opens nothing.
                    let flags = TcpFlags(flags & (SYN | ACK | FIN)).0;
                    let (src, dst) = (at::<$family>(hosts.0, sport), at::<$family>(hosts.1, ports.0));
                    let sketch = Sketch { seq, hops, payload, ..open(transport, src, dst).with(flags) };
                    there_and_back::<$family>(&sketch, hosts.1, hosts.2, ports);
                }
            }
        }
    };
}
both!(V4, v4);
both!(V6, v6);

families! {
    /// 10,000 flows a backend: five per cent are five standard deviations.
    fn backends_have_equal_shares<F>() {
        for n in [1, 2, 3, 7] {
            let mut world = World::<F>::new().with_half_open(1000).with_seed(u64::from(n));
            let ends: Vec<_> = (0..n).map(|i| at::<F>(FAR + i, 8080)).collect();
            world.serve(Transport::Tcp, at::<F>(VIP, 80), &ends);
            let vip = F::addr(F::host(VIP));
            for flow in 0..10_000 * u32::from(n) {
                world.half_open.clear();
                let src = F::addr(F::host(1000 + (flow / 50_000) as u16));
                let sport = (flow % 50_000) as u16;
                let dport = 80_u16.to_be();
                let key = FlowKey { src, dst: vip, sport, dport, proto: 6, hook: 0, pad: 0 };
                let learned = learn(&world, POD_IN, &mut Scratch::new(key), Transport::Tcp, TcpFlags(SYN));
                assert_eq!(learned, Learned::Known);
                assert!(world.half_open(&key).is_some());
            }
            let picks = world.picks.borrow();
            assert_eq!(picks.len(), usize::from(n));
            for (backend, flows) in picks.iter() {
                assert!(flows.abs_diff(10_000) <= 500, "backend {backend} of {n} has {flows} flows");
            }
        }
    }
}
