//! The flags of `svclb explain`.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, ValueEnum};

use super::ReportArgs;
use crate::{
    datapath::pins::Pins,
    explain::{Subject, explain},
    model,
};

/// Where an agent serves its metrics unless told otherwise.
const AGENT: &str = "127.0.0.1:10249";

#[derive(Args, Debug)]
#[group(id = "subject")]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    report: ReportArgs,
    /// Who sends: an address, perhaps with a port
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = parse_from, required_unless_present = "pcap")]
    from: Option<(IpAddr, Option<u16>)>,
    /// Whom the packet is sent to
    #[arg(long, value_name = "ADDR:PORT", required_unless_present = "pcap")]
    to: Option<SocketAddr>,
    /// By which protocol: a SYN, a datagram or an INIT
    #[arg(long, value_enum, default_value_t = Protocol::Tcp)]
    protocol: Protocol,
    /// Explain each packet of this file (pcap or pcapng) instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "to", "protocol"])]
    pcap: Option<PathBuf>,
    /// The device that the packet comes by, or leaves by [default: by the route to the sender]
    #[arg(long, value_name = "DEV")]
    device: Option<String>,
    /// Where the agent serves its metrics, to be asked what the API says
    #[arg(long, value_name = "ADDR:PORT", default_value = AGENT)]
    agent: SocketAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl From<Protocol> for model::Protocol {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Tcp => Self::Tcp,
            Protocol::Udp => Self::Udp,
            Protocol::Sctp => Self::Sctp,
        }
    }
}

pub(super) async fn run(args: ExplainArgs) -> anyhow::Result<ExitCode> {
    let subject = match (args.pcap, args.from, args.to) {
        (Some(file), ..) => Subject::Capture(file),
        (None, Some((from, port)), Some(to)) => {
            Subject::First { from, port, to, protocol: args.protocol.into() }
        }
        _ => anyhow::bail!("name a packet with --from and --to, or a file with --pcap"),
    };
    let pins = Pins::new(args.report.pins.bpffs);
    explain(&pins, &subject, args.device.as_deref(), args.agent, args.report.output).await
}

/// `ADDR`, `ADDR:PORT`, `[ADDR]:PORT`.
fn parse_from(text: &str) -> Result<(IpAddr, Option<u16>), String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok((address, None));
    }
    match text.parse::<SocketAddr>() {
        Ok(address) => Ok((address.ip(), Some(address.port()))),
        Err(_no_address) => {
            Err(format!("{text:?} is no address such as 10.0.0.1, 10.0.0.1:40000 or [fd00::1]:40000"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_may_have_a_port() {
        assert_eq!(parse_from("10.0.0.1"), Ok((IpAddr::from([10, 0, 0, 1]), None)));
        assert_eq!(parse_from("10.0.0.1:7"), Ok((IpAddr::from([10, 0, 0, 1]), Some(7))));
        assert_eq!(parse_from("[::1]:7").map(|(_, port)| port), Ok(Some(7)));
        assert_eq!(parse_from("::1").map(|(_, port)| port), Ok(None));
        assert!(parse_from("10.0.0:7").is_err());
    }
}
