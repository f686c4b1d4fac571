//! What goes wrong is named by one command.

mod explain;
