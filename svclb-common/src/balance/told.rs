//! What the working memory tells after a program has run.
//!
//! All that [`learn`](super::learn) decides it writes into the [`Scratch`] that it is lent. Who runs a program with a
//! working memory of its own, and marks in it what is to be decided, learns from it what was, and how far the
//! program came.

use core::mem::offset_of;

use bytemuck::{AnyBitPattern, pod_read_unaligned};

use super::{affinity::NOWHERE, choice::Choice, path::Path, scratch::Scratch};
use crate::{
    family::Address,
    flow::{Action, Step},
    key::FlowKey,
    service::{Backend, BackendId, Frontend, Slab},
    snat::PortsMemory,
};

/// What no number of a cell, a slot or a device is, nor one before such a number: some are asked for by their successor,
/// of which zero is none.
const UNDECIDED: u32 = u32::MAX - 1;

/// What a working memory says that was marked by [`Told::marked`] before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told<A> {
    /// The packet's key: of the last tuple that was looked for, which is another one where an ICMP error quotes it.
    pub key: FlowKey<A>,
    /// The frontend that the packet was found to be sent to. A node port stands here as well where the address is not
    /// one on which it answers.
    pub frontend: Option<Frontend>,
    /// What the packet might choose from, if that was asked.
    pub choice: Option<Chosen>,
    /// The backend that was chosen, or that the packet's flow had before.
    pub backend: Option<BackendId>,
    /// How the packet and its answers were to go, if that was decided.
    pub path: Option<Ways<A>>,
    /// Whether half of the packet's flow was there.
    pub is_kept: bool,
    /// Whether no source port was free.
    pub found_no_port: bool,
}

/// What a packet might choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The list.
    pub slab: Slab,
    /// The place in it that was given, before any was tried: by affinity or by a hash.
    pub home: Option<u32>,
    /// Whether the policy promises the client's address to the backend.
    pub keeps_source: bool,
    /// Whether the flow is masqueraded.
    pub masquerades: bool,
}

/// How a packet and its answers go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ways<A> {
    /// The address that the backend sees.
    pub src: A,
    /// What happens to the packet after its translation.
    pub there: Action,
    /// The same of its answers.
    pub back: Action,
}

/// Where a step says what happens.
const ACTION: usize = offset_of!(Step, action);

impl<A: Address> Told<A> {
    /// Bytes of a working memory.
    pub const LEN: usize = size_of::<Scratch<A>>();

    /// Writes marks into `memory`: what is decided is written over them.
    pub fn marked(memory: &mut [u8]) {
        memory.fill(0);
        let choice = offset_of!(Scratch<A>, choice);
        let marks = [
            offset_of!(Scratch<A>, frontend) + offset_of!(Frontend, service),
            choice + offset_of!(Choice, slab) + offset_of!(Slab, base),
            offset_of!(Scratch<A>, backend) + offset_of!(Backend<A>, id),
            offset_of!(Scratch<A>, path) + offset_of!(Path<A>, there) + offset_of!(Step, ifindex),
        ];
        for mark in marks {
            if let Some(word) = memory.get_mut(mark..).and_then(<[u8]>::first_chunk_mut) {
                *word = UNDECIDED.to_ne_bytes();
            }
        }
    }

    /// What `memory` says after a program has run; nothing if it is too short, or no program of this CPU has.
    pub fn read(memory: &[u8]) -> Option<Self> {
        if memory.len() != Self::LEN {
            return None;
        }
        let field = |offset| offset_of!(Scratch<A>, key) + offset;
        let key = FlowKey {
            src: at(memory, field(offset_of!(FlowKey<A>, src))),
            dst: at(memory, field(offset_of!(FlowKey<A>, dst))),
            sport: at(memory, field(offset_of!(FlowKey<A>, sport))),
            dport: at(memory, field(offset_of!(FlowKey<A>, dport))),
            proto: at(memory, field(offset_of!(FlowKey<A>, proto))),
            hook: at(memory, field(offset_of!(FlowKey<A>, hook))),
            pad: 0,
        };
        let frontend: Frontend = at(memory, offset_of!(Scratch<A>, frontend));
        let flag = |offset| at::<u32>(memory, offset) != 0;
        let backend: BackendId = at(memory, offset_of!(Scratch<A>, backend) + offset_of!(Backend<A>, id));
        let until = offset_of!(Scratch<A>, memory) + offset_of!(PortsMemory, until);
        Some(Self {
            key,
            frontend: decided(frontend.service).map(|_| frontend),
            choice: Self::choice(memory),
            backend: decided(backend),
            path: Self::path(memory),
            is_kept: flag(offset_of!(Scratch<A>, kept)),
            found_no_port: at::<u64>(memory, until) != 0,
        })
    }

    fn choice(memory: &[u8]) -> Option<Chosen> {
        let start = offset_of!(Scratch<A>, choice);
        let slab = start + offset_of!(Choice, slab);
        let base = decided(at(memory, slab + offset_of!(Slab, base)))?;
        let home = at(memory, start + offset_of!(Choice, home));
        Some(Chosen {
            slab: Slab { base, len: at(memory, slab + offset_of!(Slab, len)) },
            home: (home != NOWHERE).then_some(home),
            keeps_source: at::<u8>(memory, start + offset_of!(Choice, keeps_source)) != 0,
            masquerades: at::<u32>(memory, offset_of!(Scratch<A>, masquerades)) != 0,
        })
    }

    fn path(memory: &[u8]) -> Option<Ways<A>> {
        let start = offset_of!(Scratch<A>, path);
        let step = |step: usize| Action::of(at(memory, start + step + ACTION));
        decided(at(memory, start + offset_of!(Path<A>, there) + offset_of!(Step, ifindex)))?;
        Some(Ways {
            src: at(memory, start + offset_of!(Path<A>, src)),
            there: step(offset_of!(Path<A>, there)),
            back: step(offset_of!(Path<A>, back)),
        })
    }
}

/// A value in memory.
fn at<T: AnyBitPattern>(memory: &[u8], offset: usize) -> T {
    pod_read_unaligned(&memory[offset..offset + size_of::<T>()])
}

fn decided(number: u32) -> Option<u32> {
    (number != UNDECIDED).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    use crate::family::{Addr4, Addr6};

    fn marks_say_nothing<A: Address>() {
        let mut memory = vec![0xaa; Told::<A>::LEN];
        let memory = &mut memory[..];
        Told::<A>::marked(memory);
        let told = Told::<A>::read(memory).unwrap();
        let Told { frontend, choice, backend, path, is_kept, found_no_port, .. } = told;
        assert_eq!((frontend, choice, backend, path), (None, None, None, None));
        assert!(!is_kept && !found_no_port);
        assert!(Told::<A>::read(&memory[1..]).is_none());
    }

    #[test]
    fn what_was_not_decided_is_not_told() {
        marks_say_nothing::<Addr4>();
        marks_say_nothing::<Addr6>();
    }
}
