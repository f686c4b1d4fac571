//! ICMP messages: errors about translated packets, and echo.
//!
//! Who complains about a packet has seen it after translation, and quotes it so; its sender knows
//! another tuple. The complaint goes where the answers to that packet go, so it meets the same
//! hook as they do: the quoted tuple, reversed, is the key of an entry there, and what that entry
//! writes into an answer, reversed, is what the sender had sent (RFC 5508 sections 4.2 and 4.3).
//!
//! The quote gets the sender's own addresses and ports. The outer header gets the entry's
//! destination; its source is that of the answers where the quoted packet's receiver complains,
//! because the client knows no backend, and where the program itself sends the complaint on: what
//! leaves by this node under somebody else's address does not pass every network. A router that
//! complains on the way keeps its address where the stack goes on with the packet.
//!
//! An address of a Service answers to echo if the setting says so, unless it is one of the node, whose stack answers.

mod around;
mod inner;

use core::hint::black_box;

pub use around::{Around, Quoted, Relayed};

use crate::{
    balance::{Tables, any, vacant},
    checksum::{Sum, adjust},
    config::VIP_ECHO,
    family::{Address, Family, IpHeader as _, Upper, V4, V6},
    flow::{Action, FlowEntry, Recipe},
    key::{FlowKey, Hook},
    outline::{DESTINATION, FRAGMENT, HOP_BY_HOP, ROUTING},
    packet::Unparsed,
    verdict::DropReason,
    wire::{Check, Cursor, Eth, ExtensionHead, IcmpError, Ipv4, Ipv6, Ports, TcpTail, Transport, UdpTail},
};

/// Bytes of a frame that hold all that is read of a message: Ethernet, the longest IPv4 header,
/// ICMP, and a quote of the longest IPv4 header or of IPv6 with extension headers.
pub const MESSAGE: u32 = 256;

/// Extension headers that a quoted IPv6 packet may have.
const EXTENSIONS: u64 = 2;

/// ICMP of a family.
pub trait Icmp: Family {
    /// Type of an echo request (RFC 792; RFC 4443 section 4.1).
    const ECHO_REQUEST: u8;
    /// Type of its answer.
    const ECHO_REPLY: u8;
    /// Whether messages of type `kind` quote the packet that they are about, and its sender is
    /// to know. A redirect is between neighbours, and a source quench nobody minds (RFC 6633).
    fn is_error(kind: u8) -> bool;
    /// Whether such a message says that what it quotes does not arrive at all.
    fn is_unreachable(kind: u8, code: u8) -> bool;
    /// What follows the fixed header of a quoted packet: its protocol, and bytes of options before
    /// it. `None` where a later fragment, without ports, was quoted.
    fn quoted(header: &Self::Header) -> Option<(u8, usize)>;
    /// Whether headers of that number may stand before the transport's.
    fn is_extension(number: u8) -> bool;
}

impl Icmp for V4 {
    const ECHO_REQUEST: u8 = 8;
    const ECHO_REPLY: u8 = 0;

    #[inline(always)]
    fn is_error(kind: u8) -> bool {
        // Destination unreachable, time exceeded, parameter problem.
        matches!(kind, 3 | 11 | 12)
    }

    #[inline(always)]
    fn is_unreachable(kind: u8, code: u8) -> bool {
        /// "Fragmentation needed".
        const TOO_BIG: u8 = 4;
        kind == 3 && code != TOO_BIG
    }

    #[inline(always)]
    fn quoted(header: &Ipv4) -> Option<(u8, usize)> {
        /// Fragment offset without flags.
        const OFFSET: u16 = 0x1fff_u16.to_be();
        if header.version_ihl >> 4 != 4 || header.frag & OFFSET != 0 {
            return None;
        }
        let words = usize::from(header.version_ihl & 15).checked_sub(5)?;
        Some((header.proto, words * 4))
    }

    #[inline(always)]
    fn is_extension(_number: u8) -> bool {
        false
    }
}

impl Icmp for V6 {
    const ECHO_REQUEST: u8 = 128;
    const ECHO_REPLY: u8 = 129;

    #[inline(always)]
    fn is_error(kind: u8) -> bool {
        // Destination unreachable, packet too big, time exceeded, parameter problem.
        matches!(kind, 1..=4)
    }

    #[inline(always)]
    fn is_unreachable(kind: u8, _code: u8) -> bool {
        kind == 1
    }

    #[inline(always)]
    fn quoted(header: &Ipv6) -> Option<(u8, usize)> {
        (header.version_flow.to_ne_bytes()[0] >> 4 == 6).then_some((header.next, 0))
    }

    #[inline(always)]
    fn is_extension(number: u8) -> bool {
        matches!(number, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION)
    }
}

/// An ICMP message with its headers found.
pub struct Message<'f, F: Family> {
    /// Link layer.
    pub eth: &'f mut Eth,
    /// Network layer.
    pub ip: &'f mut F::Header,
    /// The message's own header.
    pub icmp: &'f mut IcmpError,
    /// What an error quotes, if that has ports.
    pub quote: Option<Quote<'f, F>>,
    /// Bytes of options in the IP header.
    pub options: usize,
}

/// A quoted packet, of which at least the ports are there.
pub struct Quote<'f, F: Family> {
    ip: &'f mut F::Header,
    ports: &'f mut Ports,
    /// The transport's checksum, if enough is quoted.
    check: Option<&'f mut Check>,
    transport: Transport,
}

/// Bytes of IPv4 options, at most 40, so that the verifier knows as well: the compiler does, and
/// would leave the mask out.
#[inline(always)]
fn bounded(options: usize) -> usize {
    black_box(options) & 63
}

impl<'f, F: Icmp> Message<'f, F> {
    /// Finds the headers behind an Ethernet header that named the family.
    #[inline(always)]
    pub fn parse(eth: &'f mut Eth, mut rest: Cursor<'f>) -> Result<Self, Unparsed> {
        let ip = rest.take::<F::Header>().ok_or(Unparsed::Short)?;
        let Upper::Icmp(options) = ip.upper() else { return Err(Unparsed::Foreign) };
        Self::behind(eth, ip, rest, options)
    }

    /// Finds the headers behind a fixed IP header and so many bytes of options.
    #[inline(always)]
    pub fn behind(
        eth: &'f mut Eth,
        ip: &'f mut F::Header,
        mut rest: Cursor<'f>,
        options: usize,
    ) -> Result<Self, Unparsed> {
        let options = bounded(options);
        rest.skip(options);
        let icmp = rest.take::<IcmpError>().ok_or(Unparsed::Short)?;
        let before = options + size_of::<IcmpError>();
        if !ip.holds(before) {
            return Err(Unparsed::Foreign);
        }
        let quote = if F::is_error(icmp.kind) { Quote::parse(ip, before, rest) } else { None };
        Ok(Self { eth, ip, icmp, quote, options })
    }
}

impl<'f, F: Icmp> Quote<'f, F> {
    /// Finds the headers of what is quoted `before` bytes behind the fixed header of `outer`.
    #[inline(always)]
    fn parse(outer: &F::Header, before: usize, mut rest: Cursor<'f>) -> Option<Self> {
        let ip = rest.take::<F::Header>()?;
        let (mut number, options) = F::quoted(ip)?;
        let options = bounded(options);
        rest.skip(options);
        let mut before = before + size_of::<F::Header>() + options;
        let mut turn = 0_u64;
        while turn < EXTENSIONS && F::is_extension(number) {
            let header = rest.take::<ExtensionHead>()?;
            before += size_of::<ExtensionHead>();
            if number == FRAGMENT {
                if header.is_later_fragment() {
                    return None;
                }
            } else {
                let more = usize::from(header.len) * size_of::<ExtensionHead>();
                rest.skip(more);
                before += more;
            }
            number = header.next;
            turn += 1;
        }
        let transport = Transport::of(number)?;
        let ports = rest.take::<Ports>()?;
        before += size_of::<Ports>();
        // Bytes beyond the packet's end are padding, and no ports.
        if !outer.holds(before) {
            return None;
        }
        // RFC 792 asks for 8 bytes of the transport's header, where UDP's checksum is and TCP's is not.
        let check = if transport == Transport::Udp && outer.holds(before + size_of::<UdpTail>()) {
            rest.take::<UdpTail>().map(|tail| &mut tail.check)
        } else if transport == Transport::Tcp && outer.holds(before + size_of::<TcpTail>()) {
            rest.take::<TcpTail>().map(|tail| &mut tail.check)
        } else {
            None
        };
        Some(Self { ip, ports, check, transport })
    }
}

impl<F: Family> Quote<'_, F> {
    /// The key, at `hook`, of the answers to the quoted packet.
    #[inline(always)]
    fn answer(&self, hook: Hook) -> FlowKey<F::Addr> {
        FlowKey {
            src: self.ip.dst(),
            dst: self.ip.src(),
            sport: self.ports.dst,
            dport: self.ports.src,
            proto: self.transport.number(),
            hook: hook as u8,
            pad: 0,
        }
    }
}

/// What becomes of an ICMP message.
#[derive(Clone, Copy, Debug)]
pub enum Heard<'t, A: Address> {
    /// It is no Service's: the stack's business.
    NotOurs,
    /// It is about a packet of the flow whose answers this entry translates.
    About(&'t FlowEntry<A>),
    /// It asks whether a Service's address is there, and shall have an answer.
    Echo,
    /// It goes nowhere.
    Dropped(DropReason),
}

/// Finds the flow that a message is about. `key` is working memory.
///
/// A complaint is no sign of life: it creates, establishes and prolongs nothing.
#[inline(always)]
pub fn hear<'t, F: Icmp, T: Tables<F>>(
    tables: &'t T,
    hook: Hook,
    message: &Message<'_, F>,
    key: &mut FlowKey<F::Addr>,
) -> Heard<'t, F::Addr> {
    let is_error = F::is_error(message.icmp.kind);
    if let Some(entry) = about(tables, hook, message, key) {
        return Heard::About(entry);
    }
    if asks(tables, hook, message) {
        return Heard::Echo;
    }
    if hook == Hook::Egress {
        return Heard::NotOurs;
    }
    match vacant(tables, &message.ip.dst()) {
        // About nothing that anybody has sent: the stack would send it astray.
        Some(DropReason::UnknownPort) if is_error => Heard::Dropped(DropReason::StrayReset),
        Some(DropReason::UnknownPort) | None => Heard::NotOurs,
        Some(reason) => Heard::Dropped(reason),
    }
}

/// The entry that translates answers to what a message quotes. `key` is working memory.
#[inline(always)]
fn about<'t, F: Icmp, T: Tables<F>>(
    tables: &'t T,
    hook: Hook,
    message: &Message<'_, F>,
    key: &mut FlowKey<F::Addr>,
) -> Option<&'t FlowEntry<F::Addr>> {
    // Nobody complains to anybody but the sender; who does forges.
    let quote = message.quote.as_ref().filter(|quote| quote.ip.src() == message.ip.dst())?;
    *key = quote.answer(hook);
    any(tables, key)
}

/// Whether an address is a Service's, and not the node's as well.
#[inline(always)]
fn is_vip<F: Icmp, T: Tables<F>>(tables: &T, addr: &F::Addr) -> bool {
    (tables.is_cluster_ip(addr) || tables.is_external_ip(addr)) && !tables.is_local(*addr)
}

/// Whether a message asks for an echo that is to be given here: where a client's packets enter, or
/// the node's own leave. Who wants a route recorded does not want this one.
#[inline(always)]
fn asks<F: Icmp, T: Tables<F>>(tables: &T, hook: Hook, message: &Message<'_, F>) -> bool {
    tables.is_set(VIP_ECHO)
        && message.icmp.kind == F::ECHO_REQUEST
        && message.icmp.code == 0
        && message.options == 0
        && (hook == Hook::Ingress || tables.is_local(message.ip.src()))
        && is_vip(tables, &message.ip.dst())
}

impl<F: Icmp> Message<'_, F> {
    /// Makes an echo request its answer.
    #[inline(always)]
    pub fn answer(&mut self) {
        (self.eth.dst, self.eth.src) = (self.eth.src, self.eth.dst);
        let payload = self.ip.total_len().wrapping_sub(size_of::<F::Header>() as u16);
        // The pseudo-header's sum stays: the addresses change places.
        self.ip.answer(payload);
        let [old, new] = [F::ECHO_REQUEST, F::ECHO_REPLY].map(|kind| u16::from_ne_bytes([kind, 0]));
        self.icmp.check.0 = Sum::default().swap16(old, new).apply(self.icmp.check.0);
        self.icmp.kind = F::ECHO_REPLY;
    }
}

/// The addresses that a translated complaint gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends<A> {
    /// Source address.
    pub src: A,
    /// Destination address.
    pub dst: A,
}

impl<F: Family> Message<'_, F> {
    /// The addresses that an error gets by the recipe for answers to what it quotes.
    #[inline(always)]
    pub fn ends(&self, recipe: &Recipe<F::Addr>) -> Ends<F::Addr> {
        let src = self.ip.src();
        let is_receiver = self.quote.as_ref().is_some_and(|quote| quote.ip.dst() == src);
        let is_sent = recipe.action() == Action::Forward;
        Ends { src: if is_receiver || is_sent { recipe.src } else { src }, dst: recipe.dst }
    }

    /// Writes those addresses, the quote that the sender knows, and all checksums.
    ///
    /// What changes behind the IP header is covered by the ICMP checksum, which changes by as much:
    /// the sum over all bytes stays what it was, and with it what a device may have computed
    /// (`CHECKSUM_COMPLETE`). ICMP never leaves its own checksum to a device.
    #[inline(always)]
    pub fn rewrite(&mut self, recipe: &Recipe<F::Addr>, ends: Ends<F::Addr>) {
        let Some(quote) = &mut self.quote else { return };
        let mut sum = Sum::default().add16(recipe.port_delta);
        if let Some(check) = &mut quote.check
            // Zero says that there is none.
            && !(quote.transport == Transport::Udp && check.0 == 0)
        {
            let delta = Sum::default().add16(recipe.addr_delta).add16(recipe.port_delta).fold();
            let new = adjust(check.0, delta);
            let new = if new == 0 && quote.transport == Transport::Udp { 0xffff } else { new };
            sum = sum.swap16(check.0, new);
            check.0 = new;
        }
        let outer = self.ip.dst().change(ends.dst, self.ip.src().change(ends.src, Sum::default())).fold();
        if F::ICMP_PSEUDO_HEADER {
            // IPv4's own header checksum, which is quoted as well, takes up the change of the addresses.
            sum = sum.add16(recipe.addr_delta).add16(outer);
        }
        self.icmp.check.0 = sum.apply(self.icmp.check.0);
        // The entry's recipe is for answers: what it makes their source is what the sender had as
        // destination.
        quote.ip.set_addresses(recipe.dst, recipe.src, recipe.addr_delta);
        (quote.ports.src, quote.ports.dst) = (recipe.dport, recipe.sport);
        self.ip.set_addresses(ends.src, ends.dst, outer);
    }
}
