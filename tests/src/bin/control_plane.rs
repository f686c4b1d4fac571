//! `svclb-control-plane AGENT [--json FILE] [CLUSTER]..`: what following a cluster costs the agent.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, bail};
use svclb_tests::control_plane::{measure::figures, report::table, shape::Shape};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let agent = PathBuf::from(
        arguments.next().context("usage: svclb-control-plane AGENT [--json FILE] [CLUSTER]..")?,
    );
    let (mut json, mut wanted) = (None, Vec::new());
    while let Some(argument) = arguments.next() {
        if argument == "--json" {
            json = Some(arguments.next().context("--json: a file")?);
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
        all.push(figures(&agent, shape)?);
    }
    if let Some(file) = json {
        fs::write(&file, serde_json::to_string_pretty(&all)?).with_context(|| file.clone())?;
    }
    println!("{}", table(&all));
    Ok(())
}
