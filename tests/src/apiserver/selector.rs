//! Which objects a call asks for.

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Label and field selectors, as far as a proxy needs them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    /// The object has no such label.
    NoLabel(String),
    /// The object has such a label.
    Label(String),
    /// The field at this JSON pointer has this value, or has not.
    Field { pointer: &'static str, value: String, is_equal: bool },
}

/// Fields that servers select by.
const FIELDS: &[(&str, &str)] = &[
    ("metadata.name", "/metadata/name"),
    ("spec.clusterIP", "/spec/clusterIP"),
    ("spec.nodeName", "/spec/nodeName"),
];

impl Selector {
    /// Reads both selectors; an empty one selects everything.
    pub fn parse(labels: &str, fields: &str) -> anyhow::Result<Self> {
        let split = |text: &str| {
            let terms = text.split(',').map(str::trim).filter(|term| !term.is_empty());
            terms.map(String::from).collect::<Vec<_>>()
        };
        let labels = split(labels).into_iter().map(|term| {
            if term.contains('=') || term.contains(' ') {
                bail!("label selector {term:?} is beyond this server");
            }
            Ok(match term.strip_prefix('!') {
                Some(name) => Term::NoLabel(name.into()),
                None => Term::Label(term),
            })
        });
        let fields = split(fields).into_iter().map(|term| {
            let (name, value) = term.split_once('=').context("a field selector without =")?;
            let is_equal = !name.ends_with('!');
            let name = name.trim_end_matches('!');
            let pointer =
                FIELDS.iter().find(|(field, _)| *field == name).context("field label not supported")?.1;
            Ok(Term::Field { pointer, value: value.trim_start_matches('=').into(), is_equal })
        });
        Ok(Self { terms: labels.chain(fields).collect::<anyhow::Result<_>>()? })
    }

    /// Whether it selects the object.
    pub fn selects(&self, object: &Value) -> bool {
        let has = |name: &str| object["metadata"]["labels"].get(name).is_some();
        self.terms.iter().all(|term| match term {
            Term::NoLabel(name) => !has(name),
            Term::Label(name) => has(name),
            Term::Field { pointer, value, is_equal } => {
                let found = object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
                (found == value) == *is_equal
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_select() {
        let object = json!({
            "metadata": { "name": "a", "labels": { "x": "" } }, "spec": { "clusterIP": "None" },
        });
        let table = [
            ("", "", true),
            ("!x", "", false),
            ("!y", "", true),
            ("x", "", true),
            ("", "spec.clusterIP!=None", false),
            ("", "spec.clusterIP=None", true),
            ("", "metadata.name=a", true),
            ("", "metadata.name==b", false),
            ("x", "metadata.name=a,spec.clusterIP!=None", false),
        ];
        for (labels, fields, expected) in table {
            assert_eq!(
                Selector::parse(labels, fields).unwrap().selects(&object),
                expected,
                "{labels} {fields}"
            );
        }
        assert!(Selector::parse("", "spec.type=a").is_err());
        assert!(Selector::parse("a in (b)", "").is_err());
    }
}
