//! Frames that a device receives though nobody has sent them.
//!
//! A program of four instructions is run once (`BPF_PROG_TEST_RUN`, Linux 4.12) with a frame of ours; what it does with it is
//! real: `bpf_clone_redirect` lets a copy enter by the device, so that it passes all programs and filters of the device's
//! ingress as a frame from the wire does.

use std::{
    io,
    os::fd::{AsRawFd as _, OwnedFd},
};

use aya_obj::generated::{BPF_F_INGRESS, bpf_attr, bpf_cmd};

use super::{
    link::{attributes, bpf},
    program::{self, Instruction, Kind},
};

/// The number of the helper `bpf_clone_redirect` (Linux 4.2).
const CLONE_REDIRECT: i32 = 13;

/// The place of `ifindex` in `__sk_buff` (`linux/bpf.h`), in words.
const IFINDEX: u8 = 10;

/// The loaded program.
#[derive(Debug)]
pub struct Injector(OwnedFd);

impl Injector {
    /// Loads the program.
    pub fn load() -> io::Result<Self> {
        use Instruction::{Call, Exit, Load, Put};
        let program = [
            Load(2, i16::from(IFINDEX) * 4),
            Put(3, BPF_F_INGRESS.cast_signed()),
            Call(CLONE_REDIRECT),
            Exit,
        ];
        program::load(Kind::Classifier, "svclb_inject", &program).map(Self)
    }

    /// Lets the device receive `frame`, which begins with an Ethernet header.
    pub fn receive(&self, ifindex: u32, frame: &[u8]) -> io::Result<()> {
        // The kernel takes what is behind for zeros.
        let mut context = [0_u32; IFINDEX as usize + 1];
        context[usize::from(IFINDEX)] = ifindex;
        let mut attr: bpf_attr = attributes();
        // SAFETY: as above.
        let verdict = unsafe {
            let test = &mut attr.test;
            test.prog_fd = self.0.as_raw_fd().cast_unsigned();
            test.data_in = frame.as_ptr() as u64;
            test.data_size_in = u32::try_from(frame.len()).map_err(io::Error::other)?;
            test.repeat = 1;
            test.ctx_in = &raw const context as u64;
            test.ctx_size_in = size_of_val(&context) as u32;
            bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attr)?;
            attr.test.retval.cast_signed()
        };
        // What the helper says is what the program says.
        if verdict < 0 { Err(io::Error::from_raw_os_error(-verdict)) } else { Ok(()) }
    }
}
