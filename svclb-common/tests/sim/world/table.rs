//! A table of bounded size that forgets what was used longest ago, as the kernel's
//! LRU hash does (which only approximates the order).

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
};

use svclb_common::{
    family::Address,
    fragment::FragmentKey,
    key::{FlowKey, FrontendKey, SocketKey},
    service::AffinityKey,
    snat::PortsKey,
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

    /// A key and its value, for each.
    pub(crate) fn rows(&self) -> Vec<(Vec<u8>, &'static V)> {
        self.rows.borrow().iter().map(|(key, row)| (key.clone(), row.value)).collect()
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

/// The key that the kernel compares so.
pub(crate) fn flow_key<A: Address>(bytes: &[u8]) -> FlowKey<A> {
    let (addrs, rest) = bytes.split_at(2 * size_of::<A>());
    let (src, dst) = addrs.split_at(size_of::<A>());
    let (ports, numbers) = rest.split_at(6);
    let [sport, dport, pad] = bytemuck::pod_read_unaligned(ports);
    let [src, dst] = [src, dst].map(bytemuck::pod_read_unaligned);
    FlowKey { src, dst, sport, dport, proto: numbers[0], hook: numbers[1], pad }
}

/// A key as the kernel compares it.
pub(crate) fn fragment_bytes<A: Address>(key: &FragmentKey<A>) -> Vec<u8> {
    let FragmentKey { src, dst, id, proto, hook, pad } = key;
    [
        bytemuck::bytes_of(src),
        bytemuck::bytes_of(dst),
        bytemuck::bytes_of(id),
        &[*proto, *hook],
        bytemuck::bytes_of(pad),
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

/// A key as the kernel compares it.
pub(crate) fn ports_bytes<A: Address>(key: &PortsKey<A>) -> Vec<u8> {
    let PortsKey { src, dst, port, proto, pad } = key;
    [bytemuck::bytes_of(src), bytemuck::bytes_of(dst), bytemuck::bytes_of(port), &[*proto, *pad]].concat()
}
