//! A value of JSON that is not looked into yet.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;

/// By this name `serde_json` gives the text of a value. It is no promise; where it means nothing, and where a value
/// comes from anywhere but text, [`Text`] is written anew from a tree.
const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// The text of a value of JSON. `serde_json::value::RawValue` is the same for what comes from text alone, and serde reads
/// an event whose object stands before its type into memory first.
#[derive(Debug)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(RAW_VALUE, Either)
    }
}

/// Takes the text, or any value.
struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut text: A) -> Result<Text, A::Error> {
        text.next_key::<IgnoredAny>()?;
        Ok(Text(text.next_value()?))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, tree: D) -> Result<Text, D::Error> {
        Ok(Text(Value::deserialize(tree)?.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_stays_as_it_is_and_a_tree_is_written() {
        let value = json!({ "a": [1, "x\n", null], "b": { "c": 2.5 } });
        let spaced = r#"{ "b": { "c": 2.50 },  "a": [1, "x\n", null] }"#;
        let Text(text) = serde_json::from_str(spaced).unwrap();
        assert_eq!(
            text, spaced,
            "serde_json gives no texts by this name any more: every object costs a tree"
        );
        let Text(text) = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert!(serde_json::from_str::<Text>("{").is_err());
    }
}
