//! What `/proc` tells of a process.

use std::{fs, path::PathBuf, time::Duration};

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

/// A thread, as `/proc` shows it.
#[derive(Clone, Debug)]
pub struct Thread(PathBuf);

impl Thread {
    /// The first one of the process `pid`.
    pub fn main_of(pid: u32) -> Self {
        Self(format!("/proc/{pid}/task/{pid}").into())
    }

    /// The one of this process that is called `name`.
    pub fn named(name: &str) -> anyhow::Result<Self> {
        for task in fs::read_dir("/proc/self/task")? {
            let task = task?.path();
            // It may have ended since.
            if fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name) {
                return Ok(Self(task));
            }
        }
        anyhow::bail!("no thread is called {name}")
    }

    /// For how long it has waited for a processor so far (`schedstat`, its second number).
    pub fn waited(&self) -> anyhow::Result<Duration> {
        let Self(task) = self;
        let text = fs::read_to_string(task.join("schedstat"))?;
        let nanoseconds = text.split_whitespace().nth(1).and_then(|number| number.parse().ok());
        Ok(Duration::from_nanos(nanoseconds.with_context(|| format!("{}/schedstat", task.display()))?))
    }
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

    #[test]
    fn a_thread_is_found_by_its_name() {
        let find = || Thread::named("of a test").and_then(|thread| thread.waited());
        assert!(find().is_err());
        let thread = std::thread::Builder::new().name("of a test".into());
        assert!(thread.spawn(find).unwrap().join().unwrap().is_ok());
        assert!(Thread::main_of(std::process::id()).waited().is_ok());
    }
}
