//! Fields of a document that are written as text.

use std::{fmt::Display, str::FromStr};

use serde::{Deserialize, Deserializer, de::Error as _};

use super::NodePortAddresses;

/// For `#[serde(deserialize_with)]`: text that means something.
pub(super) fn parsed<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let text: Option<String> = Option::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

/// One of a few words; YAML takes `off` for a boolean.
#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Switch(bool),
    Text(String),
}

/// The same for a choice of words.
pub(super) fn word<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let word: Option<Word> = Option::deserialize(deserializer)?;
    let text = word.map(|word| match word {
        Word::Switch(false) => "off".to_owned(),
        Word::Switch(true) => "on".to_owned(),
        Word::Text(text) => text,
    });
    text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

/// The same, where empty text is no text.
pub(super) fn filled<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let text: Option<String> = Option::deserialize(deserializer)?;
    let text = text.filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}

/// For `#[serde(deserialize_with)]`: a list of ranges, or of `primary`; an empty one is none.
pub(super) fn node_port_addresses<'de, D>(deserializer: D) -> Result<Option<NodePortAddresses>, D::Error>
where
    D: Deserializer<'de>,
{
    let entries: Option<Vec<String>> = Option::deserialize(deserializer)?;
    let entries = entries.filter(|entries| !entries.is_empty());
    entries.map(|entries| NodePortAddresses::new(&entries).map_err(D::Error::custom)).transpose()
}
