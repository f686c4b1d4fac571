//! Which features work under which kernel, by the tests that use them.

use super::outcome::{End, Reader, align};

/// A feature, and the tests that show it: a suite, and how their names begin.
struct Feature {
    name: &'static str,
    tests: &'static [(&'static str, &'static str)],
}

/// In the order of the table's columns.
const FEATURES: &[Feature] = &[
    Feature { name: "verifier", tests: &[("prog", "budget::")] },
    Feature {
        name: "packets",
        tests: &[("prog", "cluster_ip"), ("prog", "remote_backend"), ("prog", "outside")],
    },
    Feature {
        name: "XDP",
        tests: &[
            ("prog", "with_xdp::"),
            ("netns", "xdp::"),
            ("vm", "jumbo::large_frames_come_in_front"),
            ("vm", "vlan::a_client_in_a_vlan_is_served_behind_a_program"),
        ],
    },
    Feature {
        name: "clsact",
        tests: &[("netns", "clsact::"), ("vm", "vlan::a_client_in_a_vlan_is_served_by_filters")],
    },
    Feature { name: "node", tests: &[("netns", "sandbox::"), ("netns", "reach::")] },
    Feature { name: "SCTP", tests: &[("vm", "sctp::")] },
    Feature { name: "netkit", tests: &[("vm", "netkit::")] },
    Feature { name: "VLAN", tests: &[("vm", "vlan::")] },
    Feature { name: "bond", tests: &[("vm", "bond::")] },
    Feature { name: "jumbo", tests: &[("vm", "jumbo::")] },
];

impl Feature {
    /// One cell of the table.
    fn cell(&self, reader: &Reader) -> &'static str {
        let ends = self.tests.iter().flat_map(|(suite, begin)| {
            let tests = reader.suites.get(*suite).into_iter().flat_map(|outcome| &outcome.tests);
            tests.filter(move |(test, _)| test.starts_with(begin)).map(|(_, end)| *end)
        });
        let ends: Vec<End> = ends.collect();
        if ends.contains(&End::Failed) {
            "FAILED"
        } else if ends.contains(&End::Passed) {
            "yes"
        } else if ends.is_empty() {
            "-"
        } else {
            "no"
        }
    }
}

/// The table: a row for each kernel, a column for each feature. `-` is what was not asked.
pub(crate) fn table(kernels: &[(String, Reader)]) -> String {
    let head = ["KERNEL"].into_iter().chain(FEATURES.iter().map(|feature| feature.name));
    let rows = kernels.iter().map(|(kernel, reader)| {
        [kernel.as_str()].into_iter().chain(FEATURES.iter().map(|feature| feature.cell(reader))).collect()
    });
    align(&[head.collect()].into_iter().chain(rows).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_is_as_good_as_its_tests() {
        let mut reader = Reader::default();
        for line in [
            "SVCLB-VM begin vm",
            "test sctp::a ... ok",
            "test sctp::b ... ok",
            "test vlan::a_client ... ok",
            "test vlan::a_check ... FAILED",
            "test netkit::a ... ignored",
            "SVCLB-VM end vm 1",
        ] {
            reader.line(line);
        }
        let text = table(&[("6.1".to_owned(), reader)]);
        let cells: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        let names: Vec<&str> = text.lines().next().unwrap().split_whitespace().collect();
        let cell = |name: &str| cells[names.iter().position(|found| *found == name).unwrap()];
        assert_eq!(["SCTP", "VLAN", "netkit", "bond"].map(cell), ["yes", "FAILED", "no", "-"]);
    }
}
