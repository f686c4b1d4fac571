//! How much stack a program needs, from its instructions.
//!
//! The verifier prints this in its log, which aya keeps only when a load fails, so it is counted here: in each
//! function the lowest address below the frame pointer that is read, written or handed on, then the calls that add
//! up to most.

use std::collections::{BTreeMap, BTreeSet};

/// One instruction, fields as in `linux/bpf.h`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Insn {
    pub(crate) code: u8,
    pub(crate) dst: u8,
    pub(crate) src: u8,
    pub(crate) off: i16,
    pub(crate) imm: i32,
}

const LD_IMM64: u8 = 0x18;
const ADD64_IMM: u8 = 0x07;
const MOV64_REG: u8 = 0xbf;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const JUMP: u8 = 0x05;
const PSEUDO_CALL: u8 = 1;
const PSEUDO_FUNC: u8 = 4;
const FRAME_POINTER: usize = 10;

/// The kernel allows eight frames.
const MAX_FRAMES: usize = 8;

/// The frames of the call chain that needs most, outermost first, each in bytes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Chain(pub(crate) Vec<u32>);

impl Chain {
    /// What the verifier holds against its limit of 512: each frame rounded up to 32 bytes.
    pub(crate) fn total(&self) -> u32 {
        self.0.iter().map(|frame| (*frame).max(1).next_multiple_of(32)).sum()
    }
}

/// The deepest chain of a program whose functions are linked behind it, as they are for the kernel.
pub(crate) fn deepest(program: &[Insn]) -> Chain {
    let calls = calls(program);
    let mut starts: BTreeSet<usize> = calls.values().copied().collect();
    starts.insert(0);
    deepest_from(program, &starts, &calls, 0, MAX_FRAMES)
}

fn deepest_from(
    program: &[Insn],
    starts: &BTreeSet<usize>,
    calls: &BTreeMap<usize, usize>,
    start: usize,
    frames: usize,
) -> Chain {
    let end = starts.range(start + 1..).next().copied().unwrap_or(program.len());
    let mut chain = Chain(vec![frame(program.get(start..end).unwrap_or_default())]);
    if frames > 1 {
        let callees: BTreeSet<usize> = calls.range(start..end).map(|(_, callee)| *callee).collect();
        let below =
            callees.into_iter().map(|callee| deepest_from(program, starts, calls, callee, frames - 1));
        chain.0.extend(below.max_by_key(Chain::total).unwrap_or_default().0);
    }
    chain
}

/// Where functions are called, or their address is taken for a callback, and which.
fn calls(program: &[Insn]) -> BTreeMap<usize, usize> {
    let calls = program.iter().enumerate().filter(|(_, insn)| {
        (insn.code == CALL && insn.src == PSEUDO_CALL) || (insn.code == LD_IMM64 && insn.src == PSEUDO_FUNC)
    });
    calls
        .filter_map(|(index, insn)| {
            let callee = i64::try_from(index).ok()? + i64::from(insn.imm) + 1;
            Some((index, usize::try_from(callee).ok().filter(|callee| *callee < program.len())?))
        })
        .collect()
}

/// Bytes below the frame pointer that one function uses. Registers that hold an address in the frame are followed
/// from one instruction to the next, which is how compilers emit them.
fn frame(function: &[Insn]) -> u32 {
    let mut offsets = frame_pointer_only();
    let mut lowest = 0;
    for insn in function {
        let (dst, src) = (usize::from(insn.dst & 15), usize::from(insn.src & 15));
        match (insn.code, insn.code & 7) {
            (MOV64_REG, _) => offsets[dst] = offsets[src],
            (ADD64_IMM, _) => {
                offsets[dst] = offsets[dst].map(|offset| offset.saturating_add(insn.imm));
                lowest = lowest.min(offsets[dst].unwrap_or(0));
            }
            (CALL, _) => offsets[..6].fill(None),
            (JUMP | EXIT, _) => offsets = frame_pointer_only(),
            // a load, by its base, then the register it overwrites
            (_, 1) => {
                lowest = lowest.min(address(offsets[src], insn.off));
                offsets[dst] = None;
            }
            // stores
            (_, 2 | 3) => lowest = lowest.min(address(offsets[dst], insn.off)),
            // conditional jumps change no register
            (_, 5 | 6) => {}
            // arithmetic and constants
            _ => offsets[dst] = None,
        }
        offsets[FRAME_POINTER] = Some(0);
    }
    // the verifier keeps slots of eight bytes
    lowest.unsigned_abs().next_multiple_of(8)
}

fn frame_pointer_only() -> [Option<i32>; 16] {
    let mut offsets = [None; 16];
    offsets[FRAME_POINTER] = Some(0);
    offsets
}

fn address(base: Option<i32>, off: i16) -> i32 {
    base.map_or(0, |base| base.saturating_add(i32::from(off)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STX64: u8 = 0x7b;

    fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
        Insn { code, dst, src, off, imm }
    }

    fn store(off: i16) -> Insn {
        insn(STX64, 10, 1, off, 0)
    }

    fn call(imm: i32) -> Insn {
        insn(CALL, 0, PSEUDO_CALL, 0, imm)
    }

    fn exit() -> Insn {
        insn(EXIT, 0, 0, 0, 0)
    }

    #[test]
    fn no_stack() {
        assert_eq!(deepest(&[insn(0xb7, 0, 0, 0, 1), exit()]), Chain(vec![0]));
    }

    #[test]
    fn stores_below_the_frame_pointer() {
        assert_eq!(deepest(&[store(-8), store(-40), exit()]), Chain(vec![40]));
    }

    #[test]
    fn an_address_handed_to_a_helper() {
        let program =
            [insn(MOV64_REG, 2, 10, 0, 0), insn(ADD64_IMM, 2, 0, 0, -64), insn(CALL, 0, 0, 0, 1), exit()];
        assert_eq!(deepest(&program), Chain(vec![64]));
    }

    #[test]
    fn a_store_through_a_copy_of_the_frame_pointer() {
        assert_eq!(
            deepest(&[insn(MOV64_REG, 6, 10, 0, 0), insn(STX64, 6, 1, -24, 0), exit()]),
            Chain(vec![24])
        );
    }

    #[test]
    fn arithmetic_on_packets_is_no_stack() {
        let program =
            [insn(0x79, 2, 1, 0, 0), insn(ADD64_IMM, 2, 0, 0, -64), insn(STX64, 2, 1, -8, 0), exit()];
        assert_eq!(deepest(&program), Chain(vec![0]));
    }

    #[test]
    fn the_deepest_of_two_calls_adds_up() {
        // 0: main, 4: callee of 16 bytes, 6: callee of 100 bytes
        let program = [store(-40), call(2), call(3), exit(), store(-16), exit(), store(-100), exit()];
        let chain = deepest(&program);
        assert_eq!(chain, Chain(vec![40, 104]));
        assert_eq!(chain.total(), 64 + 128);
    }

    #[test]
    fn a_callback_is_a_call() {
        let program = [insn(LD_IMM64, 2, PSEUDO_FUNC, 0, 2), insn(0, 0, 0, 0, 0), exit(), store(-8), exit()];
        assert_eq!(deepest(&program), Chain(vec![0, 8]));
    }

    #[test]
    fn recursion_ends() {
        assert_eq!(deepest(&[store(-8), call(-2), exit()]).0.len(), MAX_FRAMES);
    }
}
