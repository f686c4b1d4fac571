//! What `/proc` tells of a process.

use std::{fs, time::Duration};

use anyhow::Context as _;
use nix::{
    time::{ClockId, clock_gettime},
    unistd::Pid,
};
use serde::Serialize;

/// The resident memory of a process, in kB.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Memory {
    /// `VmRSS`: now.
    pub resident: u64,
    /// `VmHWM`: the most that it has been.
    pub peak: u64,
    /// `RssAnon`: of that now, what is its own.
    pub anonymous: u64,
    /// `RssFile`: what belongs to files, and to maps of the kernel that are seen as memory.
    pub file: u64,
}

impl Memory {
    /// That of the process `pid` (proc(5), `status`).
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let number = line.and_then(|text| text.split_whitespace().next()?.parse().ok());
            number.with_context(|| format!("/proc/{pid}/status: {name}"))
        };
        Ok(Self {
            resident: field("VmRSS")?,
            peak: field("VmHWM")?,
            anonymous: field("RssAnon")?,
            file: field("RssFile")?,
        })
    }
}

/// How long all threads of the process `pid` have run so far, those that have ended among them.
pub fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(pid)?))?;
    Ok(clock_gettime(clock)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_has_run() {
        let memory = Memory::of(std::process::id()).unwrap();
        assert!(memory.peak >= memory.resident && memory.resident >= memory.anonymous && memory.file > 0);
        assert!(cpu_time(std::process::id()).unwrap() > Duration::ZERO);
    }
}
