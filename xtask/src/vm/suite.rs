//! What runs inside a machine: suites of tests, and which of their tests a kernel cannot pass.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::outcome::{End, Outcome};

/// A suite, which is a test target of `svclb-tests`.
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    /// How long it may take when it is interpreted, in seconds.
    pub(crate) seconds: u64,
    /// Without a filter, only tests whose names begin so; none means all.
    chosen: &'static [&'static str],
}

/// In the order in which they run.
pub(crate) const SUITES: &[Suite] = &[
    Suite { name: "prog", seconds: 1800, chosen: &[] },
    Suite { name: "vm", seconds: 1800, chosen: &[] },
    Suite { name: "netns", seconds: 3600, chosen: &["clsact::", "sandbox::"] },
];

/// What fits into CI, in a few minutes (`--ci`): series of kernels with their filters. The oldest kernel proves that its
/// verifier takes every program and that packets come out right. The other one has its own verifier as well, and a node
/// with real sockets: a client in a VLAN, and an agent with clsact filters.
pub(crate) const CI: &[(&str, &[&str])] = &[
    ("6.1", &["prog::budget::", "prog::cluster_ip", "prog::remote_backend"]),
    ("6.12", &["prog::budget::", "vm::vlan::a_client_in_a_vlan_is_served", "netns::clsact::filters_serve"]),
];

/// Tests that a series of kernels has nothing for: the series, the suite, how names begin.
const LACKING: &[(&str, &str, &str)] = &[("6.1", "vm", "netkit::")];

/// Per cent of the budget of verified instructions: Linux 6.1 needs 2.2 times as many as 6.18.
const BUDGET: &str = "240";

/// The factor by which tests are more patient than on a host: an interpreted machine on a host with other work as well is
/// that slow. Who waits longer than needed has failed anyway.
const PATIENCE: &str = "10";

/// What `filters` leave of the suites. A filter is a suite's name, which may go on with `::` and the beginning of
/// tests' names, or else a part of tests' names in any suite.
pub(crate) fn chosen(filters: &[String]) -> Vec<(&'static Suite, Vec<String>)> {
    let of_suite = |suite: &'static Suite| {
        if filters.is_empty() {
            return Some((suite, suite.chosen.iter().map(ToString::to_string).collect()));
        }
        let mut tests = Vec::new();
        for filter in filters {
            let (first, rest) = filter.split_once("::").unwrap_or((filter, ""));
            match (first == suite.name, SUITES.iter().any(|other| other.name == first)) {
                (true, _) if rest.is_empty() => return Some((suite, Vec::new())),
                (true, _) => tests.push(rest.to_owned()),
                (false, true) => {}
                (false, false) => tests.push(filter.clone()),
            }
        }
        (!tests.is_empty()).then_some((suite, tests))
    };
    SUITES.iter().filter_map(of_suite).collect()
}

impl Suite {
    /// What the machine's first process is told of it (`tests/src/bin/vm_init.rs`).
    pub(crate) fn task(&self, series: &str, tests: &[String], folder: &str, agent: &str) -> Value {
        let mut arguments = tests.to_vec();
        for (_, _, name) in self.lacking(series) {
            arguments.extend(["--skip".to_owned(), (*name).to_owned()]);
        }
        let environment: BTreeMap<&str, &str> = [
            ("HOME", "/root"),
            ("PATH", "/usr/bin"),
            ("SVCLB_BIN", agent),
            ("SVCLB_TEST_NO_SKIP", "1"),
            ("SVCLB_TEST_PATIENCE", PATIENCE),
            ("SVCLB_TEST_BUDGET", BUDGET),
        ]
        .into();
        json!({
            "name": self.name,
            "program": self.program(),
            "arguments": arguments,
            "folder": folder,
            "environment": environment,
            "seconds": self.seconds,
        })
    }

    /// Where its binary is, inside.
    pub(crate) fn program(&self) -> String {
        format!("/tests/{}", self.name)
    }

    /// Tells of tests that were left out, and of those that say that they cannot run where they can.
    pub(crate) fn judge(&self, series: &str, outcome: &mut Outcome) {
        for (_, _, name) in self.lacking(series) {
            outcome.tests.insert(format!("{name}*"), End::NotSupported);
        }
        let lacks = |test: &str| self.lacking(series).any(|(_, _, name)| test.starts_with(name));
        let wrong = outcome.tests.iter().filter(|(test, end)| **end == End::NotSupported && !lacks(test));
        let wrong: Vec<String> = wrong.map(|(test, _)| test.clone()).collect();
        for test in wrong {
            outcome.failures.push(format!("{test}: did not run, and this kernel has what it needs"));
            outcome.tests.insert(test, End::Failed);
        }
    }

    fn lacking(
        &self,
        series: &str,
    ) -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
        let (name, series) = (self.name, series.to_owned());
        LACKING.iter().filter(move |(lacking, suite, _)| *lacking == series && *suite == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(filters: &[&str]) -> Vec<(&'static str, Vec<String>)> {
        let filters: Vec<String> = filters.iter().map(ToString::to_string).collect();
        chosen(&filters).into_iter().map(|(suite, tests)| (suite.name, tests)).collect()
    }

    #[test]
    fn filters_name_suites_and_tests() {
        assert_eq!(names(&[]).len(), SUITES.len());
        assert_eq!(names(&["netns"]), [("netns", vec![])]);
        assert_eq!(names(&["netns::clsact", "vm"]), [("vm", vec![]), ("netns", vec!["clsact".to_owned()])]);
        let everywhere = names(&["sctp"]);
        assert!(everywhere.iter().all(|(_, tests)| *tests == ["sctp"]) && everywhere.len() == SUITES.len());
    }

    #[test]
    fn what_ci_runs_names_a_suite_and_part_of_it() {
        for (series, filters) in CI {
            for filter in *filters {
                let chosen = names(&[filter]);
                let is_part =
                    |(suite, tests): &(&str, Vec<String>)| *filter == format!("{suite}::{}", tests.concat());
                assert!(chosen.len() == 1 && chosen.iter().all(is_part), "{series}: {filter}: {chosen:?}");
            }
        }
    }

    #[test]
    fn what_a_kernel_has_must_run() {
        let suite = SUITES.iter().find(|suite| suite.name == "vm").unwrap();
        let outcome = || Outcome {
            tests: [("netkit::a".to_owned(), End::NotSupported)].into(),
            code: Some("0".into()),
            ..Outcome::default()
        };
        let [mut old, mut new] = [outcome(), outcome()];
        suite.judge("6.1", &mut old);
        assert!(old.is_good());
        suite.judge("6.12", &mut new);
        assert!(!new.is_good() && new.failures[0].contains("netkit::a"));
    }
}
