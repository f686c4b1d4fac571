//! The watch of the API server against a server that fails in every way.
//!
//! | module | sees |
//! |---|---|
//! | [`support`] | a watch, and what it has told |
//! | [`calls`] | what is asked of the server |
//! | [`listing`] | the first batch, however hard it comes |
//! | [`watching`] | changes, interruptions, outages |
//! | [`log`] | what is said of it all |
//! | [`objects`] | objects and kinds that cannot be had |
//! | [`events`] | Events |
//! | [`random`] | anything, in any order |
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod calls;
mod events;
mod listing;
mod log;
mod objects;
mod random;
mod support;
mod watching;
