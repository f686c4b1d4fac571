//! Every program that packets pass, run from buffers that are used again and again.

use anyhow::{Context as _, bail};
use aya::programs::{Program, SchedClassifier, TestRun, TestRunOptions, TestRunResult, Xdp, XdpMode};

use svclb_tests::prog::front::{self, verdict_in_front};

use crate::{
    lab::{self, FRAME, Lab, Verdict},
    node::{Device, Node},
};

/// A program of a packet.
#[derive(Clone, Copy)]
enum Loaded<'l> {
    Tc(&'l SchedClassifier),
    Xdp(&'l Xdp),
}

/// The programs by name. Those at sockets are not among them: the kernel has no `BPF_PROG_TEST_RUN` for
/// `BPF_PROG_TYPE_CGROUP_SOCK_ADDR`, and they see no frames.
pub(super) struct Programs<'l>(Vec<(&'l str, Loaded<'l>)>);

impl<'l> Programs<'l> {
    /// All of a lab.
    pub(super) fn of(lab: &'l Lab) -> Self {
        let found = lab.programs().filter_map(|(name, program)| match program {
            Program::SchedClassifier(program) => Some((name, Loaded::Tc(program))),
            Program::Xdp(program) => Some((name, Loaded::Xdp(program))),
            _ => None,
        });
        Self(found.collect())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'l str> {
        self.0.iter().map(|(name, _)| *name)
    }

    /// Where a program is attached: by its name, to a pod's device or an uplink.
    pub(super) fn device(&self, program: usize) -> Device {
        if self.0[program].0.starts_with("pod") { Device::Pod } else { Device::Uplink }
    }
}

/// Loads the programs of packets. Those at XDP are attached as well: a program that is attached nowhere is entered into
/// the kernel's dispatcher for each run and taken out again, which takes it 15 milliseconds.
pub(super) fn load(lab: &mut Lab, node: &Node) -> anyhow::Result<()> {
    let mut devices = [Device::Loopback, Device::Second].into_iter();
    for (name, program) in lab.programs_mut() {
        match program {
            Program::SchedClassifier(program) => program.load().context(name.to_owned())?,
            Program::Xdp(program) => {
                program.load().context(name.to_owned())?;
                let device = devices.next().context("more XDP programs than devices")?;
                program.attach_to_if_index(node.index(device), XdpMode::Skb).context(name.to_owned())?;
            }
            Program::CgroupSockAddr(_) => {}
            other => bail!("{name} is of another kind: {other:?}"),
        }
    }
    Ok(())
}

/// What a run needs besides the frame.
pub(super) struct Bench {
    out: Vec<u8>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self { out: vec![0; 2 * FRAME] }
    }

    /// Runs a program on a frame of a device.
    pub(super) fn run(
        &mut self,
        programs: &Programs<'_>,
        program: usize,
        ifindex: u32,
        frame: &[u8],
    ) -> anyhow::Result<(Verdict, &[u8])> {
        let (name, program) = programs.0[program];
        match program {
            Loaded::Tc(program) => {
                let context = lab::context(ifindex);
                let ran = run(program, frame, &mut self.out, &context, None).context(name.to_owned())?;
                Ok((Verdict::of(ran.return_value)?, &self.out[..ran.data_size_out as usize]))
            }
            Loaded::Xdp(program) => {
                let (before, mut after) = (front::context(frame.len(), ifindex), [0; front::CONTEXT]);
                let ran =
                    run(program, frame, &mut self.out, &before, Some(&mut after)).context(name.to_owned())?;
                let out = &self.out[..ran.data_size_out as usize];
                let (verdict, metadata) = verdict_in_front(ran.return_value, &after, out)?;
                Ok((verdict, &out[metadata..]))
            }
        }
    }
}

fn run(
    program: &impl for<'o> TestRun<Opts<'o> = TestRunOptions<'o>, Result = TestRunResult>,
    frame: &[u8],
    out: &mut [u8],
    before: &[u8],
    after: Option<&mut [u8]>,
) -> anyhow::Result<TestRunResult> {
    let options = TestRunOptions {
        data_in: Some(frame),
        data_out: Some(out),
        ctx_in: Some(before),
        ctx_out: after,
        ..TestRunOptions::new()
    };
    Ok(program.test_run(options)?)
}
