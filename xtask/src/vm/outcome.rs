//! What a machine's console tells of its suites, and the table of it all.

use std::collections::BTreeMap;

/// Begins each line of the machine's first process (`tests/src/bin/vm_init.rs`).
const MARK: &str = "SVCLB-VM ";

/// How one test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Passed,
    Failed,
    /// The kernel does not have what it tests.
    NotSupported,
}

/// What is known of one suite in one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// By the test's name.
    pub(crate) tests: BTreeMap<String, End>,
    /// The exit code, or what took its place; none until it has ended.
    pub(crate) code: Option<String>,
    /// What it prints of its failures.
    pub(crate) failures: Vec<String>,
    /// Complaints of the kernel.
    pub(crate) complaints: Vec<String>,
}

impl Outcome {
    /// How many tests ended so.
    pub(crate) fn count(&self, end: End) -> usize {
        self.tests.values().filter(|found| **found == end).count()
    }

    /// Whether it has ended, and well.
    pub(crate) fn is_good(&self) -> bool {
        self.code.as_deref() == Some("0") && self.count(End::Failed) == 0 && self.complaints.is_empty()
    }

    /// One cell of the table.
    fn cell(&self) -> String {
        let [passed, failed, lacking] =
            [End::Passed, End::Failed, End::NotSupported].map(|end| self.count(end));
        let mut words = if passed + failed == 0 && lacking > 0 {
            vec!["not supported".to_owned()]
        } else {
            let mut words = vec![format!("{passed} passed")];
            let others = [(failed, "failed"), (lacking, "not supported")];
            words.extend(
                others.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")),
            );
            words
        };
        match self.code.as_deref() {
            Some("0") => {}
            Some("late") => words.push("late".to_owned()),
            // failed tests have said so already
            Some(_) if failed > 0 => {}
            Some(code) => words.push(format!("ended with {code}")),
            None => words.push("did not end".to_owned()),
        }
        if !self.complaints.is_empty() {
            words.push("the kernel complained".to_owned());
        }
        words.join(", ")
    }
}

/// Reads a console line by line.
#[derive(Default)]
pub(crate) struct Reader {
    /// By the suite's name.
    pub(crate) suites: BTreeMap<String, Outcome>,
    current: Option<String>,
    tells_failures: bool,
    /// Why the machine did not get to its suites.
    pub(crate) trouble: Option<String>,
}

impl Reader {
    /// Takes in a line, and says what is worth being shown at once.
    pub(crate) fn line(&mut self, line: &str) -> Option<String> {
        // what a process has printed without an end of line is before the mark
        if let Some((_, told)) = line.split_once(MARK) {
            return self.told(told);
        }
        if line.contains("Kernel panic") {
            self.trouble = Some(line.to_owned());
        }
        let outcome = self.suites.get_mut(self.current.as_ref()?)?;
        if let Some((test, end)) = ended(line) {
            outcome.tests.insert(test.to_owned(), end);
            return (end == End::Failed).then(|| format!("{test} failed"));
        }
        self.tells_failures |= line == "failures:";
        if self.tells_failures {
            outcome.failures.push(line.to_owned());
        }
        None
    }

    /// Tells of suites that were asked for and did not begin.
    pub(crate) fn expect_suites<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        for name in names {
            self.suites.entry(name.to_owned()).or_default();
        }
    }

    /// Tells of filters that found no test, in a machine that ran all: who renames a test must not end with a run of
    /// nothing.
    pub(crate) fn expect_tests(&mut self, filters: &[String]) {
        for filter in filters {
            let (first, rest) = filter.split_once("::").unwrap_or((filter, ""));
            let is_found = match self.suites.get(first) {
                Some(suite) => suite.tests.keys().any(|test| test.contains(rest)),
                None => self
                    .suites
                    .values()
                    .flat_map(|suite| suite.tests.keys())
                    .any(|test| test.contains(filter)),
            };
            if !is_found && self.trouble.is_none() {
                self.trouble = Some(format!("there is no test by the name {filter}"));
            }
        }
    }

    fn told(&mut self, told: &str) -> Option<String> {
        let (word, rest) = told.split_once(' ').unwrap_or((told, ""));
        match word {
            "begin" => {
                self.suites.insert(rest.to_owned(), Outcome::default());
                self.current = Some(rest.to_owned());
                self.tells_failures = false;
                None
            }
            "kernel" => {
                let outcome = self.suites.get_mut(self.current.as_ref()?)?;
                outcome.complaints.push(rest.to_owned());
                Some(format!("the kernel: {rest}"))
            }
            "spent" => Some(format!("{rest} seconds in programs, and in the kernel for them")),
            "end" => {
                let (suite, code) = rest.split_once(' ').unwrap_or((rest, ""));
                self.current = None;
                let outcome = self.suites.get_mut(suite)?;
                outcome.code = Some(code.to_owned());
                Some(format!("{suite}: {}", outcome.cell()))
            }
            "failed" => {
                self.trouble = Some(rest.to_owned());
                Some(rest.to_owned())
            }
            _ => None,
        }
    }
}

/// The name and the end of a test, in a line of libtest or one that prints like it.
fn ended(line: &str) -> Option<(&str, End)> {
    let (_, rest) = line.split_once("test ")?;
    let (test, end) = rest.rsplit_once(" ... ")?;
    let end = match end.split([' ', ',']).next()? {
        "ok" => End::Passed,
        "FAILED" => End::Failed,
        "ignored" => End::NotSupported,
        _ => return None,
    };
    Some((test.trim_end(), end))
}

/// The table: a row for each kernel, a column for each suite.
pub(crate) fn table(suites: &[&str], kernels: &[(String, Reader)]) -> String {
    let head = ["KERNEL".to_owned()].into_iter().chain(suites.iter().map(|suite| suite.to_uppercase()));
    let rows = kernels.iter().map(|(kernel, reader)| {
        let cell = |suite: &&str| reader.suites.get(*suite).map_or("-".to_owned(), Outcome::cell);
        [kernel.clone()].into_iter().chain(suites.iter().map(cell)).collect::<Vec<_>>()
    });
    align(&[head.collect()].into_iter().chain(rows).collect::<Vec<_>>())
}

/// Rows of the same number of cells as lines, with a column for each.
pub(crate) fn align<S: AsRef<str>>(rows: &[Vec<S>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].as_ref().len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<S>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{:<width$}", cell.as_ref()));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Reader {
        let mut reader = Reader::default();
        text.lines().for_each(|line| {
            reader.line(line);
        });
        reader
    }

    const CONSOLE: &str = "\
[    1.0] Run /init
SVCLB-VM begin prog
running 2 tests
test front::vlan ... ok
test tables ... FAILED
failures:
---- tables stdout ----
SVCLB-VM end prog 101
SVCLB-VM begin vm
test netkit::a_pod ... ignored
test sctp::a_pod   ... ok, at last
a lineSVCLB-VM kernel [   12.3] WARNING: CPU: 0
SVCLB-VM end vm 0
SVCLB-VM begin netns
test a ... ok
SVCLB-VM end netns late
SVCLB-VM done";

    #[test]
    fn a_console_is_read() {
        let found = read(CONSOLE);
        let prog = &found.suites["prog"];
        assert_eq!((prog.count(End::Passed), prog.count(End::Failed)), (1, 1));
        assert_eq!(prog.failures, ["failures:", "---- tables stdout ----"]);
        let vm = &found.suites["vm"];
        assert_eq!((vm.count(End::Passed), vm.count(End::NotSupported)), (1, 1));
        assert_eq!(vm.complaints, ["[   12.3] WARNING: CPU: 0"]);
        assert!(!prog.is_good() && !vm.is_good() && !found.suites["netns"].is_good());
    }

    #[test]
    fn a_suite_without_failures_is_good_once_it_has_ended() {
        let text = "SVCLB-VM begin a\ntest b ... ok\ntest c ... ignored\n";
        assert!(!read(text).suites["a"].is_good());
        assert!(read(&format!("{text}SVCLB-VM end a 0\n")).suites["a"].is_good());
        assert!(!read(&format!("{text}SVCLB-VM end a 1\n")).suites["a"].is_good());
    }

    #[test]
    fn what_was_asked_for_has_to_run() {
        let trouble = |filters: &[&str]| {
            let mut reader = read("SVCLB-VM begin vm\ntest vlan::a ... ok\nSVCLB-VM end vm 0\n");
            reader.expect_suites(["vm"].into_iter());
            reader.expect_tests(&filters.iter().map(ToString::to_string).collect::<Vec<_>>());
            reader.trouble
        };
        for found in ["vm", "vm::vlan", "vlan", "lan::a"] {
            assert_eq!(trouble(&[found]), None);
        }
        for lost in ["vm::bond", "prog", "bond"] {
            assert!(trouble(&["vm", lost]).is_some_and(|line| line.ends_with(lost)));
        }
        let mut reader = read("SVCLB-VM begin vm\nSVCLB-VM end vm 0\n");
        reader.expect_suites(["vm", "prog"].into_iter());
        assert!(reader.suites["vm"].is_good() && !reader.suites["prog"].is_good());
    }

    #[test]
    fn a_machine_that_panics_says_why() {
        let found = read("SVCLB-VM begin a\n[    2.0] Kernel panic - not syncing: no");
        assert_eq!(found.trouble.as_deref(), Some("[    2.0] Kernel panic - not syncing: no"));
        assert!(!found.suites["a"].is_good());
    }

    #[test]
    fn the_table_has_a_row_for_each_kernel() {
        let text = table(&["prog", "vm", "netns", "other"], &[("6.1".into(), read(CONSOLE))]);
        let wanted = "\
KERNEL  PROG                VM                                                NETNS           OTHER
6.1     1 passed, 1 failed  1 passed, 1 not supported, the kernel complained  1 passed, late  -
";
        assert_eq!(text, wanted);
    }
}
