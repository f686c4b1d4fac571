//! BPF arrays as memory (`BPF_F_MMAPABLE`, Linux 5.5): a write is one store, so that a
//! reader in the kernel sees the old or the new word, and costs no system call.

use std::{io, num::NonZeroUsize, os::fd::AsFd, ptr::NonNull};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use svclb_common::{
    cell::{Word32, Word64},
    family::Address,
    service::{BackendCell, ServiceCell, ServiceRanges},
    state::AgentState,
};

/// Values that may be shared with the kernel: every bit pattern is valid, and all
/// changes go through cells.
///
/// # Safety
/// Implement only for `repr(C)` types made of `svclb_common::cell` types.
pub unsafe trait Shared: Sync {}

// SAFETY: a cell.
unsafe impl Shared for Word32 {}
// SAFETY: a cell.
unsafe impl Shared for Word64 {}
// SAFETY: made of cells.
unsafe impl Shared for ServiceCell {}
// SAFETY: made of cells.
unsafe impl<A: Address> Shared for BackendCell<A> {}
// SAFETY: made of cells.
unsafe impl Shared for AgentState {}
// SAFETY: made of cells.
unsafe impl<A: Address> Shared for ServiceRanges<A> {}

/// What a mapping may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Loads only: a store ends the process.
    Read,
    /// Loads and stores.
    Write,
}

/// A BPF array in memory.
pub struct MappedArray<T> {
    start: NonNull<T>,
    bytes: NonZeroUsize,
    len: u32,
}

// SAFETY: the memory is only accessed through `&T`, and `T` is `Sync`.
unsafe impl<T: Shared> Send for MappedArray<T> {}
// SAFETY: as above.
unsafe impl<T: Shared> Sync for MappedArray<T> {}

impl<T: Shared> MappedArray<T> {
    /// Bytes from one element to the next (`kernel/bpf/arraymap.c`: values are padded to 8).
    const STRIDE: usize = size_of::<T>().next_multiple_of(8);

    /// Maps the first `len` elements, all there are, of an array.
    pub fn new(map: impl AsFd, len: u32, access: Access) -> io::Result<Self> {
        let bytes = NonZeroUsize::new(len as usize * Self::STRIDE)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "an array without elements"))?;
        let protection = match access {
            Access::Read => ProtFlags::PROT_READ,
            Access::Write => ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
        };
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe { mmap(None, bytes, protection, MapFlags::MAP_SHARED, map, 0)? };
        Ok(Self { start: start.cast(), bytes, len })
    }

    /// The element at `index`.
    pub fn get(&self, index: u32) -> Option<&T> {
        (index < self.len).then(|| {
            // SAFETY: in bounds; page alignment and stride keep every element aligned to 8.
            unsafe { self.start.byte_add(index as usize * Self::STRIDE).as_ref() }
        })
    }

    /// Number of elements.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there is no element, which no array is.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All elements with their index.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..self.len).filter_map(|index| Some((index, self.get(index)?)))
    }
}

impl<T> Drop for MappedArray<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference outlives `self`.
        let _unmapped = unsafe { munmap(self.start.cast(), self.bytes.get()) };
    }
}
