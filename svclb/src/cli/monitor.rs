//! The flags of `svclb monitor`.

use std::process::ExitCode;

use clap::Args;
use svclb_common::sign::Cause;

use super::{PinArgs, parse_service};
use crate::{datapath::pins::Pins, monitor};

#[derive(Args, Debug)]
pub(super) struct MonitorArgs {
    #[command(flatten)]
    pins: PinArgs,
    /// Only what is about this Service
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = parse_service)]
    service: Option<(String, String)>,
    /// Only these reasons, as the metrics name them
    #[arg(long = "reason", value_name = "REASON", value_delimiter = ',', value_parser = parse_reason)]
    reasons: Vec<String>,
    /// Only packets from there
    #[arg(long, value_name = "CIDR")]
    from: Option<ipnet::IpNet>,
    /// Only packets to there
    #[arg(long, value_name = "CIDR")]
    to: Option<ipnet::IpNet>,
    /// Only what was seen at this device
    #[arg(long, value_name = "IFACE")]
    device: Option<String>,
    /// Print what is recorded, and end
    #[arg(long)]
    history: bool,
    /// End after so many; of what is recorded, the last ones
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    /// How to print
    #[arg(short, long, value_enum, default_value_t = monitor::Output::Table)]
    output: monitor::Output,
}

/// The label of a cause.
fn parse_reason(text: &str) -> Result<String, String> {
    if Cause::each().any(|cause| cause.as_str() == text) {
        Ok(text.into())
    } else {
        let all: Vec<_> = Cause::each().map(Cause::as_str).collect();
        Err(format!("no such reason; there are {}", all.join(", ")))
    }
}

/// Follows, or prints what is recorded.
pub(super) async fn run(args: MonitorArgs) -> anyhow::Result<ExitCode> {
    let MonitorArgs { pins, service, reasons, from, to, device, history, count, output } = args;
    let filter = monitor::Filter { service, reasons, from, to, device };
    let options = monitor::Options { filter, history, count, output };
    monitor::run(&Pins::new(pins.bpffs), options).await
}
