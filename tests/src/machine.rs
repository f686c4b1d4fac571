//! Where something was measured.

use std::fs;

use serde::Serialize;

/// The machine of this process.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The kernel's release.
    pub kernel: String,
    /// What the processors call themselves.
    pub processor: String,
    /// How many there are.
    pub processors: usize,
}

impl Machine {
    /// Asks `/proc`.
    pub fn this() -> anyhow::Result<Self> {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned();
        let cpus = fs::read_to_string("/proc/cpuinfo")?;
        let name = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
        let processor = name.trim_start_matches(['\t', ' ', ':']).to_owned();
        let processors = cpus.lines().filter(|line| line.starts_with("processor")).count();
        Ok(Self { kernel, processor, processors })
    }
}

/// How many processes wanted a processor in the last minute (proc(5), `loadavg`).
pub fn load() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}
