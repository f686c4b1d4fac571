//! The flags of `svclb top`.

use std::{process::ExitCode, time::Duration};

use clap::Args;

use super::{ReportArgs, parse_duration};
use crate::{datapath::pins::Pins, top, usage::Order};

#[derive(Args, Debug)]
pub(super) struct TopArgs {
    #[command(flatten)]
    report: ReportArgs,
    /// Between two looks, such as 2s
    #[arg(long, value_name = "DURATION", value_parser = parse_interval, default_value = "2s")]
    interval: Duration,
    /// Print one table after one interval; so it is without a terminal, and with JSON
    #[arg(long)]
    once: bool,
    /// What comes first
    #[arg(long, value_name = "ORDER", value_enum, default_value_t = Order::Bytes)]
    sort: Order,
}

/// A duration between two looks, which is not nothing.
fn parse_interval(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("it has to be more than 0".to_owned()),
        interval => Ok(interval),
    }
}

/// Shows what happens now.
pub(super) async fn run(args: TopArgs) -> anyhow::Result<ExitCode> {
    let TopArgs { report: ReportArgs { pins, output }, interval, once, sort: order } = args;
    top::top(&Pins::new(pins.bpffs), top::Settings { interval, once, order, output }).await
}
