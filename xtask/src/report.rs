//! The table of the programs in the object.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::Context as _;
use aya_obj::{Object, generated::bpf_insn};

use crate::{
    loaded,
    stack::{self, Insn},
};

/// Prints instructions, verified instructions and stack of every program. What cannot be told here is a dash, with
/// the reason below the table.
pub(crate) fn print(object: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(object).with_context(|| format!("cannot read {}", object.display()))?;
    let parsed = Object::parse(&bytes).with_context(|| format!("{} is no BPF object", object.display()))?;
    let mut reasons = Vec::new();
    let loaded = loaded::load(&bytes, &parsed).unwrap_or_else(|error| {
        reasons.push(format!("instructions and verified: {error:#}"));
        BTreeMap::new()
    });

    println!("{:<24} {:>12} {:>9} {:>6}  frames", "program", "instructions", "verified", "stack");
    for (name, chain) in stacks(parsed)? {
        let [mut instructions, mut verified] = ["-".to_owned(), "-".to_owned()];
        match loaded.get(&name) {
            Some(Ok(figures)) => {
                instructions = figures.instructions.to_string();
                verified = figures.verified.to_string();
            }
            Some(Err(error)) => reasons.push(format!("{name}: {error:#}")),
            None => {}
        }
        let frames = chain.0.iter().map(u32::to_string).collect::<Vec<_>>().join("+");
        println!("{name:<24} {instructions:>12} {verified:>9} {:>6}  {frames}", chain.total());
    }
    for reason in reasons {
        println!("{reason}");
    }
    Ok(())
}

/// The deepest call chain of each program, by name.
fn stacks(mut object: Object) -> anyhow::Result<BTreeMap<String, stack::Chain>> {
    let sections = object.functions.keys().map(|(section, _address)| *section).collect();
    object.relocate_calls(&sections).context("the object's calls do not link")?;
    let chain = |program: &aya_obj::Program| {
        let function = object.functions.get(&(program.section_index, program.address));
        let instructions: Vec<Insn> =
            function.into_iter().flat_map(|f| &f.instructions).copied().map(insn).collect();
        stack::deepest(&instructions)
    };
    Ok(object.programs.iter().map(|(name, program)| (name.clone(), chain(program))).collect())
}

fn insn(raw: bpf_insn) -> Insn {
    Insn { code: raw.code, dst: raw.dst_reg(), src: raw.src_reg(), off: raw.off, imm: raw.imm }
}
