//! What the agent knows of a kind, and what it is to be told. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io,
    sync::{Arc, LazyLock},
};

use super::kind::Kind;
use crate::{compact::compact, manifest::parse::one_line, model::ObjectKey, source::Change};

/// One object as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Entry<K> {
    /// Whose.
    pub(super) key: ObjectKey,
    /// Its state, or why that cannot be read.
    object: Result<(Arc<K>, Digest), String>,
}

impl<K: Kind> Entry<K> {
    /// The object `key`, or why it cannot be read. What it takes to know it again is done here: while a list arrives,
    /// and not when it is complete and the tables wait for it.
    pub(super) fn new(key: ObjectKey, object: Result<Arc<K>, String>) -> Self {
        let with_digest = |object: Arc<K>| {
            let digest = digest(&*object);
            (object, digest)
        };
        Self { key, object: object.map(with_digest) }
    }

    /// With the version that the server gives it, which makes no difference to what it says.
    pub(super) fn at(mut self, version: Option<String>) -> Self {
        if let Ok((object, _)) = &mut self.object
            && let Some(object) = Arc::get_mut(object)
        {
            object.meta_mut().resource_version = version;
        }
        self
    }

    /// Whether it is known which object it is.
    pub(super) fn is_named(&self) -> bool {
        is_name(&self.key)
    }
}

fn is_name(key: &ObjectKey) -> bool {
    !key.name.is_empty()
}

/// What is heard of a kind.
#[derive(Clone, Debug)]
pub(super) enum News<K> {
    /// An object of the first list, which is not complete yet.
    Found(Entry<K>),
    /// The first list is complete: these are all there are.
    Complete(Vec<ObjectKey>),
    /// All there is.
    Listed(Vec<Entry<K>>),
    /// An object is new or has changed.
    Applied(Entry<K>),
    /// An object is gone.
    Deleted(ObjectKey),
    /// The server does not serve this kind to us.
    Unavailable,
}

/// What stands for an object: a hash of all of it. That two states of one object have the same is less probable than
/// that memory fails.
type Digest = u64;

/// What the agent knows of a kind, and what it is to be told.
///
/// Objects themselves are not kept: what of them counts is in the model, and takes a fraction of their memory.
#[derive(Debug)]
pub(super) struct Told<K> {
    /// The state that the agent was told.
    known: BTreeMap<ObjectKey, Digest>,
    /// Where the server's state differs from it.
    pending: BTreeMap<ObjectKey, Option<(Arc<K>, Digest)>>,
    /// Objects whose last state cannot be read.
    unreadable: BTreeSet<ObjectKey>,
    is_complete: bool,
}

impl<K> Default for Told<K> {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            pending: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            is_complete: false,
        }
    }
}

impl<K: Kind> Told<K> {
    /// Takes note of something.
    pub(super) fn hear(&mut self, news: News<K>) {
        match news {
            News::Found(entry) | News::Applied(entry) => self.apply(entry),
            News::Complete(keys) => {
                self.is_complete = true;
                self.keep_only(&keys.iter().collect());
            }
            News::Listed(entries) => self.list(entries),
            News::Deleted(key) => self.delete(key),
            News::Unavailable => self.is_complete = true,
        }
    }

    /// Whether all objects have been heard of.
    pub(super) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// How many changes the agent is to be told.
    pub(super) fn changes(&self) -> usize {
        self.pending.len()
    }

    /// Whether the agent is to be told something.
    pub(super) fn has_changes(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether some object has never had a state that could be read.
    pub(super) fn is_partial(&self) -> bool {
        self.unreadable.iter().any(|key| !self.has(key))
    }

    /// What the agent is told by this.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Change> {
        std::mem::take(&mut self.pending).into_iter().map(|(key, object)| {
            match &object {
                Some((_, digest)) => self.known.insert(key.clone(), *digest),
                None => self.known.remove(&key),
            };
            K::change(key, object.map(|(object, _)| object))
        })
    }

    /// Takes as little memory as possible, at the cost of a look at everything that is known.
    pub(super) fn compact(&mut self) {
        compact(&mut self.known);
    }

    fn list(&mut self, entries: Vec<Entry<K>>) {
        self.is_complete = true;
        self.keep_only(&entries.iter().map(|entry| &entry.key).collect());
        for entry in entries {
            self.apply(entry);
        }
    }

    /// What is not in `listed` is gone. Where something in it has no name, it may be any of those.
    fn keep_only(&mut self, listed: &BTreeSet<&ObjectKey>) {
        if !listed.iter().all(|key| is_name(key)) {
            return;
        }
        let known = self.known.keys().chain(self.pending.keys()).chain(&self.unreadable);
        let gone: BTreeSet<ObjectKey> = known.filter(|key| !listed.contains(key)).cloned().collect();
        for key in gone {
            self.delete(key);
        }
    }

    fn apply(&mut self, Entry { key, object }: Entry<K>) {
        match object {
            Ok(object) => {
                self.unreadable.remove(&key);
                self.set(key, Some(object));
            }
            Err(reason) => {
                if self.unreadable.insert(key.clone()) {
                    let (kind, key) = (K::kind(&()), key.to_string());
                    let (key, reason) = (one_line(&key), one_line(&reason));
                    tracing::warn!("{kind} {key}: cannot be read and stays as it was: {reason}");
                }
            }
        }
    }

    fn delete(&mut self, key: ObjectKey) {
        self.unreadable.remove(&key);
        self.set(key, None);
    }

    fn set(&mut self, key: ObjectKey, object: Option<(Arc<K>, Digest)>) {
        if self.known.get(&key) == object.as_ref().map(|(_, digest)| digest) {
            self.pending.remove(&key);
        } else {
            self.pending.insert(key, object);
        }
    }

    fn has(&self, key: &ObjectKey) -> bool {
        self.pending.get(key).map_or_else(|| self.known.contains_key(key), Option::is_some)
    }
}

/// Stands for `object` as long as the process runs.
fn digest<K: Kind>(object: &K) -> Digest {
    // A key that nobody knows: whoever writes objects cannot make two of them look alike.
    static HASHES: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    let mut hash = Hash(HASHES.build_hasher());
    // It takes all that is written, and all types of the API can be.
    serde_json::to_writer(&mut hash, object).ok();
    hash.0.finish()
}

/// Hashes what is written.
struct Hash(<RandomState as std::hash::BuildHasher>::Hasher);

impl io::Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{Service, ServiceSpec};
    use proptest::prelude::*;

    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey { namespace: "n".into(), name: name.into() }
    }

    fn service(address: u8) -> Arc<Service> {
        let spec = ServiceSpec { cluster_ip: Some(format!("10.0.0.{address}")), ..ServiceSpec::default() };
        Arc::new(Service { spec: Some(spec), ..Service::default() })
    }

    fn good(name: &str, address: u8) -> Entry<Service> {
        Entry::new(key(name), Ok(service(address)))
    }

    fn bad(name: &str) -> Entry<Service> {
        Entry::new(key(name), Err("no Service".into()))
    }

    fn set(name: &str, address: u8) -> Change {
        Change::Service(key(name), Some(service(address)))
    }

    fn gone(name: &str) -> Change {
        Change::Service(key(name), None)
    }

    #[test]
    fn a_list_tells_what_differs_from_what_was_told() {
        let mut told = Told::default();
        assert!(!told.is_complete());
        told.hear(News::Listed(vec![good("a", 1), good("b", 2), good("c", 3)]));
        assert!(told.is_complete());
        assert_eq!(told.take().collect::<Vec<_>>(), [set("a", 1), set("b", 2), set("c", 3)]);
        told.hear(News::Listed(vec![good("c", 3), good("b", 4), good("d", 5)]));
        assert_eq!(told.take().collect::<Vec<_>>(), [gone("a"), set("b", 4), set("d", 5)]);
        told.hear(News::Listed(vec![good("b", 4), good("c", 3), good("d", 5)]));
        assert!(!told.has_changes());
    }

    #[test]
    fn a_first_list_is_told_while_it_arrives_and_what_its_end_does_not_name_is_gone() {
        let mut told = Told::default();
        told.hear(News::Found(good("a", 1)));
        told.hear(News::Found(good("b", 2)));
        assert!(!told.is_complete());
        assert_eq!(told.take().collect::<Vec<_>>(), [set("a", 1), set("b", 2)]);
        // It has broken off, and begun anew.
        told.hear(News::Found(good("b", 2)));
        told.hear(News::Found(bad("c")));
        told.hear(News::Complete(vec![key("b"), key("c")]));
        assert!(told.is_complete() && told.is_partial());
        assert_eq!(told.take().collect::<Vec<_>>(), [gone("a")]);
    }

    #[test]
    fn what_comes_and_goes_before_it_is_told_is_not_told() {
        let mut told = Told::default();
        told.hear(News::Listed(vec![good("a", 1)]));
        assert_eq!(told.take().count(), 1);
        told.hear(News::Applied(good("b", 2)));
        told.hear(News::Applied(good("a", 2)));
        told.hear(News::Applied(good("a", 1)));
        told.hear(News::Deleted(key("b")));
        told.hear(News::Deleted(key("never there")));
        assert!(!told.has_changes());
    }

    #[test]
    fn an_unreadable_object_stays_as_it_was() {
        let mut told = Told::default();
        told.hear(News::Listed(vec![good("a", 1), bad("b")]));
        assert!(told.is_partial(), "b may be wanted");
        assert_eq!(told.take().collect::<Vec<_>>(), [set("a", 1)]);
        told.hear(News::Applied(bad("a")));
        told.hear(News::Listed(vec![bad("a"), bad("b")]));
        assert!(!told.has_changes());
        told.hear(News::Applied(good("b", 2)));
        assert!(!told.is_partial(), "a has a state");
        assert_eq!(told.take().collect::<Vec<_>>(), [set("b", 2)]);
        told.hear(News::Listed(vec![bad("c")]));
        assert_eq!(told.take().collect::<Vec<_>>(), [gone("a"), gone("b")]);
        assert!(told.is_partial());
        told.hear(News::Deleted(key("c")));
        assert!(!told.is_partial());
    }

    #[test]
    fn a_list_with_something_without_a_name_takes_nothing_back() {
        let mut told = Told::default();
        told.hear(News::Listed(vec![good("a", 1), good("b", 2)]));
        assert_eq!(told.take().count(), 2);
        told.hear(News::Listed(vec![good("a", 3), bad("")]));
        assert!(told.is_partial());
        assert_eq!(told.take().collect::<Vec<_>>(), [set("a", 3)], "b may be what has no name");
        told.hear(News::Listed(vec![good("a", 3)]));
        assert!(!told.is_partial());
        assert_eq!(told.take().collect::<Vec<_>>(), [gone("b")]);
    }

    #[test]
    fn a_kind_that_is_not_served_is_complete_and_takes_nothing_back() {
        let mut told = Told::default();
        told.hear(News::Listed(vec![good("a", 1)]));
        assert_eq!(told.take().count(), 1);
        told.hear(News::Unavailable);
        assert!(!told.has_changes());
        let mut never = Told::<Service>::default();
        never.hear(News::Unavailable);
        assert!(never.is_complete() && !never.has_changes());
    }

    fn news() -> impl Strategy<Value = News<Service>> {
        let name = || prop::sample::select(vec!["a", "b", "c"]);
        let entry = || (name(), 0_u8..4).prop_map(|(name, n)| if n == 0 { bad(name) } else { good(name, n) });
        prop_oneof![
            prop::collection::btree_map(name(), entry(), 0..3).prop_map(|entries| {
                let entries = entries.into_iter().map(|(name, entry)| Entry { key: key(name), ..entry });
                News::Listed(entries.collect())
            }),
            entry().prop_map(News::Applied),
            name().prop_map(|name| News::Deleted(key(name))),
            Just(News::Unavailable),
        ]
    }

    proptest! {
        /// Whenever the agent is told, it ends with the same state.
        #[test]
        fn how_it_is_cut_into_batches_leaves_no_trace(history in prop::collection::vec((news(), any::<bool>()), 0..20)) {
            let mut often = Told::default();
            let mut once = Told::default();
            let mut seen = BTreeMap::new();
            let mut learn = |changes: Vec<Change>| {
                for change in changes {
                    let Change::Service(key, object) = change else { unreachable!() };
                    match object {
                        Some(object) => { prop_assert_ne!(seen.insert(key, object.clone()), Some(object)); }
                        None => { prop_assert!(seen.remove(&key).is_some()); }
                    }
                }
                Ok(())
            };
            for (news, is_told) in history {
                often.hear(news.clone());
                once.hear(news);
                if is_told {
                    learn(often.take().collect())?;
                }
                prop_assert_eq!(often.is_partial(), once.is_partial());
            }
            learn(often.take().collect())?;
            once.take().count();
            let digests: BTreeMap<_, _> =
                seen.iter().map(|(key, object)| (key.clone(), digest(&**object))).collect();
            prop_assert_eq!(&digests, &once.known);
        }
    }
}
