//! The real bytecode over maps of its own, run packet by packet by the kernel.

use anyhow::{Context as _, anyhow};
use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{
        Array, HashMap, Map, MapData, PerCpuArray, PerCpuValues,
        lpm_trie::{Key, LpmTrie},
    },
    programs::{Program, SchedClassifier, TestRun as _, TestRunOptions},
};
use serde::Deserialize;
use svclb::datapath::object::{BYTECODE, shapes};
use svclb_common::{
    FlowRecord,
    config::DatapathConfig,
    event::{Log, LogKey},
    family::{Addr4, Addr6, Address},
    flow::FlowState,
    fragment::{FragmentHead, FragmentKey},
    key::FlowKey,
    layout::map,
    service::{Affinity, AffinityKey, Traffic},
    snat::{PortsKey, PortsMemory},
};

use super::node::{Device, Node};

/// Entries of a map, unless the test asks for another number or the map's size has a meaning.
pub(super) const ENTRIES: u32 = 512;

/// Longest frame that comes out; `BPF_PROG_TEST_RUN` takes at most a page.
pub const FRAME: usize = 4096;

/// A program of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hook {
    /// From a pod of this node.
    PodIngress,
    /// To a pod of this node.
    PodEgress,
    /// From elsewhere.
    UplinkIngress,
    /// To elsewhere.
    UplinkEgress,
    /// From elsewhere, in front of the stack.
    UplinkXdp,
}

impl Hook {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::PodIngress, Self::PodEgress, Self::UplinkIngress, Self::UplinkEgress, Self::UplinkXdp];

    /// The program's name in the object.
    pub fn program(self) -> &'static str {
        match self {
            Self::PodIngress => "pod_ingress",
            Self::PodEgress => "pod_egress",
            Self::UplinkIngress => "uplink_ingress",
            Self::UplinkEgress => "uplink_egress",
            Self::UplinkXdp => "uplink_xdp",
        }
    }

    /// The device that the program is attached to.
    pub fn device(self) -> Device {
        match self {
            Self::PodIngress | Self::PodEgress => Device::Pod,
            Self::UplinkIngress | Self::UplinkEgress | Self::UplinkXdp => Device::Uplink,
        }
    }
}

/// What a program returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// `TC_ACT_UNSPEC`: on to the next program, then to the stack. `XDP_PASS`.
    Next,
    /// `XDP_PASS` with a mark that says that nothing is left to do.
    Done,
    /// `TC_ACT_SHOT`, `XDP_DROP`.
    Drop,
    /// `TC_ACT_REDIRECT`, `XDP_REDIRECT`.
    Redirect,
    /// `XDP_TX`: out by its own device.
    Back,
}

impl Verdict {
    /// What a TC program's code means.
    pub fn of(code: u32) -> anyhow::Result<Self> {
        match code.cast_signed() {
            -1 => Ok(Self::Next),
            2 => Ok(Self::Drop),
            7 => Ok(Self::Redirect),
            other => Err(anyhow!("the program returned {other}, which no program of svclb does")),
        }
    }
}

/// Entries of both families' flow tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flows {
    /// Of connections that both sides have confirmed.
    pub established: usize,
    /// Of all others.
    pub half_open: usize,
}

/// Programs and maps.
pub struct Lab {
    ebpf: Ebpf,
}

impl Lab {
    /// Loads the object over new maps. Capacities are small but for those in `entries`.
    pub fn new(config: DatapathConfig, entries: &[(&str, u32)]) -> anyhow::Result<Self> {
        Self::of(BYTECODE, config, entries)
    }

    /// The same of another build of the object.
    pub fn of(object: &[u8], config: DatapathConfig, entries: &[(&str, u32)]) -> anyhow::Result<Self> {
        let mut loader = EbpfLoader::new();
        loader.override_global("CONFIG", &config, true);
        let shapes = shapes(&svclb::datapath::object::Capacities::new())?;
        for (name, shape) in &shapes {
            let is_any = |fixed: &str| name.starts_with(fixed);
            let has_meaning =
                [map::NODE_PORTS, map::STRANGERS, map::EVENTS, map::DROPS].into_iter().any(is_any)
                    || [map::FLOW_FILTER, map::FRONTEND_FILTER, map::SEARCHED].into_iter().any(is_any);
            if !has_meaning && shape.max_entries > ENTRIES {
                loader.map_max_entries(name, ENTRIES);
            }
        }
        for (name, entries) in entries {
            loader.map_max_entries(name, *entries);
        }
        Ok(Self { ebpf: loader.load(object).context("the object does not load")? })
    }

    /// Runs the program at `hook` on a frame of its device.
    pub fn run(&mut self, node: &Node, hook: Hook, frame: &[u8]) -> anyhow::Result<(Verdict, Vec<u8>)> {
        self.run_on(node.index(hook.device()), hook, frame)
    }

    /// The same, for another device.
    pub fn run_on(&mut self, ifindex: u32, hook: Hook, frame: &[u8]) -> anyhow::Result<(Verdict, Vec<u8>)> {
        let name = hook.program();
        if hook == Hook::UplinkXdp {
            return self.run_in_front(name, ifindex, frame);
        }
        let program: &mut SchedClassifier = self.ebpf.program_mut(name).context(name)?.try_into()?;
        if program.fd().is_err() {
            program.load().with_context(|| format!("the kernel refused {name}"))?;
        }
        let mut out = vec![0; FRAME];
        let context = context(ifindex);
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            ..TestRunOptions::new()
        };
        let ran = program.test_run(options).with_context(|| format!("{name} on {} bytes", frame.len()))?;
        out.truncate(ran.data_size_out as usize);
        Ok((Verdict::of(ran.return_value)?, out))
    }

    /// All programs of the object by name, loaded or not.
    pub fn programs(&self) -> impl Iterator<Item = (&str, &Program)> {
        self.ebpf.programs()
    }

    /// The same, to load them.
    pub fn programs_mut(&mut self) -> impl Iterator<Item = (&str, &mut Program)> {
        self.ebpf.programs_mut()
    }

    /// A map of the object.
    pub fn map_mut(&mut self, name: &str) -> anyhow::Result<&mut Map> {
        self.ebpf.map_mut(name).with_context(|| format!("no map {name}"))
    }

    /// Writes an element of an array.
    pub fn set<V: Pod>(&mut self, name: &str, index: u32, value: V) -> anyhow::Result<()> {
        Array::<_, V>::try_from(self.map_mut(name)?)?.set(index, value, 0).context(name.to_owned())
    }

    /// An element of an array.
    pub fn get<V: Pod>(&mut self, name: &str, index: u32) -> anyhow::Result<V> {
        Array::<_, V>::try_from(self.map_mut(name)?)?.get(&index, 0).context(name.to_owned())
    }

    /// Writes an entry of a hash.
    pub fn insert<K: Pod, V: Pod>(&mut self, name: &str, key: K, value: V) -> anyhow::Result<()> {
        HashMap::<_, K, V>::try_from(self.map_mut(name)?)?.insert(key, value, 0).context(name.to_owned())
    }

    /// Writes an entry of a trie.
    pub fn add_prefix<K: Pod>(&mut self, name: &str, len: u32, key: K) -> anyhow::Result<()> {
        let mut trie = LpmTrie::<_, K, u32>::try_from(self.map_mut(name)?)?;
        trie.insert(&Key::new(len, key), 1, 0).context(name.to_owned())
    }

    /// Makes all that is known of clients that come back so many seconds older.
    pub fn age_affinities(&mut self, seconds: u64) -> anyhow::Result<()> {
        self.age::<Addr4>(true, Some(seconds))?;
        self.age::<Addr6>(false, Some(seconds))
    }

    /// Makes the last packet of all flows so many seconds older.
    pub fn age_flows(&mut self, seconds: u64) -> anyhow::Result<()> {
        self.age_flows_of::<Addr4>(true, seconds)?;
        self.age_flows_of::<Addr6>(false, seconds)?;
        // Nobody remembers for as long that no port was free.
        self.forget_searches::<Addr4>(true)?;
        self.forget_searches::<Addr6>(false)
    }

    fn age_flows_of<A: Address>(&mut self, is_v4: bool, seconds: u64) -> anyhow::Result<()> {
        for name in [of(map::FLOWS, is_v4), of(map::HALF_OPEN, is_v4)] {
            for (key, record) in self.entries::<A>(&name)? {
                let life = record.life.earlier(seconds * 1_000_000_000);
                self.insert(&name, key, FlowRecord { life, ..record })?;
            }
        }
        Ok(())
    }

    /// The states of all flows, told from both directions, which must agree.
    pub fn states(&mut self) -> anyhow::Result<Vec<FlowState>> {
        let mut states = self.states_of::<Addr4>(true)?;
        states.extend(self.states_of::<Addr6>(false)?);
        states.sort();
        Ok(states)
    }

    fn states_of<A: Address + Eq>(&mut self, is_v4: bool) -> anyhow::Result<Vec<FlowState>> {
        let mut entries = self.entries::<A>(&of(map::FLOWS, is_v4))?;
        entries.extend(self.entries::<A>(&of(map::HALF_OPEN, is_v4))?);
        let state = |(_, record): &(_, FlowRecord<A>)| {
            let peer = record.recipe.peer();
            let peer = entries.iter().find(|(key, _)| *key == peer).map(|(_, peer)| peer);
            let state = record.flow_state(peer);
            if peer.is_none_or(|peer| peer.flow_state(Some(record)) == state) {
                Ok(state)
            } else {
                Err(anyhow!("two directions of a flow disagree on its state"))
            }
        };
        entries.iter().filter(|(_, record)| record.recipe.is_original()).map(state).collect()
    }

    /// Without a number it forgets them.
    fn age<A: Address>(&mut self, is_v4: bool, seconds: Option<u64>) -> anyhow::Result<()> {
        let name = of(map::AFFINITIES, is_v4);
        let mut table = HashMap::<_, AffinityKey<A>, Affinity>::try_from(self.map_mut(&name)?)?;
        let entries = table.iter().collect::<Result<Vec<_>, _>>()?;
        for (key, affinity) in entries {
            match seconds {
                Some(seconds) => {
                    let seen = affinity.seen.saturating_sub(seconds * 1_000_000_000);
                    table.insert(key, Affinity { seen, ..affinity }, 0)?;
                }
                None => table.remove(&key)?,
            }
        }
        Ok(())
    }

    fn forget_logs(&mut self) -> anyhow::Result<()> {
        let mut table = HashMap::<_, LogKey, Log>::try_from(self.map_mut(map::RECORDER)?)?;
        let keys = table.keys().collect::<Result<Vec<_>, _>>()?;
        Ok(keys.iter().try_for_each(|key| table.remove(key))?)
    }

    /// Empties what the programs themselves have written, but for the drop counters.
    pub fn forget(&mut self) -> anyhow::Result<()> {
        self.forget_flows::<Addr4>(true)?;
        self.forget_flows::<Addr6>(false)?;
        self.forget_fragments::<Addr4>(true)?;
        self.forget_fragments::<Addr6>(false)?;
        self.age::<Addr4>(true, None)?;
        self.age::<Addr6>(false, None)?;
        self.forget_searches::<Addr4>(true)?;
        self.forget_searches::<Addr6>(false)?;
        self.events()?;
        self.forget_logs()?;
        for is_v4 in [true, false] {
            let mut counters = PerCpuArray::<_, Traffic>::try_from(self.map_mut(&of(map::TRAFFIC, is_v4))?)?;
            for service in 0..counters.len() {
                let cpus = counters.get(&service, 0)?.len();
                counters.set(service, PerCpuValues::try_from(vec![Traffic::default(); cpus])?, 0)?;
            }
        }
        Ok(())
    }

    fn forget_searches<A: Address>(&mut self, is_v4: bool) -> anyhow::Result<()> {
        let name = of(map::SEARCHES, is_v4);
        let mut table = HashMap::<_, PortsKey<A>, PortsMemory>::try_from(self.map_mut(&name)?)?;
        let keys = table.keys().collect::<Result<Vec<_>, _>>()?;
        Ok(keys.iter().try_for_each(|key| table.remove(key))?)
    }

    fn forget_flows<A: Address>(&mut self, is_v4: bool) -> anyhow::Result<()> {
        for name in [of(map::FLOWS, is_v4), of(map::HALF_OPEN, is_v4)] {
            let keys: Vec<_> = self.entries::<A>(&name)?.into_iter().map(|(key, _)| key).collect();
            let mut table = HashMap::<_, FlowKey<A>, FlowRecord<A>>::try_from(self.map_mut(&name)?)?;
            keys.iter().try_for_each(|key| table.remove(key))?;
        }
        Ok(())
    }

    fn forget_fragments<A: Address>(&mut self, is_v4: bool) -> anyhow::Result<()> {
        let name = of(map::FRAGMENTS, is_v4);
        let mut table = HashMap::<_, FragmentKey<A>, FragmentHead>::try_from(self.map_mut(&name)?)?;
        let keys = table.keys().collect::<Result<Vec<_>, _>>()?;
        keys.iter().try_for_each(|key| Ok(table.remove(key)?))
    }

    /// Counts the entries of the flow tables. An error if one of them has no opposite.
    pub fn flows(&mut self) -> anyhow::Result<Flows> {
        let (v4, v6) = (self.paired::<Addr4>(true)?, self.paired::<Addr6>(false)?);
        Ok(Flows { established: v4.established + v6.established, half_open: v4.half_open + v6.half_open })
    }

    fn paired<A: Address + Eq>(&mut self, is_v4: bool) -> anyhow::Result<Flows> {
        let established = self.entries::<A>(&of(map::FLOWS, is_v4))?;
        let half_open = self.entries::<A>(&of(map::HALF_OPEN, is_v4))?;
        for table in [&established, &half_open] {
            for (key, record) in table {
                if record.recipe.is_one_way() {
                    continue;
                }
                let peer = record.recipe.peer();
                let opposite =
                    table.iter().find(|(key, _)| *key == peer).map(|(_, record)| record.recipe.peer());
                if opposite != Some(*key) {
                    return Err(anyhow!("the flow {key:?} and its opposite {peer:?} do not name each other"));
                }
            }
        }
        Ok(Flows { established: established.len(), half_open: half_open.len() })
    }

    /// All entries of a flow table.
    pub fn entries<A: Address>(&mut self, name: &str) -> anyhow::Result<Vec<(FlowKey<A>, FlowRecord<A>)>> {
        let table = HashMap::<&mut MapData, FlowKey<A>, FlowRecord<A>>::try_from(self.map_mut(name)?)?;
        table.iter().map(|entry| Ok(entry?)).collect()
    }
}

/// The start of a `struct __sk_buff` (linux/bpf.h) up to `ifindex`; the kernel takes
/// what is missing for zero.
pub fn context(ifindex: u32) -> [u8; 44] {
    let mut context = [0; 44];
    context[40..].copy_from_slice(&ifindex.to_ne_bytes());
    context
}

/// Name of a family's map.
pub fn of(name: &str, is_v4: bool) -> String {
    format!("{name}_{}", if is_v4 { "V4" } else { "V6" })
}
