//! Ranges of ports of this host that must not overlap those of source translation.

use std::fs;

use crate::config::PortRange;

/// Kubernetes' node ports unless the API server was told otherwise; nothing in the API says it.
pub const NODE_PORTS: PortRange = PortRange { min: 30_000, max: 32_767 };

/// Whom the range of source translation overlaps on this host; each a line that names both.
pub fn overlaps(range: PortRange) -> Vec<String> {
    let read = |name: &str| fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap_or_default();
    told(range, ephemeral(&read("ip_local_port_range")), &reserved(&read("ip_local_reserved_ports")))
}

/// `ip_local_port_range`: two numbers.
fn ephemeral(text: &str) -> Option<PortRange> {
    let mut ports = text.split_whitespace().map_while(|port| port.parse().ok());
    Some(PortRange { min: ports.next()?, max: ports.next()? })
}

/// `ip_local_reserved_ports`: ports and ranges between commas.
fn reserved(text: &str) -> Vec<PortRange> {
    let range = |part: &str| {
        let (min, max) = part.split_once('-').unwrap_or((part, part));
        Some(PortRange { min: min.trim().parse().ok()?, max: max.trim().parse().ok()? })
    };
    text.split(',').filter_map(range).collect()
}

fn told(range: PortRange, ephemeral: Option<PortRange>, reserved: &[PortRange]) -> Vec<String> {
    let mut lines = Vec::new();
    if range.overlaps(NODE_PORTS) {
        lines.push(format!("ports for source translation, {range}, overlap node ports, {NODE_PORTS}"));
    }
    // The kernel gives a port to the node's own connections by itself if both have it and nobody reserved it.
    let is_given = |port: u16| {
        ephemeral.is_some_and(|ports| ports.contains(port))
            && !reserved.iter().any(|range| range.contains(port))
    };
    if let Some(ephemeral) = ephemeral.filter(|_| range.ports().any(is_given)) {
        lines.push(format!(
            "ports for source translation, {range}, overlap net.ipv4.ip_local_port_range, {ephemeral}: choose others \
             by --snat-ports, or put them into net.ipv4.ip_local_reserved_ports"
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ranges_are_named() {
        let linux = "32768\t60999\n";
        let table = [
            ("1024-29999", linux, "", ""),
            ("1024-30000", linux, "", "1024-30000 30000-32767"),
            ("1024-29999", "20000 60999", "", "1024-29999 20000-60999"),
            ("1024-29999", "20000 60999", "20000-29998,29999", ""),
            ("1024-29999", "20000 60999", "80,20000-29998", "1024-29999 20000-60999"),
            ("40000-50000", linux, "", "40000-50000 32768-60999"),
            ("32767-32768", linux, "", "32767-32768 30000-32767 32767-32768 32768-60999"),
            ("40000-50000", "", "", ""),
        ];
        for (range, local, held, expected) in table {
            let lines = told(range.parse().unwrap(), ephemeral(local), &reserved(held)).join(" ");
            let is_range = |word: &&str| word.parse::<PortRange>().is_ok();
            let words = lines.split([' ', ',', ':']).filter(is_range).collect::<Vec<_>>().join(" ");
            assert_eq!(words, expected, "{range} {local:?} {held:?}: {lines}");
        }
    }
}
