//! API objects as they would be written by who means harm, or not at all what was meant; for the tests of both sources.
//!
//! A hostile object begins as a valid one ([`template`]) and is changed at some places of its structure ([`mutation`]).
//! It lives beside neighbours, who did nothing; what must stay theirs is judged by [`isolation`].

pub(crate) mod isolation;
pub(crate) mod mutation;
pub(crate) mod template;
