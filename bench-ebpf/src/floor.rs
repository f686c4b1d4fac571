//! The floor: the least that a load balancer does for a packet, and nothing else.

use core::{ffi::c_void, mem::MaybeUninit};

use aya_ebpf::{
    bindings::bpf_fib_lookup as FibParams,
    helpers::{bpf_get_prandom_u32, generated::bpf_fib_lookup},
};

use crate::{
    frame::{Bounds, Eth, Family, Tcp, V4, V6, fold},
    tables::{Maps, Target},
};

/// How far a program goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Finds the headers.
    Parse,
    /// And the service.
    Service,
    /// And the flow, translates and transmits.
    Translate,
    /// And asks the kernel for the way.
    Route,
    /// Makes the flow where there is none.
    Learn,
    /// The same in the table of flows that come and go.
    New,
    /// And its opposite direction.
    NewPair,
}

/// A packet with its headers found.
struct Packet<F: Family> {
    eth: *mut Eth,
    ip: *mut F::Header,
    tcp: *mut Tcp,
}

/// What the family of the frame says. `None` is for whatever has no way.
#[inline(always)]
pub(crate) fn run(bounds: &Bounds, ctx: *mut c_void, ifindex: u32, depth: Depth) -> Option<()> {
    let eth = bounds.header::<Eth>(0)?;
    // SAFETY: in bounds.
    match unsafe { (*eth).kind } {
        V4::ETHERTYPE => balance::<V4>(bounds, eth, ctx, ifindex, depth),
        V6::ETHERTYPE => balance::<V6>(bounds, eth, ctx, ifindex, depth),
        _ => None,
    }
}

#[inline(always)]
fn balance<F: Maps>(
    bounds: &Bounds,
    eth: *mut Eth,
    ctx: *mut c_void,
    ifindex: u32,
    depth: Depth,
) -> Option<()> {
    let ip = bounds.header::<F::Header>(size_of::<Eth>())?;
    // SAFETY: in bounds, and no other reference into the frame is alive.
    let after = F::tcp_after(unsafe { &*ip })?;
    let tcp = bounds.header::<Tcp>(size_of::<Eth>() + after)?;
    let packet = Packet::<F> { eth, ip, tcp };
    // SAFETY: in bounds.
    let ports = unsafe { tcp.cast::<u32>().read_unaligned() };
    if depth == Depth::Parse {
        return (ports != 0x1234_5678).then_some(());
    }
    // SAFETY: as above.
    let key = Key::new(F::service(unsafe { &*ip }, (ports >> 16) as u16));
    // SAFETY: the service is copied at once.
    let service = *unsafe { F::services().get(key.get()) }?;
    if depth == Depth::Service {
        return Some(());
    }
    // SAFETY: as above.
    let key = Key::new(F::flow(unsafe { &*ip }, ports));
    let flows = match depth {
        Depth::New | Depth::NewPair => F::new_flows(),
        _ => F::flows(),
    };
    // SAFETY: should the table evict the entry, its memory stays one.
    let found = unsafe { flows.get(key.get()) };
    let target = match found {
        Some(target) => target,
        None if matches!(depth, Depth::Translate | Depth::Route) => return None,
        None => {
            // SAFETY: a helper without arguments.
            let number = unsafe { bpf_get_prandom_u32() } % service.backends.max(1);
            let target = F::backends().get(service.first.wrapping_add(number))?;
            if depth == Depth::NewPair {
                let ports = u32::from(target.port) | ports << 16;
                // SAFETY: as above.
                let answer = Key::new(F::answer(unsafe { &*ip }, target.addr, ports));
                flows.insert(answer.get(), target, 0).ok()?;
            }
            flows.insert(key.get(), target, 0).ok()?;
            target
        }
    };
    if depth == Depth::Route {
        route(&packet, target, ctx, ifindex)?;
    } else {
        address(&packet, target);
    }
    translate(&packet, target);
    Some(())
}

/// Destination address and port, with both checksums.
#[inline(always)]
fn translate<F: Family>(packet: &Packet<F>, target: &Target<F::Addr>) {
    // SAFETY: in bounds, and disjoint.
    let (ip, tcp) = unsafe { (&mut *packet.ip, &mut *packet.tcp) };
    let change = F::set_dst(ip, target.addr);
    tcp.check = !fold(u64::from(!tcp.check) + change + u64::from(!tcp.dst) + u64::from(target.port));
    tcp.dst = target.port;
}

/// From the address that the frame came to, to the next hop's.
#[inline(always)]
fn address<F: Family>(packet: &Packet<F>, target: &Target<F::Addr>) {
    // SAFETY: in bounds.
    let eth = unsafe { &mut *packet.eth };
    eth.src = eth.dst;
    eth.dst = target.mac;
}

/// Bytes of the helper's arguments.
const PARAMS_LEN: i32 = size_of::<FibParams>().cast_signed() as i32;

/// The arguments at an alignment that the verifier accepts for 8-byte stores.
#[repr(C, align(8))]
struct Params(FibParams);

/// The same with addresses that the kernel's routes and neighbours name.
#[inline(always)]
fn route<F: Family>(
    packet: &Packet<F>,
    target: &Target<F::Addr>,
    ctx: *mut c_void,
    ifindex: u32,
) -> Option<()> {
    let mut params = MaybeUninit::<Params>::uninit();
    let words = params.as_mut_ptr().cast::<u64>();
    let mut word = 0;
    while word < size_of::<Params>() / size_of::<u64>() {
        // SAFETY: within the arguments; volatile, so that the compiler does not cut the stores otherwise.
        unsafe { words.add(word).write_volatile(0) };
        word += 1;
    }
    // SAFETY: all zeros are valid arguments.
    let params = unsafe { &mut (*params.as_mut_ptr()).0 };
    params.ifindex = ifindex;
    params.__bindgen_anon_1.tot_len = 64;
    // SAFETY: in bounds.
    let (eth, ip) = unsafe { (&mut *packet.eth, &*packet.ip) };
    F::ask(params, ip, target.addr);
    // SAFETY: context and arguments are valid, the size is the arguments'.
    let found = unsafe { bpf_fib_lookup(ctx, &raw mut *params, PARAMS_LEN, 0) };
    if found != 0 || params.ifindex != ifindex {
        return None;
    }
    #[expect(clippy::cast_ptr_alignment, reason = "both addresses lie at even ones")]
    let link = |mac: &[u8; 6]| {
        let mac = mac.as_ptr().cast::<u16>();
        // SAFETY: six bytes at an even address (linux/bpf.h); wider loads the verifier refuses there.
        unsafe { [mac.read_volatile(), mac.add(1).read_volatile(), mac.add(2).read_volatile()] }
    };
    (eth.dst, eth.src) = (link(&params.dmac), link(&params.smac));
    Some(())
}

/// A key put on the stack by stores of eight bytes, and one of four for an odd tail: the kernel compares keys by loads
/// of eight bytes, which wait for younger stores that are narrower.
#[repr(C, align(8))]
struct Key<K>(MaybeUninit<K>);

impl<K: Copy> Key<K> {
    #[inline(always)]
    fn new(key: K) -> Self {
        let mut wide = Self(MaybeUninit::uninit());
        let (from, to) = ((&raw const key).cast::<u64>(), wide.0.as_mut_ptr().cast::<u64>());
        let words = size_of::<K>() / size_of::<u64>();
        let mut word = 0;
        // SAFETY: both are as long as `K`, whose keys are integers; volatile, so that no store is cut.
        unsafe {
            while word < words {
                to.add(word).write_volatile(from.add(word).read_unaligned());
                word += 1;
            }
            if size_of::<K>() % size_of::<u64>() == size_of::<u32>() {
                let tail = from.add(words).cast::<u32>().read_unaligned();
                to.add(words).cast::<u32>().write_volatile(tail);
            }
        }
        wide
    }

    #[inline(always)]
    fn get(&self) -> &K {
        // SAFETY: `new` has written all of it.
        unsafe { self.0.assume_init_ref() }
    }
}
