//! BPF hashes, many entries at a time, and one at a time without a race: aya has neither.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use aya_obj::generated::{bpf_attr, bpf_cmd};
use nix::libc;

use super::link::{attributes, bpf};

/// Where a walk through a hash goes on: the number of a bucket, as the kernel keeps it.
pub type Bucket = u32;

/// Entries of a hash, and where those behind them begin.
#[derive(Debug)]
pub struct Batch<K, V> {
    /// Keys with their values.
    pub entries: Vec<(K, V)>,
    /// `None` behind the last one.
    pub next: Option<Bucket>,
}

/// Reads up to about `count` entries of a hash from `from` on (`BPF_MAP_LOOKUP_BATCH`, Linux 5.6). Entries that are there
/// all the time are met once in a walk; the order in which the kernel would forget them does not change.
pub fn batch<K: aya::Pod, V: aya::Pod>(
    map: BorrowedFd<'_>,
    from: Option<Bucket>,
    count: usize,
) -> io::Result<Batch<K, V>> {
    let mut room = count.max(1);
    loop {
        match read(map, from, room) {
            // A bucket with more entries than there is room for.
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => room *= 2,
            result => return result,
        }
    }
}

fn read<K: aya::Pod, V: aya::Pod>(
    map: BorrowedFd<'_>,
    from: Option<Bucket>,
    room: usize,
) -> io::Result<Batch<K, V>> {
    let (mut keys, mut values) = (Vec::<K>::with_capacity(room), Vec::<V>::with_capacity(room));
    let (from, mut next): (Option<Bucket>, Bucket) = (from, 0);
    let mut attr = attributes();
    attr.batch.in_batch = from.as_ref().map_or(0, |from| &raw const *from as u64);
    attr.batch.out_batch = &raw mut next as u64;
    attr.batch.keys = keys.as_mut_ptr() as u64;
    attr.batch.values = values.as_mut_ptr() as u64;
    attr.batch.count = u32::try_from(room).unwrap_or(u32::MAX);
    attr.batch.map_fd = map.as_raw_fd().cast_unsigned();
    // SAFETY: the kernel writes `count` keys and values, of the sizes that the caller's map has.
    let result = unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_BATCH, &mut attr) };
    let is_last = match result {
        Ok(_) => false,
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => true,
        Err(error) => return Err(error),
    };
    // SAFETY: the call has ended well, and says how many it has written.
    unsafe {
        let found = (attr.batch.count as usize).min(room);
        keys.set_len(found);
        values.set_len(found);
    }
    Ok(Batch { entries: keys.into_iter().zip(values).collect(), next: (!is_last).then_some(next) })
}

/// Takes an entry out of a hash and gives its value as it was in that moment (`BPF_MAP_LOOKUP_AND_DELETE_ELEM` of hashes,
/// Linux 5.14); `None` if there is none.
pub fn take<K: aya::Pod, V: aya::Pod>(map: BorrowedFd<'_>, key: &K) -> io::Result<Option<V>> {
    let mut value = std::mem::MaybeUninit::<V>::uninit();
    let mut attr: bpf_attr = attributes();
    attr.__bindgen_anon_2.map_fd = map.as_raw_fd().cast_unsigned();
    attr.__bindgen_anon_2.key = &raw const *key as u64;
    attr.__bindgen_anon_2.__bindgen_anon_1.value = value.as_mut_ptr() as u64;
    // SAFETY: key and value are of the sizes that the caller's map has.
    match unsafe { bpf(bpf_cmd::BPF_MAP_LOOKUP_AND_DELETE_ELEM, &mut attr) } {
        // SAFETY: the kernel has written the value, and every bit pattern is one.
        Ok(_) => Ok(Some(unsafe { value.assume_init() })),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes an entry unless there is one (`BPF_MAP_UPDATE_ELEM` with `BPF_NOEXIST`); tells whether it was written.
pub fn insert<K: aya::Pod, V: aya::Pod>(map: BorrowedFd<'_>, key: &K, value: &V) -> io::Result<bool> {
    const NO_EXIST: u64 = 1;
    let mut attr: bpf_attr = attributes();
    attr.__bindgen_anon_2.map_fd = map.as_raw_fd().cast_unsigned();
    attr.__bindgen_anon_2.key = &raw const *key as u64;
    attr.__bindgen_anon_2.__bindgen_anon_1.value = &raw const *value as u64;
    attr.__bindgen_anon_2.flags = NO_EXIST;
    // SAFETY: key and value are of the sizes that the caller's map has, and outlive the call.
    match unsafe { bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attr) } {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => Ok(false),
        Err(error) => Err(error),
    }
}
