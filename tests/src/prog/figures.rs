//! What an object says of its programs, before any kernel has seen it.

use std::collections::BTreeMap;

use aya_obj::Object;

#[path = "../../../xtask/src/stack.rs"]
mod stack;

/// Bytes of stack of each program's deepest chain of calls.
pub fn stacks(object: &[u8]) -> anyhow::Result<BTreeMap<String, u32>> {
    let mut object = Object::parse(object)?;
    let sections = object.functions.keys().map(|(section, _address)| *section).collect();
    object.relocate_calls(&sections)?;
    let chain = |program: &aya_obj::Program| {
        let function = object.functions.get(&(program.section_index, program.address));
        let instructions = function.into_iter().flat_map(|function| &function.instructions).map(|raw| {
            stack::Insn { code: raw.code, dst: raw.dst_reg(), src: raw.src_reg(), off: raw.off, imm: raw.imm }
        });
        stack::deepest(&instructions.collect::<Vec<_>>()).total()
    };
    Ok(object.programs.iter().map(|(name, program)| (name.clone(), chain(program))).collect())
}
