//! `docs/monitor.md` has every reason as the programs and the monitor know it.

use svclb_common::sign::Cause;

/// The rows of its table.
fn rows() -> String {
    Cause::each()
        .map(|cause| format!("| `{}` | {} | {} |\n", cause.as_str(), cause.kind(), cause.explanation()))
        .collect()
}

#[test]
fn the_documentation_has_every_reason_and_what_it_means() {
    let docs = include_str!("../../../docs/monitor.md");
    assert!(docs.contains(&rows()), "the table of docs/monitor.md is to be:\n{}", rows());
}
