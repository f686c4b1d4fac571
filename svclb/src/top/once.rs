//! One table, for whoever has no terminal.

use super::number::{short, short_count};
use crate::{
    report::{Output, table},
    usage::{Filter, Order, Snapshot, rank},
};

/// Prints a snapshot.
pub(super) fn print(mut snapshot: Snapshot, order: Order, output: Output) -> anyhow::Result<()> {
    let ranked = rank(&snapshot.services, &Filter::default(), order);
    match output {
        Output::Json => {
            let mut ports: Vec<_> = snapshot.services.into_iter().map(Some).collect();
            snapshot.services = ranked.into_iter().filter_map(|at| ports[at].take()).collect();
            println!("{}", serde_json::to_string_pretty(&snapshot)?);
        }
        Output::Table => {
            let rows: Vec<_> = ranked
                .into_iter()
                .map(|at| {
                    let port = &snapshot.services[at];
                    let rate = port.per_second.unwrap_or_default();
                    vec![
                        port.title(),
                        port.protocol.to_owned(),
                        port.ip_family.to_owned(),
                        short(rate.bytes),
                        short(rate.packets),
                        short(rate.flows),
                        port.backends.len().to_string(),
                    ]
                })
                .collect();
            let heading = ["SERVICE", "PROTOCOL", "FAMILY", "BYTES/S", "PACKETS/S", "FLOWS/S", "BACKENDS"];
            table::print(&heading, &rows);
            let drops = snapshot.drops.iter().filter(|drop| drop.count > 0);
            let rows: Vec<_> = drops
                .map(|drop| {
                    let rate = drop.per_second.map(short).unwrap_or_default();
                    vec![drop.reason.to_owned(), rate, short_count(drop.count)]
                })
                .collect();
            if !rows.is_empty() {
                println!();
                table::print(&["DROPPED", "PER SECOND", "SO FAR"], &rows);
            }
        }
    }
    Ok(())
}
