//! Changes to one place of a value's structure.

use std::fmt;

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};
use serde_json::{Value, json};

use super::template::templates;

/// What marks a key that stands twice: a [`Value`] cannot, and text can.
const TWICE: char = '\u{1}';

/// Texts that mean something somewhere, and most often not where they end up.
#[rustfmt::skip]
const WORDS: &[&str] = &[
    "", " ", "None", "Local", "Cluster", "TCP", "tcp", "UDP", "SCTP", "ICMP", "IPv4", "IPv6", "IPv5", "FQDN", "ClientIP",
    "LoadBalancer", "NodePort", "ExternalName", "Proxy", "here", "web", "dns", "a", "b", "http", "evil", "shop", "u-2",
    "10.96.0.1", "10.96.0.66", "010.096.000.001", "10.96.0.1/24", "10.96.0.0/24", "0.0.0.0", "0.0.0.0/0", "::/0", "::",
    "fd00:96::1", "::ffff:10.96.0.1", "fe80::1%eth0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "10.244.0.1",
    "999.1.1.1", "80", "-1", "30080", "2020-01-01T00:00:00Z", "9999-99-99T99:99:99Z", "maglev", "10.244.0.1=300,x,=",
    "kubernetes.io/service-name", "service.kubernetes.io/headless", "service.kubernetes.io/service-proxy-name",
    "../../etc/passwd", "a\nERROR forged", "\u{1b}[31m", "\u{0}", "\u{2028}", "ÄÖÜ", "%s{}", "---", "*a", "&a [*a]",
];

/// Fields that some objects have.
const FIELDS: &str = "namespace name labels annotations deletionTimestamp creationTimestamp uid \
    managedFields finalizers spec status clusterIP clusterIPs ipMode hostname publishNotReadyAddresses \
    trafficDistribution appProtocol protocol conditions nodeName zone hints forZones targetRef port \
    addresses endpoints items apiVersion kind";

/// A place in an object, whatever that has become. What says whose it is and to whom it belongs is small, and matters most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    is_identity: bool,
    index: Index,
}

impl Place {
    fn of(self, paths: &[String]) -> &str {
        let metadata: Vec<_> = paths.iter().filter(|path| path.starts_with("/metadata")).collect();
        if self.is_identity && !metadata.is_empty() {
            return metadata[self.index.index(metadata.len())];
        }
        &paths[self.index.index(paths.len())]
    }
}

fn any_place() -> impl Strategy<Value = Place> {
    (prop::bool::weighted(0.4), any::<Index>()).prop_map(|(is_identity, index)| Place { is_identity, index })
}

/// One change.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    /// A field or an item is not there.
    Remove(Place),
    /// A value is another one.
    Set(Place, Value),
    /// An item or a key stands there so many times more.
    Repeat(Place, usize),
    /// Two values are in each other's place.
    Exchange(Place, Place),
    /// A key is another one.
    Rename(Place, &'static str),
    /// A map has a field more.
    Add(Place, &'static str, Value),
}

/// A hostile object: what it began as, and what was done to it.
#[derive(Clone)]
pub(crate) struct Hostile {
    template: usize,
    mutations: Vec<Mutation>,
}

impl Hostile {
    /// The object, in which no key stands twice.
    pub(crate) fn value(&self) -> Value {
        let mut value = self.marked();
        unmark(&mut value);
        value
    }

    /// The kind of what it began as.
    pub(crate) fn kind(&self) -> String {
        templates()[self.template]["kind"].as_str().unwrap_or_default().to_owned()
    }

    /// Its text, in which a key may stand twice.
    pub(crate) fn text(&self) -> String {
        // The mark, as JSON writes it.
        self.marked().to_string().replace("\"\\u0001", "\"")
    }

    fn marked(&self) -> Value {
        let mut value = templates().swap_remove(self.template);
        self.mutations.iter().for_each(|mutation| mutation.apply(&mut value));
        value
    }
}

impl fmt::Debug for Hostile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

fn unmark(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let marked: Vec<_> = fields.keys().filter(|key| key.starts_with(TWICE)).cloned().collect();
            for key in marked {
                // What it stood there beside may have been removed.
                if let Some(again) = fields.remove(&key) {
                    fields.entry(key.trim_start_matches(TWICE)).or_insert(again);
                }
            }
            fields.values_mut().for_each(unmark);
        }
        Value::Array(items) => items.iter_mut().for_each(unmark),
        _ => {}
    }
}

/// Any hostile object. Some are as they should be.
pub(crate) fn any_hostile() -> impl Strategy<Value = Hostile> {
    of_templates((0..templates().len()).collect())
}

/// The same of one kind.
pub(crate) fn any_hostile_of(kind: &str) -> impl Strategy<Value = Hostile> + use<> {
    let of_kind = |(at, template): (usize, Value)| (template["kind"] == kind).then_some(at);
    of_templates(templates().into_iter().enumerate().filter_map(of_kind).collect())
}

fn of_templates(templates: Vec<usize>) -> impl Strategy<Value = Hostile> {
    (select(templates), vec(any_mutation(), 0..4))
        .prop_map(|(template, mutations)| Hostile { template, mutations })
}

fn any_mutation() -> impl Strategy<Value = Mutation> {
    let at = any_place;
    prop_oneof![
        4 => at().prop_map(Mutation::Remove),
        8 => (at(), any_value()).prop_map(|(at, value)| Mutation::Set(at, value)),
        2 => (at(), select(vec![1, 2, 300])).prop_map(|(at, times)| Mutation::Repeat(at, times)),
        2 => (at(), at()).prop_map(|(one, other)| Mutation::Exchange(one, other)),
        1 => (at(), select(WORDS)).prop_map(|(at, word)| Mutation::Rename(at, word)),
        2 => (at(), select(FIELDS.split(' ').collect::<Vec<_>>()), any_value()).prop_map(|(at, field, value)| Mutation::Add(at, field, value)),
    ]
}

fn any_value() -> impl Strategy<Value = Value> {
    let deep = |depth| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    #[rustfmt::skip]
    let odd = vec![
        Value::Null, json!(true), json!(0), json!(-1), json!(80), json!(65_536), json!(i32::MAX), json!(i64::MIN),
        json!(u64::MAX), json!(0.5), json!(1e300), json!([]), json!({}), json!([null]), json!([[]]), json!({ "": null }),
        json!({ "a": { "b": ["c"] } }), json!("x".repeat(5000)), json!(vec!["10.96.0.1"; 200]), deep(20), deep(100),
    ];
    prop_oneof![1 => select(odd), 1 => select(WORDS).prop_map(|word| json!(word))]
}

impl Mutation {
    fn apply(&self, value: &mut Value) {
        let paths = paths(value);
        if paths.is_empty() {
            return;
        }
        let place = |at: &Place| at.of(&paths);
        match self {
            Self::Remove(at) => {
                with_parent(value, place(at), |parent, step| match parent {
                    Value::Object(fields) => drop(fields.remove(&step)),
                    Value::Array(items) => drop(items.remove(index(&step))),
                    _ => {}
                });
            }
            Self::Set(at, new) => set(value, place(at), new.clone()),
            Self::Repeat(at, times) => with_parent(value, place(at), |parent, step| match parent {
                Value::Object(fields) => {
                    let again = fields.get(&step).cloned().unwrap_or_default();
                    fields.insert(format!("{TWICE}{step}"), again);
                }
                Value::Array(items) => {
                    let again = items[index(&step)].clone();
                    items.extend(std::iter::repeat_n(again, *times));
                }
                _ => {}
            }),
            Self::Exchange(one, other) => {
                let (one, other) = (place(one), place(other));
                let read = |path: &str| value.pointer(path).cloned().unwrap_or_default();
                let (first, second) = (read(one), read(other));
                set(value, one, second);
                set(value, other, first);
            }
            Self::Add(at, field, new) => match value.pointer_mut(place(at)) {
                Some(Value::Object(fields)) => drop(fields.insert((*field).to_owned(), new.clone())),
                _ => with_parent(value, place(at), |parent, _| {
                    if let Value::Object(fields) = parent {
                        fields.insert((*field).to_owned(), new.clone());
                    }
                }),
            },
            Self::Rename(at, word) => with_parent(value, place(at), |parent, step| {
                if let Value::Object(fields) = parent
                    && let Some(field) = fields.remove(&step)
                {
                    fields.insert((*word).to_owned(), field);
                }
            }),
        }
    }
}

/// Sets what is at a path, if there is something.
fn set(value: &mut Value, path: &str, new: Value) {
    if let Some(place) = value.pointer_mut(path) {
        *place = new;
    }
}

/// Changes what holds the value at a path, under that key or index.
fn with_parent(value: &mut Value, path: &str, change: impl FnOnce(&mut Value, String)) {
    if let Some((parent, step)) = path.rsplit_once('/')
        && let Some(parent) = value.pointer_mut(parent)
    {
        change(parent, step.replace("~1", "/").replace("~0", "~"));
    }
}

fn index(step: &str) -> usize {
    step.parse().expect("an item has a number")
}

/// Everything below `value`, as JSON pointers.
fn paths(value: &Value) -> Vec<String> {
    let below = |step: String, value: &Value| {
        let step = format!("/{}", step.replace('~', "~0").replace('/', "~1"));
        let further: Vec<_> = paths(value).into_iter().map(|path| format!("{step}{path}")).collect();
        std::iter::once(step).chain(further)
    };
    match value {
        Value::Object(fields) => fields.iter().flat_map(|(key, value)| below(key.clone(), value)).collect(),
        // Lists that were made long are long enough.
        Value::Array(items) => {
            items.iter().take(4).enumerate().flat_map(|(i, item)| below(i.to_string(), item)).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn changed(mutation: &Mutation) -> String {
        let mut value = json!({ "a/b": [1, { "c": 2 }], "d": null });
        mutation.apply(&mut value);
        value.to_string()
    }

    #[test]
    fn every_place_can_be_changed_in_every_way() {
        let value = json!({ "a/b": [1, { "c": 2 }], "d": null });
        assert_eq!(paths(&value), ["/a~1b", "/a~1b/0", "/a~1b/1", "/a~1b/1/c", "/d"]);
        proptest!(|(at in any_place())| {
            prop_assert_ne!(changed(&Mutation::Remove(at)), value.to_string());
            prop_assert_ne!(changed(&Mutation::Set(at, json!("x"))), value.to_string());
            prop_assert_ne!(changed(&Mutation::Repeat(at, 1)), value.to_string());
        });
    }

    #[test]
    fn a_key_stands_twice_in_the_text_alone() {
        let twice = Hostile { template: 0, mutations: vec![] };
        assert_eq!(twice.text(), twice.value().to_string());
        let mut value = json!({ "a": 1 });
        value[format!("{TWICE}a")] = json!(1);
        assert_eq!(value.to_string().replace("\"\\u0001", "\""), r#"{"a":1,"a":1}"#.to_owned());
        unmark(&mut value);
        assert_eq!(value, json!({ "a": 1 }));
    }

    #[test]
    fn templates_are_all_there() {
        let kinds: BTreeSet<_> = templates().iter().map(|object| object["kind"].to_string()).collect();
        assert_eq!(kinds.len(), 6);
    }
}
