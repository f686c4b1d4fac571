//! The map from the rules of Service semantics to the tests that show them is complete, and true.

mod rules;

use std::{collections::BTreeMap, path::Path};

use crate::tidy::source::Source;

/// The page with the map.
pub(super) const PAGE: &str = "docs/semantics.md";

/// What stands before the reason why a rule has no test.
const NONE: &str = "no test: ";

/// A rule and what shows it, from one line of the page.
struct Row<'a> {
    line: usize,
    rule: &'a str,
    shown_by: Vec<&'a str>,
}

/// One line for each rule that the page has not exactly once, and for each test on it that is not there. `read`
/// gives a file's text by its path from the root.
pub(super) fn check(page: Option<&str>, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let Some(page) = page else { return vec![format!("{PAGE}: is missing; it maps rules to tests")] };
    let rows: Vec<_> = rows(page).collect();
    let mut findings = Vec::new();
    let mut seen: BTreeMap<String, usize> = rules::required().map(|rule| (rule, 0)).collect();
    for Row { line, rule, shown_by } in &rows {
        match seen.get_mut(*rule) {
            Some(times) => *times += 1,
            None => findings
                .push(format!("{PAGE}:{line}: {rule} is no rule of xtask/src/tidy/semantics/rules.rs")),
        }
        let of_row = |finding| format!("{PAGE}:{line}: {rule}: {finding}");
        findings.extend(shown_by.iter().filter_map(|entry| judge(entry, &read)).map(of_row));
    }
    for (rule, times) in seen.into_iter().filter(|(_, times)| *times != 1) {
        findings.push(format!("{PAGE}: {rule} stands there {times} times, not once"));
    }
    findings
}

/// The lines of tables that begin with the name of a rule.
fn rows(page: &str) -> impl Iterator<Item = Row<'_>> {
    page.lines().zip(1..).filter_map(|(text, line)| {
        let (rule, rest) = text.strip_prefix("| `")?.split_once("` | ")?;
        let (_, last) = rest.strip_suffix(" |")?.rsplit_once(" | ")?;
        Some(Row { line, rule, shown_by: last.split("<br>").map(str::trim).collect() })
    })
}

/// What is wrong with one entry of the last column.
pub(super) fn judge(entry: &str, read: impl Fn(&str) -> Option<String>) -> Option<String> {
    if entry.strip_prefix(NONE).is_some_and(|reason| !reason.is_empty()) {
        return None;
    }
    let test = entry.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')?.split_once("::"));
    let Some((file, name)) = test else {
        return Some(format!("name a test as `file::test`, not {entry:?}"));
    };
    let Some(text) = read(file) else { return Some(format!("there is no file {file}")) };
    let is_rust = Path::new(file).extension().is_some_and(|kind| kind == "rs");
    let is_there = if is_rust { has_function(file, &text, name) } else { has_case(&text, name) };
    (!is_there).then(|| format!("{file} has no {name:?}"))
}

/// Whether a Rust file has a function of this name. Macros make tests of some, so an attribute is not asked for.
fn has_function(file: &str, text: &str, name: &str) -> bool {
    let declared = format!("fn {name}");
    let is_whole = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    let code = Source::new(file, text).code;
    code.iter().any(|line| line.split(&declared).skip(1).any(is_whole))
}

/// Whether a table of cases has one of this name.
fn has_case(text: &str, name: &str) -> bool {
    let of = |line: &str| {
        let line = line.trim_start().trim_start_matches("- ");
        line.strip_prefix("name: ").is_some_and(|found| found.trim().trim_matches('"') == name)
    };
    text.lines().any(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> Option<String> {
        match path {
            "a.rs" => Some("//! fn gone() {}\nfn there_too() {}\n    fn there<F>(transport) {}\n".to_owned()),
            "a.yaml" => Some("cases:\n  - name: a SYN, twice\n    steps: []\n".to_owned()),
            _ => None,
        }
    }

    /// A page on which every rule stands once.
    fn page() -> String {
        let row = |rule| format!("| `{rule}` | something | `a.rs::there` |\n");
        rules::required().map(row).collect()
    }

    #[test]
    fn a_whole_map_has_no_findings() {
        assert_eq!(check(Some(&page()), file), [""; 0]);
        assert_eq!(check(None, file).len(), 1);
    }

    #[test]
    fn every_rule_stands_once() {
        let without = page().replacen("| `trap-07` ", "| trap-07 ", 1);
        assert_eq!(
            check(Some(&without), file),
            ["docs/semantics.md: trap-07 stands there 0 times, not once"]
        );
        let twice = page() + "| `trap-07` | again | `a.rs::there` |\n";
        assert_eq!(check(Some(&twice), file), ["docs/semantics.md: trap-07 stands there 2 times, not once"]);
        let unknown = page() + "| `trap-99` | new | `a.rs::there` |\n";
        assert_eq!(check(Some(&unknown), file).len(), 1);
    }

    #[test]
    fn what_is_named_is_there() {
        let table: [(&str, Option<&str>); 11] = [
            ("`a.rs::there`", None),
            ("`a.rs::there_too`", None),
            ("`a.yaml::a SYN, twice`", None),
            ("no test: it is not ours", None),
            ("`a.rs::gone`", Some("a.rs has no \"gone\"")),
            ("`a.rs::ther`", Some("a.rs has no \"ther\"")),
            ("`a.yaml::a SYN`", Some("a.yaml has no \"a SYN\"")),
            ("`b.rs::there`", Some("there is no file b.rs")),
            ("no test: ", Some("name a test as `file::test`, not \"no test: \"")),
            ("", Some("name a test as `file::test`, not \"\"")),
            ("a.rs::there", Some("name a test as `file::test`, not \"a.rs::there\"")),
        ];
        for (entry, finding) in table {
            assert_eq!(judge(entry, file).as_deref(), finding, "{entry}");
        }
        let two = page().replacen("`a.rs::there`", "`a.rs::there`<br>`b.rs::x`", 1);
        assert_eq!(check(Some(&two), file).len(), 1);
    }
}
