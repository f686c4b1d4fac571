//! Maps that the programs never read: the agent keeps in them what a reader of the
//! pins must know, and what a restarted agent takes over.

use aya_ebpf::{
    btf_maps::{Array, HashMap},
    macros::btf_map,
};
use svclb_common::{
    config::Settings,
    layout::capacity,
    service::{NodeName, ServiceName},
    state::AgentState,
};

/// `BPF_F_NO_PREALLOC`: memory for what is there, not for what could be.
const NO_PREALLOC: usize = 1;

/// `BPF_F_MMAPABLE`: the agent reads and writes the array as memory.
pub(crate) const MMAPABLE: usize = 1 << 10;

/// Which service port an IPv4 service cell belongs to.
#[btf_map(name = "NAMES_V4")]
static NAMES_V4: HashMap<u32, ServiceName, { capacity::SERVICES }, NO_PREALLOC> = HashMap::new();

/// Which service port an IPv6 service cell belongs to.
#[btf_map(name = "NAMES_V6")]
static NAMES_V6: HashMap<u32, ServiceName, { capacity::SERVICES }, NO_PREALLOC> = HashMap::new();

/// Node names by number.
#[btf_map]
static NODES: HashMap<u32, NodeName, { capacity::NODES }, NO_PREALLOC> = HashMap::new();

/// What the agent tells other processes.
#[btf_map]
static STATE: Array<AgentState, 1, MMAPABLE> = Array::new();

/// The settings of the programs that run.
#[btf_map]
static SETTINGS: Array<Settings, 1> = Array::new();
