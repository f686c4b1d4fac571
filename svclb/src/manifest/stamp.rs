//! Telling from a file's metadata whether its content may have changed.

use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt,
    time::{Duration, SystemTime},
};

/// How long ago a file must have been written before its times tell a later write apart. Kernels before 6.13
/// move file times by whole ticks, of up to 10 ms.
const SETTLING: Duration = Duration::from_millis(100);

/// What is remembered of a file that has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    identity: (u64, u64, u64),
    written: (i64, i64),
    changed: (i64, i64),
    settled: bool,
}

impl Stamp {
    /// The stamp of a file that is there and tells nothing.
    pub(super) const UNKNOWN: Self =
        Self { identity: (0, 0, 0), written: (0, 0), changed: (0, 0), settled: true };

    /// The stamp of a file looked at `now`.
    pub(super) fn of(metadata: &Metadata, now: SystemTime) -> Self {
        let age = metadata.modified().ok().map(|written| {
            // A time in the future is as good as one in the past: a write would move it to the present.
            now.duration_since(written).unwrap_or_else(|ahead| ahead.duration())
        });
        Self {
            identity: (metadata.dev(), metadata.ino(), metadata.len()),
            written: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            settled: age.is_none_or(|age| age >= SETTLING),
        }
    }

    /// Whether the file had been left alone for a while when it was looked at.
    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Whether a file that was read at this stamp certainly has the same content at `later`.
    pub(super) fn proves_unchanged(&self, later: &Self) -> bool {
        self.settled && self.is_same_file_as(later)
    }

    /// Whether nothing that the metadata can tell happened between the two.
    pub(super) fn is_same_file_as(&self, later: &Self) -> bool {
        (self.identity, self.written, self.changed) == (later.identity, later.written, later.changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_just_written_has_to_be_read_again() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let metadata = file.as_file().metadata().unwrap();
        let written = metadata.modified().unwrap();
        let fresh = Stamp::of(&metadata, written + Duration::from_millis(99));
        let settled = Stamp::of(&metadata, written + SETTLING);
        assert!(fresh.is_same_file_as(&settled));
        assert!(!fresh.proves_unchanged(&settled));
        assert!(settled.proves_unchanged(&fresh));

        file.as_file().set_len(1).unwrap();
        let longer = Stamp::of(&file.as_file().metadata().unwrap(), written + SETTLING);
        assert!(!settled.proves_unchanged(&longer));
    }
}
