//! What the kernel offers, asked by trying.

use aya::{
    maps::MapType,
    programs::{ProgramType, SchedClassifier, TcAttachType},
    sys::{BpfHelper, is_helper_supported, is_map_supported, is_program_supported},
    util::KernelVersion,
};

/// One thing that svclb needs, or uses where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub what: String,
    /// Whether it is there.
    pub present: bool,
    /// Whether svclb can do without.
    pub required: bool,
    /// The kernel that brought it.
    pub since: &'static str,
}

/// Program and map types without which nothing works.
pub fn required() -> Vec<Finding> {
    let programs = [
        (ProgramType::SchedClassifier, "traffic control programs", "4.1"),
        (ProgramType::CgroupSockAddr, "socket address programs", "4.17"),
    ];
    let maps = [
        (MapType::Hash, "hash maps", "3.19"),
        (MapType::LruHash, "LRU hash maps", "4.10"),
        (MapType::PerCpuArray, "per-CPU arrays", "4.6"),
        (MapType::RingBuf, "ring buffers", "5.8"),
    ];
    let finding = |what: &str, present, since| Finding { what: what.into(), present, required: true, since };
    let programs = programs
        .into_iter()
        .map(|(kind, what, since)| finding(what, is_program_supported(kind).unwrap_or(true), since));
    let maps = maps
        .into_iter()
        .map(|(kind, what, since)| finding(what, is_map_supported(kind).unwrap_or(true), since));
    programs.chain(maps).collect()
}

/// The first thing that is required and missing.
pub fn missing() -> Option<Finding> {
    required().into_iter().find(|finding| finding.required && !finding.present)
}

/// Whether programs can be attached as TCX links: asked of the loopback device, which every namespace has.
pub fn has_tcx() -> bool {
    SchedClassifier::query_tcx("lo", TcAttachType::Ingress).is_ok()
}

/// Whether programs may repeat a function by `bpf_loop` (Linux 5.17).
pub fn has_loop() -> bool {
    is_helper_supported(ProgramType::SchedClassifier, BpfHelper::BPF_FUNC_loop).unwrap_or(false)
}

/// The kernel's version, for reports only: nothing is decided by it.
pub fn version() -> String {
    KernelVersion::current().map_or_else(
        |_| {
            nix::sys::utsname::uname()
                .map_or_else(|_| "unknown".into(), |name| name.release().to_string_lossy().into_owned())
        },
        |version| version.to_string(),
    )
}
