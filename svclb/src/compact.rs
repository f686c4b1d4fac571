//! B-trees without empty places.

use std::{collections::BTreeMap, mem};

/// Fills the nodes of `map`. What is inserted in order, as all objects of a list are, leaves nodes behind that are
/// half empty; a map that is made of all its elements at once has none.
pub(crate) fn compact<K: Ord, V>(map: &mut BTreeMap<K, V>) {
    *map = mem::take(map).into_iter().collect();
}
