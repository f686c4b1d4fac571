//! Errors about translated packets come back to who sent them, about what was sent.

use std::net::SocketAddr;

use proptest::{collection::vec, prelude::*};
use svclb_common::{
    balance::Place,
    config::{MASQUERADE_ALL, VIP_ECHO},
    family::{V4, V6},
    flow::Action,
    verdict::DropReason,
    wire::Transport,
};

use crate::world::{
    Complaint, FAR, Fault, LO_OUT, NODE, Net, OUTSIDE, PEER, POD, POD_IN, POD_OUT, Sketch, Told, UPLINK,
    UPLINK_IN, UPLINK_OUT, VIP, VIP2, Verdict, World, at, complaint, everywhere, families, open, reply,
};

/// A router anywhere.
const ROUTER: u16 = 70;

/// A way of packets to a backend and back.
struct Way<F: Net> {
    world: World<F>,
    client: SocketAddr,
    front: SocketAddr,
    backend: SocketAddr,
    there: Place,
    back: Place,
    /// What becomes of packets to the backend.
    onward: Verdict,
    /// What becomes of answers.
    homeward: Verdict,
}

impl<F: Net> Way<F> {
    /// All kinds of ways, by name.
    fn all(transport: Transport) -> Vec<(&'static str, Self)> {
        let plain = |action| Verdict::Translated(action, 0);
        let way = |(client, front, backend): (u16, u16, u16), there, back, onward, homeward| {
            let mut world = World::<F>::new();
            let front_port = if front == NODE { 30080 } else { 80 };
            let (front, backend) = (at::<F>(front, front_port), at::<F>(backend, 8080));
            let id = world.add_backend(transport, backend, backend == at::<F>(PEER, 8080));
            let service = world.add_service(&[id]);
            world.add_frontend(transport, front, service);
            Self { world, client: at::<F>(client, 40000), front, backend, there, back, onward, homeward }
        };
        let (pass, forward) = (plain(Action::Pass), plain(Action::Forward));
        let (reflect, deliver) = (plain(Action::Reflect), Verdict::Translated(Action::Deliver, UPLINK));
        let lo = Verdict::Translated(Action::Deliver, 1);
        let mut masqueraded = way((POD, VIP, FAR), POD_IN, UPLINK_IN, forward, forward);
        masqueraded.world.config.flags |= MASQUERADE_ALL;
        vec![
            ("a pod", way((POD, VIP, FAR), POD_IN, POD_OUT, pass, pass)),
            ("itself", way((POD, VIP, POD), POD_IN, POD_IN, reflect, reflect)),
            ("to this node", way((OUTSIDE, NODE, PEER), UPLINK_IN, UPLINK_OUT, pass, pass)),
            ("to another node", way((OUTSIDE, NODE, FAR), UPLINK_IN, UPLINK_IN, forward, forward)),
            ("masqueraded", masqueraded),
            ("the host", way((NODE, VIP, FAR), UPLINK_OUT, UPLINK_IN, forward, deliver)),
            ("within the host", way((NODE, VIP, NODE), UPLINK_OUT, LO_OUT, lo, deliver)),
        ]
    }

    /// Sends a packet to the frontend; the frame as it was and as it goes on.
    fn onward(&self, sketch: &Sketch) -> [Vec<u8>; 2] {
        let sketch = Sketch { src: self.client, dst: self.front, ..sketch.clone() };
        self.go(self.there, &sketch, self.onward)
    }

    /// Sends an answer to `packet`, which went on so.
    fn homeward(&self, sketch: &Sketch, packet: &[u8]) -> [Vec<u8>; 2] {
        let (src, dst) = crate::world::ends(packet);
        let sketch = Sketch { src: dst, dst: src, ..sketch.clone() };
        self.go(self.back, &sketch, self.homeward)
    }

    fn go(&self, place: Place, sketch: &Sketch, verdict: Verdict) -> [Vec<u8>; 2] {
        let before = sketch.build();
        let after = self.world.pass(place, &before);
        assert_eq!(after.verdict, verdict);
        [before, after.frame]
    }
}

/// What the sender of `before` is to be told.
fn told(verdict: Verdict, by: SocketAddr, sender: SocketAddr, before: &[u8], complaint: &Complaint) -> Told {
    let quote = before[14..14 + complaint.quote.len()].to_vec();
    Told { verdict, by: by.ip(), to: sender.ip(), quote }
}

/// Complaints about a packet each way, by a router and by the receiver, that quote so many
/// bytes behind the IP header.
fn complaints<F: Net>(transport: Transport, sketch: &Sketch, quoted: usize) {
    for (name, way) in Way::<F>::all(transport) {
        let router = at::<F>(ROUTER, 0);
        let [sent, onward] = way.onward(sketch);
        let [answer, homeward] = way.homeward(sketch, &onward);
        for fault in Fault::ALL {
            let cut = |by: SocketAddr, about: &[u8]| {
                let whole = complaint(by.ip(), fault, about);
                if quoted == usize::MAX { whole } else { whole.cut(quoted) }
            };
            // About what went to the backend, where answers come: the client hears of what it sent.
            let is_sent = way.homeward == Verdict::Translated(Action::Forward, 0);
            for (by, seen) in [(router, if is_sent { way.front } else { router }), (way.backend, way.front)] {
                let complaint = cut(by, &onward);
                let right = told(way.homeward, seen, way.client, &sent, &complaint);
                assert_eq!(way.world.tell(way.back, &complaint), right, "{name}: {fault:?} by {by}");
            }
            // About an answer, where packets to the frontend come.
            let (backend, as_client) = crate::world::ends(&answer);
            let is_sent = way.onward == Verdict::Translated(Action::Forward, 0);
            for (by, seen) in [(router, if is_sent { as_client } else { router }), (way.client, as_client)] {
                let complaint = cut(by, &homeward);
                let right = told(way.onward, seen, backend, &answer, &complaint);
                assert_eq!(way.world.tell(way.there, &complaint), right, "{name}: {fault:?} by {by}");
            }
        }
    }
}

/// A quoted TCP header ends behind its checksum, or before it.
fn quotes(transport: Transport) -> impl Strategy<Value = usize> {
    let partial = if transport == Transport::Tcp { [8, 20] } else { [4, 8] };
    proptest::sample::select(vec![partial[0], partial[1], usize::MAX])
}

macro_rules! both {
    ($($name:ident => $family:ident, $transport:ident;)+) => {$(
        proptest! {
            #[test]
            fn $name(
                quoted in quotes(Transport::$transport), hops: u8, seq: u32, payload in vec(any::<u8>(), 0..64),
            ) {
                let sketch = Sketch { hops, seq, payload, ..open(Transport::$transport, at::<$family>(1, 1), at::<$family>(1, 1)) };
                if quoted == 4 {
                    // Ports without the checksum: what is there is right.
                    complaints_are_sent::<$family>(&sketch);
                } else {
                    complaints::<$family>(Transport::$transport, &sketch, quoted);
                }
            }
        }
    )+};
}
both! {
    tcp4_hears_of_what_it_sent => V4, Tcp;
    udp4_hears_of_what_it_sent => V4, Udp;
    tcp6_hears_of_what_it_sent => V6, Tcp;
    udp6_hears_of_what_it_sent => V6, Udp;
}

fn complaints_are_sent<F: Net>(sketch: &Sketch) {
    complaints::<F>(Transport::Udp, sketch, 4);
}

/// A pod that has sent a packet to the frontend, and the frame that went on.
fn one_packet<F: Net>(transport: Transport) -> (World<F>, Vec<u8>) {
    let mut world = World::<F>::new();
    world.serve(transport, at::<F>(VIP, 80), &[at::<F>(FAR, 8080)]);
    let after = world.pass(POD_IN, &open(transport, at::<F>(POD, 40000), at::<F>(VIP, 80)).build());
    (world, after.frame)
}

/// Asserts that nobody touches it.
fn untouched<F: Net>(world: &World<F>, place: Place, complaint: &Complaint) {
    let Told { verdict, .. } = world.tell(place, complaint);
    assert_eq!(verdict, Verdict::NotOurs, "{complaint:?}");
}

everywhere! {
    fn complaints_about_established_flows_are_translated<F>(transport) {
        let (world, onward) = one_packet::<F>(transport);
        world.pass(POD_OUT, &reply(transport, at::<F>(FAR, 8080), at::<F>(POD, 40000)).build());
        world.pass(POD_IN, &crate::world::next(transport, at::<F>(POD, 40000), at::<F>(VIP, 80)).build());
        assert_eq!((world.flows.len(), world.half_open.len()), (2, 0));
        let told = world.tell(POD_OUT, &complaint(F::host(ROUTER), Fault::TooBig, &onward));
        assert_eq!(told.verdict, Verdict::Translated(Action::Pass, 0));
    }

    fn a_quote_without_ports_tells_nothing<F>(transport) {
        let (world, onward) = one_packet::<F>(transport);
        let whole = complaint(F::host(ROUTER), Fault::TooBig, &onward);
        for bytes in [0, 2, 3] {
            untouched(&world, POD_OUT, &whole.clone().cut(bytes));
        }
        assert_ne!(world.tell(POD_OUT, &whole.cut(4)).verdict, Verdict::NotOurs);
    }

    fn complaints_about_nothing_are_left_alone<F>(transport) {
        let (world, onward) = one_packet::<F>(transport);
        let known = complaint(F::host(ROUTER), Fault::Unreachable, &onward);
        // Elsewhere the same tuple is another's.
        for place in [POD_IN, UPLINK_IN] {
            untouched(&world, place, &known);
        }
        // Nobody complains to anybody but the sender.
        untouched(&world, POD_OUT, &Complaint { to: F::host(PEER), ..known.clone() });
        // A redirect is between neighbours, a source quench nobody minds.
        for kind in [[5, 1], [6, 0], [8, 0], [0, 0]] {
            untouched(&world, POD_OUT, &Complaint { kind, ..known.clone() });
        }
        let direct = open(transport, at::<F>(POD, 40000), at::<F>(FAR, 9090)).build();
        untouched(&world, POD_OUT, &complaint(F::host(ROUTER), Fault::Unreachable, &direct));
        // An error about an error, about a packet of a flow.
        untouched(&world, POD_OUT, &complaint(F::host(ROUTER), Fault::Unreachable, &known.build()));
    }

    fn a_complaint_to_a_cluster_ip_about_nothing_is_dropped<F>(transport) {
        let (mut world, onward) = one_packet::<F>(transport);
        world.add_cluster_ip(F::host(VIP), 8);
        world.add_service_cidr(F::host(VIP), 8);
        let about = |host| open(transport, at::<F>(host, 80), at::<F>(OUTSIDE, 1)).build();
        for (host, reason) in [(VIP, DropReason::StrayReset), (VIP2, DropReason::UnallocatedVip)] {
            let stray = complaint(F::host(ROUTER), Fault::TooBig, &about(host));
            assert_eq!(world.tell(UPLINK_IN, &stray).verdict, Verdict::Dropped(reason));
            untouched(&world, UPLINK_OUT, &stray);
        }
        let known = complaint(F::host(ROUTER), Fault::TooBig, &onward);
        assert_ne!(world.tell(POD_OUT, &known).verdict, Verdict::NotOurs);
    }

    fn complaints_about_backends_that_are_gone_are_translated<F>(transport) {
        let (mut world, onward) = one_packet::<F>(transport);
        world.retire(1);
        let told = world.tell(POD_OUT, &complaint(F::host(FAR), Fault::Unreachable, &onward));
        assert_eq!((told.by, told.to), (F::host(VIP), F::host(POD)));
    }
}

/// Every word of the longest options is another.
fn options() -> Vec<u8> {
    (0..40).map(|at| u8::from(at != 39)).collect()
}

#[test]
fn both_headers_may_have_options() {
    for transport in [Transport::Tcp, Transport::Udp] {
        let (world, _) = one_packet::<V4>(transport);
        let (client, vip) = (at::<V4>(POD, 40000), at::<V4>(VIP, 80));
        let sent = Sketch { options: options(), ..open(transport, client, vip) }.build();
        let onward = world.pass(POD_IN, &sent).frame;
        let plain = complaint(V4::host(ROUTER), Fault::TooBig, &onward);
        for options in [Vec::new(), options()] {
            let complaint = Complaint { options, ..plain.clone() };
            let told = world.tell(POD_OUT, &complaint);
            assert_eq!(told.quote, sent[14..]);
        }
    }
}

#[test]
fn fragments_are_quoted_with_their_ports_or_without() {
    let (world, onward) = one_packet::<V4>(Transport::Udp);
    let mut first = complaint(V4::host(ROUTER), Fault::TooBig, &onward);
    first.quote[6] = 0x20;
    assert_ne!(world.tell(POD_OUT, &first).verdict, Verdict::NotOurs);
    let mut later = first;
    later.quote[7] = 1;
    untouched(&world, POD_OUT, &later);
}

/// A quote with these extension headers between IPv6 and UDP; the first number names the first of them.
fn extended(first: u8, headers: &[u8]) -> (World<V6>, Complaint, Vec<u8>) {
    let (world, onward) = one_packet::<V6>(Transport::Udp);
    let sent = open(Transport::Udp, at::<V6>(POD, 40000), at::<V6>(VIP, 80)).build();
    let insert = |packet: &[u8]| {
        let mut packet = packet[14..].to_vec();
        packet[6] = first;
        packet.splice(40..40, headers.iter().copied());
        packet
    };
    let quote = insert(&onward);
    let complaint = Complaint { quote, ..complaint(V6::host(ROUTER), Fault::TooBig, &onward) };
    (world, complaint, insert(&sent))
}

#[test]
fn quoted_extension_headers_are_passed_over() {
    let fragment = |offset: u8, next| [next, 0, 0, offset, 1, 2, 3, 4];
    let options = |next| [next, 1, 1, 4, 0, 0, 0, 0, 1, 6, 0, 0, 0, 0, 0, 0];
    let known: [(u8, Vec<u8>); 4] = [
        (44, fragment(1, 17).to_vec()),
        (0, options(17).to_vec()),
        (60, options(17).to_vec()),
        (0, [&options(44)[..], &fragment(1, 17)].concat()),
    ];
    for (first, headers) in known {
        let (world, complaint, sent) = extended(first, &headers);
        let told = world.tell(POD_OUT, &complaint);
        assert_eq!(told.verdict, Verdict::Translated(Action::Pass, 0), "{first}");
        assert_eq!(told.quote, sent, "{first}");
    }
    let unknown: [(u8, Vec<u8>); 3] = [
        (44, fragment(8, 17).to_vec()),
        (50, options(17).to_vec()),
        (0, [options(0), options(0), options(17)].concat()),
    ];
    for (first, headers) in unknown {
        let (world, complaint, _) = extended(first, &headers);
        untouched(&world, POD_OUT, &complaint);
    }
}

/// A request as a complaint that quotes what echoes carry.
fn echo<F: Net>(by: u16, to: u16) -> Complaint {
    let kind = if F::host(0).is_ipv4() { [8, 0] } else { [128, 0] };
    let quote = b"0123456789abcdef".to_vec();
    Complaint { by: F::host(by), to: F::host(to), kind, rest: [1, 2, 3, 4], options: Vec::new(), quote }
}

families! {
    fn a_cluster_ip_answers_to_echo_if_it_may<F>() {
        let mut world = World::<F>::new();
        world.add_cluster_ip(F::host(VIP), 8);
        for (place, by) in [(POD_IN, POD), (UPLINK_IN, OUTSIDE), (UPLINK_OUT, NODE)] {
            world.config.flags &= !VIP_ECHO;
            let request = echo::<F>(by, VIP).build();
            let after = world.pass(place, &request);
            assert_eq!((after.verdict, after.frame), (Verdict::NotOurs, request.clone()));
            world.config.flags |= VIP_ECHO;
            let after = world.pass(place, &request);
            assert_eq!(after.verdict, Verdict::Echoed);
            crate::world::verify(&after.frame);
            let reply = if F::host(0).is_ipv4() { [0, 0] } else { [129, 0] };
            let mut right = Complaint { kind: reply, ..echo::<F>(VIP, by) }.build();
            let link: Vec<u8> = [&request[6..12], &request[..6]].concat();
            right[..12].copy_from_slice(&link);
            // Identification, flags, hop limit and checksum of the IP header are the answer's own.
            let own = if F::host(0).is_ipv4() { 18..26 } else { 21..22 };
            right[own.clone()].copy_from_slice(&after.frame[own]);
            assert_eq!(after.frame, right);
            assert_eq!(world.pass(place, &echo::<F>(by, VIP2).build()).verdict, Verdict::NotOurs);
        }
        // What others send through the node has been answered where it came in.
        assert_eq!(world.pass(UPLINK_OUT, &echo::<F>(POD, VIP).build()).verdict, Verdict::NotOurs);
        assert_eq!(world.pass(UPLINK_IN, &echo::<F>(OUTSIDE, NODE).build()).verdict, Verdict::NotOurs);
    }

    fn an_external_address_answers_unless_it_is_the_nodes<F>() {
        let mut world = World::<F>::new();
        world.config.flags |= VIP_ECHO;
        world.external_ips.extend([VIP, NODE].map(|host| F::addr(F::host(host))));
        let verdict = |place, by, to| world.pass(place, &echo::<F>(by, to).build()).verdict;
        assert_eq!(verdict(UPLINK_IN, OUTSIDE, VIP), Verdict::Echoed);
        assert_eq!(verdict(POD_IN, POD, VIP), Verdict::Echoed);
        assert_eq!(verdict(UPLINK_IN, OUTSIDE, NODE), Verdict::NotOurs);
        // Its other ports are not refused: anybody may have them.
        let other = open(Transport::Tcp, at::<F>(OUTSIDE, 50000), at::<F>(VIP, 81));
        assert_eq!(world.send(UPLINK_IN, &other).verdict, Verdict::NotOurs);
    }

    fn an_absent_checksum_stays_absent<F>() {
        let (world, onward) = one_packet::<F>(Transport::Udp);
        let mut complaint = complaint(F::host(ROUTER), Fault::TooBig, &onward).cut(8);
        let last = complaint.quote.len();
        complaint.quote[last - 2..].fill(0);
        let told = world.tell(POD_OUT, &complaint);
        assert_eq!(told.quote[last - 2..], [0, 0]);
    }
}
