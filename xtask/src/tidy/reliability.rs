//! The tests that the page of promises names are there.

use super::semantics::judge;

/// The page with the promises.
pub(super) const PAGE: &str = "docs/reliability.md";

/// One line for each test on the page that is not there. `read` gives a file's text by its path from the root.
pub(super) fn check(page: Option<&str>, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let Some(page) = page else { return vec![format!("{PAGE}: is missing; it maps promises to tests")] };
    let mut findings = Vec::new();
    for (text, line) in page.lines().zip(1..) {
        let Some((_, shown_by)) = row(text) else { continue };
        let of_row = |finding| format!("{PAGE}:{line}: {finding}");
        findings.extend(shown_by.split("<br>").filter_map(|test| judge(test.trim(), &read)).map(of_row));
    }
    findings
}

/// A promise and what shows it, from a line of a table that is none of its first two.
fn row(line: &str) -> Option<(&str, &str)> {
    let cells = line.strip_prefix("| ")?.strip_suffix(" |")?.rsplit_once(" | ")?;
    (cells != ("promise", "shown by")).then_some(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> Option<String> {
        (path == "a.rs").then(|| "//! A file.\nfn there() {}\n".to_owned())
    }

    #[test]
    fn what_is_named_is_there() {
        let page =
            |tests: &str| format!("# P\n\n| promise | shown by |\n|---|---|\n| A \\| b. | {tests} |\n");
        let found = |tests: &str| check(Some(&page(tests)), file);
        assert_eq!(found("`a.rs::there`"), [""; 0]);
        assert_eq!(found("`a.rs::there`<br>`a.rs::gone`"), ["docs/reliability.md:5: a.rs has no \"gone\""]);
        assert_eq!(found("a test").len(), 1);
        assert_eq!(check(None, file).len(), 1);
    }
}
