//! What is wrong, and what the self-probe came to.

use std::fmt;

use prometheus_client::{
    encoding::EncodeMetric,
    metrics::{MetricType, gauge::ConstGauge},
};

use super::own::Families;
use crate::condition::{self, Probed, Severity};

pub(super) fn encode(out: &mut Families<'_, '_>) -> fmt::Result {
    let account = condition::account();
    let problems = [("error", Severity::Error), ("warning", Severity::Warning)].map(|(name, severity)| {
        let found = account.problems.iter().filter(|problem| problem.severity == severity).count();
        ([("severity", name)], found as u64)
    });
    out.gauges("problems", "Problems that the agent knows of, as in svclb status.", problems)?;
    let help = "Live flows that another proxy has set up.";
    out.gauges("inherited_flows", help, [([("proxy", "kube-proxy")], account.inherited as u64)])?;

    let labels = |probed: &Probed| [("path", probed.path.clone()), ("ip_family", probed.ip_family.clone())];
    let of = |value: fn(&Probed) -> u64| {
        account.probes.iter().map(move |probed| (labels(probed), value(probed))).collect::<Vec<_>>()
    };
    let help = "Whether the last packet, or call, through the agent's own Service was translated.";
    out.gauges("self_probe_success", help, of(|probed| u64::from(probed.ok)))?;
    out.counters("self_probe_runs", "Self-probes.", of(|probed| probed.runs))?;
    out.counters(
        "self_probe_failures",
        "Self-probes that were not translated.",
        of(|probed| probed.failures),
    )?;
    let help = "From the last self-probe until the programs had counted it.";
    let mut family = out.0.encode_descriptor("self_probe_duration_seconds", help, None, MetricType::Gauge)?;
    account.probes.iter().filter(|probed| probed.ok).try_for_each(|probed| {
        let seconds = std::time::Duration::from_micros(probed.micros).as_secs_f64();
        ConstGauge::new(seconds).encode(family.encode_family(&labels(probed))?)
    })
}
