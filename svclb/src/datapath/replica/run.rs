//! One packet through one program, and what became of it.

use std::{mem::offset_of, net::IpAddr};

use aya::{
    maps::{MapError, PerCpuArray, PerCpuValues, RingBuf},
    programs::{Program, ProgramError, TestRun as _, TestRunOptions, TestRunResult},
};
use svclb_common::{
    balance::{Scratches, Told},
    event::Event,
    family::{Addr4, Addr6, Address},
    flow::Action,
    layout::map,
    service::{BackendId, Frontend, Slab},
    verdict::DropReason,
};

use super::Replica;
use crate::{
    datapath::{Error, error::chain},
    model::Family,
};

/// Bytes of a `struct __sk_buff` (linux/bpf.h) up to the device's index.
const SKB: usize = 44;
/// Bytes of a `struct xdp_md`.
const XDP: usize = 24;
/// What stands before a packet that XDP has translated for the stack: "svcl".
const MARK: [u8; 4] = u32::from_be_bytes(*b"svcl").to_ne_bytes();
/// The longest frame that comes out.
const FRAME: usize = 4096;

/// Where a program sent the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// On: to other programs, and to the stack.
    On,
    /// Nowhere.
    Dropped,
    /// Out by a device, or into the node by one.
    Redirected,
    /// Back by the device that it came by.
    Back,
}

/// What became of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Where the program sent it.
    pub way: Way,
    /// Whether an XDP program says that nothing is left for the TC program to do.
    pub is_done: bool,
    /// The frame as it came out.
    pub frame: Vec<u8>,
    /// Why it was dropped or refused, in the program's words.
    pub reasons: Vec<DropReason>,
    /// What was decided on the way.
    pub decided: Decided,
}

/// What was decided of a packet. What is not there was not asked: an established flow needs no decision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decided {
    /// The frontend that it is sent to.
    pub frontend: Option<Frontend>,
    /// The list that it might choose from.
    pub slab: Option<Slab>,
    /// Whether its place in the list was given by affinity or by a hash.
    pub has_home: bool,
    /// Whether the client is masqueraded.
    pub masquerades: bool,
    /// Whether the policy promises the client's address to the backend.
    pub keeps_source: bool,
    /// The backend.
    pub backend: Option<BackendId>,
    /// The address that the backend sees, and what happens after the translation.
    pub path: Option<(IpAddr, Action)>,
    /// Whether half of its flow was there.
    pub is_kept: bool,
    /// Whether a search found no source port.
    pub found_no_port: bool,
}

impl<A: Address + Into<IpAddr>> From<Told<A>> for Decided {
    fn from(told: Told<A>) -> Self {
        Self {
            frontend: told.frontend,
            slab: told.choice.map(|choice| choice.slab),
            has_home: told.choice.is_some_and(|choice| choice.home.is_some()),
            masquerades: told.choice.is_some_and(|choice| choice.masquerades),
            keeps_source: told.choice.is_some_and(|choice| choice.keeps_source),
            backend: told.backend,
            path: told.path.map(|path| (path.src.into(), path.there)),
            is_kept: told.is_kept,
            found_no_port: told.found_no_port,
        }
    }
}

impl Replica {
    /// Runs a program on a frame of a device.
    pub fn run(&mut self, program: &str, family: Family, ifindex: u32, frame: &[u8]) -> Result<Ran, Error> {
        self.mark(family)?;
        self.reasons()?;
        let failed = |error: &ProgramError| Error::Load { what: program.into(), reason: chain(error) };
        let loaded = self.ebpf.program_mut(program).ok_or_else(|| Error::Load {
            what: format!("program {program}"),
            reason: "the bytecode does not define it".into(),
        })?;
        let mut out = vec![0; FRAME.max(frame.len() + 256)];
        let (way, is_done, out) = match loaded {
            Program::SchedClassifier(program) => {
                if program.fd().is_err() {
                    program.load().map_err(|error| failed(&error))?;
                }
                let mut context = [0; SKB];
                context[SKB - 4..].copy_from_slice(&ifindex.to_ne_bytes());
                let options = TestRunOptions {
                    data_in: Some(frame),
                    data_out: Some(&mut out),
                    ctx_in: Some(&context),
                    ..TestRunOptions::new()
                };
                let TestRunResult { return_value, data_size_out, .. } =
                    program.test_run(options).map_err(|error| failed(&error))?;
                out.truncate(data_size_out as usize);
                let way = match return_value.cast_signed() {
                    2 => Way::Dropped,
                    7 => Way::Redirected,
                    _ => Way::On,
                };
                (way, false, out)
            }
            Program::Xdp(program) => {
                if program.fd().is_err() {
                    program.load().map_err(|error| failed(&error))?;
                }
                let (mut before, mut after) = ([0; XDP], [0; XDP]);
                before[4..8].copy_from_slice(&u32::try_from(frame.len()).unwrap_or(0).to_ne_bytes());
                before[12..16].copy_from_slice(&ifindex.to_ne_bytes());
                let options = TestRunOptions {
                    data_in: Some(frame),
                    data_out: Some(&mut out),
                    ctx_in: Some(&before),
                    ctx_out: Some(&mut after),
                    ..TestRunOptions::new()
                };
                let TestRunResult { return_value, data_size_out, .. } =
                    program.test_run(options).map_err(|error| failed(&error))?;
                out.truncate(data_size_out as usize);
                let is_done = after[..4] != [0; 4] && out.starts_with(&MARK);
                if is_done {
                    out.drain(..MARK.len());
                }
                let way = match return_value {
                    2 => Way::On,
                    3 => Way::Back,
                    4 => Way::Redirected,
                    _ => Way::Dropped,
                };
                (way, is_done, out)
            }
            _ => return Err(Error::Load { what: program.into(), reason: "no packet comes to it".into() }),
        };
        Ok(Ran { way, is_done, frame: out, reasons: self.reasons()?, decided: self.decided(family)? })
    }

    /// Why packets were dropped or refused since the last call.
    fn reasons(&mut self) -> Result<Vec<DropReason>, Error> {
        let failed = |error: MapError| Error::map(map::EVENTS, &error);
        let Some(ring) = self.ebpf.map_mut(map::EVENTS) else { return Ok(Vec::new()) };
        let mut ring = RingBuf::try_from(ring).map_err(&failed)?;
        let mut reasons = Vec::new();
        while let Some(item) = ring.next() {
            if let Ok(event) = bytemuck::try_pod_read_unaligned::<Event>(&item) {
                reasons.extend(DropReason::of(event.reason));
            }
        }
        Ok(reasons)
    }

    /// Marks the working memory of all processors.
    fn mark(&mut self, family: Family) -> Result<(), Error> {
        let mut map = self.scratch()?;
        let mut memory = [0; MEMORY];
        marked(family, &mut memory);
        let cpus = map.get(&0, 0).map_err(|error| failed(&error))?.len();
        let all =
            PerCpuValues::try_from(vec![memory; cpus]).map_err(|error| failed(&MapError::IoError(error)))?;
        map.set(0, all, 0).map_err(|error| failed(&error))
    }

    /// One processor has run the program, and its memory is not as it was.
    fn decided(&mut self, family: Family) -> Result<Decided, Error> {
        let mut unused = [0; MEMORY];
        marked(family, &mut unused);
        let memories = self.scratch()?.get(&0, 0).map_err(|error| failed(&error))?;
        let used = memories.iter().find(|memory| **memory != unused).unwrap_or(&unused);
        let (v4, v6) = used.split_at(offset_of!(Scratches, v6));
        Ok(match family {
            Family::V4 => Told::<Addr4>::read(&v4[..Told::<Addr4>::LEN]).map(Into::into),
            Family::V6 => Told::<Addr6>::read(&v6[..Told::<Addr6>::LEN]).map(Into::into),
        }
        .unwrap_or_default())
    }

    fn scratch(&mut self) -> Result<PerCpuArray<&mut aya::maps::MapData, [u8; MEMORY]>, Error> {
        let missing = || Error::Map { map: SCRATCH.into(), reason: "the bytecode does not define it".into() };
        let map = self.ebpf.map_mut(SCRATCH).ok_or_else(missing)?;
        PerCpuArray::try_from(map).map_err(|error| failed(&error))
    }
}

/// Marks the part of a family.
fn marked(family: Family, memory: &mut [u8; MEMORY]) {
    let (v4, v6) = memory.split_at_mut(offset_of!(Scratches, v6));
    match family {
        Family::V4 => Told::<Addr4>::marked(&mut v4[..Told::<Addr4>::LEN]),
        Family::V6 => Told::<Addr6>::marked(&mut v6[..Told::<Addr6>::LEN]),
    }
}

fn failed(error: &MapError) -> Error {
    Error::map(SCRATCH, error)
}

/// Bytes of a processor's working memory.
const MEMORY: usize = size_of::<Scratches>();

/// The map of working memory, which is never pinned.
const SCRATCH: &str = "SCRATCH";
