//! What other processes are told, read from the pins: `status`, `services`, `check`.

mod check;
mod services;
mod status;
mod table;

use std::collections::BTreeMap;

use clap::ValueEnum;

pub use self::{check::check, services::services, status::status};

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs; its shape is stable.
    Json,
}

/// Names of the devices of this network namespace, by index.
fn device_names() -> BTreeMap<u32, String> {
    nix::net::if_::if_nameindex().map_or_else(
        |_| BTreeMap::new(),
        |devices| {
            devices
                .iter()
                .map(|device| (device.index(), device.name().to_string_lossy().into_owned()))
                .collect()
        },
    )
}
