//! A suite of the distribution's mirror, asked by an apt that has nothing to do with this host's packages.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use xshell::{Cmd, Shell};

use crate::apt;

/// Names the address of a mirror, where the host's apt has none of Debian.
const MIRROR: &str = "SVCLB_DEBIAN_MIRROR";

/// The keys of Debian's archive, which verify every index.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// One suite, with lists of its own.
pub(crate) struct Suite<'a> {
    shell: &'a Shell,
    name: String,
    configuration: PathBuf,
}

impl<'a> Suite<'a> {
    /// Brings the lists of a suite up to date, in a folder below `below`.
    pub(crate) fn open(shell: &'a Shell, below: &Path, name: &str) -> anyhow::Result<Self> {
        let folder = below.join(name);
        for part in ["etc/apt.conf.d", "etc/preferences.d", "state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(part))?;
        }
        let at = folder.display();
        let address = address(shell, name)?;
        let sources = format!("deb [signed-by={KEYRING} arch=amd64] {address} {name} main\n");
        fs::write(folder.join("etc/sources.list"), sources)?;
        fs::write(folder.join("status"), "")?;
        let settings = format!(
            "Dir::Etc \"{at}/etc\";\nDir::Etc::sourcelist \"{at}/etc/sources.list\";\n\
             Dir::Etc::sourceparts \"/dev/null\";\nDir::State \"{at}/state\";\n\
             Dir::State::status \"{at}/status\";\nDir::Cache \"{at}/cache\";\n\
             APT::Architecture \"amd64\";\nAcquire::Languages \"none\";\nAPT::Sandbox::User \"root\";\n"
        );
        let suite = Self { shell, name: name.to_owned(), configuration: folder.join("apt.conf") };
        fs::write(&suite.configuration, settings)?;
        suite.command("apt-get", &["update", "--quiet=2"]).run().with_context(|| {
            format!(
                "the lists of {name} could not be fetched and verified from the mirror of this host's apt"
            )
        })?;
        Ok(suite)
    }

    /// Names of packages that match a regular expression.
    pub(crate) fn search(&self, pattern: &str) -> anyhow::Result<Vec<String>> {
        let found = self.command("apt-cache", &["search", "--names-only", pattern]).read()?;
        Ok(found.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
    }

    /// The versions of a package, the newest first.
    pub(crate) fn versions(&self, package: &str) -> anyhow::Result<Vec<String>> {
        let found = self.command("apt-cache", &["madison", package]).read()?;
        let version = |line: &str| line.split('|').nth(1).map(|version| version.trim().to_owned());
        Ok(found.lines().filter_map(version).collect())
    }

    /// Fetches one package, which apt compares with the signed index.
    pub(crate) fn download(&self, package: &str, version: &str, into: &Path) -> anyhow::Result<PathBuf> {
        fs::create_dir_all(into)?;
        let wanted = format!("{package}={version}");
        eprintln!("xtask: downloading {package} {version} from {}", self.name);
        let _there = self.shell.push_dir(into);
        self.command("apt-get", &["download", "--quiet=2", &wanted]).ignore_stdout().run()?;
        let is_it = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(&format!("{package}_")) && path.extension().is_some_and(|kind| kind == "deb")
        };
        let files = fs::read_dir(into)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
        files
            .into_iter()
            .find(is_it)
            .with_context(|| format!("apt-get left no {package} in {}", into.display()))
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Cmd<'a> {
        self.shell.cmd(program).args(arguments).env("APT_CONFIG", &self.configuration).quiet()
    }
}

/// Where the host's apt gets such a suite from: updates for security have an archive of their own.
fn address(shell: &Shell, suite: &str) -> anyhow::Result<String> {
    let is_security = suite.ends_with("-security");
    if let Ok(mirror) = std::env::var(MIRROR) {
        return Ok(if is_security { format!("{}-security", mirror.trim_end_matches('/')) } else { mirror });
    }
    ensure!(crate::workspace::on_path("apt-get"), "kernels are packages of Debian: this needs apt-get");
    let targets = ["indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"];
    let listed = shell.cmd("apt-get").args(targets).quiet().read()?;
    choose(&listed, is_security)
        .with_context(|| format!("this host's apt has no mirror of Debian for {suite}: name one by {MIRROR}"))
}

fn choose(listed: &str, is_security: bool) -> Option<String> {
    let end = if is_security { "/debian-security" } else { "/debian" };
    let mut lines = listed.lines().filter_map(|line| line.split_once(' '));
    let found = lines.find(|(release, address)| {
        release.ends_with("-security") == is_security && address.trim_end_matches('/').ends_with(end)
    });
    found.map(|(_, address)| address.to_owned())
}

/// What this takes of the distribution's packages.
pub(crate) fn provide(shell: &Shell) -> anyhow::Result<()> {
    let needs = if Path::new(KEYRING).exists() { &[][..] } else { &["debian-archive-keyring"] };
    apt::install(shell, needs, "verifying kernels")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_chosen_by_its_suite() {
        let listed = "stable-backports http://other.invalid/backports/\n\
            stable http://mirror.invalid/debian/\nstable-security http://mirror.invalid/debian-security/\n";
        assert_eq!(choose(listed, false).as_deref(), Some("http://mirror.invalid/debian/"));
        assert_eq!(choose(listed, true).as_deref(), Some("http://mirror.invalid/debian-security/"));
        assert_eq!(choose("stable http://mirror.invalid/ubuntu/\n", false), None);
    }
}
