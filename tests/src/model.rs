//! A running agent beside the [reference](crate::reference): the same changes, and then the same outcome.
//!
//! | module | owns |
//! |---|---|
//! | [`ground`] | addresses and names that a world has room for |
//! | [`feed`] | the way of a change to the agent, and how it is known to have arrived |
//! | [`tables`] | what the pinned maps hold, in the reference's words |
//! | [`difference`] | where the two disagree |
//! | [`listed`] | what `svclb services` says |
//! | [`asking`] | clients everywhere, and what may become of what they ask |
//! | [`session`] | step after step |
//! | [`trial`] | a script from the beginning, and the smallest one that fails |
//!
//! Maps are read by system calls of aya, with the keys and the packed words that `svclb-common` lays down; only the
//! search for cells that nobody uses reads two arrays as memory, as the agent does.

pub mod asking;
pub mod difference;
pub mod feed;
pub mod ground;
pub mod listed;
pub mod session;
pub mod tables;
pub mod trial;

pub use self::{difference::Difference, feed::Feed, session::Session, tables::Tables, trial::Trial};
