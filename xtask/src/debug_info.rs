//! An object without what only a debugger reads.

use anyhow::Context as _;
use object::{
    Object as _, ObjectSection as _,
    build::elf::{Builder, SectionData},
    elf::SHT_STRTAB,
    read::elf::ElfFile64,
};

/// The section that holds the names of sections.
const SECTION_NAMES: &str = ".shstrtab";

/// The object without DWARF. What the kernel asks for (BTF, and the lines that the verifier quotes) stays.
///
/// Three quarters of an object are DWARF, which the agent would carry in its binary and hold in memory.
pub(crate) fn without_debug_info(object: &[u8]) -> anyhow::Result<Vec<u8>> {
    let is_debug_info = |name: &[u8]| name.starts_with(b".debug_") || name.starts_with(b".rel.debug_");
    let mut builder = Builder::read(object).context("is no object file")?;
    for section in &mut builder.sections {
        section.delete = is_debug_info(section.name.as_slice());
    }
    builder.delete_orphans();
    // The linker has one table for the names of sections and symbols, which the builder does not write.
    let names = builder.sections.add();
    names.name = SECTION_NAMES.into();
    names.sh_type = SHT_STRTAB;
    names.sh_addralign = 1;
    names.data = SectionData::SectionString;
    let mut stripped = Vec::new();
    builder.write(&mut stripped).context("cannot be written anew")?;
    check(object, &stripped, is_debug_info)?;
    Ok(stripped)
}

/// An error unless both have the same sections, but for those that are debug information.
fn check(before: &[u8], after: &[u8], is_debug_info: impl Fn(&[u8]) -> bool) -> anyhow::Result<()> {
    let mut left = sections(after)?;
    for (name, data) in sections(before)?.into_iter().filter(|(name, _)| !is_debug_info(name.as_bytes())) {
        let found = left.iter().position(|(other, _)| *other == name);
        let (_, found) = left.swap_remove(found.with_context(|| format!("has lost {name}"))?);
        // Symbols and their names are fewer, and so have other numbers where they are named.
        let is_renumbered = name.starts_with(".rel") || name == ".symtab" || name == ".strtab";
        anyhow::ensure!(is_renumbered || found == data, "has another {name}");
    }
    anyhow::ensure!(left.iter().all(|(name, _)| name == SECTION_NAMES), "has more sections than before");
    Ok(())
}

fn sections(object: &[u8]) -> anyhow::Result<Vec<(String, &[u8])>> {
    let file = ElfFile64::<object::Endianness>::parse(object).context("is no object file")?;
    file.sections().map(|section| Ok((section.name()?.to_owned(), section.data()?))).collect()
}
