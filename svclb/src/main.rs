//! The `svclb` binary: parse, run, exit.

use std::process::ExitCode;

fn main() -> ExitCode {
    svclb::cli::main()
}
