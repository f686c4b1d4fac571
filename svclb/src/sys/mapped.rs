//! BPF arrays as memory (`BPF_F_MMAPABLE`, Linux 5.5): a write is one store, so that a
//! reader in the kernel sees the old or the new word, and costs no system call.

use std::{
    io,
    num::NonZeroUsize,
    os::fd::{AsFd, OwnedFd},
    ptr::NonNull,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use svclb_common::{
    cell::{Word32, Word64},
    family::Address,
    flow::filter::EraWord,
    line::Line,
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
unsafe impl Shared for Line {}
// SAFETY: a cell.
unsafe impl Shared for EraWord {}
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

/// Addresses without memory.
const RESERVED: MapFlags = MapFlags::MAP_PRIVATE.union(MapFlags::MAP_NORESERVE);

/// How much is mapped at once: a multiple of every page size.
const CHUNK: usize = 64 << 10;

/// A BPF array in memory.
///
/// The kernel maps all pages of a mapping at once, and they count as memory of the process. So only those parts of an
/// array are mapped that somebody has looked at.
pub struct MappedArray<T> {
    map: OwnedFd,
    protection: ProtFlags,
    start: NonNull<T>,
    bytes: NonZeroUsize,
    len: u32,
    /// Which chunks are mapped.
    chunks: Box<[AtomicBool]>,
    /// Held by who maps one.
    mapping: Mutex<()>,
}

// SAFETY: the memory is only accessed through `&T`, and `T` is `Sync`.
unsafe impl<T: Shared> Send for MappedArray<T> {}
// SAFETY: as above; chunks are mapped under a lock, and never over one that is mapped.
unsafe impl<T: Shared> Sync for MappedArray<T> {}

impl<T: Shared> MappedArray<T> {
    /// Bytes from one element to the next (`kernel/bpf/arraymap.c`: values are padded to 8).
    const STRIDE: usize = size_of::<T>().next_multiple_of(8);

    /// Maps an array whose elements are `len`, all there are. Its beginning is mapped at once, so that an array that
    /// cannot be mapped is known to be one.
    pub fn new(map: impl AsFd, len: u32, access: Access) -> io::Result<Self> {
        let bytes = NonZeroUsize::new(len as usize * Self::STRIDE)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "an array without elements"))?;
        let protection = match access {
            Access::Read => ProtFlags::PROT_READ,
            Access::Write => ProtFlags::PROT_READ | ProtFlags::PROT_WRITE,
        };
        let map = map.as_fd().try_clone_to_owned()?;
        // SAFETY: a new mapping at an address of the kernel's choice, which nobody can access.
        let start = unsafe { mmap_anonymous(None, bytes, ProtFlags::PROT_NONE, RESERVED)? };
        let chunks = (0..bytes.get().div_ceil(CHUNK)).map(|_| AtomicBool::new(false)).collect();
        let array =
            Self { map, protection, start: start.cast(), bytes, len, chunks, mapping: Mutex::new(()) };
        array.map_chunk(0)?;
        Ok(array)
    }

    /// The element at `index`, unless the kernel has no memory to map it.
    pub fn get(&self, index: u32) -> Option<&T> {
        if index >= self.len {
            return None;
        }
        let at = index as usize * Self::STRIDE;
        for chunk in at / CHUNK..=(at + size_of::<T>() - 1) / CHUNK {
            if !self.chunks[chunk].load(Ordering::Acquire) {
                self.map_chunk(chunk).ok()?;
            }
        }
        // SAFETY: in bounds and mapped; page alignment and stride keep every element aligned to 8.
        Some(unsafe { self.start.byte_add(at).as_ref() })
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

    /// Gives the memory back, for who has looked at all of it and is to look at little.
    pub fn release(&mut self) -> io::Result<()> {
        let start = NonZeroUsize::new(self.start.as_ptr().addr());
        // Before it is so: a chunk that is mapped and not known to be is mapped again.
        self.chunks.iter_mut().for_each(|chunk| *chunk.get_mut() = false);
        // SAFETY: the range is ours, and nobody has a reference into it, since `self` is borrowed mutably.
        unsafe { mmap_anonymous(start, self.bytes, ProtFlags::PROT_NONE, RESERVED | MapFlags::MAP_FIXED)? };
        Ok(())
    }

    fn map_chunk(&self, chunk: usize) -> io::Result<()> {
        let _turn = self.mapping.lock().unwrap_or_else(PoisonError::into_inner);
        if self.chunks[chunk].load(Ordering::Acquire) {
            return Ok(());
        }
        let at = chunk * CHUNK;
        let place = NonZeroUsize::new(self.start.as_ptr().addr() + at);
        let Some(bytes) = NonZeroUsize::new((self.bytes.get() - at).min(CHUNK)) else { return Ok(()) };
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_FIXED;
        let offset = i64::try_from(at).map_err(io::Error::other)?;
        // SAFETY: the range is ours and nobody can have accessed it yet.
        unsafe { mmap(place, bytes, self.protection, flags, &self.map, offset)? };
        self.chunks[chunk].store(true, Ordering::Release);
        Ok(())
    }
}

impl<T> Drop for MappedArray<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no reference outlives `self`.
        let _unmapped = unsafe { munmap(self.start.cast(), self.bytes.get()) };
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::FileExt as _};

    use svclb_common::service::ServiceCell;

    use super::*;

    /// Bytes of this process that are resident and belong to no anonymous memory, at that address.
    fn mappings_at(start: usize, bytes: usize) -> usize {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let is_inside = |line: &&str| {
            let (from, to) = line.split_once(' ').unwrap().0.split_once('-').unwrap();
            let [from, to] = [from, to].map(|text| usize::from_str_radix(text, 16).unwrap());
            from >= start && to <= start + bytes.next_multiple_of(CHUNK) && line.contains(" rw-s ")
        };
        maps.lines().filter(is_inside).count()
    }

    #[test]
    fn only_what_is_looked_at_is_mapped() {
        const LEN: u32 = 65_536;
        let file = tempfile::tempfile().unwrap();
        file.set_len(u64::from(LEN) * size_of::<ServiceCell>() as u64).unwrap();
        let mut array = MappedArray::<ServiceCell>::new(&file, LEN, Access::Write).unwrap();
        let (start, bytes) = (array.start.as_ptr().addr(), array.bytes.get());
        let mapped = |array: &MappedArray<ServiceCell>| {
            assert_eq!((array.start.as_ptr().addr(), array.bytes.get()), (start, bytes));
            array.chunks.iter().filter(|chunk| chunk.load(Ordering::Relaxed)).count()
        };
        assert_eq!(mapped(&array), 1);
        assert_eq!(mappings_at(start, bytes), 1);

        // One that lies across two chunks, where the size of elements leaves such.
        let across = (CHUNK / size_of::<ServiceCell>()) as u32;
        for index in [across, LEN - 1] {
            array.get(index).unwrap().policy.store(u64::from(index) + 1);
            let at = u64::from(index) * size_of::<ServiceCell>() as u64
                + std::mem::offset_of!(ServiceCell, policy) as u64;
            let mut word = [0; 8];
            file.read_exact_at(&mut word, at).unwrap();
            assert_eq!(u64::from_ne_bytes(word), u64::from(index) + 1);
        }
        assert!(array.get(LEN).is_none());
        assert_eq!(mapped(&array), 3);

        assert_eq!(array.iter().filter(|(_, cell)| cell.policy.load() != 0).count(), 2);
        assert_eq!(mapped(&array), bytes.div_ceil(CHUNK));
        array.release().unwrap();
        assert_eq!((mapped(&array), mappings_at(start, bytes)), (0, 0));
        assert_eq!(array.get(across).unwrap().policy.load(), u64::from(across) + 1);
    }
}
