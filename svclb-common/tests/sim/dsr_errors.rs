//! Direct server return: errors about answers, and about the packets that others travel in.

use std::net::{IpAddr, SocketAddr};

use svclb_common::{
    config::{DSR_TCP, DSR_UDP},
    flow::Action,
    icmp::Quoted,
    key::FlowKey,
    service::FrontendKind,
    wire::{Cursor, Transport},
};

use crate::world::{
    Complaint, FAR, Fault, NODE, Net, OUTSIDE, SYN, Sketch, Told, UPLINK_IN, UPLINK_OUT, VIP, Verdict, World,
    at, complaint, everywhere, open, reply, verify, wrap_from, wrap_in_udp,
};

/// A router anywhere.
const ROUTER: u16 = 70;
/// The node of the backend.
const NODE2: u16 = 2;

/// Both nodes of a flow, and the frames of its first packets: the client's, the backend's answer, and that
/// as the client gets it.
struct Flow<F: Net> {
    first: World<F>,
    second: World<F>,
    client: SocketAddr,
    vip: SocketAddr,
    backend: SocketAddr,
    request: Vec<u8>,
    answer: Vec<u8>,
    homeward: Vec<u8>,
}

impl<F: Net> Flow<F> {
    fn new(transport: Transport) -> Self {
        let (client, vip, backend) = (at::<F>(OUTSIDE, 50000), at::<F>(VIP, 80), at::<F>(FAR, 8080));
        let [first, second] = [(NODE, false), (NODE2, true)].map(|(node, is_local)| {
            let mut world = World::<F>::new().with_flags(DSR_TCP | DSR_UDP).with_address(node);
            let id = world.add_backend(transport, backend, is_local);
            let service = world.add_service(&[id]);
            world.add_frontend_of(FrontendKind::LoadBalancer, transport, vip, service);
            world
        });
        let large = |sketch: Sketch| Sketch { payload: vec![7; 700], ..sketch };
        let request = large(open(transport, client, vip).with(SYN));
        let on_way = Verdict::Tunnelled(F::host(NODE), backend.ip());
        assert_eq!(first.send(UPLINK_IN, &request).verdict, on_way);
        second.unwrap(backend.ip(), &request);
        let answer = large(reply(transport, backend, client)).build();
        let homeward = second.pass(UPLINK_OUT, &answer);
        assert_eq!(homeward.verdict, Verdict::Translated(Action::Pass, 0));
        let homeward = homeward.frame;
        Self { first, second, client, vip, backend, request: request.build(), answer, homeward }
    }

    /// What the first node makes of a complaint about a packet around another one, if it knows it.
    fn relay(&self, complaint: &Complaint) -> Option<Vec<u8>> {
        let mut frame = complaint.build();
        let Quoted::<F>::Whole(around) = Quoted::parse(Cursor::from(frame.as_mut_slice())) else {
            return None;
        };
        let key: FlowKey<F::Addr> = around.flow();
        if !around.is_ours(&self.first, &key) {
            return None;
        }
        let relayed = around.relayed()?;
        frame.drain(14..14 + relayed.overhead as usize);
        relayed.write::<F>(Cursor::from(frame.as_mut_slice())).unwrap();
        Some(frame)
    }

    /// The client's packet around which `complaint`s are about, both ways.
    fn around(&self) -> [(Vec<u8>, u32); 2] {
        let (from, to) = (F::host(NODE), self.backend.ip());
        let udp = [SocketAddr::new(from, 55555), SocketAddr::new(to, 6080)];
        let in_udp = wrap_in_udp(&self.request, udp[0], udp[1]);
        [(wrap_from(&self.request, from, to), F::OUTER), (in_udp, F::OUTER + 8)]
    }
}

/// That a link carries 1300 bytes.
fn too_big<F: Net>(about: &[u8], quoted: usize) -> Complaint {
    complaint(F::host(ROUTER), Fault::TooBig, about).cut(quoted)
}

everywhere! {
    fn an_error_about_an_answer_reaches_its_backend<F>(transport) {
        let flow = Flow::<F>::new(transport);
        let on_way = Verdict::Tunnelled(F::host(NODE), flow.backend.ip());
        // No quote is long enough for SCTP's checksum, which nobody looks at.
        let quotes: &[usize] = if transport == Transport::Sctp { &[8] } else { &[8, 20, 600] };
        for fault in Fault::ALL {
            for by in [F::host(ROUTER), flow.client.ip()] {
                for &quoted in quotes {
                    let complaint = complaint(by, fault, &flow.homeward).cut(quoted);
                    assert_eq!(flow.first.tell(UPLINK_IN, &complaint).verdict, on_way);
                    let told = flow.second.tell_inside(flow.backend.ip(), &complaint);
                    let quote = flow.answer[14..14 + complaint.quote.len()].to_vec();
                    let verdict = Verdict::Translated(Action::Pass, 0);
                    assert_eq!(told, Told { verdict, by, to: flow.backend.ip(), quote }, "{fault:?} by {by}");
                }
            }
        }
    }

    fn an_error_in_a_packet_to_somebody_else_stays_there<F>(transport) {
        let flow = Flow::<F>::new(transport);
        let complaint = complaint(F::host(ROUTER), Fault::TooBig, &flow.homeward);
        assert_eq!(flow.second.tell_inside(F::host(77), &complaint).verdict, Verdict::NotOurs);
        let unknown = open(transport, flow.vip, at::<F>(OUTSIDE, 50001)).build();
        let unknown = self::complaint(F::host(ROUTER), Fault::TooBig, &unknown);
        assert_eq!(flow.second.tell_inside(flow.backend.ip(), &unknown).verdict, Verdict::NotOurs);
    }

    fn a_narrow_link_between_the_nodes_is_told_to_the_client<F>(transport) {
        let flow = Flow::<F>::new(transport);
        for (about, overhead) in flow.around() {
            for quoted in [200, 548] {
                let told = flow.relay(&too_big::<F>(&about, quoted)).unwrap();
                verify(&told);
                let bytes = quoted - (overhead - F::OUTER) as usize;
                let mut wanted = complaint(flow.vip.ip(), Fault::TooBig, &flow.request);
                wanted.quote.truncate(bytes);
                wanted.rest = (1300 - overhead).to_be_bytes();
                let wanted = wanted.build();
                let behind = 14 + F::OUTER as usize;
                assert_eq!(told[behind..], wanted[behind..]);
                assert_eq!(crate::world::ips(&told), (flow.vip.ip(), flow.client.ip()));
            }
        }
    }

    fn a_quote_that_ends_before_the_ports_tells_nobody<F>(transport) {
        let flow = Flow::<F>::new(transport);
        for (about, overhead) in flow.around() {
            let before_ports = (overhead - F::OUTER) as usize + size_of::<F::Header>() + 3;
            for quoted in [8, 20, before_ports] {
                let mut frame = too_big::<F>(&about, quoted).build();
                let found = Quoted::<F>::parse(Cursor::from(frame.as_mut_slice()));
                assert!(matches!(found, Quoted::Short(_)), "{quoted} bytes");
            }
        }
    }

    fn errors_about_packets_around_others_are_nobodys_unless_this_node_made_them<F>(transport) {
        let flow = Flow::<F>::new(transport);
        let (node, backend): (IpAddr, IpAddr) = (F::host(NODE), flow.backend.ip());
        let strange = open(transport, at::<F>(OUTSIDE, 50001), flow.vip).build();
        for about in [
            wrap_from(&flow.request, node, F::host(77)),
            wrap_from(&flow.request, F::host(NODE2), backend),
            wrap_from(&strange, node, backend),
        ] {
            assert_eq!(flow.relay(&too_big::<F>(&about, 200)), None);
        }
        let about = wrap_from(&flow.request, node, backend);
        let forged = Complaint { to: F::host(NODE2), ..too_big::<F>(&about, 200) };
        assert_eq!(flow.relay(&forged), None, "to somebody who has not sent it");
        let unreachable = complaint(F::host(ROUTER), Fault::Unreachable, &about);
        assert_eq!(flow.relay(&unreachable), None, "says nothing of sizes");
        for size in [0_u32, 20] {
            let tiny = Complaint { rest: size.to_be_bytes(), ..too_big::<F>(&about, 200) };
            assert_eq!(flow.relay(&tiny), None, "leaves no room");
        }
    }
}
