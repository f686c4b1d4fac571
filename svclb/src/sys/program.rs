//! Programs of a few instructions, for which an object file would be too much.

use std::{
    io,
    os::fd::{FromRawFd as _, OwnedFd, RawFd},
};

use aya_obj::generated::{bpf_cmd, bpf_insn, bpf_prog_type};

use super::link::{attributes, bpf};

/// Where a program can be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The sides of devices.
    Classifier,
    /// In front of the stack.
    Xdp,
}

/// An instruction (`linux/bpf_common.h`, `linux/bpf.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// Loads the word at an offset of register 1, the context, into a register.
    Load(u8, i16),
    /// Puts a number into a register.
    Put(u8, i32),
    /// Calls a helper.
    Call(i32),
    /// Ends with what is in register 0.
    Exit,
}

impl Instruction {
    fn encoded(self) -> bpf_insn {
        let (code, to, from, off, imm) = match self {
            Self::Load(to, off) => (0x61, to, 1, off, 0),
            Self::Put(to, number) => (0xb7, to, 0, 0, number),
            Self::Call(helper) => (0x85, 0, 0, 0, helper),
            Self::Exit => (0x95, 0, 0, 0, 0),
        };
        let registers = bpf_insn::new_bitfield_1(to, from);
        bpf_insn { code, _bitfield_align_1: [], _bitfield_1: registers, off, imm }
    }
}

/// Loads a program under a name of at most 15 bytes (`BPF_PROG_LOAD`, Linux 3.18; names 4.15).
pub fn load(kind: Kind, name: &str, program: &[Instruction]) -> io::Result<OwnedFd> {
    let program: Vec<_> = program.iter().map(|instruction| instruction.encoded()).collect();
    let kind = match kind {
        Kind::Classifier => bpf_prog_type::BPF_PROG_TYPE_SCHED_CLS,
        Kind::Xdp => bpf_prog_type::BPF_PROG_TYPE_XDP,
    };
    let license = c"Apache-2.0";
    let mut attr = attributes();
    // SAFETY: unions of integers; what they point to outlives the call.
    let fd = unsafe {
        let load = &mut attr.__bindgen_anon_3;
        load.prog_type = kind as u32;
        load.insns = program.as_ptr() as u64;
        load.insn_cnt = program.len() as u32;
        load.license = license.as_ptr() as u64;
        // The last place is for the end.
        for (place, byte) in load.prog_name[..15].iter_mut().zip(name.bytes()) {
            *place = byte.cast_signed();
        }
        bpf(bpf_cmd::BPF_PROG_LOAD, &mut attr)?
    };
    // SAFETY: the kernel just gave us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}
