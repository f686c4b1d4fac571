//! API objects from a folder of ordinary manifests instead of an API server.
//!
//! The way of a file: [`parse()`] reads its documents into a tree that knows the line of every value, decodes
//! the tree into API objects, refuses what an API server would refuse and fills in what it would fill in. A
//! [`Folder`] keeps the last good version of every file, and [`watch()`] follows the folder and publishes the
//! complete set of objects.

mod check;
mod contents;
pub(crate) mod decode;
mod defaults;
mod error;
pub(crate) mod fault;
mod folder;
mod object;
pub mod parse;
mod stamp;
pub(crate) mod tree;
pub mod watch;

pub use self::{
    contents::Report,
    error::ManifestError,
    folder::Folder,
    object::{Object, Resource},
    parse::parse,
    watch::watch,
};
