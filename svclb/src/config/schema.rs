//! Which fields a document may have, of which type, and which of them do something here.

use super::duration::GoDuration;
use crate::manifest::{
    fault::Fault,
    tree::{Tree, Value},
};

/// A field of a document.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) effect: Effect,
    /// Values that say no more than the field's absence, besides the zero of its type.
    defaults: &'static [&'static str],
    /// Whether the zero of its type says something (in Go: a pointer).
    zero_counts: bool,
}

/// The type of a field.
#[derive(Debug)]
pub(super) enum Kind {
    Bool,
    Int,
    Number,
    Text,
    /// One of a few, of which `off` is a boolean in YAML.
    Word,
    Duration,
    Texts,
    /// Whatever it is.
    Any,
    Object(&'static [Field]),
}

/// Whether a field does something.
#[derive(Debug)]
pub(super) enum Effect {
    Always,
    Never,
    /// If the field of this name at the top has one of these values; empty is not set.
    When(&'static str, &'static [&'static str]),
}

impl Field {
    /// A field that is obeyed.
    pub(super) const fn obeyed(name: &'static str, kind: Kind) -> Self {
        Self { name, kind, effect: Effect::Always, defaults: &[], zero_counts: false }
    }

    /// A field that means nothing here, with its default values.
    pub(super) const fn idle(name: &'static str, kind: Kind, defaults: &'static [&'static str]) -> Self {
        Self { name, kind, effect: Effect::Never, defaults, zero_counts: false }
    }

    /// A field that is obeyed when the field `other` has one of these values.
    pub(super) const fn when(
        name: &'static str,
        kind: Kind,
        (other, values): (&'static str, &'static [&'static str]),
        defaults: &'static [&'static str],
    ) -> Self {
        Self { name, kind, effect: Effect::When(other, values), defaults, zero_counts: false }
    }

    /// The same field, for which zero is a value like others.
    pub(super) const fn zero_counts(self) -> Self {
        Self { zero_counts: true, ..self }
    }

    fn is_default(&self, tree: &Tree) -> bool {
        let (text, is_zero) = match &tree.value {
            Value::Null => return true,
            Value::List(items) => return items.is_empty(),
            Value::Map(entries) => return entries.is_empty(),
            Value::Bool(value) => (value.to_string(), !value),
            Value::Signed(value) => (value.to_string(), *value == 0),
            Value::Unsigned(value) => (value.to_string(), *value == 0),
            Value::Float(value) => (value.to_string(), *value == 0.0),
            Value::Text(value) => (value.clone(), matches!(value.as_str(), "" | "0")),
        };
        let same_duration = |other: &str| match (text.parse::<GoDuration>(), other.parse::<GoDuration>()) {
            (Ok(duration), Ok(other)) => duration == other,
            _ => false,
        };
        let is_zero = is_zero || same_duration("0s");
        is_zero && !self.zero_counts
            || self.defaults.iter().any(|default| text == *default || same_duration(default))
    }
}

/// Checks a document against its fields, and tells which are set to something and mean nothing.
pub(super) fn check(document: &Tree, fields: &[Field]) -> Result<Vec<String>, Fault> {
    let mut idle = Vec::new();
    object(document, document, "", fields, &mut idle)?;
    Ok(idle)
}

fn object(
    document: &Tree,
    tree: &Tree,
    path: &str,
    fields: &[Field],
    idle: &mut Vec<String>,
) -> Result<(), Fault> {
    let entries = match &tree.value {
        Value::Null => return Ok(()),
        Value::Map(entries) => entries,
        _ => return Err(Fault::new(tree.line, path, "not a map of fields")),
    };
    for (key, value) in entries {
        let path = if path.is_empty() { key.name.clone() } else { format!("{path}.{}", key.name) };
        let Some(field) = fields.iter().find(|field| field.name == key.name) else {
            return Err(Fault::new(key.line, path, unknown(&key.name, fields)));
        };
        if let Kind::Object(fields) = &field.kind {
            object(document, value, &path, fields, idle)?;
            continue;
        }
        if let Err(expected) = matches(value, &field.kind) {
            return Err(Fault::new(value.line, path, format!("not {expected}")));
        }
        let is_obeyed = match field.effect {
            Effect::Always => true,
            Effect::Never => false,
            Effect::When(other, values) => {
                let other = document.get(other).and_then(Tree::text).unwrap_or_default();
                values.contains(&other)
            }
        };
        if !is_obeyed && !field.is_default(value) {
            idle.push(path);
        }
    }
    Ok(())
}

fn matches(tree: &Tree, kind: &Kind) -> Result<(), &'static str> {
    let is_text = |tree: &Tree| tree.text().is_some();
    let (is, expected) = match (&tree.value, kind) {
        (Value::Null, _) | (_, Kind::Any | Kind::Object(_)) => return Ok(()),
        (value, Kind::Bool) => (matches!(value, Value::Bool(_)), "true or false"),
        (value, Kind::Int) => (matches!(value, Value::Signed(_) | Value::Unsigned(_)), "a whole number"),
        (value, Kind::Number) => {
            (matches!(value, Value::Signed(_) | Value::Unsigned(_) | Value::Float(_)), "a number")
        }
        (_, Kind::Text) => (is_text(tree), "text"),
        (value, Kind::Word) => (is_text(tree) || matches!(value, Value::Bool(_)), "text"),
        (_, Kind::Duration) => {
            let is = tree.text().is_some_and(|text| text.parse::<GoDuration>().is_ok());
            (is, "a duration such as 30s or 1h30m")
        }
        (Value::List(items), Kind::Texts) => (items.iter().all(is_text), "a list of texts"),
        (_, Kind::Texts) => (false, "a list of texts"),
    };
    if is { Ok(()) } else { Err(expected) }
}

/// How much alike two names have to be for one to be a typing error of the other, from 0 to 1.
const ALIKE: f64 = 0.85;

fn unknown(name: &str, fields: &[Field]) -> String {
    let likeness = |field: &&Field| strsim::jaro_winkler(&name.to_lowercase(), &field.name.to_lowercase());
    match fields.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b))) {
        Some(field) if likeness(&field) >= ALIKE => format!("unknown field; did you mean {}?", field.name),
        _ => "unknown field".into(),
    }
}

/// The paths of all fields that are no objects, with their effect.
#[cfg(test)]
pub(super) fn paths(fields: &'static [Field]) -> Vec<(String, &'static Effect)> {
    let below = |field: &'static Field| match &field.kind {
        Kind::Object(fields) => {
            let under = |(path, effect)| (format!("{}.{path}", field.name), effect);
            paths(fields).into_iter().map(under).collect()
        }
        _ => vec![(field.name.to_owned(), &field.effect)],
    };
    fields.iter().flat_map(below).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::tree::documents;

    const FIELDS: &[Field] = &[
        Field::obeyed("mode", Kind::Text),
        Field::obeyed("count", Kind::Int),
        Field::idle("idle", Kind::Number, &["5"]),
        Field::idle("bit", Kind::Int, &["14"]).zero_counts(),
        Field::obeyed(
            "inner",
            Kind::Object(&[
                Field::when("period", Kind::Duration, ("mode", &["", "a"]), &["30s"]),
                Field::idle("names", Kind::Texts, &[]),
            ]),
        ),
    ];

    fn checked(text: &str) -> Result<Vec<String>, (u64, String, String)> {
        check(&documents(text).unwrap()[0], FIELDS).map_err(|fault| (fault.line, fault.field, fault.message))
    }

    #[test]
    fn what_is_set_and_means_nothing_is_told() {
        let table: [(&str, &[&str]); 9] = [
            ("mode: a\ncount: 3\n", &[]),
            ("idle: 0\nbit: 14\ninner: { names: [], period: 30s }\n", &[]),
            ("idle: 5.0\n", &[]),
            ("idle: 6\nbit: 0\n", &["idle", "bit"]),
            ("bit:\ninner:\n", &[]),
            ("inner: { period: 10s }\n", &[]),
            ("mode: b\ninner: { period: 10s, names: [x] }\n", &["inner.period", "inner.names"]),
            ("mode: b\ninner: { period: 0m0s }\n", &[]),
            ("mode: b\ninner: { period: 0h0m30s }\n", &[]),
        ];
        for (text, expected) in table {
            let expected: Vec<_> = expected.iter().map(ToString::to_string).collect();
            assert_eq!(checked(text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let table = [
            ("a: 1\nmode: x\n", 1, "a", "unknown field"),
            ("mode: x\ncuont: 1\n", 2, "cuont", "unknown field; did you mean count?"),
            ("Inner:\n  names: []\n", 1, "Inner", "unknown field; did you mean inner?"),
            ("inner:\n  names: []\n  perid: 1s\n", 3, "inner.perid", "unknown field; did you mean period?"),
            ("inner: 5\n", 1, "inner", "not a map of fields"),
            ("\ncount: x\n", 2, "count", "not a whole number"),
            ("count: 1.5\n", 1, "count", "not a whole number"),
            ("mode: true\n", 1, "mode", "not text"),
            ("idle: x\n", 1, "idle", "not a number"),
            ("inner:\n  names: [a, 1]\n", 2, "inner.names", "not a list of texts"),
            ("inner:\n  names: a\n", 2, "inner.names", "not a list of texts"),
            ("inner:\n  period: 30\n", 2, "inner.period", "not a duration such as 30s or 1h30m"),
            ("[]\n", 1, "", "not a map of fields"),
        ];
        for (text, line, field, message) in table {
            assert_eq!(checked(text), Err((line, field.into(), message.into())), "{text:?}");
        }
    }
}
