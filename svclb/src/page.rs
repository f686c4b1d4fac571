//! The page on the metrics port, and the JSON that it is drawn from.
//!
//! `/` is one file without anything from elsewhere. `/v1/services` tells the Services of the tables with rates, as many
//! of them as are asked for; `/v1/status` what `svclb status -o json` tells. Whoever asks, and however many: the tables
//! are read at most once a second, on another thread than the agent's.

mod answer;
mod live;
mod query;

pub use self::{
    answer::Page,
    live::{Look, Pinned},
};

/// The page.
const HTML: &str = include_str!("page/page.html");
