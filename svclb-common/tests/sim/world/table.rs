//! A table of bounded size that forgets what was used longest ago, as the kernel's
//! LRU hash does (which only approximates the order).

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
};

use svclb_common::{
    family::Address,
    key::{FlowKey, FrontendKey, SocketKey},
    service::AffinityKey,
};

/// The value and when it was last used.
struct Row<V: 'static> {
    value: &'static V,
    used: Cell<u64>,
}

/// Values are leaked: a reference outlives its row, as under RCU in the kernel.
pub(crate) struct Table<V: 'static> {
    capacity: usize,
    uses: Cell<u64>,
    rows: RefCell<HashMap<Vec<u8>, Row<V>>>,
}

impl<V> Table<V> {
    /// An empty table.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, uses: Cell::new(0), rows: RefCell::default() }
    }

    fn tick(&self) -> u64 {
        self.uses.set(self.uses.get() + 1);
        self.uses.get()
    }

    /// The value under `key`.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&'static V> {
        let rows = self.rows.borrow();
        let row = rows.get(key)?;
        row.used.set(self.tick());
        Some(row.value)
    }

    /// Writes a value, at the cost of another one if there is no room.
    pub(crate) fn put(&self, key: Vec<u8>, value: V) {
        let mut rows = self.rows.borrow_mut();
        if rows.len() >= self.capacity && !rows.contains_key(&key) {
            let oldest = rows.iter().min_by_key(|(_, row)| row.used.get()).map(|(key, _)| key.clone());
            oldest.and_then(|key| rows.remove(&key));
        }
        rows.insert(key, Row { value: Box::leak(Box::new(value)), used: Cell::new(self.tick()) });
    }

    /// Forgets the value under `key`.
    pub(crate) fn remove(&self, key: &[u8]) -> Option<&'static V> {
        self.rows.borrow_mut().remove(key).map(|row| row.value)
    }

    /// Forgets every value that `keep` is false for.
    pub(crate) fn retain(&self, keep: impl Fn(&V) -> bool) {
        self.rows.borrow_mut().retain(|_, row| keep(row.value));
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.rows.borrow_mut().clear();
    }

    /// All values, in no order.
    pub(crate) fn all(&self) -> Vec<&'static V> {
        self.rows.borrow().values().map(|row| row.value).collect()
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.borrow().len()
    }
}

/// A key as the kernel compares it.
pub(crate) fn flow_bytes<A: Address>(key: &FlowKey<A>) -> Vec<u8> {
    let FlowKey { src, dst, sport, dport, proto, hook, pad } = key;
    [
        bytemuck::bytes_of(src),
        bytemuck::bytes_of(dst),
        bytemuck::bytes_of(&[*sport, *dport, *pad]),
        &[*proto, *hook],
    ]
    .concat()
}

/// A key as the kernel compares it.
pub(crate) fn frontend_bytes<A: Address>(key: &FrontendKey<A>) -> Vec<u8> {
    let FrontendKey { addr, port, proto, pad } = key;
    [bytemuck::bytes_of(addr), bytemuck::bytes_of(port), &[*proto, *pad]].concat()
}

/// A key as the kernel compares it.
pub(crate) fn socket_bytes<A: Address>(key: &SocketKey<A>) -> Vec<u8> {
    let SocketKey { cookie, addr, port, proto, way } = key;
    [bytemuck::bytes_of(cookie), bytemuck::bytes_of(addr), bytemuck::bytes_of(port), &[*proto, *way]].concat()
}

/// A key as the kernel compares it.
pub(crate) fn affinity_bytes<A: Address>(key: &AffinityKey<A>) -> Vec<u8> {
    let AffinityKey { service, client } = key;
    [bytemuck::bytes_of(service), bytemuck::bytes_of(client)].concat()
}
