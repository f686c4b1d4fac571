//! An API server that tells anything: what cannot be read stays as it was, and nobody else notices.

use std::{collections::BTreeMap, sync::Arc};

use kube::{
    core::{ObjectList, WatchEvent},
    runtime::watcher::Event,
};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::Value;

use super::{
    super::{
        follow::{entry, news},
        kind::{Kind, stripped},
        received::Received,
    },
    *,
};
use crate::{
    hostile::{
        isolation::{Neighbours, settings, settled, told},
        mutation::{Hostile, any_hostile, any_hostile_of},
        template::neighbours,
    },
    model::{Model, ObjectKey, Objects, Snapshot},
    plan::tests::follower::{Follower, any_limits},
    source::Change,
};

/// What the server tells.
#[derive(Clone, Debug)]
enum Step {
    Added(Hostile),
    Deleted(Hostile),
    /// All of a kind that there is, and these.
    Listed(&'static str, Vec<Hostile>),
}

const KINDS: [&str; 5] = ["Service", "EndpointSlice", "Node", "ServiceCIDR", "Pod"];

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => any_hostile().prop_map(Step::Added),
        2 => any_hostile().prop_map(Step::Deleted),
        4 => select(&KINDS[..]).prop_flat_map(|kind| {
            vec(any_hostile_of(kind), 0..4).prop_map(move |more| Step::Listed(kind, more))
        }),
    ]
}

/// What a client makes of an event; `None` if it is none, whereupon a client asks for a list.
fn event<K: Kind>(kind: &str, object: &str) -> Option<News<K>> {
    let text = format!("{{\"type\":\"{kind}\",\"object\":{object}}}");
    news(match serde_json::from_str::<WatchEvent<Received<K>>>(&text).ok()? {
        WatchEvent::Deleted(object) => Event::Delete(object),
        WatchEvent::Added(object) => Event::Apply(object),
        _ => return None,
    })
}

/// What a client makes of a list; `None` if it is none, whereupon a client asks again.
fn list<K: Kind>(items: &[String]) -> Option<News<K>> {
    let text = format!("{{\"metadata\":{{\"resourceVersion\":\"9\"}},\"items\":[{}]}}", items.join(","));
    let list: ObjectList<Received<K>> = serde_json::from_str(&text).ok()?;
    Some(News::Listed(list.items.into_iter().map(entry).collect()))
}

fn heard_event(kind: &str, what: &str, object: &str) -> Option<Heard> {
    Some(match kind {
        "Service" => Heard::Services(event(what, object)?),
        "EndpointSlice" => Heard::Slices(event(what, object)?),
        "Node" => Heard::Nodes(event(what, object)?),
        "ServiceCIDR" => Heard::ServiceCidrs(event(what, object)?),
        "Pod" => Heard::Pods(event(what, object)?),
        _ => return None,
    })
}

fn heard_list(kind: &str, items: &[String]) -> Option<Heard> {
    Some(match kind {
        "Service" => Heard::Services(list(items)?),
        "EndpointSlice" => Heard::Slices(list(items)?),
        "Node" => Heard::Nodes(list(items)?),
        "ServiceCIDR" => Heard::ServiceCidrs(list(items)?),
        "Pod" => Heard::Pods(list(items)?),
        _ => return None,
    })
}

/// The kind that the server tells an object under: that of its template.
fn kind_of(hostile: &Hostile) -> &'static str {
    KINDS.into_iter().find(|kind| *kind == hostile.kind()).unwrap_or("Pod")
}

/// What is to become of the agent's knowledge by an object, read in kube's own way; `None` if it cannot be read.
fn expected(kind: &str, object: &Value) -> Option<Change> {
    fn of<K: Kind>(object: &Value) -> Option<Change> {
        let read: K = serde_json::from_value(object.clone()).ok()?;
        let key = ObjectKey::of(read.meta());
        let (is_long, name) = (K::IS_OPTIONAL || K::kind(&()) == "EndpointSlice", &key.name);
        let is_plain = |text: &str| text.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-' | '.'));
        let is_name = !name.is_empty() && name.len() <= if is_long { 253 } else { 63 } && is_plain(name);
        let has_none = matches!(&*K::kind(&()), "Node" | "ServiceCIDR");
        let of = &key.namespace;
        let is_namespace = if has_none { of.is_empty() } else { of.len() <= 63 && is_plain(of) };
        (is_name && is_namespace).then(|| K::change(key, Some(stripped(read))))
    }
    let mut object = object.clone();
    // The rest of the metadata is nobody's business.
    if let Some(Value::Object(fields)) = object.get_mut("metadata") {
        let read =
            ["annotations", "creationTimestamp", "deletionTimestamp", "labels", "name", "namespace", "uid"];
        fields.retain(|field, _| read.contains(&field.as_str()) || field == "resourceVersion");
    }
    match kind {
        "Service" => of::<Service>(&object),
        "EndpointSlice" => of::<EndpointSlice>(&object),
        "Node" => of::<Node>(&object),
        "ServiceCIDR" => of::<ServiceCIDR>(&object),
        "Pod" => of::<Pod>(&object),
        _ => None,
    }
}

fn place(change: &Change) -> (&'static str, ObjectKey) {
    match change {
        Change::Service(key, _) => ("Service", key.clone()),
        Change::Slice(key, _) => ("EndpointSlice", key.clone()),
        Change::Node(key, _) => ("Node", key.clone()),
        Change::ServiceCidr(key, _) => ("ServiceCIDR", key.clone()),
        Change::Pod(key, _) => ("Pod", key.clone()),
    }
}

/// The same, without what makes no difference to what an object says.
fn without_version(change: &Change) -> Change {
    fn of<K: Kind>(object: Option<&Arc<K>>) -> Option<Arc<K>> {
        let mut object = K::clone(object?);
        object.meta_mut().resource_version = None;
        Some(Arc::new(object))
    }
    match change {
        Change::Service(key, object) => Change::Service(key.clone(), of(object.as_ref())),
        Change::Slice(key, object) => Change::Slice(key.clone(), of(object.as_ref())),
        Change::Node(key, object) => Change::Node(key.clone(), of(object.as_ref())),
        Change::ServiceCidr(key, object) => Change::ServiceCidr(key.clone(), of(object.as_ref())),
        Change::Pod(key, object) => Change::Pod(key.clone(), of(object.as_ref())),
    }
}

/// An agent that listens, and what it is to know.
struct Listener {
    world: World,
    model: Model,
    tables: Follower,
    objects: Objects,
    expected: BTreeMap<(&'static str, ObjectKey), Change>,
}

impl Listener {
    fn hear(&mut self, heard: Option<Heard>) -> Vec<Change> {
        if let Some(heard) = heard {
            self.world.hear(heard);
        }
        let changes = if self.world.is_worth_telling() { self.world.take().changes } else { Vec::new() };
        for change in &changes {
            self.objects.apply(&without_version(change));
            self.model.apply(change);
        }
        self.model.settle();
        self.tables.advance(Snapshot { services: self.model.services().clone(), ..Snapshot::default() });
        changes
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_cannot_be_read_stays_as_it_was(steps in vec(any_step(), 1..8), limits in any_limits()) {
        let mut node = Listener {
            world: World::default(), model: Model::new(settings()), tables: Follower::new(limits),
            objects: Objects::default(), expected: BTreeMap::new(),
        };
        let of_kind = |kind: &str| -> Vec<String> {
            let all = neighbours();
            all.iter().filter(|object| object["kind"] == kind).map(Value::to_string).collect()
        };
        let mut first = Vec::new();
        for kind in KINDS {
            first.extend(node.hear(heard_list(kind, &of_kind(kind))));
        }
        let neighbours = Neighbours::of(&first);
        let theirs: Vec<_> = first.iter().map(place).collect();
        node.expected = first.iter().map(|change| (place(change), without_version(change))).collect();
        for step in &steps {
            // A name that a neighbour has is the neighbour: names are unique at an API server.
            let is_other = |hostile: &&Hostile| {
                let kind = kind_of(hostile);
                let metadata = &hostile.value()["metadata"];
                let text = |field| metadata[field].as_str().unwrap_or_default();
                let key = ObjectKey { namespace: text("namespace").into(), name: text("name").into() };
                !theirs.contains(&(kind, key))
            };
            match step {
                Step::Added(hostile) if is_other(&hostile) => {
                    let kind = kind_of(hostile);
                    node.hear(heard_event(kind, "ADDED", &hostile.value().to_string()));
                    if let Some(change) = expected(kind, &hostile.value()) {
                        node.expected.insert(place(&change), change);
                    }
                }
                Step::Deleted(hostile) if is_other(&hostile) => {
                    let kind = kind_of(hostile);
                    node.hear(heard_event(kind, "DELETED", &hostile.value().to_string()));
                    if let Some(key) = name_of(&hostile.value()) {
                        node.expected.remove(&(kind, key));
                    }
                }
                Step::Listed(kind, more) => {
                    let more: Vec<_> = more.iter().filter(|it| kind_of(it) == *kind).filter(is_other).collect();
                    let items: Vec<_> = of_kind(kind).into_iter().chain(more.iter().map(|it| it.value().to_string())).collect();
                    node.hear(heard_list(kind, &items));
                    let values: Vec<_> = more.iter().map(|it| it.value()).collect();
                    // Something that is no object makes a list none.
                    if values.iter().all(Value::is_object) {
                        let names: Vec<_> = values.iter().map(name_of).collect();
                        if !names.contains(&None) {
                            node.expected.retain(|(of, key), _| {
                                of != kind || theirs.contains(&(*of, key.clone())) || names.contains(&Some(key.clone()))
                            });
                        }
                        for change in values.iter().filter_map(|value| expected(kind, value)) {
                            node.expected.insert(place(&change), change);
                        }
                    }
                }
                _ => {}
            }
            let wanted: Vec<_> = node.expected.values().cloned().collect();
            let mut objects = Objects::default();
            for change in &wanted {
                objects.apply(change);
            }
            prop_assert_eq!(&node.objects, &objects, "after {:?}", step);
            neighbours.judge(&node.model, &node.objects)?;
            prop_assert_eq!(told(&node.model), told(&settled(&wanted)));
        }
        for kind in KINDS {
            node.hear(heard_list(kind, &of_kind(kind)));
        }
        neighbours.judge_alone(&node.model)?;
    }
}

/// Whose state an object tells, if that can be read.
fn name_of(object: &Value) -> Option<ObjectKey> {
    let metadata = object.get("metadata")?;
    let name = metadata.get("name")?.as_str().filter(|name| !name.is_empty())?;
    let namespace = match metadata.get("namespace") {
        None | Some(Value::Null) => "",
        Some(namespace) => namespace.as_str()?,
    };
    Some(ObjectKey { namespace: namespace.into(), name: name.into() })
}
