//! Sysctls of the loopback device, where host processes are translated per packet: with `--socket-lb=off`, and for
//! Services of SCTP.
//!
//! There answers to host processes are handed to the loopback device as if it had
//! received them: from an address of this node, to an address of this node. The
//! kernel takes such packets from a device only if it is told to. That device
//! receives from this host alone, so that nothing is opened to others.

use std::{fs, io, path::PathBuf};

use super::{Error, pins::Pins};

/// The sysctl and its value here.
const SYSCTLS: [(&str, &str); 3] = [("accept_local", "1"), ("route_localnet", "1"), ("rp_filter", "2")];

/// Where they are.
const FOLDER: &str = "/proc/sys/net/ipv4/conf/lo";

/// Lets the loopback device take answers. What was set before is kept for [`close`], also by a call that fails.
pub fn open(pins: &Pins) -> Result<(), Error> {
    Sysctls::of(pins).open()
}

/// Puts back what [`open`] has found, as far as the kernel lets it; the rest is kept.
pub fn close(pins: &Pins) -> Result<(), Error> {
    Sysctls::of(pins).close()
}

struct Sysctls {
    folder: PathBuf,
    /// A folder beside the pins. In it a folder per sysctl is called by name and earlier
    /// value, because a BPF file system has no files to write to.
    earlier: PathBuf,
}

impl Sysctls {
    fn of(pins: &Pins) -> Self {
        Self { folder: FOLDER.into(), earlier: pins.layout().join("loopback") }
    }

    fn marker(&self, name: &str, value: &str) -> PathBuf {
        self.earlier.join(format!("{name}_{value}"))
    }

    fn open(&self) -> Result<(), Error> {
        let kept = self.kept()?;
        // All are kept before the first is set, so that what is not kept yet is not ours.
        for (name, _) in SYSCTLS.iter().filter(|(name, _)| !kept.iter().any(|(kept, _)| kept == name)) {
            if let Some(value) = self.read(name)? {
                let marker = self.marker(name, &value);
                fs::create_dir_all(&marker).map_err(Error::file(marker))?;
            }
        }
        SYSCTLS.iter().try_for_each(|(name, value)| self.write(name, value))
    }

    fn close(&self) -> Result<(), Error> {
        // One that cannot be put back must not keep the others.
        let put_back = self.kept()?.into_iter().map(|(name, value)| {
            self.write(&name, &value)?;
            let marker = self.marker(&name, &value);
            fs::remove_dir(&marker).map_err(Error::file(marker))
        });
        put_back.fold(Ok(()), Result::and)?;
        match fs::remove_dir(&self.earlier) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file(&self.earlier)(error)),
            _ => Ok(()),
        }
    }

    /// Names and earlier values.
    fn kept(&self) -> Result<Vec<(String, String)>, Error> {
        let entries = match fs::read_dir(&self.earlier) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(Error::file(&self.earlier))?,
        };
        let names = entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()
            .map_err(Error::file(&self.earlier))?;
        let pair =
            |name: &String| name.rsplit_once('_').map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(names.iter().filter_map(pair).collect())
    }

    /// None on a host without IPv4.
    fn read(&self, name: &str) -> Result<Option<String>, Error> {
        let path = self.folder.join(name);
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            value => value.map(|value| Some(value.trim().to_owned())).map_err(Error::file(path)),
        }
    }

    /// What has the value already may be read-only, as it is in a container.
    fn write(&self, name: &str, value: &str) -> Result<(), Error> {
        if self.read(name)?.as_deref() == Some(value) {
            return Ok(());
        }
        let path = self.folder.join(name);
        match fs::write(&path, value) {
            // A host without IPv4 has no such folder, and needs none.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file(path)(error)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, os::unix::fs::symlink};

    use tempfile::TempDir;

    use super::*;

    /// What nobody may write, and what it says.
    const READ_ONLY: (&str, &str) = ("/proc/sys/kernel/ostype", "Linux");

    /// A loopback device with those values; none is one that is read-only.
    fn device(values: [Option<&str>; 3]) -> (TempDir, Sysctls) {
        let folder = tempfile::tempdir().unwrap();
        for ((name, _), value) in SYSCTLS.iter().zip(values) {
            let path = folder.path().join(name);
            match value {
                Some(value) => fs::write(path, value).unwrap(),
                None => symlink(READ_ONLY.0, path).unwrap(),
            }
        }
        let sysctls = Sysctls { folder: folder.path().into(), earlier: folder.path().join("earlier") };
        (folder, sysctls)
    }

    fn values(sysctls: &Sysctls) -> [String; 3] {
        SYSCTLS.map(|(name, _)| sysctls.read(name).unwrap().unwrap())
    }

    fn kept(sysctls: &Sysctls) -> BTreeMap<String, String> {
        sysctls.kept().unwrap().into_iter().collect()
    }

    #[test]
    fn what_was_there_is_put_back() {
        let (_folder, sysctls) = device([Some("0\n"), Some("1\n"), Some("1\n")]);
        // the second time there is nothing to keep
        for _ in 0..2 {
            sysctls.open().unwrap();
            assert_eq!(values(&sysctls), ["1", "1", "2"]);
        }
        sysctls.close().unwrap();
        assert_eq!(values(&sysctls), ["0", "1", "1"]);
        assert!(!sysctls.earlier.exists());
        sysctls.close().unwrap();
    }

    #[test]
    fn what_is_refused_is_taken_back_without_a_trace() {
        let (_folder, sysctls) = device([Some("0"), Some("0"), None]);
        sysctls.open().unwrap_err();
        assert_eq!(kept(&sysctls).len(), 3);
        sysctls.close().unwrap();
        assert_eq!(values(&sysctls), ["0", "0", READ_ONLY.1]);
        assert!(!sysctls.earlier.exists());
    }

    #[test]
    fn what_cannot_be_put_back_keeps_nothing_else() {
        for stuck in 0..3 {
            let mut before = [Some("1"), Some("1"), Some("2")];
            before[stuck] = None;
            let (_folder, sysctls) = device(before);
            for (name, _) in SYSCTLS {
                fs::create_dir_all(sysctls.marker(name, "0")).unwrap();
            }
            sysctls.close().unwrap_err();
            let mut wanted = ["0"; 3];
            wanted[stuck] = READ_ONLY.1;
            assert_eq!(values(&sysctls), wanted);
            assert_eq!(kept(&sysctls), [(SYSCTLS[stuck].0.to_owned(), "0".to_owned())].into());
        }
    }
}
