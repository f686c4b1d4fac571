//! The root file system of a virtual machine: programs at the paths that they have on this host, with the libraries
//! that they are linked to, and nothing else.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use xshell::Shell;

use super::{cpio::Cpio, module::Module};
use crate::workspace::on_path;

/// Folders that are mounted over.
const FOLDERS: &[&str] = &["dev/pts", "proc", "root", "run", "sys", "tmp"];

/// Who programs run as, which they look up by name.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n\
    dnsmasq:x:100:65534:dnsmasq:/:/bin/sh\nwww-data:x:33:33:www-data:/:/bin/sh\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\nwww-data:x:33:\ndip:x:30:\n";

/// A file system that is being written.
pub(crate) struct Rootfs<'a> {
    shell: &'a Shell,
    cpio: Cpio<BufWriter<File>>,
    /// Where programs without their symbols are kept.
    stripped: PathBuf,
}

impl<'a> Rootfs<'a> {
    /// Begins one in a file.
    pub(crate) fn create(shell: &'a Shell, file: &Path, stripped: &Path) -> anyhow::Result<Self> {
        let out = File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
        let mut cpio = Cpio::new(BufWriter::new(out));
        // as distributions have it, so that a library is found by either of its paths
        for folder in ["bin", "lib", "lib64", "sbin"] {
            cpio.link(folder, &format!("usr/{folder}"))?;
        }
        for folder in FOLDERS {
            cpio.folder(folder)?;
        }
        cpio.device("dev/console", [5, 1])?;
        cpio.device("dev/null", [1, 3])?;
        cpio.file("etc/passwd", PASSWD.as_bytes())?;
        cpio.file("etc/group", GROUP.as_bytes())?;
        fs::create_dir_all(stripped)?;
        Ok(Self { shell, cpio, stripped: stripped.to_owned() })
    }

    /// A file with such content.
    pub(crate) fn text(&mut self, path: &str, content: &str) -> anyhow::Result<()> {
        Ok(self.cpio.file(path, content.as_bytes())?)
    }

    /// The host's command of that name.
    pub(crate) fn command(&mut self, name: &str) -> anyhow::Result<()> {
        ensure!(on_path(name), "the command {name} is missing");
        let path = self.shell.cmd("which").arg(name).quiet().read()?;
        let path = fs::canonicalize(&path).with_context(|| path.clone())?;
        self.program(&path, &format!("/usr/bin/{name}"), &path)
    }

    /// A program that was built here, without its symbols, at a path.
    pub(crate) fn built(&mut self, program: &Path, to: &str) -> anyhow::Result<()> {
        let name = program.file_name().context("a program without a name")?;
        let stripped = self.stripped.join(name);
        let is_newer = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
        if is_newer(&stripped) < is_newer(program) {
            self.shell.cmd("strip").arg("-o").arg(&stripped).arg(program).quiet().run()?;
        }
        self.program(&stripped, to, program)
    }

    /// A folder of this host with all that is in it, at the same path.
    pub(crate) fn folder(&mut self, folder: &Path) -> anyhow::Result<()> {
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() { self.folder(&path)? } else { self.file(&path)? }
        }
        Ok(())
    }

    /// A file of this host, at the same path.
    pub(crate) fn file(&mut self, path: &Path) -> anyhow::Result<()> {
        let content = fs::read(path).with_context(|| path.display().to_string())?;
        Ok(self.cpio.file(text(path)?, &content)?)
    }

    /// Modules, named in the order in which they are to be loaded.
    pub(crate) fn modules(&mut self, modules: &[Module]) -> anyhow::Result<()> {
        for (number, module) in modules.iter().enumerate() {
            self.cpio.file(&format!("modules/{number:03}-{}.ko", module.name), &module.content)?;
        }
        Ok(())
    }

    /// Ends it.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        Ok(self.cpio.finish()?.flush()?)
    }

    fn program(&mut self, file: &Path, to: &str, linked: &Path) -> anyhow::Result<()> {
        let content = fs::read(file).with_context(|| file.display().to_string())?;
        self.cpio.file(to, &content)?;
        for library in self.libraries(linked)? {
            // the link by which it is asked for, and the file are one here
            let path = format!("usr{}", library.trim_start_matches("/usr"));
            if !self.cpio.has(&path) {
                self.cpio.file(&path, &fs::read(&library).with_context(|| library.clone())?)?;
            }
        }
        Ok(())
    }

    /// Paths of the libraries that a program is linked to, and of what loads them.
    fn libraries(&self, program: &Path) -> anyhow::Result<Vec<String>> {
        let listed = self.shell.cmd("ldd").arg(program).quiet().ignore_stderr().ignore_status().read()?;
        Ok(paths(&listed))
    }
}

/// The paths in what `ldd` prints, which for a static program is none.
fn paths(listed: &str) -> Vec<String> {
    let path = |line: &str| {
        let found = line.trim().rsplit_once(" (0x")?.0;
        let path = found.rsplit_once(" => ").map_or(found, |(_, path)| path);
        path.starts_with('/').then(|| path.to_owned())
    };
    listed.lines().filter_map(path).collect()
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_paths() {
        let listed = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x/libc.so.6 (0x00007f)\n\
            \tlibother.so => not found\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        assert_eq!(paths(listed), ["/lib/x/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
        assert!(paths("\tstatically linked\n").is_empty());
    }
}
