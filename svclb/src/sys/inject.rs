//! Frames that a device receives though nobody has sent them.
//!
//! A program of five instructions is run once (`BPF_PROG_TEST_RUN`, Linux 4.12) with a frame of ours; what it does with it is
//! real: `bpf_clone_redirect` lets a copy enter by the device, so that it passes all programs and filters of the device's
//! ingress as a frame from the wire does.

use std::{
    io,
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd},
};

use aya_obj::generated::{BPF_F_INGRESS, bpf_attr, bpf_cmd, bpf_insn, bpf_prog_type};

use super::link::{attributes, bpf};

/// The number of the helper `bpf_clone_redirect` (Linux 4.2).
const CLONE_REDIRECT: i32 = 13;

/// Opcodes (`linux/bpf_common.h`, `linux/bpf.h`): load a word, put a constant into a register, call, end.
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xb7;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;

/// The place of `ifindex` in `__sk_buff` (`linux/bpf.h`), in words.
const IFINDEX: usize = 10;

/// The loaded program.
#[derive(Debug)]
pub struct Injector(OwnedFd);

fn instruction(code: u8, registers: (u8, u8), off: i16, imm: i32) -> bpf_insn {
    let (to, from) = registers;
    bpf_insn { code, _bitfield_align_1: [], _bitfield_1: bpf_insn::new_bitfield_1(to, from), off, imm }
}

impl Injector {
    /// Loads the program.
    pub fn load() -> io::Result<Self> {
        let ifindex = (IFINDEX * size_of::<u32>()) as i16;
        let program = [
            // The context is in register 1 and stays there.
            instruction(LOAD_WORD, (2, 1), ifindex, 0),
            instruction(MOVE, (3, 0), 0, BPF_F_INGRESS.cast_signed()),
            instruction(CALL, (0, 0), 0, CLONE_REDIRECT),
            instruction(EXIT, (0, 0), 0, 0),
        ];
        let license = c"Apache-2.0";
        let mut attr = attributes();
        // SAFETY: unions of integers; what they point to outlives the call.
        let fd = unsafe {
            let load = &mut attr.__bindgen_anon_3;
            load.prog_type = bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS as u32;
            load.insns = program.as_ptr() as u64;
            load.insn_cnt = program.len() as u32;
            load.license = license.as_ptr() as u64;
            bpf(bpf_cmd::BPF_PROG_LOAD, &mut attr)?
        };
        // SAFETY: the kernel just gave us this descriptor.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd as RawFd) }))
    }

    /// Lets the device receive `frame`, which begins with an Ethernet header.
    pub fn receive(&self, ifindex: u32, frame: &[u8]) -> io::Result<()> {
        // The kernel takes what is behind for zeros.
        let mut context = [0_u32; IFINDEX + 1];
        context[IFINDEX] = ifindex;
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
