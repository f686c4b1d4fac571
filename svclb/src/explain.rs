//! `svclb explain`: what becomes of a packet, and why.
//!
//! The programs are run on it, over the live maps and without a trace in them (`datapath::replica`); the agent is asked what
//! the API says of the objects behind the decisions. What is told here are decisions that were made, in words; none is made.
//!
//! | module | noun |
//! |---|---|
//! | [`packet`], [`capture`] | what is explained: one packet, or those of a file |
//! | [`ground`] | where it stands: devices, routes, neighbours |
//! | [`scene`] | what is known: tables, names, settings, what the API says |
//! | [`story`] | the decisions on its way |
//! | [`socket`] | the decision at a socket call |
//! | [`cause`] | why it ended as it did |
//! | [`account`] | a Service port as the API wants it and as the tables have it |
//! | [`question`] | asking the agent |
//! | [`report`] | what is printed |

mod account;
mod capture;
mod cause;
mod ground;
mod packet;
mod question;
mod report;
mod scene;
mod socket;
mod story;

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::ensure;

pub use self::{
    account::{BackendAccount, PortAccount},
    question::{About, Objects, OptedOut, Question, Questions, ServiceObjects},
};
use self::{packet::Packet, scene::Scene};
use crate::{datapath::pins::Pins, model::Protocol, report::Output};

/// What is to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The first packet of a client.
    First {
        /// The client.
        from: IpAddr,
        /// Its port.
        port: Option<u16>,
        /// Whom it calls.
        to: SocketAddr,
        /// By which protocol.
        protocol: Protocol,
    },
    /// Each packet of a file.
    Capture(PathBuf),
}

/// Prints what becomes of the subject, which comes by `device` or by the one where it is most likely to. The agent is asked at
/// `agent`.
pub async fn explain(
    pins: &Pins,
    subject: &Subject,
    device: Option<&str>,
    agent: SocketAddr,
    output: Output,
) -> anyhow::Result<ExitCode> {
    pins.require()?;
    let packets = match subject {
        Subject::First { from, port, to, protocol } => vec![Packet::first(*protocol, *from, *port, *to)?],
        Subject::Capture(file) => {
            capture::frames(file)?.into_iter().filter_map(Packet::read).collect::<Vec<_>>()
        }
    };
    ensure!(!packets.is_empty(), "there is no packet of IP in it");
    let ends: BTreeSet<_> = packets.iter().flat_map(|packet| [packet.from.ip(), packet.to.ip()]).collect();
    let mut scene = Scene::open(pins, agent, ends)?;
    let mut explanations = Vec::with_capacity(packets.len());
    for packet in packets {
        explanations.push(scene.explain(packet, device).await?);
    }
    match (output, subject) {
        (Output::Json, Subject::First { .. }) => {
            println!("{}", serde_json::to_string_pretty(&explanations[0])?);
        }
        (Output::Json, Subject::Capture(_)) => println!("{}", serde_json::to_string_pretty(&explanations)?),
        (Output::Table, _) => {
            let texts: Vec<_> = explanations.iter().map(report::Explanation::text).collect();
            println!("{}", texts.join("\n\n"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
