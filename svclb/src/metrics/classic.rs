//! The text format of Prometheus, version 0.0.4, which every scraper reads without being asked.

use std::fmt::Write as _;

/// From the text of `OpenMetrics`. The differences are few: there a counter's family has a name without `_total`, whole
/// limits of buckets are written with a fraction, units have lines of their own, and the end has one.
pub(super) fn from_open_metrics(text: &str) -> String {
    let mut classic = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = Some(rest);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, "untyped"));
            let suffix = if kind == "counter" { "_total" } else { "" };
            let help = help.take().and_then(|help| help.split_once(' ')).map_or("", |(_, help)| help);
            push(&mut classic, format_args!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"));
        } else if !line.starts_with('#') {
            push(&mut classic, format_args!("{}\n", bucket(line)));
        }
    }
    classic
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    // A string takes whatever is written to it.
    if text.write_fmt(line).is_err() {
        text.clear();
    }
}

/// `le="1.0"` as `le="1"`, which is how kube-proxy writes it.
fn bucket(line: &str) -> String {
    let is_bucket = line.split_once('{').is_some_and(|(name, _)| name.ends_with("_bucket"));
    match line.split_once("le=\"").filter(|_| is_bucket) {
        Some((before, after)) => match after.split_once('"') {
            Some((limit, rest)) => {
                let limit = limit.strip_suffix(".0").unwrap_or(limit);
                format!("{before}le=\"{limit}\"{rest}")
            }
            None => line.to_owned(),
        },
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::from_open_metrics;

    #[test]
    fn table() {
        let cases = [
            (
                "# HELP a A thing.\n# TYPE a counter\na_total{x=\"1.0\"} 1\n# EOF\n",
                "# HELP a_total A thing.\n# TYPE a_total counter\na_total{x=\"1.0\"} 1\n",
            ),
            (
                "# HELP a_total A thing.\n# TYPE a_total gauge\na_total 1.5\n# EOF\n",
                "# HELP a_total A thing.\n# TYPE a_total gauge\na_total 1.5\n",
            ),
            (
                "# HELP h H.\n# TYPE h histogram\n# UNIT h s\nh_sum 1.0\nh_bucket{le=\"1.0\",f=\"x\"} 2\n\
                 h_bucket{le=\"0.25\",f=\"x\"} 2\nh_bucket{le=\"+Inf\"} 2\n# EOF\n",
                "# HELP h H.\n# TYPE h histogram\nh_sum 1.0\nh_bucket{le=\"1\",f=\"x\"} 2\n\
                 h_bucket{le=\"0.25\",f=\"x\"} 2\nh_bucket{le=\"+Inf\"} 2\n",
            ),
            ("# EOF\n", ""),
        ];
        for (open, classic) in cases {
            assert_eq!(from_open_metrics(open), classic);
        }
    }
}
