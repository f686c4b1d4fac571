//! A file of rows, and the product of situations that they complete.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

/// One value for each dimension of a product.
pub type Combination = BTreeMap<String, String>;

/// A file of rows.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Theme {
    /// What the rows are about and which sections of the specification they write down.
    pub about: String,
    /// The dimensions, and every value of each.
    pub product: BTreeMap<String, Vec<String>>,
    /// What becomes of each combination.
    pub rows: Vec<Row>,
}

/// Combinations with one outcome: each of the values of one dimension with each of the others.
#[derive(Debug, Deserialize)]
pub struct Row {
    /// What becomes of them, in the words of the theme.
    pub outcome: String,
    /// Values by dimension.
    #[serde(flatten)]
    pub values: BTreeMap<String, Values>,
}

/// What a row says of a dimension.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Values {
    /// A value, or `any` for all.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// Where the files are.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../bpf-fixtures/semantics")
}

impl Theme {
    /// Reads the file of that name and checks that it is complete.
    pub fn read(name: &str) -> anyhow::Result<Self> {
        let path = folder().join(format!("{name}.yaml"));
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    /// Reads rows, whose combinations must be those of the product, each once.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let theme: Self = serde_saphyr::from_str(text)?;
        let mut seen: BTreeMap<Combination, usize> = BTreeMap::new();
        for (number, row) in theme.rows.iter().enumerate() {
            for combination in theme.combinations(row).with_context(|| format!("row {}", number + 1))? {
                if let Some(other) = seen.insert(combination.clone(), number) {
                    bail!("rows {} and {} both have {combination:?}", other + 1, number + 1);
                }
            }
        }
        let whole = expand(theme.product.iter().map(|(name, values)| (name.as_str(), values.as_slice())));
        if let Some(missing) = whole.iter().find(|combination| !seen.contains_key(*combination)) {
            bail!("no row has {missing:?}");
        }
        ensure!(seen.len() == whole.len(), "a dimension has a value twice");
        Ok(theme)
    }

    /// What `row` stands for.
    pub fn combinations(&self, row: &Row) -> anyhow::Result<Vec<Combination>> {
        if let Some(unknown) = row.values.keys().find(|name| !self.product.contains_key(*name)) {
            bail!("{unknown} is no dimension");
        }
        let mut chosen = Vec::new();
        for (name, all) in &self.product {
            let values = match row.values.get(name) {
                None => bail!("nothing is said of {name}"),
                Some(Values::One(word)) if word == "any" => all.clone(),
                Some(Values::One(value)) => vec![value.clone()],
                Some(Values::Many(values)) => values.clone(),
            };
            if let Some(unknown) = values.iter().find(|value| !all.contains(value)) {
                bail!("{unknown} is no value of {name}");
            }
            chosen.push((name.as_str(), values));
        }
        Ok(expand(chosen.iter().map(|(name, values)| (*name, values.as_slice()))))
    }
}

/// Each of the values of one dimension with each of the others.
fn expand<'a>(dimensions: impl Iterator<Item = (&'a str, &'a [String])>) -> Vec<Combination> {
    dimensions.fold(vec![Combination::new()], |known, (name, values)| {
        let with = |combination: &Combination, value: &String| {
            let mut combination = combination.clone();
            combination.insert(name.to_owned(), value.clone());
            combination
        };
        known
            .iter()
            .flat_map(|combination| values.iter().map(move |value| with(combination, value)))
            .collect()
    })
}
