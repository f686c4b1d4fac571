//! Objects, versions, and what has happened.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    resource::{self, Resource},
    selector::Selector,
};

/// Kind, namespace and name.
type Place = (&'static str, String, String);

/// What has happened to an object.
#[derive(Clone, Debug)]
struct Past {
    version: u64,
    plural: &'static str,
    before: Option<Value>,
    after: Option<Value>,
}

/// Objects, versions, and what has happened.
#[derive(Debug, Default)]
pub struct Store {
    version: u64,
    /// What happened up to this version is forgotten.
    forgotten: u64,
    objects: BTreeMap<Place, Value>,
    history: Vec<Past>,
    /// What is left of lists whose first pages were answered, by the number in their tokens.
    pages: BTreeMap<u64, (u64, Vec<Value>)>,
    next_page: u64,
}

impl Store {
    /// The version of the last change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Creates an object or replaces it, as the server's storage does: with a `uid` of its own and a version.
    ///
    /// # Panics
    ///
    /// If the kind is unknown.
    pub fn apply(&mut self, mut object: Value) {
        let kind = object["kind"].as_str().unwrap_or_default();
        let known = resource::ALL.into_iter().find(|resource| resource.kind == kind);
        let Resource { plural, .. } = known.expect("an object of a known kind");
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let place = (plural, text("namespace"), text("name"));
        self.version += 1;
        let before = self.objects.get(&place).cloned();
        let uid = before
            .as_ref()
            .map_or_else(|| json!(format!("uid-{}", self.version)), |old| old["metadata"]["uid"].clone());
        object["metadata"]["uid"] = uid;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(place, object.clone());
        self.history.push(Past { version: self.version, plural, before, after: Some(object) });
    }

    /// Deletes an object, if there is one.
    pub fn delete(&mut self, plural: &'static str, namespace: &str, name: &str) {
        if let Some(object) = self.objects.remove(&(plural, namespace.to_owned(), name.to_owned())) {
            self.version += 1;
            self.history.push(Past { version: self.version, plural, before: Some(object), after: None });
        }
    }

    /// Forgets what has happened so far.
    pub fn forget(&mut self) {
        self.forgotten = self.version;
        self.history.clear();
        self.pages.clear();
    }

    /// Forgets what has happened before the last `kept` changes.
    pub fn compact(&mut self, kept: usize) {
        // Not with each change: it moves all that is kept.
        if self.history.len() > 2 * kept {
            let old = self.history.len() - kept;
            self.forgotten = self.history[old - 1].version;
            self.history.drain(..old);
        }
    }

    /// All objects of a kind that are selected.
    pub fn list(&self, plural: &str, selector: &Selector) -> Vec<Value> {
        let of_kind = self.objects.iter().filter(|((kind, ..), _)| *kind == plural);
        of_kind.map(|(_, object)| object).filter(|object| selector.selects(object)).cloned().collect()
    }

    /// Keeps the rest of a list for later; gives the token for it.
    pub fn keep(&mut self, version: u64, rest: Vec<Value>) -> String {
        self.next_page += 1;
        self.pages.insert(self.next_page, (version, rest));
        format!("page-{}", self.next_page)
    }

    /// The version and the rest of a list, unless it has expired.
    pub fn kept(&mut self, token: &str) -> Option<(u64, Vec<Value>)> {
        let number = token.strip_prefix("page-")?.parse().ok()?;
        self.pages.remove(&number)
    }

    /// What has happened to selected objects of a kind after a version, as events; `None` if that is forgotten.
    pub fn since(&self, plural: &str, version: u64, selector: &Selector) -> Option<Vec<Value>> {
        if version < self.forgotten {
            return None;
        }
        let later = &self.history[self.history.partition_point(|past| past.version <= version)..];
        let of_kind = later.iter().filter(|past| past.plural == plural);
        Some(of_kind.filter_map(|past| event(past, selector)).collect())
    }
}

/// An object that is no longer selected looks deleted, and one that is newly selected looks new.
fn event(past: &Past, selector: &Selector) -> Option<Value> {
    let selected = |object: &Option<Value>| object.clone().filter(|object| selector.selects(object));
    let (kind, mut object) = match (selected(&past.before), selected(&past.after)) {
        (None, None) => return None,
        (None, Some(after)) => ("ADDED", after),
        (Some(_), Some(after)) => ("MODIFIED", after),
        (Some(before), None) => ("DELETED", before),
    };
    object["metadata"]["resourceVersion"] = json!(past.version.to_string());
    Some(json!({ "type": kind, "object": object }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, address: &str) -> Value {
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "namespace": "n", "name": name },
                "spec": { "clusterIP": address } })
    }

    fn types(store: &Store, version: u64, selector: &Selector) -> Option<Vec<String>> {
        let events = store.since("services", version, selector)?;
        Some(
            events
                .iter()
                .map(|event| format!("{} {}", event["type"], event["object"]["metadata"]["name"]))
                .collect(),
        )
    }

    #[test]
    fn selected_objects_come_and_go() {
        let selector = Selector::parse("", "spec.clusterIP!=None").unwrap();
        let mut store = Store::default();
        store.apply(service("a", "10.0.0.1"));
        store.apply(service("b", "None"));
        store.apply(service("a", "None"));
        store.apply(service("a", "10.0.0.2"));
        store.delete("services", "n", "b");
        store.delete("services", "n", "a");
        let all = [r#""ADDED" "a""#, r#""DELETED" "a""#, r#""ADDED" "a""#, r#""DELETED" "a""#];
        assert_eq!(types(&store, 0, &selector).unwrap(), all);
        assert_eq!(types(&store, 4, &selector).unwrap(), all[3..]);
        store.forget();
        assert_eq!(types(&store, 5, &selector), None);
        assert_eq!(types(&store, 6, &selector), Some(vec![]));
    }

    #[test]
    fn what_is_compacted_is_forgotten_and_no_more() {
        let selector = Selector::parse("", "").unwrap();
        let mut store = Store::default();
        for number in 1..=10 {
            store.apply(service("a", &format!("10.0.0.{number}")));
            store.compact(4);
        }
        assert_eq!(types(&store, 4, &selector), None);
        assert_eq!(types(&store, 5, &selector).map(|types| types.len()), Some(5));
    }

    #[test]
    fn pages_are_those_of_their_time() {
        let mut store = Store::default();
        let token = store.keep(3, vec![json!(1)]);
        assert_eq!(store.kept(&token), Some((3, vec![json!(1)])));
        assert_eq!(store.kept(&token), None);
        let token = store.keep(3, vec![]);
        store.forget();
        assert_eq!(store.kept(&token), None);
    }
}
