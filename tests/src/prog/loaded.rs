//! A program of the lab as the kernel has it, to be run by other means than the lab's own.

use anyhow::{Context as _, bail};
use aya::programs::{Program, ProgramFd, ProgramInfo};

use super::lab::{Hook, Lab};

/// A loaded program.
#[derive(Debug)]
pub struct Loaded {
    /// The program itself.
    pub program: ProgramFd,
    /// What the kernel says of it.
    pub info: ProgramInfo,
}

impl Lab {
    /// The program at `hook`.
    pub fn load(&mut self, hook: Hook) -> anyhow::Result<Loaded> {
        let name = hook.program();
        let (_, program) =
            self.programs_mut().find(|(found, _)| *found == name).with_context(|| name.to_owned())?;
        load(program).with_context(|| name.to_owned())
    }
}

/// Loads a program of a device, unless it is loaded.
pub fn load(program: &mut Program) -> anyhow::Result<Loaded> {
    let is_loaded = program.fd().is_ok();
    match program {
        _ if is_loaded => {}
        Program::Xdp(program) => program.load()?,
        Program::SchedClassifier(program) => program.load()?,
        other => bail!("a program of another kind: {other:?}"),
    }
    Ok(Loaded { program: program.fd()?.try_clone()?, info: program.info()? })
}
