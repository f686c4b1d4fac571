//! The flight recorder: the last events of each Service port and cause, and the ring of all.
//!
//! An event is made in the scratch value, by whoever knows what has happened. Counting and noting it is then one function
//! for each family and medium, which the verifier looks at once.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    btf_maps::{LruHashMap, RingBuf},
    macros::btf_map,
};
use svclb_common::{
    event::{Event, Log, LogKey, Program, RING, Record, admit},
    family::Address as _,
    key::Hook,
    layout::capacity,
    sign::Sign,
    verdict::DropReason,
};

use crate::{
    backend,
    entry::entries,
    flow,
    kernel::Maps,
    load::add,
    medium::Medium,
    observe::{count, count_of_device, jiffies, now},
    outcome,
};

/// The last events of each Service port and cause.
#[btf_map]
static RECORDER: LruHashMap<LogKey, Log, { capacity::RECORDER }> = LruHashMap::new();

/// Events as they are noted, for who follows them.
#[btf_map]
static EVENTS: RingBuf<Event, { capacity::EVENTS }> = RingBuf::new();

/// What is told of a packet besides its addresses.
#[derive(Clone, Copy)]
pub(crate) struct Story {
    /// Number of the cause.
    pub(crate) cause: u32,
    /// Source port, network byte order.
    pub(crate) sport: u16,
    /// Destination port, network byte order.
    pub(crate) dport: u16,
    /// IANA protocol number.
    pub(crate) proto: u8,
    /// Number of the [`Hook`] that the packet is at.
    pub(crate) hook: u8,
    /// Service cell and backend cell, or 0.
    pub(crate) owner: (u32, u32),
    /// [`Event::detail`].
    pub(crate) detail: u32,
}

/// Puts what happened into the scratch value.
#[inline(always)]
fn draft<F: Maps>(src: &F::Addr, dst: &F::Addr, story: Story, program: Program, ifindex: u32) {
    let Some(scratch) = flow::scratch::<F>() else { return };
    let event = scratch.draft.event();
    event.src = src.widen();
    event.dst = dst.widen();
    event.sport = story.sport;
    event.dport = story.dport;
    event.family = F::AF;
    event.proto = story.proto;
    event.program = program as u8;
    event.reason = story.cause;
    event.ifindex = ifindex;
    (event.service, event.backend) = story.owner;
    event.detail = story.detail;
}

/// The program of a packet at a hook.
#[inline(always)]
fn program<M: Medium>(hook: u8) -> Program {
    match hook {
        _ if M::IS_FRAME => Program::Xdp,
        hook if hook == Hook::Egress as u8 => Program::Egress,
        _ => Program::Ingress,
    }
}

/// Counts and notes what happened to a packet from `src` to `dst`.
#[inline(always)]
pub(crate) fn tell<F: Maps, M: Medium>(medium: M, src: &F::Addr, dst: &F::Addr, story: Story) {
    draft::<F>(src, dst, story, program::<M>(story.hook), medium.ifindex());
    let _told = tell_draft::<F, M>(medium);
}

/// The same in the function that calls it, which is one by itself.
#[inline(always)]
pub(crate) fn tell_here<F: Maps, M: Medium>(medium: M, src: &F::Addr, dst: &F::Addr, story: Story) {
    draft::<F>(src, dst, story, program::<M>(story.hook), medium.ifindex());
    let _told = told::<F, M>(medium);
}

entries! {
    /// Counts and notes what is drafted of a packet.
    fn tell_draft() = svclb_tell => told;
}

#[inline(always)]
fn told<F: Maps, M: Medium>(medium: M) -> i32 {
    note::<F>(medium.length(), |packet| medium.capture(packet))
}

/// Says which service cell the next event of a call is about. A packet that interrupts the call takes the draft over, if
/// something is to be told of it: then that is told twice.
#[inline(always)]
pub(crate) fn note_service_of_call<F: Maps>(service: u32) {
    if let Some(scratch) = flow::scratch::<F>() {
        scratch.draft.event().service = service;
    }
}

/// Counts and notes that a call to `dst` failed. A function of its own: such calls are rare.
#[inline(never)]
pub(crate) fn tell_of_call<F: Maps>(dst: &F::Addr, cause: u32, dport: u16, proto: u8) {
    let Some(scratch) = flow::scratch::<F>() else { return };
    let owner = (scratch.draft.event().service, 0);
    let story = Story { cause, sport: 0, dport, proto, hook: 0, owner, detail: 0 };
    draft::<F>(&F::Addr::ZERO, dst, story, Program::Socket, 0);
    note::<F>(0, |_packet| 0);
}

/// Counts what is drafted, and notes it unless enough of its kind was noted just now.
#[expect(clippy::needless_borrows_for_generic_args, reason = "by value it would be on the stack")]
#[expect(clippy::cast_ptr_alignment, reason = "the records of a log are aligned, and all of a size")]
#[inline(always)]
fn note<F: Maps>(length: u32, capture: impl FnOnce(*mut u8) -> u32) -> i32 {
    let Some(scratch) = flow::scratch::<F>() else { return 0 };
    let event = scratch.draft.event();
    if event.reason < Sign::FIRST {
        count(event.reason);
        count_of_device(event.ifindex, event.reason);
    } else {
        outcome::count_sign::<F>(event.backend, event.reason);
    }
    let key = LogKey::of(event);
    event.time = now();
    event.length = length;
    event.version = backend::writes::<F>();
    let log = RECORDER.get_ptr_mut(key).or_else(|| {
        // A log without an event but the draft, which has no number. Another CPU may have been faster.
        let _made = RECORDER.insert(key, &scratch.draft, BPF_NOEXIST.into());
        RECORDER.get_ptr_mut(key)
    });
    let Some(log) = log else { return 0 };
    // SAFETY: an element of the map, which lives as long as the program runs; whoever else has it now writes whole words.
    unsafe {
        add(&raw mut (*log).total, 1);
        let window = &raw mut (*log).window;
        let Some(next) = admit(window.read_volatile(), jiffies() >> 6) else { return 0 };
        window.write_volatile(next);
        let number = add(&raw mut (*log).written, 1);
        let place = number as usize & (RING - 1);
        let record = log.cast::<u8>().wrapping_add(RECORDS + place * size_of::<Record>()).cast::<Record>();
        (&raw mut (*record).end).write_volatile(0);
        (&raw mut (*record).number).write_volatile(0);
        (*record).event = *scratch.draft.event();
        let captured = capture((&raw mut (*record).packet).cast());
        (&raw mut (*record).captured).write_volatile(captured);
        (&raw mut (*record).number).write_volatile(number.wrapping_add(1));
        (&raw mut (*record).end).write_volatile(number.wrapping_add(1) as u32);
    }
    if EVENTS.output(&*scratch.draft.event(), 0).is_err() {
        count(DropReason::EventLost as u32);
    }
    0
}

/// Where a log's records begin.
const RECORDS: usize = core::mem::offset_of!(Log, records);
