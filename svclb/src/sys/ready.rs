//! Readiness of descriptors that tokio does not know.

use std::{io, os::fd::AsRawFd};

use aya::maps::{MapData, RingBuf};
use tokio::io::unix::AsyncFd;

/// Waits for records of an events ring. The ring owns its descriptor.
pub fn ring(ring: RingBuf<MapData>) -> io::Result<AsyncFd<RingBuf<MapData>>> {
    debug_assert!(ring.as_raw_fd() >= 0);
    // SAFETY: the map keeps its descriptor open as long as it lives, and never changes it.
    unsafe { AsyncFd::register(ring) }.map_err(io::Error::from)
}
