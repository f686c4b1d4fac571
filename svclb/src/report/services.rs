//! `svclb services`: the Services that the tables hold.

use std::{net::SocketAddr, process::ExitCode};

use super::{Output, table};
use crate::{
    datapath::pins::Pins,
    usage::{Reading, ServicePort},
};

/// Prints the list.
pub fn services(pins: &Pins, output: Output) -> anyhow::Result<ExitCode> {
    let list = Reading::of(pins)?.ports;
    match output {
        Output::Json => println!("{}", serde_json::to_string_pretty(&list)?),
        Output::Table => print_table(&list),
    }
    Ok(ExitCode::SUCCESS)
}

fn print_table(list: &[ServicePort]) {
    let row = |port: &ServicePort| {
        let frontends: Vec<_> = port
            .frontends
            .iter()
            .map(|f| format!("{} {}", f.kind, SocketAddr::new(f.address, f.port)))
            .collect();
        let listed = port.backends.iter().filter(|backend| !backend.lists.is_empty());
        let weight = |weight| if weight == 1 { String::new() } else { format!("={weight}") };
        let backends: Vec<_> =
            listed.map(|b| SocketAddr::new(b.address, b.port).to_string() + &weight(b.weight)).collect();
        let backends = if backends.is_empty() { "none".to_owned() } else { backends.join(", ") };
        vec![
            port.title(),
            port.protocol.to_owned(),
            port.algorithm.to_owned(),
            frontends.join(", "),
            backends,
        ]
    };
    table::print(
        &["SERVICE", "PROTOCOL", "ALGORITHM", "FRONTENDS", "BACKENDS"],
        &list.iter().map(row).collect::<Vec<_>>(),
    );
}
