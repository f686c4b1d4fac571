//! Packets as the XDP program in front of the stack sees them.

use anyhow::{Context as _, anyhow};
use aya::{
    maps::xdp::DevMapHash,
    programs::{TestRun as _, TestRunOptions, Xdp},
};
use svclb_common::layout::map;

use super::lab::{FRAME, Hook, Lab, Verdict};

/// Bytes of a `struct xdp_md` (linux/bpf.h).
pub const CONTEXT: usize = 24;

/// What `svclb_ebpf` leaves before a packet that is translated and goes on to the stack.
const MARK: [u8; 4] = u32::from_be_bytes(*b"svcl").to_ne_bytes();

impl Lab {
    /// Runs the XDP program `name` on a frame that came in by a device.
    pub fn run_in_front(
        &mut self,
        name: &str,
        ifindex: u32,
        frame: &[u8],
    ) -> anyhow::Result<(Verdict, Vec<u8>)> {
        let mut programs = self.programs_mut();
        let (_, program) = programs.find(|(found, _)| *found == name).with_context(|| name.to_owned())?;
        let program: &mut Xdp = program.try_into()?;
        if program.fd().is_err() {
            program.load().with_context(|| format!("the kernel refused {name}"))?;
        }
        let mut out = vec![0; FRAME + frame.len()];
        let (before, mut after) = (context(frame.len(), ifindex), [0; CONTEXT]);
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ctx_in: Some(&before),
            ctx_out: Some(&mut after),
            ..TestRunOptions::new()
        };
        let ran = program.test_run(options).with_context(|| format!("{name} on {} bytes", frame.len()))?;
        out.truncate(ran.data_size_out as usize);
        let (verdict, metadata) = verdict_in_front(ran.return_value, &after, &out)?;
        Ok((verdict, out.split_off(metadata)))
    }

    /// Runs the XDP program, and the TC program of the device on what it hands on: as if the latter
    /// had been alone, or an error.
    pub fn run_both(&mut self, ifindex: u32, frame: &[u8]) -> anyhow::Result<(Verdict, Vec<u8>)> {
        let (verdict, mut out) = self.run_in_front("uplink_xdp", ifindex, frame)?;
        match verdict {
            Verdict::Next => {
                anyhow::ensure!(out == frame, "it goes on, and is not as it came");
                self.run_on(ifindex, Hook::UplinkIngress, frame)
            }
            Verdict::Done => {
                // Where the driver has no room for a mark.
                let (again, same) = self.run_on(ifindex, Hook::UplinkIngress, &out)?;
                anyhow::ensure!(
                    again == Verdict::Next && same == out,
                    "it is translated, and the next program does not let it be: {again:?}"
                );
                Ok((Verdict::Next, out))
            }
            Verdict::Back | Verdict::Redirect => {
                let is_answer = out[..6] == frame[6..12] && out[6..12] == frame[..6];
                if !is_answer {
                    // The TC program leaves the next hop to the kernel.
                    out[..12].copy_from_slice(&frame[..12]);
                }
                Ok((Verdict::Redirect, out))
            }
            Verdict::Drop => Ok((verdict, out)),
        }
    }

    /// Lets XDP programs send frames to a device.
    pub fn open_to(&mut self, ifindex: u32) -> anyhow::Result<()> {
        let mut devices = DevMapHash::try_from(self.map_mut(map::XDP_UPLINKS)?)?;
        devices.insert(ifindex, ifindex, None, 0).context(map::XDP_UPLINKS)
    }
}

/// A `struct xdp_md` (linux/bpf.h): nothing before the frame, its end, and where it came from.
pub fn context(len: usize, ifindex: u32) -> [u8; CONTEXT] {
    let mut context = [0; CONTEXT];
    context[4..8].copy_from_slice(&(len as u32).to_ne_bytes());
    context[12..16].copy_from_slice(&ifindex.to_ne_bytes());
    context
}

/// What an XDP program's code means, and the bytes that it left before the packet, from the `struct xdp_md` and
/// the bytes that came out.
pub fn verdict_in_front(code: u32, after: &[u8; CONTEXT], out: &[u8]) -> anyhow::Result<(Verdict, usize)> {
    let metadata = u32::from_ne_bytes(*after.first_chunk().context("no context")?) as usize;
    let is_marked = metadata != 0;
    anyhow::ensure!(
        !is_marked || out.get(..metadata) == Some(&MARK),
        "{:?} stands before the packet",
        out.get(..metadata)
    );
    let verdict = match code {
        1 => Verdict::Drop,
        2 if is_marked => Verdict::Done,
        2 => Verdict::Next,
        3 => Verdict::Back,
        4 => Verdict::Redirect,
        other => return Err(anyhow!("the program returned {other}, which no program of svclb does")),
    };
    Ok((verdict, metadata))
}
