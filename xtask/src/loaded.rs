//! What the kernel of this machine says about the programs, once they are loaded. They are attached to nothing.

use std::collections::BTreeMap;

use anyhow::{Context as _, anyhow, bail};
use aya::{EbpfLoader, VerifierLogLevel, programs::Program};
use aya_obj::{Object, generated::bpf_map_type::BPF_MAP_TYPE_RINGBUF};
use svclb_common::config::DatapathConfig;

/// Maps are made no larger than this: a program needs them to exist, not to hold a cluster.
const MAX_ENTRIES: u32 = 1024;

/// The least page size, which is the least size of a ring buffer.
const PAGE: u32 = 4096;

/// One loaded program.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// Instructions that are left when the verifier has removed dead code and inlined map lookups.
    pub(crate) instructions: u32,
    /// Instructions the verifier followed, over all paths.
    pub(crate) verified: u32,
}

/// Loads every program of `object`, whose parsed form is `parsed`, with all the settings that matter: the verifier
/// leaves out what the settings rule out. The figures are those of the settings that leave most to verify, a refusal
/// with any of them is told.
pub(crate) fn load(
    object: &[u8],
    parsed: &Object,
) -> anyhow::Result<BTreeMap<String, anyhow::Result<Loaded>>> {
    if !nix::unistd::geteuid().is_root() {
        bail!("loading programs needs root");
    }
    let mut worst = BTreeMap::new();
    for config in DatapathConfig::each() {
        for (name, found) in load_with(config, object, parsed)? {
            match worst.get(&name) {
                Some(known) if weight(known) >= weight(&found) => {}
                _ => drop(worst.insert(name, found)),
            }
        }
    }
    Ok(worst)
}

/// What the verifier followed; a refusal outweighs everything.
fn weight(result: &anyhow::Result<Loaded>) -> u32 {
    result.as_ref().map_or(u32::MAX, |loaded| loaded.verified)
}

fn load_with(
    config: DatapathConfig,
    object: &[u8],
    parsed: &Object,
) -> anyhow::Result<BTreeMap<String, anyhow::Result<Loaded>>> {
    let mut loader = EbpfLoader::new();
    loader.override_global("CONFIG", &config, true).verifier_log_level(VerifierLogLevel::STATS);
    for (name, map) in &parsed.maps {
        let limit = if map.map_type() == BPF_MAP_TYPE_RINGBUF as u32 { PAGE } else { MAX_ENTRIES };
        if map.max_entries() > limit {
            loader.map_max_entries(name, limit);
        }
    }
    let mut object = loader.load(object).context("the object does not load")?;
    Ok(object.programs_mut().map(|(name, program)| (name.to_owned(), figures(program))).collect())
}

fn figures(program: &mut Program) -> anyhow::Result<Loaded> {
    load_any(program).map_err(|error| anyhow!("refused: {}", last_words(&format!("{error:#}"))))?;
    let info = program.info()?;
    let bytes = info.size_translated().context("the kernel tells no size")?;
    let verified =
        info.verified_instruction_count().context("the kernel counts no instructions before 5.16")?;
    Ok(Loaded { instructions: bytes / 8, verified })
}

/// Every kind has its own `load`; these take nothing but the program.
fn load_any(program: &mut Program) -> anyhow::Result<()> {
    match program {
        Program::CgroupDevice(program) => program.load()?,
        Program::CgroupSkb(program) => program.load()?,
        Program::CgroupSock(program) => program.load()?,
        Program::CgroupSockAddr(program) => program.load()?,
        Program::CgroupSockopt(program) => program.load()?,
        Program::CgroupSysctl(program) => program.load()?,
        Program::FlowDissector(program) => program.load()?,
        Program::KProbe(program) => program.load()?,
        Program::LircMode2(program) => program.load()?,
        Program::PerfEvent(program) => program.load()?,
        Program::RawTracePoint(program) => program.load()?,
        Program::SchedClassifier(program) => program.load()?,
        Program::SkLookup(program) => program.load()?,
        Program::SkMsg(program) => program.load()?,
        Program::SkReuseport(program) => program.load()?,
        Program::SkSkb(program) => program.load()?,
        Program::SockOps(program) => program.load()?,
        Program::SocketFilter(program) => program.load()?,
        Program::TracePoint(program) => program.load()?,
        Program::UProbe(program) => program.load()?,
        Program::Xdp(program) => program.load()?,
        _ => bail!("a program of this kind loads only with what it is attached to"),
    }
    Ok(())
}

/// The line of a verifier's log that says why: the last before its statistics.
fn last_words(log: &str) -> &str {
    const STATISTICS: &[&str] = &["processed ", "verification time ", "stack depth "];
    let is_reason = |line: &&str| !line.is_empty() && !STATISTICS.iter().any(|start| line.starts_with(start));
    log.lines().map(str::trim).rfind(is_reason).unwrap_or("the kernel gives no reason")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_before_the_statistics() {
        let log = "the BPF_PROG_LOAD syscall failed:\nR0 !read_ok\nverification time 3 usec\nstack depth 0\nprocessed 1 insns\n";
        assert_eq!(last_words(log), "R0 !read_ok");
        assert_eq!(last_words(""), "the kernel gives no reason");
    }
}
