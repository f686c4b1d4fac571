//! A document as a tree in which every value knows its line.
//!
//! YAML is read untyped first because `kind`, which gives the type, may stand behind everything else; and
//! because an untyped reading takes a quoted number for a string, like the API server does.

use std::{fmt, marker::PhantomData};

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{MessageFormatter, Spanned, UserMessageFormatter};

use super::fault::Fault;

/// What a document may have in values, whatever its size. A manifest has about one in 14 bytes.
const MAX_NODES: usize = 20_000_000;
/// How deep values may be nested. API objects stay below 20, definitions of resources below 40. In a build without
/// optimisation a level takes 35 kB of the 2 MiB that a thread has.
const MAX_DEPTH: usize = 48;

/// A value and the line it stands on, counted from 1 in the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tree {
    pub(crate) line: u64,
    pub(crate) value: Value,
}

/// A YAML value of the JSON subset that manifests use.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<(Key, Tree)>),
}

/// The name of a value in a map, and the line it stands on, which may be above the value's.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) line: u64,
    pub(crate) name: String,
}

/// The documents in `text`, YAML or JSON; empty ones are left out.
pub(crate) fn documents(text: &str) -> Result<Vec<Tree>, Fault> {
    // Every value takes a byte of text, so that what is more has been multiplied by aliases.
    let nodes = text.len().clamp(64, MAX_NODES);
    let budget = serde_saphyr::budget! {
        max_nodes: nodes,
        max_events: nodes.saturating_mul(4),
        max_documents: nodes,
        max_depth: MAX_DEPTH,
    };
    let options = serde_saphyr::options! { budget: budget, with_snippet: false };
    serde_saphyr::from_multiple_with_options(text, options).map_err(|error| {
        let message = UserMessageFormatter.format_message(error.without_snippet());
        let line = error.location().map_or(1, |location| location.line());
        Fault::new(line, "", message)
    })
}

/// The only document in `text`, if that is JSON and in each object every key is another. Every value is on line 1.
pub(crate) fn json(text: &str) -> Option<Tree> {
    serde_json::from_str(text).ok().map(|Unplaced(tree)| tree)
}

impl Tree {
    /// The value under `key`, if this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|(found, _)| found.name == key).map(|(_, tree)| tree)
    }

    /// The text of this value, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        let Value::Text(text) = &self.value else { return None };
        Some(text)
    }

    /// The line of the value at `field` (`spec.ports[0].port`) or, if there is none, of what is nearest on the
    /// way to it.
    pub(crate) fn line_of(&self, field: &str) -> u64 {
        let mut here = self;
        for step in field.split(['.', '[']) {
            let next = match (&here.value, step.strip_suffix(']')) {
                (Value::List(items), Some(index)) => index.parse().ok().and_then(|i: usize| items.get(i)),
                _ => here.get(step),
            };
            let Some(next) = next else { break };
            here = next;
        }
        here.line
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::deserialize(deserializer)?;
        Ok(Self { line: referenced.line(), value })
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::deserialize(deserializer)?;
        Ok(Self { line: referenced.line(), name: value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor::<Key, Tree>(PhantomData))
    }
}

/// A tree of which no line is known.
struct Unplaced(Tree);

impl From<Unplaced> for Tree {
    fn from(Unplaced(tree): Unplaced) -> Self {
        tree
    }
}

impl<'de> Deserialize<'de> for Unplaced {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = deserializer.deserialize_any(ValueVisitor::<UnplacedKey, Self>(PhantomData))?;
        Ok(Self(Tree { line: 1, value }))
    }
}

/// A key of which no line is known.
struct UnplacedKey(Key);

impl From<UnplacedKey> for Key {
    fn from(UnplacedKey(key): UnplacedKey) -> Self {
        key
    }
}

impl<'de> Deserialize<'de> for UnplacedKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Key { line: 1, name: String::deserialize(deserializer)? }))
    }
}

/// Makes values, with whatever makes the keys and the trees in them.
struct ValueVisitor<K, T>(PhantomData<(K, T)>);

impl<'de, K: Deserialize<'de> + Into<Key>, T: Deserialize<'de> + Into<Tree>> Visitor<'de>
    for ValueVisitor<K, T>
{
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Signed(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element::<T>()? {
            items.push(item.into());
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, tree)) = access.next_entry::<K, T>()? {
            entries.push((key.into(), tree.into()));
        }
        let mut keys: Vec<&str> = entries.iter().map(|(key, _): &(Key, Tree)| key.name.as_str()).collect();
        keys.sort_unstable();
        if let Some(twice) = keys.array_windows().find_map(|[a, b]| (a == b).then_some(a)) {
            return Err(A::Error::custom(format!("duplicate key {twice:?}")));
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_its_line_in_the_file() {
        let text = "# comment\na: 1\nb: [x]\n---\n\nc:\n  d: [{ e: f },\n    { e: g }]\n";
        let documents = documents(text).unwrap();
        let line = |document: usize, field| documents[document].line_of(field);
        assert_eq!(documents.len(), 2);
        assert_eq!([line(0, ""), line(0, "a"), line(0, "b[0]")], [2, 2, 3]);
        assert_eq!([line(1, "c"), line(1, "c.d[0].e"), line(1, "c.d[1].e")], [7, 7, 8]);
        assert_eq!([line(1, "c.d[7].e"), line(1, "c.x.y"), line(1, "x")], [7, 7, 6]);
    }

    #[test]
    fn a_key_may_stand_above_its_value() {
        let documents = documents("a:\n  b:\n  - c\n").unwrap();
        let Value::Map(entries) = &documents[0].value else { panic!() };
        let (Key { line, name }, value) = &entries[0];
        assert_eq!((*line, name.as_str(), value.line), (1, "a", 2));
    }

    #[test]
    fn yaml_and_json_read_alike() {
        let yaml = "a: \"1\"\nb: [true, null, 1.5, -2]\n";
        let json = "{\n\t\"a\": \"1\",\n\t\"b\": [true, null, 1.5, -2]\n}";
        let shape = |text| {
            let documents = documents(text).unwrap();
            assert_eq!(documents.len(), 1);
            let Value::List(items) = &documents[0].get("b").unwrap().value else { panic!() };
            let values: Vec<_> = items.iter().map(|item| item.value.clone()).collect();
            (documents[0].get("a").and_then(Tree::text).map(ToOwned::to_owned), values)
        };
        let values = vec![Value::Bool(true), Value::Null, Value::Float(1.5), Value::Signed(-2)];
        assert_eq!(shape(yaml), (Some("1".to_owned()), values));
        assert_eq!(shape(json), shape(yaml));
    }

    #[test]
    fn what_is_no_yaml_is_refused_with_its_line() {
        let table = [
            ("a: 1\n---\nb: [1\nc: 2\n", 4),
            ("a: 1\na: 2\n", 2),
            ("a: 1\n---\nb: 1\n b: x\n", 4),
            ("{\"a\": 1,\n \"b\": }}", 2),
            ("a: 1\r\nb: {\r\n", 2),
            ("a: &x [*x]\n", 1),
            ("\0", 1),
        ];
        for (text, line) in table {
            assert_eq!(documents(text).unwrap_err().line, line, "{text:?}");
        }
        assert!(documents(" \n---\n---\n# nothing\n").unwrap().is_empty());
    }

    #[test]
    fn as_deep_as_values_may_be_there_is_memory_for_them() {
        // Within a map; a test's thread has as much memory as the one that reads files.
        for depth in [MAX_DEPTH - 2, MAX_DEPTH + 1, 120] {
            let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            let is_allowed = depth < MAX_DEPTH;
            assert_eq!(documents(&format!("a: {nested}")).is_ok(), is_allowed, "{depth}");
            assert!(json(&format!("{{\"a\":{nested}}}")).is_some(), "{depth}");
        }
        let too_deep = "[".repeat(200) + &"]".repeat(200);
        assert_eq!(json(&too_deep), None);
    }

    #[test]
    fn neither_depth_nor_aliases_exhaust_anything() {
        let deep = "[".repeat(100_000);
        assert!(documents(&deep).is_err());
        let closed = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        assert!(documents(&closed).is_err());
        let level = |i: u32| match i.checked_sub(1) {
            None => "- &a0 [x, x, x, x, x, x, x, x]\n".to_owned(),
            Some(below) => format!("- &a{i} [{}]\n", format!("*a{below}, ").repeat(8)),
        };
        let bomb: String = (0..9).map(level).collect();
        assert!(documents(&bomb).is_err());
    }
}
