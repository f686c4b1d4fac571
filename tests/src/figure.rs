//! What benches tell to other programs: a line of JSON for each figure. The fields and names stay.

use std::{fs::OpenOptions, io::Write as _, path::Path};

use anyhow::Context as _;
use serde::Serialize;

/// One figure, as a ratio to another one of the same run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// `hotpath`, `traffic` or `control-plane`.
    pub bench: &'static str,
    /// What was measured, words joined by `_`.
    pub case: String,
    /// Median of the rounds' ratios to `base`.
    pub ratio: f64,
    /// What the ratio is to: a case of the same run.
    pub base: String,
    /// Median of the figure itself.
    pub value: f64,
    /// What `value` counts: `ns`, `ms`, `us`, `1/s`, `MiB`.
    pub unit: &'static str,
    /// Lower quartile of the ratios.
    pub q1: f64,
    /// Upper quartile of the ratios.
    pub q3: f64,
    /// The ratio to be reached, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goal: Option<f64>,
}

/// Adds figures to a file: several benches may write to one.
pub fn append(file: &Path, figures: &[Figure]) -> anyhow::Result<()> {
    let name = || file.display().to_string();
    let mut out = OpenOptions::new().create(true).append(true).open(file).with_context(name)?;
    let mut text = String::new();
    for figure in figures {
        text += &serde_json::to_string(figure)?;
        text.push('\n');
    }
    out.write_all(text.as_bytes()).with_context(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_each_figure_behind_those_that_are_there() {
        let figure = |case: &str, goal| Figure {
            bench: "hotpath",
            case: case.to_owned(),
            ratio: 0.75,
            base: "xdp_floor_hot_v4".to_owned(),
            value: 56.5,
            unit: "ns",
            q1: 0.5,
            q3: 1.0,
            goal,
        };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("figures.json");
        append(&file, &[figure("xdp_snat_established_hot_v4", Some(1.0))]).unwrap();
        append(&file, &[figure("xdp_pass_v4", None)]).unwrap();
        let line = |case, end| {
            format!(
                "{{\"bench\":\"hotpath\",\"case\":\"{case}\",\"ratio\":0.75,\"base\":\"xdp_floor_hot_v4\",\
                 \"value\":56.5,\"unit\":\"ns\",\"q1\":0.5,\"q3\":1.0{end}}}\n"
            )
        };
        let expected = line("xdp_snat_established_hot_v4", ",\"goal\":1.0") + &line("xdp_pass_v4", "");
        assert_eq!(std::fs::read_to_string(file).unwrap(), expected);
    }
}
