//! The kernel's log, from a moment on.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read as _, Seek as _, SeekFrom},
    os::unix::fs::OpenOptionsExt as _,
};

use anyhow::{Context as _, bail};
use nix::libc::O_NONBLOCK;

/// What a healthy kernel has no reason to say, whoever else is at work on the machine. Lines about devices, mounts and
/// processes that ran out of memory are other people's.
const COMPLAINTS: [&str; 14] = [
    "WARNING:",
    "BUG:",
    "kernel BUG",
    "Oops",
    "RIP:",
    "Call Trace",
    "general protection",
    "refcount_t:",
    "KASAN",
    "UBSAN",
    "rcu_sched",
    "soft lockup",
    "skb_over_panic",
    "bpf",
];

/// The log's place at which somebody began to look.
pub(super) struct KernelLog(File);

impl KernelLog {
    /// From now on.
    pub(super) fn new() -> anyhow::Result<Self> {
        const PATH: &str = "/dev/kmsg";
        let mut log = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(PATH).context(PATH)?;
        log.seek(SeekFrom::End(0)).context(PATH)?;
        Ok(Self(log))
    }

    /// What the kernel has complained about since the last call; an error if it has said more than it keeps.
    pub(super) fn complaints(&mut self) -> anyhow::Result<Vec<String>> {
        // One read is one record, and no record is longer.
        let mut record = [0; 8192];
        let mut found = Vec::new();
        loop {
            match self.0.read(&mut record) {
                Ok(len) => found.extend(complaint(&String::from_utf8_lossy(&record[..len]))),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(found),
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                    bail!("the kernel's log was overwritten before it was read")
                }
                Err(error) => return Err(error).context("the kernel's log"),
            }
        }
    }
}

/// The text of a record `<priority>,<number>,<time>,<flags>;<text>`, if the kernel itself complains in it: what
/// processes write has another facility than 0, which is the priority without its three lowest bits.
fn complaint(record: &str) -> Option<String> {
    let (head, text) = record.split_once(';')?;
    let priority: u32 = head.split(',').next()?.parse().ok()?;
    let is_kernels = priority >> 3 == 0;
    let text = text.lines().next()?;
    (is_kernels && COMPLAINTS.iter().any(|word| text.contains(word))).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_told_from_news_and_from_other_peoples_words() {
        for (record, wanted) in [
            ("4,1,2,-;WARNING: CPU: 0 PID: 7 at net/core/filter.c:1 x+0x1/0x2", true),
            ("1,1,2,-;BUG: kernel NULL pointer dereference, address: 0", true),
            ("4,1,2,-;bpf: program lost its way\n SUBSYSTEM=x", true),
            ("6,1,2,-;veth0: renamed from veth1", false),
            ("6,1,2,-;eth0: link becomes ready\n DEVICE=bpf", false),
            ("12,1,2,-;a process says WARNING: bpf", false),
            ("no record", false),
        ] {
            assert_eq!(complaint(record).is_some(), wanted, "{record}");
        }
    }

    #[test]
    fn the_log_can_be_read() {
        KernelLog::new().unwrap().complaints().unwrap();
    }
}
