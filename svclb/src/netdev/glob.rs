//! Device names with `*` and `?`.

/// Whether a name matches a pattern in which `*` stands for any characters and
/// `?` for one.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to resume when the last star has to swallow one character more.
    let mut star = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((star_p, star_n)) = star else { return false };
                star = Some((star_p, star_n + 1));
                p = star_p + 1;
                n = star_n + 1;
            }
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn table() {
        let cases = [
            ("eth0", "eth0", true),
            ("eth0", "eth01", false),
            ("eth?", "eth1", true),
            ("eth?", "eth", false),
            ("cali*", "cali", true),
            ("cali*", "cali12ab", true),
            ("*", "anything", true),
            ("", "", true),
            ("", "x", false),
            ("*a*b", "xaxbxb", true),
            ("*a*b", "xaxbx", false),
            ("**", "", true),
            ("lxc*_host", "lxc_health_host", true),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
