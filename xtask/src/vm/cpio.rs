//! The archive that a kernel unpacks as its first root file system: cpio in the format "newc".
//!
//! Source: `Documentation/driver-api/early-userspace/buffer-format.rst` of the kernel.

use std::{collections::BTreeSet, fmt::Write as _, io};

/// Kinds of files, as in `st_mode`.
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER: u32 = 0o020_000;

/// Writes an archive.
pub(crate) struct Cpio<W> {
    out: W,
    /// Paths without a leading slash.
    names: BTreeSet<String>,
    /// The archive's end is padded to this many bytes.
    written: usize,
}

impl<W: io::Write> Cpio<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, names: BTreeSet::new(), written: 0 }
    }

    /// A folder, with those above it.
    pub(crate) fn folder(&mut self, path: &str) -> io::Result<()> {
        self.parents(path)?;
        self.entry(path, DIRECTORY | 0o755, [0; 2], &[])
    }

    /// A file, with the folders above it. Everything in the archive may be executed.
    pub(crate) fn file(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.parents(path)?;
        self.entry(path, REGULAR | 0o755, [0; 2], content)
    }

    /// A symbolic link.
    pub(crate) fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.parents(path)?;
        self.entry(path, SYMLINK | 0o777, [0; 2], target.as_bytes())
    }

    /// A character device.
    pub(crate) fn device(&mut self, path: &str, numbers: [u32; 2]) -> io::Result<()> {
        self.parents(path)?;
        self.entry(path, CHARACTER | 0o600, numbers, &[])
    }

    /// Whether there is something of that name already.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.names.contains(path.trim_start_matches('/'))
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.raw("TRAILER!!!", 0, [0; 2], &[])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn parents(&mut self, path: &str) -> io::Result<()> {
        let path = path.trim_start_matches('/');
        let mut ends = path.match_indices('/').map(|(at, _)| at);
        ends.try_for_each(|end| self.entry(&path[..end], DIRECTORY | 0o755, [0; 2], &[]))
    }

    /// Whatever came first under a name stays.
    fn entry(&mut self, path: &str, mode: u32, device: [u32; 2], content: &[u8]) -> io::Result<()> {
        let path = path.trim_start_matches('/');
        if !self.names.insert(path.to_owned()) {
            return Ok(());
        }
        self.raw(path, mode, device, content)
    }

    fn raw(&mut self, path: &str, mode: u32, device: [u32; 2], content: &[u8]) -> io::Result<()> {
        let size =
            u32::try_from(content.len()).map_err(|_large| io::Error::other(format!("{path}: over 4 GiB")))?;
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        let name = u32::try_from(path.len() + 1).unwrap_or(u32::MAX);
        let [major, minor] = device;
        // inode, mode, owner, group, links, time, size, device, device number, length of the name, checksum
        let fields = [number, mode, 0, 0, 1, 0, size, 0, 0, major, minor, name, 0];
        let mut head = String::from("070701");
        for field in fields {
            write!(head, "{field:08X}").map_err(io::Error::other)?;
        }
        self.padded(&[head.as_bytes(), path.as_bytes(), b"\0"])?;
        self.padded(&[content])
    }

    /// Both the name and the content end at a multiple of four bytes.
    fn padded(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        for part in parts {
            self.out.write_all(part)?;
            self.written += part.len();
        }
        let padding = self.written.next_multiple_of(4) - self.written;
        self.written += padding;
        self.out.write_all(&[0; 4][..padding])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names, modes and contents of an archive.
    fn read(archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut found = Vec::new();
        let mut at = 0;
        loop {
            let field = |index: usize| {
                let text = std::str::from_utf8(&archive[at + 6 + index * 8..][..8]).unwrap();
                u32::from_str_radix(text, 16).unwrap()
            };
            assert_eq!(&archive[at..at + 6], b"070701");
            let (mode, size, name) = (field(1), field(6) as usize, field(11) as usize);
            let path = String::from_utf8(archive[at + 110..][..name - 1].to_vec()).unwrap();
            let start = (at + 110 + name).next_multiple_of(4);
            if path == "TRAILER!!!" {
                return found;
            }
            found.push((path, mode, archive[start..start + size].to_vec()));
            at = (start + size).next_multiple_of(4);
        }
    }

    #[test]
    fn an_archive_is_read_back() {
        let mut cpio = Cpio::new(Vec::new());
        cpio.file("/lib/a/odd", b"12345").unwrap();
        cpio.file("/lib/a/odd", b"another").unwrap();
        cpio.link("/bin", "usr/bin").unwrap();
        cpio.folder("proc").unwrap();
        cpio.device("/dev/console", [5, 1]).unwrap();
        assert!(cpio.has("/lib/a") && !cpio.has("/lib/b"));
        let found = read(&cpio.finish().unwrap());
        let wanted = [
            ("lib", 0o040_755, ""),
            ("lib/a", 0o040_755, ""),
            ("lib/a/odd", 0o100_755, "12345"),
            ("bin", 0o120_777, "usr/bin"),
            ("proc", 0o040_755, ""),
            ("dev", 0o040_755, ""),
            ("dev/console", 0o020_600, ""),
        ];
        let wanted = wanted.map(|(path, mode, content)| (path.to_owned(), mode, content.as_bytes().to_vec()));
        assert_eq!(found, wanted);
    }
}
