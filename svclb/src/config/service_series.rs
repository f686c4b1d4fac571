//! How many Service ports have series of metrics of their own.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// How many have them unless told otherwise: what a scrape of any cluster can bear, and more than a node's load is made of.
const MOST: u32 = 200;

/// `--metrics-service-series`: which Service ports have series of their own. What the others carry is one series more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceSeries {
    /// All.
    All,
    /// At most so many, those that carry most; 0 is `none`.
    Most(u32),
}

impl Default for ServiceSeries {
    fn default() -> Self {
        Self::Most(MOST)
    }
}

impl FromStr for ServiceSeries {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            "none" => Ok(Self::Most(0)),
            _ => text
                .parse()
                .map(Self::Most)
                .map_err(|_not_a_number| format!("{text:?} is unknown; use all or none or a number")),
        }
    }
}

impl fmt::Display for ServiceSeries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Most(0) => f.write_str("none"),
            Self::Most(most) => most.fmt(f),
        }
    }
}

impl Serialize for ServiceSeries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Most(most @ 1..) => serializer.serialize_u32(*most),
            _ => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for ServiceSeries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u32),
            Text(String),
        }
        match Written::deserialize(deserializer) {
            Ok(Written::Number(most)) => Ok(Self::Most(most)),
            Ok(Written::Text(text)) => text.parse().map_err(D::Error::custom),
            Err(_neither) => Err(D::Error::custom("is neither all nor none nor a number")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers() {
        let table = [
            ("all", Ok(ServiceSeries::All), "\"all\""),
            ("none", Ok(ServiceSeries::Most(0)), "\"none\""),
            ("0", Ok(ServiceSeries::Most(0)), "\"none\""),
            ("200", Ok(ServiceSeries::default()), "200"),
            ("-1", Err("\"-1\" is unknown; use all or none or a number".to_owned()), ""),
            ("some", Err("\"some\" is unknown; use all or none or a number".to_owned()), ""),
        ];
        for (text, expected, json) in table {
            let found = text.parse::<ServiceSeries>();
            assert_eq!(found, expected, "{text}");
            if let Ok(series) = found {
                assert_eq!(serde_json::to_string(&series).unwrap(), json);
                assert_eq!(serde_json::from_str::<ServiceSeries>(json).unwrap(), series);
            }
        }
        assert!(serde_json::from_str::<ServiceSeries>("-1").is_err());
    }
}
