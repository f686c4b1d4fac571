//! The bench's own programs: the restore wrapper that runs all others, and the floor.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, Map, ProgramArray},
    programs::{
        Program, ProgramFd, SchedClassifier, TestRun as _, TestRunOptions, TestRunResult, Xdp, XdpMode,
    },
};
use svclb_tests::prog::{figures::stacks, front, lab, loaded};

use crate::{
    case::{Case, Family, Figures, Medium},
    template::{BODY, BODY_WORDS, COUNTER, ETHERNET, LEN, MASK, STEP, WORDS},
};

/// Longest frame that comes out.
const FRAME: usize = 256;

/// What a run has told.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The last packet's verdict.
    pub(crate) verdict: i32,
    /// The kernel's own time per packet, in whole nanoseconds.
    pub(crate) time: Duration,
    /// What became of the last packet.
    pub(crate) frame: Vec<u8>,
}

/// The loaded object.
pub(crate) struct Wrapper {
    ebpf: Ebpf,
    stacks: std::collections::BTreeMap<String, u32>,
}

/// Devices of the node's namespace that the wrappers of both families stay attached to.
pub(crate) const DEVICES: [&str; 2] = ["bench4", "bench6"];

impl Wrapper {
    /// Loads all of it. A test run puts a frame's program into the kernel's dispatcher and takes it out again, which
    /// waits for all CPUs, unless the program is there: so the wrappers are attached to devices without traffic.
    pub(crate) fn new(object: &Path) -> anyhow::Result<Self> {
        let bytes = fs::read(object).with_context(|| object.display().to_string())?;
        let mut ebpf = EbpfLoader::new().load(&bytes).context("the bench's object does not load")?;
        for (name, program) in ebpf.programs_mut() {
            loaded::load(program).with_context(|| name.to_owned())?;
        }
        for (family, device) in Family::BOTH.into_iter().zip(DEVICES) {
            let program: &mut Xdp =
                ebpf.program_mut(wrapper(family, Medium::Xdp)).context("no wrapper")?.try_into()?;
            program.attach(device, XdpMode::Skb).context(device)?;
        }
        Ok(Self { ebpf, stacks: stacks(&bytes)? })
    }

    /// A program of the object.
    pub(crate) fn program(&mut self, name: &str) -> anyhow::Result<(ProgramFd, Figures)> {
        let program = self.ebpf.program_mut(name).with_context(|| format!("no program {name}"))?;
        let loaded = loaded::load(program)?;
        let stack = self.stacks.get(name).copied().unwrap_or_default();
        Ok((loaded.program, figures(&loaded.info, stack)?))
    }

    /// A map of the object.
    pub(crate) fn map(&mut self, name: &str) -> anyhow::Result<&mut Map> {
        self.ebpf.map_mut(name).with_context(|| format!("no map {name}"))
    }

    /// Runs a case on so many packets, from that of a number on. `step` is the case's own but for flows that are to
    /// be made in sequence.
    pub(crate) fn run(&mut self, case: &Case, packets: u32, first: u64, step: u32) -> anyhow::Result<Ran> {
        self.run_program(case, &case.program, packets, first, step)
    }

    /// The same with another program.
    pub(crate) fn run_program(
        &mut self,
        case: &Case,
        program: &ProgramFd,
        packets: u32,
        first: u64,
        step: u32,
    ) -> anyhow::Result<Ran> {
        let mut words = words(&case.frame);
        words[STEP] = step.into();
        words[MASK] = case.flows.mask().into();
        words[COUNTER] = first;
        Array::<_, [u64; WORDS]>::try_from(self.map("TEMPLATE")?)?.set(0, words, 0)?;
        let under = match case.medium {
            Medium::Xdp => "UNDER_XDP",
            Medium::Tc => "UNDER_TC",
        };
        ProgramArray::try_from(self.map(under)?)?.set(0, program, 0).context(under)?;
        let mut out = vec![0; FRAME];
        let context = match case.medium {
            Medium::Xdp => front::context(case.frame.len(), case.ifindex).to_vec(),
            Medium::Tc => lab::context(case.ifindex).to_vec(),
        };
        let options = TestRunOptions {
            data_in: Some(&case.frame),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            repeat: packets,
            ..TestRunOptions::new()
        };
        let name = wrapper(case.family, case.medium);
        let ran: TestRunResult = match self.ebpf.program(name).with_context(|| name.to_owned())? {
            Program::Xdp(program) => test_run_xdp(program, options)?,
            Program::SchedClassifier(program) => test_run_tc(program, options)?,
            other => anyhow::bail!("{other:?}"),
        };
        out.truncate(ran.data_size_out as usize);
        Ok(Ran { verdict: ran.return_value.cast_signed(), time: ran.duration, frame: out })
    }
}

fn test_run_xdp(program: &Xdp, options: TestRunOptions<'_>) -> anyhow::Result<TestRunResult> {
    Ok(program.test_run(options)?)
}

fn test_run_tc(program: &SchedClassifier, options: TestRunOptions<'_>) -> anyhow::Result<TestRunResult> {
    Ok(program.test_run(options)?)
}

/// The wrapper's name in the object.
fn wrapper(family: Family, medium: Medium) -> &'static str {
    match (family, medium) {
        (Family::V4, Medium::Xdp) => "wrap_v4_xdp",
        (Family::V6, Medium::Xdp) => "wrap_v6_xdp",
        (Family::V4, Medium::Tc) => "wrap_v4_tc",
        (Family::V6, Medium::Tc) => "wrap_v6_tc",
    }
}

/// What the kernel says of a program, and the object of its stack.
pub(crate) fn figures(info: &aya::programs::ProgramInfo, stack: u32) -> anyhow::Result<Figures> {
    Ok(Figures {
        instructions: info.size_translated().context("the kernel tells no size")? / 8,
        machine_code: info.size_jitted(),
        verified: info.verified_instruction_count().unwrap_or_default(),
        stack,
    })
}

/// A frame cut into stores.
fn words(frame: &[u8]) -> [u64; WORDS] {
    let read = |at: usize, len: usize| {
        let mut bytes = [0; 8];
        if let Some(found) = frame.get(at..at + len) {
            bytes[..len].copy_from_slice(found);
        }
        u64::from_le_bytes(bytes)
    };
    let mut words = [0; WORDS];
    for (number, (at, len)) in [(0, 4), (4, 2), (6, 4), (10, 2), (12, 2)].into_iter().enumerate() {
        words[ETHERNET + number] = read(at, len);
    }
    for number in 0..BODY_WORDS {
        words[BODY + number] = read(14 + 4 * number, 4);
    }
    words[LEN] = frame.len() as u64;
    words
}

/// The wrapper gives every packet back as it was.
pub(crate) fn check_restored(wrapper: &mut Wrapper, case: &Case) -> anyhow::Result<Ran> {
    let first = wrapper.run(case, 1, 0, 0)?;
    let later = wrapper.run(case, 3, 0, 0)?;
    ensure!(
        first.frame == later.frame && first.verdict == later.verdict,
        "{}: a frame is not restored",
        case.path
    );
    ensure!(first.verdict == case.verdict, "{}: verdict {}, not {}", case.path, first.verdict, case.verdict);
    Ok(first)
}
