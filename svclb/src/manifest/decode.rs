//! From a tree to a type, with errors that say which field on which line.

use serde::{
    de::{DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor},
    forward_to_deserialize_any,
};

use super::{
    fault::Fault,
    tree::{Key, Tree, Value},
};

/// The value of type `T` that `tree` describes.
pub(crate) fn decode<T: DeserializeOwned>(tree: &Tree) -> Result<T, Fault> {
    T::deserialize(tree).map_err(|fault| fault.at(tree.line))
}

impl<'de> Deserializer<'de> for &'de Tree {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Signed(value) => visitor.visit_i64(*value),
            Value::Unsigned(value) => visitor.visit_u64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(value) => visitor.visit_borrowed_str(value),
            Value::List(items) => visitor.visit_seq(Items { rest: items.iter().enumerate() }),
            Value::Map(entries) => visitor.visit_map(Entries { rest: entries.iter(), value: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Items<'de> {
    rest: std::iter::Enumerate<std::slice::Iter<'de, Tree>>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        let Some((index, item)) = self.rest.next() else { return Ok(None) };
        seed.deserialize(item).map(Some).map_err(|fault| fault.at(item.line).under_index(index))
    }
}

struct Entries<'de> {
    rest: std::slice::Iter<'de, (Key, Tree)>,
    value: Option<&'de (Key, Tree)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Fault;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Fault> {
        self.value = self.rest.next();
        let Some((key, _)) = self.value else { return Ok(None) };
        let fault = |fault: Fault| fault.at(key.line).under_key(&key.name);
        seed.deserialize(key.name.as_str().into_deserializer()).map(Some).map_err(fault)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Fault> {
        let Some((key, value)) = self.value.take() else {
            return Err(serde::de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(value).map_err(|fault| fault.at(value.line).under_key(&key.name))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::api::core::v1::Service;

    use super::*;
    use crate::manifest::tree::documents;

    fn decoded<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
        decode(&documents(text).unwrap()[0])
    }

    #[test]
    fn a_wrong_type_is_named_with_field_and_line() {
        let table = [
            (
                "spec:\n  ports:\n  - name: a\n    port: x\n",
                (4, "spec.ports[0].port", "invalid type: string \"x\", expected i32"),
            ),
            (
                "spec:\n  ports:\n  - port: 1\n  - 5\n",
                (4, "spec.ports[1]", "invalid type: integer `5`, expected ServicePort"),
            ),
            (
                "metadata:\n  labels:\n    a: 1\n",
                (3, "metadata.labels.a", "invalid type: integer `1`, expected a string"),
            ),
            ("spec:\n  ports: {}\n", (2, "spec.ports", "invalid type: map, expected a sequence")),
            (
                "spec:\n  ports: [{ port: 99999999999 }]\n",
                (2, "spec.ports[0].port", "invalid value: integer `99999999999`, expected i32"),
            ),
            ("5\n", (1, "", "invalid type: integer `5`, expected Service")),
        ];
        for (text, (line, field, message)) in table {
            assert_eq!(decoded::<Service>(text), Err(Fault::new(line, field, message)), "{text:?}");
        }
    }

    #[test]
    fn null_is_not_set() {
        assert_eq!(decoded::<Service>("spec:\nmetadata: ~\n"), Ok(Service::default()));
        assert_eq!(
            decoded::<BTreeMap<String, Option<u8>>>("a: 1\nb:\n"),
            Ok(BTreeMap::from([("a".to_owned(), Some(1)), ("b".to_owned(), None)])),
        );
    }
}
