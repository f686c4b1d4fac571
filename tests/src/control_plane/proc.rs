//! What `/proc` tells of a process.

use std::{fs, time::Duration};

use anyhow::Context as _;
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

/// How long the threads of the process `pid` have run so far (`schedstat`; the time of threads that have ended is not in
/// it).
pub fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        sum += text.split_whitespace().next().and_then(|time| time.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(Duration::from_nanos(sum))
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
