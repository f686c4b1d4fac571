//! The tables in `bpf-fixtures/semantics/`: what becomes of a connection in each situation, by Kubernetes' rules.
//!
//! | module | noun |
//! |---|---|
//! | [`theme`] | a file of rows, and the product of situations that they complete |
//! | [`layout`] | addresses and names that situations are played with |
//! | [`situation`] | one combination, as the API objects that bring it about |

pub mod layout;
pub mod situation;
pub mod theme;
