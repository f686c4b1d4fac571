//! `svclb-control-plane AGENT [--kube-proxy BINARY] [--json FILE] [--details FILE] [CLUSTER]..`: what following a cluster costs the agent.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, bail};
use svclb_tests::{
    control_plane::{
        measure::figures,
        report::{self, table},
        shape::Shape,
    },
    figure,
    traffic::{part, proxy::Programs},
};

fn main() -> anyhow::Result<()> {
    if let Some(outcome) = part::perform(std::env::args().skip(1)) {
        return outcome;
    }
    let mut arguments = std::env::args().skip(1);
    let agent = PathBuf::from(arguments.next().context(
        "usage: svclb-control-plane AGENT [--kube-proxy BINARY] [--json FILE] [--details FILE] [CLUSTER]..",
    )?);
    let mut programs = Programs { agent, kube_proxy: None };
    let (mut json, mut details, mut wanted) = (None, None, Vec::new());
    while let Some(argument) = arguments.next() {
        if argument == "--json" {
            json = Some(arguments.next().context("--json: a file")?);
        } else if argument == "--details" {
            details = Some(arguments.next().context("--details: a file")?);
        } else if argument == "--kube-proxy" {
            programs.kube_proxy = Some(arguments.next().context("--kube-proxy: a binary")?.into());
        } else {
            match Shape::ALL.into_iter().find(|shape| shape.name == argument) {
                Some(shape) => wanted.push(shape),
                None => bail!("{argument}: none of {}", Shape::ALL.map(|shape| shape.name).join(", ")),
            }
        }
    }
    if wanted.is_empty() {
        wanted = Shape::ALL.into();
    }
    let mut all = Vec::new();
    for shape in &wanted {
        eprintln!("{}: {} Services, {} endpoints", shape.name, shape.services, shape.all_endpoints());
        all.push(figures(&programs, shape)?);
    }
    if let Some(file) = json {
        figure::append(file.as_ref(), &report::figures(&all))?;
    }
    if let Some(file) = details {
        fs::write(&file, serde_json::to_string_pretty(&all)?).with_context(|| file.clone())?;
    }
    println!("{}", table(&all));
    Ok(())
}
