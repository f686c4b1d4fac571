//! What cases are called in figures: names that stay, for programs that read them.

use crate::case::{Case, Family};

/// Path and name, without family.
const NAMES: &[(&str, &str)] = &[
    ("xdp: verdict", "xdp_verdict_hot"),
    ("xdp: verdict, 64k flows", "xdp_verdict_64k"),
    ("xdp: verdict, new flows", "xdp_verdict_new"),
    ("xdp: verdict, room made", "xdp_verdict_room_made"),
    ("tc: verdict", "tc_verdict_hot"),
    ("xdp: parse", "xdp_parse"),
    ("xdp: parse, service", "xdp_parse_service"),
    ("xdp: parse, call", "xdp_parse_call"),
    ("xdp: parse, coarse clock", "xdp_parse_coarse_clock"),
    ("xdp: parse, jiffies", "xdp_parse_jiffies"),
    ("xdp: parse, counter", "xdp_parse_counter"),
    ("xdp: floor", "xdp_floor_hot"),
    ("xdp: floor with bpf_fib_lookup", "xdp_floor_routed_hot"),
    ("xdp: floor, 64k flows", "xdp_floor_64k"),
    ("xdp: floor with bpf_fib_lookup, 64k flows", "xdp_floor_routed_64k"),
    ("xdp: floor, new flows", "xdp_floor_new"),
    ("xdp: floor, new flows, both directions", "xdp_floor_pair_new"),
    ("tc: parse", "tc_parse"),
    ("tc: parse, service", "tc_parse_service"),
    ("tc: parse, l4_csum_replace", "tc_parse_l4_csum_replace"),
    ("tc: floor", "tc_floor_hot"),
    ("uplink_xdp: node port, snat", "xdp_snat_established_hot"),
    ("uplink_xdp: node port, snat, answer", "xdp_snat_answer_established_hot"),
    ("uplink_xdp: node port, snat, 64k flows", "xdp_snat_established_64k"),
    ("uplink_xdp: node port, snat, new flows", "xdp_snat_new"),
    ("uplink_xdp: no Service's, to a pod", "xdp_pass"),
    ("uplink_xdp: no Service's, to the node", "xdp_pass_to_node"),
    ("pod_ingress: pod to ClusterIP", "tc_clusterip_established_hot"),
    ("pod_egress: pod to ClusterIP, answer", "tc_clusterip_answer_established_hot"),
    ("uplink_ingress: node port, backend here", "tc_local_established_hot"),
    ("uplink_egress: node port, answer", "tc_local_answer_established_hot"),
    ("uplink_ingress: node port, snat", "tc_snat_established_hot"),
    ("pod_ingress: no Service's", "tc_pass_pod_ingress"),
    ("pod_egress: no Service's", "tc_pass_pod_egress"),
    ("pod_ingress: no Service's, SYN", "tc_pass_syn_pod_ingress"),
    ("pod_egress: no Service's, SYN", "tc_pass_syn_pod_egress"),
    ("uplink_ingress: no Service's", "tc_pass_uplink_ingress"),
    ("uplink_egress: no Service's", "tc_pass_uplink_egress"),
    ("uplink_xdp: node port, dsr", "xdp_dsr_established_hot"),
    ("uplink_xdp: node port, dsr, 64k flows", "xdp_dsr_established_64k"),
];

/// The name of a case. A path of another build has that build's label behind its own.
pub(crate) fn name(case: &Case) -> String {
    let family = if case.family == Family::V4 { "v4" } else { "v6" };
    format!("{}_{family}", of(&case.path))
}

fn of(path: &str) -> String {
    let known = |text: &str| NAMES.iter().find(|(path, _)| *path == text).map(|(_, name)| (*name).to_owned());
    known(path)
        .or_else(|| {
            path.rsplit_once(", ").and_then(|(path, label)| Some(format!("{}_{label}", known(path)?)))
        })
        .unwrap_or_else(|| path.split(|c: char| !c.is_ascii_alphanumeric()).collect::<Vec<_>>().join("_"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_words_and_each_is_one_cases() {
        let names: BTreeSet<_> = NAMES.iter().map(|(_, name)| name).collect();
        assert_eq!(names.len(), NAMES.len());
        let is_word = |name: &str| {
            name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        assert!(names.iter().all(|name| is_word(name)), "{names:?}");
    }

    #[test]
    fn other_builds_have_their_label() {
        assert_eq!(of("uplink_xdp: node port, snat, 64k flows"), "xdp_snat_established_64k");
        assert_eq!(of("uplink_xdp: node port, snat, 64k flows, old"), "xdp_snat_established_64k_old");
        assert_eq!(of("some: other path"), "some__other_path");
    }
}
