//! The quirks of source ranges.

use super::*;

#[test]
fn who_may_pass() {
    let table: [(&str, &[&str], &str, Option<&str>); 10] = [
        ("no ranges", &[], "192.0.2.1", None),
        ("a range", &["198.51.100.0/24"], "", Some("198.51.100.0/24")),
        ("everything beside a range", &["198.51.100.0/24", "0.0.0.0/0"], "", None),
        ("everything of the other family", &["198.51.100.0/24", "::/0"], "", Some("198.51.100.0/24")),
        ("only the other family", &["2001:db8::/32"], "", None),
        ("the same twice", &["198.51.100.0/24", "198.51.100.0/24"], "", Some("198.51.100.0/24")),
        ("the node is within", &["192.0.2.0/24"], "192.0.2.1", Some("192.0.2.0/24 203.0.113.1/32 host")),
        ("the node is not", &["192.0.2.0/24"], "192.0.3.1", Some("192.0.2.0/24")),
        (
            "only one address of the node",
            &["192.0.2.0/24"],
            "192.0.3.1 192.0.2.9 2001:db8::1",
            Some("192.0.2.0/24 203.0.113.1/32 host"),
        ),
        (
            "the node is within the other family",
            &["192.0.2.0/24", "2001:db8::/32"],
            "2001:db8::1",
            Some("192.0.2.0/24"),
        ),
    ];
    for (case, listed, node, expected) in table {
        let listed: Vec<_> = listed.iter().map(|text| parse_range(text).unwrap()).collect();
        let node: Vec<_> = node.split_whitespace().map(|text| text.parse().unwrap()).collect();
        let vip = ["203.0.113.1".parse().unwrap()];
        let shown = SourceRanges::new(&listed, Family::V4, &vip, &node).map(|sources| {
            let mut words: Vec<_> = sources.ranges.iter().map(ToString::to_string).collect();
            words.extend(sources.admits_host.then(|| "host".to_owned()));
            words.join(" ")
        });
        assert_eq!(shown.as_deref(), expected, "{case}");
        assert_eq!(SourceRanges::new(&listed, Family::V4, &[], &node), None, "{case}, without a VIP");
    }
}

#[test]
fn a_client_is_within_some_range() {
    let ranges = ["192.0.2.0/24", "198.51.100.7/32"].map(|text| parse_range(text).unwrap());
    let sources = SourceRanges { ranges: ranges.into(), admits_host: false };
    let table =
        [("192.0.2.200", true), ("198.51.100.7", true), ("198.51.100.8", false), ("2001:db8::1", false)];
    for (client, expected) in table {
        assert_eq!(sources.admits(client.parse().unwrap()), expected, "{client}");
    }
}
