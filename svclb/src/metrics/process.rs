//! The process itself, under the names that every exporter has and that dashboards for kube-proxy ask for.

use std::{fmt, fs};

use nix::{
    time::{ClockId, clock_gettime},
    unistd::{SysconfVar, sysconf},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

/// What is read of the process when somebody asks.
#[derive(Debug)]
pub(super) struct Process {
    /// Seconds since 1970.
    started: f64,
}

impl Process {
    pub(super) fn register(registry: &mut Registry, started: f64) {
        registry.register_collector(Box::new(Self { started }));
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauge = |name: &str, help: &str, value: f64| {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(metric)
        };
        gauge("start_time_seconds", "When the agent began, in seconds since 1970.", self.started)?;
        gauge("resident_memory_bytes", "Memory of the agent that is resident.", resident().unwrap_or(0.0))?;
        gauge("open_fds", "File descriptors that the agent has open.", descriptors().unwrap_or(0.0))?;
        let help = "For how long CPUs were busy with the agent.";
        let busy = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)
            .map_or(0.0, |time| std::time::Duration::from(time).as_secs_f64());
        let metric = encoder.encode_descriptor("cpu_seconds", help, None, MetricType::Counter)?;
        ConstCounter::new(busy).encode(metric)
    }
}

/// `proc_pid_statm(5)`: the second field counts pages.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn resident() -> Option<f64> {
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: f64 = text.split(' ').nth(1)?.parse().ok()?;
    Some(pages * sysconf(SysconfVar::PAGE_SIZE).ok()?? as f64)
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn descriptors() -> Option<f64> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count() as f64)
}
