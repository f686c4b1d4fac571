//! An object as it arrives: what of it can be read.

use std::{borrow::Cow, collections::BTreeMap, fmt, marker::PhantomData};

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    serde::{Deserialize, Deserializer},
};
use kube::Resource;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde_json::Value;

use super::text::Text;
use crate::manifest::{decode::decode, fault::Fault, tree};

/// An object, or what is known of one that cannot be read: a bad one must not take the list away that it is in.
///
/// kube's own type for this keeps two copies of the whole text in memory while it reads. Half of that is who has set
/// which field, for which nobody asks.
#[derive(Clone, Debug)]
pub(super) struct Received<K>(pub(super) Result<K, Unreadable>);

/// An object that cannot be read.
#[derive(Clone, Debug)]
pub(super) struct Unreadable {
    /// Whose.
    pub(super) metadata: ObjectMeta,
    /// Why.
    pub(super) error: String,
}

/// What is read of `metadata`.
#[derive(Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    annotations: Option<BTreeMap<String, String>>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    name: Option<String>,
    namespace: Option<String>,
    resource_version: Option<String>,
    uid: Option<String>,
}

impl Metadata {
    /// Reads it, or of what cannot be read as much as it takes to know whose it is; and what is wrong with it.
    fn read(text: &str) -> (Self, Option<String>) {
        let error = match serde_json::from_str::<Option<Self>>(text) {
            Ok(metadata) => return (metadata.unwrap_or_default(), None),
            Err(error) => error,
        };
        let fields: Value = serde_json::from_str(text).unwrap_or_default();
        let text_of = |field| fields.get(field).and_then(Value::as_str).map(ToOwned::to_owned);
        // By half a name an object would be taken for another one.
        let has_namespace = fields.get("namespace").is_none_or(|it| it.is_string() || it.is_null());
        let metadata = Self {
            name: text_of("name").filter(|_| has_namespace),
            namespace: text_of("namespace"),
            resource_version: text_of("resourceVersion"),
            uid: text_of("uid"),
            ..Self::default()
        };
        let fault = explain::<Option<Self>>(text).unwrap_or_else(|| error.to_string());
        (metadata, Some(format!("metadata.{fault}")))
    }
}

/// Which field of `text` is no `T`, and why.
fn explain<T: DeserializeOwned>(text: &str) -> Option<String> {
    let Fault { field, message, .. } = decode::<T>(&tree::json(text)?).err()?;
    (!field.is_empty()).then(|| format!("{field}: {message}"))
}

impl From<Metadata> for ObjectMeta {
    fn from(read: Metadata) -> Self {
        Self {
            annotations: read.annotations,
            creation_timestamp: read.creation_timestamp,
            deletion_timestamp: read.deletion_timestamp,
            labels: read.labels,
            name: read.name,
            namespace: read.namespace,
            resource_version: read.resource_version,
            uid: read.uid,
            ..Self::default()
        }
    }
}

impl<'de, K> Deserialize<'de> for Received<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

/// Reads the metadata by itself, so that it is known whatever else there is.
struct Fields<K>(PhantomData<K>);

impl<'de, K> Visitor<'de> for Fields<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned,
{
    type Value = Received<K>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {}", K::kind(&()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Received<K>, A::Error> {
        let (mut metadata, mut fault, mut rest) = (Metadata::default(), None, String::new());
        while let Some(name) = fields.next_key::<String>()? {
            if name == "metadata" {
                let Text(text) = fields.next_value()?;
                (metadata, fault) = Metadata::read(&text);
            } else {
                let Text(value) = fields.next_value()?;
                rest.push(if rest.is_empty() { '{' } else { ',' });
                rest.push_str(&Value::from(name).to_string());
                rest.push(':');
                rest.push_str(&value);
            }
        }
        rest.push_str(if rest.is_empty() { "{}" } else { "}" });
        let metadata = metadata.into();
        Ok(Received(match (serde_json::from_str::<K>(&rest), fault) {
            (_, Some(error)) => Err(Unreadable { metadata, error }),
            (Ok(mut object), None) => {
                *object.meta_mut() = metadata;
                Ok(object)
            }
            (Err(error), None) => {
                let error = explain::<K>(&rest).unwrap_or_else(|| error.to_string());
                Err(Unreadable { metadata, error })
            }
        }))
    }
}

impl<K: Resource> Resource for Received<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dynamic)
    }

    fn group(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dynamic)
    }

    fn version(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dynamic)
    }

    fn plural(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|unreadable| &unreadable.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|unreadable| &mut unreadable.metadata, K::meta_mut)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
    use kube::core::WatchEvent;
    use serde_json::json;

    use super::*;

    fn slice() -> Value {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": "a", "namespace": "b", "uid": "c", "resourceVersion": "7",
                "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": null,
                "labels": { "kubernetes.io/service-name": "a" }, "annotations": { "d": "e" },
                "managedFields": [{ "manager": "m", "fieldsV1": { "f:a": {} } }], "generation": 3,
            },
            "addressType": "IPv4", "ports": [{ "name": "", "port": 80 }],
            "endpoints": [{ "addresses": ["10.0.0.1"], "conditions": { "ready": true }, "nodeName": "n" }],
        })
    }

    #[test]
    fn all_that_counts_is_as_kube_reads_it() {
        let mut expected: EndpointSlice = serde_json::from_value(slice()).unwrap();
        expected.metadata.managed_fields = None;
        expected.metadata.generation = None;
        let Received(read) = serde_json::from_value::<Received<EndpointSlice>>(slice()).unwrap();
        assert_eq!(read.unwrap(), expected);
    }

    #[test]
    fn events_and_lists_hold_such_objects_in_any_order_of_fields() {
        for text in [
            json!({ "type": "ADDED", "object": slice() }).to_string(),
            format!("{{\"type\":\"ADDED\",\"object\":{}}}", slice()),
        ] {
            let event: WatchEvent<Received<EndpointSlice>> = serde_json::from_str(&text).unwrap();
            let WatchEvent::Added(Received(Ok(slice))) = event else { panic!("{text}") };
            assert_eq!(slice.metadata.resource_version.as_deref(), Some("7"));
        }
        let list = json!({ "apiVersion": "v1", "kind": "ServiceList", "metadata": { "resourceVersion": "1" },
            "items": [{ "metadata": { "name": "a" } }, { "spec": 3, "metadata": { "name": "b" } }] });
        let list: kube::core::ObjectList<Received<Service>> = serde_json::from_value(list).unwrap();
        let read: Vec<_> =
            list.items.iter().map(|item| (item.meta().name.as_deref(), item.0.is_ok())).collect();
        assert_eq!(read, [(Some("a"), true), (Some("b"), false)]);
    }

    #[test]
    fn what_cannot_be_read_has_a_name_and_a_reason() {
        let bad = json!({ "spec": { "ports": "x" }, "metadata": { "name": "a", "namespace": "b" } });
        let Received(Err(unreadable)) = serde_json::from_value::<Received<Service>>(bad).unwrap() else {
            panic!("it can be read")
        };
        assert_eq!(unreadable.metadata.name.as_deref(), Some("a"));
        assert_eq!(unreadable.error, "spec.ports: invalid type: string \"x\", expected a sequence");
        assert!(serde_json::from_value::<Received<Service>>(json!(17)).is_err());
        let table = [
            (json!(3), None, "metadata.invalid type: integer `3`"),
            (
                json!({ "name": "a", "labels": { "b": 1 } }),
                Some("a"),
                "metadata.labels.b: invalid type: integer `1`",
            ),
            (json!({ "name": 1 }), None, "metadata.name: invalid type: integer `1`"),
            // Another object has that name in another namespace.
            (json!({ "name": "a", "namespace": 1 }), None, "metadata.namespace: invalid type: integer `1`"),
        ];
        for (metadata, name, error) in table {
            let object =
                serde_json::from_value::<Received<Service>>(json!({ "metadata": metadata })).unwrap();
            let Received(Err(unreadable)) = object else { panic!("{metadata} can be read") };
            assert_eq!(unreadable.metadata.name.as_deref(), name, "{metadata}");
            assert!(unreadable.error.starts_with(error), "{}", unreadable.error);
        }
        assert!(serde_json::from_value::<Received<Service>>(json!({ "metadata": null })).is_ok());
    }
}
