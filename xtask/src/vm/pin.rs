//! The kernels that are tested: `xtask/kernels`, a committed list of packages.

use std::{collections::BTreeMap, fmt::Write as _};

use anyhow::{Context as _, bail};

/// The list.
pub(crate) const FILE: &str = "xtask/kernels";

/// How to bring the list up to date.
pub(crate) const RENEW: &str = "`cargo xtask kernels` pins what the mirror has now";

/// A package of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pin {
    /// What `--kernel` names: the first two numbers of the version.
    pub(crate) series: String,
    /// The suite of the distribution.
    pub(crate) suite: String,
    /// The package's name.
    pub(crate) package: String,
    /// The package's version.
    pub(crate) version: String,
    /// The SHA-256 of the package's file, in hexadecimal.
    pub(crate) sha256: String,
}

/// What the list says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pins {
    /// Lines before the first package.
    comment: String,
    /// In the order of the file.
    pub(crate) pins: Vec<Pin>,
}

impl Pins {
    /// Lines of five words, and comments above them.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let is_comment = |line: &&str| line.is_empty() || line.starts_with('#');
        let comment = text.lines().take_while(is_comment).flat_map(|line| [line, "\n"]).collect();
        let lines = text.lines().filter(|line| !is_comment(line));
        let pins = lines.map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
            [series, suite, package, version, sha256] => {
                let [series, suite, package, version, sha256] =
                    [series, suite, package, version, sha256].map(str::to_owned);
                Ok(Pin { series, suite, package, version, sha256 })
            }
            _ => bail!("{FILE}: `{line}` is not: series, suite, package, version, SHA-256"),
        });
        Ok(Self { comment, pins: pins.collect::<anyhow::Result<_>>()? })
    }

    /// The file.
    pub(crate) fn print(&self) -> String {
        let mut text = self.comment.clone();
        for Pin { series, suite, package, version, sha256 } in &self.pins {
            // Writing to a String does not fail.
            writeln!(text, "{series:<5} {suite:<17} {package:<45} {version:<18} {sha256}").ok();
        }
        text
    }

    /// The packages of each series, which were asked for or are all there are.
    pub(crate) fn chosen(&self, series: &[String]) -> anyhow::Result<Vec<(String, Vec<Pin>)>> {
        let mut all: Vec<(String, Vec<Pin>)> = Vec::new();
        for pin in &self.pins {
            match all.iter_mut().find(|(series, _)| *series == pin.series) {
                Some((_, pins)) => pins.push(pin.clone()),
                None => all.push((pin.series.clone(), vec![pin.clone()])),
            }
        }
        let by_name: BTreeMap<String, Vec<Pin>> = all.iter().cloned().collect();
        if series.is_empty() {
            return Ok(all);
        }
        let names = all.iter().map(|(series, _)| series.as_str()).collect::<Vec<_>>().join(", ");
        series
            .iter()
            .map(|name| {
                let pins = by_name.get(name).cloned();
                Ok((name.clone(), pins.with_context(|| format!("{FILE} has no kernel {name}, but {names}"))?))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# why\n\n\
        6.1   bookworm-security linux-image-6.1.0-1-cloud-amd64               6.1.9-1            aa\n\
        7.1   trixie-backports  linux-binary-7.1-cloud-amd64                  7.1.2-1            bb\n\
        7.1   trixie-backports  linux-modules-7.1-cloud-amd64                 7.1.2-1            cc\n";

    #[test]
    fn the_list_is_kept_as_it_is() {
        assert_eq!(Pins::parse(TEXT).unwrap().print(), TEXT);
    }

    #[test]
    fn kernels_are_chosen_by_series() {
        let pins = Pins::parse(TEXT).unwrap();
        let names = |series: &[&str]| {
            let series: Vec<String> = series.iter().map(ToString::to_string).collect();
            let chosen = pins.chosen(&series).unwrap();
            chosen.into_iter().map(|(series, pins)| (series, pins.len())).collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), [("6.1".to_owned(), 1), ("7.1".to_owned(), 2)]);
        assert_eq!(names(&["7.1"]), [("7.1".to_owned(), 2)]);
        let told = pins.chosen(&["5.10".into()]).unwrap_err().to_string();
        assert!(told.contains("6.1, 7.1"), "{told}");
    }

    #[test]
    fn a_line_with_a_word_missing() {
        assert!(Pins::parse("6.1 suite package version\n").is_err());
    }
}
