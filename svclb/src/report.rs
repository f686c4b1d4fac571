//! What other processes are told, read from the pins: `status`, `services`, `flows`, `check`.

mod check;
mod flows;
mod migration;
mod services;
mod status;
pub(crate) mod table;

use clap::ValueEnum;

pub use self::{
    check::check,
    flows::flows,
    migration::migration,
    services::services,
    status::{status, status_json},
};

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs; its shape is stable.
    Json,
}
