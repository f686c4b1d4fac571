//! What is in the agent's arrays.

use svclb_common::{
    cell::{Quiet, Word32},
    family::Address,
    service::{BackendCell, BackendHead, Range, ServiceRanges},
};

/// A backend.
pub(super) fn cell<A: Address>(addr: A, port: u16, proto: u8, flags: u8) -> BackendCell<A> {
    let head = BackendHead { port: port.to_be(), proto, flags };
    BackendCell { addr: Quiet::new(addr), head: word(head.pack()), generation: word(1), node: word(0) }
}

/// No addresses of Services.
pub(super) fn ranges<A: Address>() -> ServiceRanges<A> {
    let range = || Range { addr: Quiet::new(A::ZERO), mask: Quiet::new(A::ZERO) };
    ServiceRanges { cover: range(), cidrs: std::array::from_fn(|_| range()), len: word(0), reserved: word(0) }
}

fn word(value: u32) -> Word32 {
    Word32::new(value)
}
