//! Whether a binary starts where there is nothing else: no loader, no libraries.

use anyhow::{Context as _, bail};
use object::{
    elf::{DT_NEEDED, EM_AARCH64, EM_X86_64, ET_DYN, ET_EXEC, FileHeader64, PT_INTERP},
    read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _},
};

use crate::image::Arch;

/// An error unless `binary` is an executable for `arch` that needs no other file.
pub(super) fn check_static(binary: &[u8], arch: Arch) -> anyhow::Result<()> {
    let header = FileHeader64::<object::Endianness>::parse(binary).context("is no 64-bit ELF file")?;
    let endian = header.endian().context("is of no byte order")?;
    let machine = match arch {
        Arch::Amd64 => EM_X86_64,
        Arch::Arm64 => EM_AARCH64,
    };
    if header.e_machine(endian) != machine {
        bail!("is not for {}", arch.name());
    }
    if ![ET_EXEC, ET_DYN].contains(&header.e_type(endian)) {
        bail!("is no executable");
    }
    for segment in header.program_headers(endian, binary).context("its program headers are broken")? {
        if segment.p_type(endian) == PT_INTERP {
            bail!("is not static: it names a loader");
        }
        let dynamic = segment.dynamic(endian, binary).context("its dynamic section is broken")?;
        if dynamic.into_iter().flatten().any(|entry| entry.tag(endian) == DT_NEEDED) {
            bail!("is not static: it needs a library");
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use object::elf::PT_LOAD;

    use super::*;

    /// A file of one segment and nothing in it.
    pub(in crate::image) fn fake(machine: u16, segment: u32) -> Vec<u8> {
        let mut file = vec![0; 64 + 56];
        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        file[16..18].copy_from_slice(&ET_EXEC.to_le_bytes());
        file[18..20].copy_from_slice(&machine.to_le_bytes());
        file[20..24].copy_from_slice(&1_u32.to_le_bytes());
        file[32..40].copy_from_slice(&64_u64.to_le_bytes());
        file[52..54].copy_from_slice(&64_u16.to_le_bytes());
        file[54..56].copy_from_slice(&56_u16.to_le_bytes());
        file[56..58].copy_from_slice(&1_u16.to_le_bytes());
        file[64..68].copy_from_slice(&segment.to_le_bytes());
        file
    }

    #[test]
    fn a_static_binary_of_the_machine_is_taken() {
        check_static(&fake(EM_X86_64, PT_LOAD), Arch::Amd64).unwrap();
        check_static(&fake(EM_AARCH64, PT_LOAD), Arch::Arm64).unwrap();
    }

    #[test]
    fn everything_else_is_refused() {
        let refusal = |binary: &[u8]| check_static(binary, Arch::Amd64).unwrap_err().to_string();
        assert_eq!(refusal(b"#!/bin/sh\n"), "is no 64-bit ELF file");
        assert_eq!(refusal(&fake(EM_AARCH64, PT_LOAD)), "is not for amd64");
        assert_eq!(refusal(&fake(EM_X86_64, PT_INTERP)), "is not static: it names a loader");
        // the tests themselves are linked with libraries
        let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let arch = Arch::host().unwrap_or(Arch::Amd64);
        assert!(check_static(&this, arch).unwrap_err().to_string().contains("is not static"));
    }
}
