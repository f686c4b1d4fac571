//! Who uses what: each Service port that the tables hold, and what has gone through it.
//!
//! The one place where such a row is made; `svclb services`, `svclb top`, the page on the metrics port and the metrics of
//! Services all begin with a [`Reading`]. Two of them make a [`Snapshot`], which has rates.

mod counters;
#[cfg(test)]
pub(crate) mod fixture;
mod rank;
mod reading;
mod row;
mod snapshot;

pub use self::{
    counters::Counters,
    rank::{Filter, Order, rank},
    reading::{Drop, Reading},
    row::{Backend, BackendTraffic, Frontend, PortTraffic, Rate, ServicePort},
    snapshot::Snapshot,
};

#[cfg(test)]
mod tests;
