//! Changes as text: one line each, steps apart by a line that says `- # step`.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Context as _;

use super::{Reference, object::Step};

/// What happens, step by step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// What it is about.
    pub about: Vec<String>,
    /// The steps.
    pub steps: Vec<Step>,
}

impl Script {
    /// A script of these steps.
    pub fn new(steps: Vec<Step>) -> Self {
        Self { about: Vec::new(), steps }
    }

    /// How many changes there are.
    pub fn changes(&self) -> usize {
        self.steps.iter().map(Vec::len).sum()
    }

    /// As YAML: a list of steps, which are lists of changes.
    pub fn text(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        for line in self.about.iter().flat_map(|about| about.lines()) {
            writeln!(text, "# {line}")?;
        }
        for (number, step) in self.steps.iter().enumerate() {
            writeln!(text, "- # step {}", number + 1)?;
            for change in step {
                writeln!(text, "  - {}", serde_json::to_string(change)?)?;
            }
        }
        Ok(text)
    }

    /// Reads what [`text`](Self::text) has written.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let about = text.lines().map_while(|line| line.strip_prefix("# ")).map(String::from).collect();
        let steps: Vec<Option<Step>> = serde_saphyr::from_str(text).context("not a script")?;
        Ok(Self { about, steps: steps.into_iter().map(Option::unwrap_or_default).collect() })
    }

    /// Reads a file.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// What there is when all has happened.
    pub fn outcome(&self, node: &str) -> Reference {
        let mut reference = Reference::new(node);
        self.steps.iter().for_each(|step| reference.apply_all(step));
        reference
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{Generator, ground::small, object::Change};

    #[test]
    fn a_script_is_what_was_written() {
        let (mut generator, mut reference) = (Generator::new(5, small()), Reference::new("here"));
        let mut script = Script { about: vec!["seed 5".into()], steps: vec![Step::new()] };
        for _ in 0..300 {
            let step = generator.next(&reference);
            reference.apply_all(&step);
            script.steps.push(step);
        }
        script.steps.push(vec![Change::NoNode, Change::NoSlice("a".into())]);
        let text = script.text().unwrap();
        assert_eq!(Script::parse(&text).unwrap(), script, "{text}");
    }
}
