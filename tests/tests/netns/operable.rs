//! Broken situations, and what names their cause.

mod monitor;
mod packets;
