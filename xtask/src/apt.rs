//! Packages of the distribution: what is missing is announced, then installed.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::bail;
use xshell::Shell;

use crate::workspace::on_path;

/// One version of a package, as far as it is compared here.
pub(crate) type Version = (u32, u32);

/// Installs `packages`, none of which is there, after saying so and `why`. Without root, or without apt-get, the
/// error says what to do instead.
pub(crate) fn install(shell: &Shell, packages: &[&str], why: &str) -> anyhow::Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if !on_path("apt-get") {
        bail!("{why} needs what Debian calls {list}: install it, then run this again");
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("{why} needs packages; run: sudo apt-get install --no-install-recommends {list}");
    }
    eprintln!("xtask: {why}: installing {list}");
    update(shell)?;
    let _quiet = NoServices::declare()?;
    // never at the price of a package that is there: a distribution's rustup or rustc conflicts with rustc-web
    shell
        .cmd("apt-get")
        .args(["install", "--yes", "--quiet=2", "--no-remove", "--no-install-recommends"])
        // a fresh machine may be upgrading itself
        .args(["--option", "DPkg::Lock::Timeout=300"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .quiet()
        .ignore_stdout()
        .run()?;
    Ok(())
}

/// While it lives, packages that are installed start no services: a test wants nginx, not a web server on port 80.
struct NoServices(Option<&'static Path>);

impl NoServices {
    /// Says so in the file that Debian's maintainer scripts ask, unless somebody has said something there already.
    fn declare() -> anyhow::Result<Self> {
        const POLICY: &str = "/usr/sbin/policy-rc.d";
        let path = Path::new(POLICY);
        if path.exists() {
            return Ok(Self(None));
        }
        fs::write(path, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        Ok(Self(Some(path)))
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(path) = self.0 {
            // It is not there any more if somebody else has removed it.
            fs::remove_file(path).ok();
        }
    }
}

/// Whether this process could install packages.
pub(crate) fn is_usable() -> bool {
    on_path("apt-get") && nix::unistd::geteuid().is_root()
}

/// Brings the lists of packages up to date: the one of an image is empty or months old.
pub(crate) fn update(shell: &Shell) -> anyhow::Result<()> {
    Ok(shell.cmd("apt-get").args(["update", "--quiet=2"]).quiet().run()?)
}

/// The version `apt-get install` would choose, if the lists know the package.
pub(crate) fn candidate(shell: &Shell, package: &str) -> Option<Version> {
    let policy = shell.cmd("apt-cache").args(["policy", package]).quiet().ignore_stderr().read().ok()?;
    let line = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?;
    parse(line.trim())
}

/// `1:22.1.8-1~deb12u1` is 22.1.
fn parse(version: &str) -> Option<Version> {
    let upstream = version.split_once(':').map_or(version, |(_epoch, rest)| rest);
    let mut numbers = upstream.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_epochs_and_revisions() {
        assert_eq!(parse("1:22.1.8-1~deb12u1"), Some((22, 1)));
        assert_eq!(parse("1.96.0+dfsg1-1~deb12u2"), Some((1, 96)));
        assert_eq!(parse("(none)"), None);
    }
}
