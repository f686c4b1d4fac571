//! API objects from a folder of ordinary manifests instead of an API server.
//!
//! The way of a file: [`parse()`] reads its documents into a tree that knows the line of every value, decodes
//! the tree into API objects, refuses what an API server would refuse and fills in what it would fill in. A
//! [`Folder`] keeps the last good version of every file, and [`watch()`] follows the folder and tells what changed.
//!
//! The work for a change is in proportion to the file that has changed: no other file is looked at, only the
//! documents of it that are new are parsed, and only the objects in those are compared.

mod check;
mod chunk;
mod contents;
pub(crate) mod decode;
mod defaults;
mod document;
mod error;
mod events;
pub(crate) mod fault;
mod folder;
#[cfg(test)]
mod hostile;
mod object;
pub mod parse;
mod pending;
mod stamp;
mod standing;
pub(crate) mod tree;
pub mod watch;

pub use self::{
    contents::{Effort, Report},
    error::ManifestError,
    folder::Folder,
    object::{Object, Resource},
    parse::parse,
    watch::watch,
};
