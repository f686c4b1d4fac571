//! The agent of svclb as a library.
