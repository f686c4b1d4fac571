//! `docs/monitor.md` has every reason as the programs and the monitor know it.

use svclb_common::sign::Cause;

/// The rows of its table.
fn rows() -> String {
    let row = |cause: Cause| format!("| `{}` | {} | {} |", cause.as_str(), cause.kind(), cause.explanation());
    Cause::each().map(row).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_documentation_has_every_reason_and_what_it_means() {
    let docs = include_str!("../../../docs/monitor.md");
    assert!(docs.contains(&rows()), "the table of docs/monitor.md is to be:\n{}", rows());
}
