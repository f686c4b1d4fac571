//! Modules of a kernel, with those that they need, in the order in which they are loaded.
//!
//! An unpacked package has no `modules.dep`: that is written where a kernel is installed. What a module needs is in
//! itself, as `depends=` in its section `.modinfo`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use xshell::Shell;

/// A module as the kernel takes it.
pub(crate) struct Module {
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
}

/// The modules of one kernel.
pub(crate) struct Modules<'a> {
    shell: &'a Shell,
    files: BTreeMap<String, PathBuf>,
    builtin: BTreeSet<String>,
}

impl<'a> Modules<'a> {
    /// Looks through a folder of modules.
    pub(crate) fn find(shell: &'a Shell, folder: &Path) -> anyhow::Result<Self> {
        let mut files = BTreeMap::new();
        let mut folders = vec![folder.join("kernel")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Some(name) = name(&path) {
                    files.insert(name, path);
                }
            }
        }
        let builtin = fs::read_to_string(folder.join("modules.builtin")).unwrap_or_default();
        let builtin = builtin.lines().filter_map(|line| name(Path::new(line))).collect();
        Ok(Self { shell, files, builtin })
    }

    /// Those of `wanted` that this kernel has and does not have built in, after what they need.
    pub(crate) fn with_dependencies(&self, wanted: &[&str]) -> anyhow::Result<Vec<Module>> {
        let mut found = Vec::new();
        wanted.iter().try_for_each(|name| self.add(name, &mut found))?;
        Ok(found)
    }

    fn add(&self, name: &str, found: &mut Vec<Module>) -> anyhow::Result<()> {
        if self.builtin.contains(name) || found.iter().any(|module| module.name == name) {
            return Ok(());
        }
        let Some(path) = self.files.get(name) else { return Ok(()) };
        let content = self.read(path)?;
        for needed in depends(&content) {
            self.add(&needed, found)?;
        }
        found.push(Module { name: name.to_owned(), content });
        Ok(())
    }

    fn read(&self, path: &Path) -> anyhow::Result<Vec<u8>> {
        if path.extension().is_some_and(|kind| kind == "ko") {
            return fs::read(path).with_context(|| path.display().to_string());
        }
        ensure!(path.extension().is_some_and(|kind| kind == "xz"), "{}: not packed by xz", path.display());
        let unpacked = self.shell.cmd("xz").args(["--decompress", "--stdout"]).arg(path).quiet().output()?;
        Ok(unpacked.stdout)
    }
}

/// `sch_ingress` for `sch-ingress.ko.xz`: names of modules have underscores, those of files may have hyphens.
fn name(path: &Path) -> Option<String> {
    let (name, _) = path.file_name()?.to_str()?.split_once(".ko")?;
    Some(name.replace('-', "_"))
}

/// What a module needs.
fn depends(content: &[u8]) -> Vec<String> {
    const FIELD: &[u8] = b"\0depends=";
    let at = content.windows(FIELD.len()).position(|window| window == FIELD);
    let value = at.and_then(|at| content[at + FIELD.len()..].split(|byte| *byte == 0).next());
    let names = String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
    names.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_known_by_its_file() {
        assert_eq!(name(Path::new("net/sched/sch-ingress.ko.xz")).as_deref(), Some("sch_ingress"));
        assert_eq!(name(Path::new("net/veth.ko")).as_deref(), Some("veth"));
        assert_eq!(name(Path::new("modules.order")), None);
    }

    #[test]
    fn a_module_names_what_it_needs() {
        assert_eq!(depends(b"\0license=GPL\0depends=stp,nf-nat\0name=a\0"), ["stp", "nf_nat"]);
        assert!(depends(b"\0depends=\0name=a\0").is_empty());
        assert!(depends(b"no module").is_empty());
    }
}
