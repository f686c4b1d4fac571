//! netfilter of this network namespace: its connection tracking, and what keeps its NAT going (`nfnetlink`).
//!
//! | module | noun |
//! |---|---|
//! | `message` | messages and attributes, as bytes |
//! | [`entry`] | what connection tracking knows of a connection |
//! | [`conntrack`] | its table |
//! | [`rules`] | the rules of others, and a table of svclb's own |

pub mod conntrack;
pub mod entry;
pub mod ipvs;
mod message;
pub mod rules;
