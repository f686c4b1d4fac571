//! A kernel out of packages that are unpacked and never installed.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};
use xshell::Shell;

use super::{
    mirror::Suite,
    pin::{Pin, RENEW},
};

/// A kernel that can be booted.
#[derive(Debug)]
pub(crate) struct Kernel {
    /// The image.
    pub(crate) image: PathBuf,
    /// The folder of its modules, which has `kernel` and `modules.builtin`.
    pub(crate) modules: PathBuf,
    /// The version of its package.
    pub(crate) version: String,
    /// Whether it is the one that is pinned.
    pub(crate) is_pinned: bool,
}

/// Provides the kernel of some pins. With `or_newer`, one that the mirror has dropped is replaced by the newest of
/// its series, which the signed index of the mirror vouches for.
pub(crate) fn provide(shell: &Shell, below: &Path, pins: &[Pin], or_newer: bool) -> anyhow::Result<Kernel> {
    let first = pins.first().context("a kernel without a package")?;
    let folder = below.join("kernels").join(format!("{}_{}", first.series, first.version));
    if folder.join("complete").is_file() {
        return found(&folder, &first.version, true);
    }
    let suite = Suite::open(shell, &below.join("apt"), &first.suite)?;
    let is_there = |pin: &Pin| anyhow::Ok(suite.versions(&pin.package)?.contains(&pin.version));
    for pin in pins {
        if !is_there(pin)? {
            if or_newer {
                let newest = newest(&suite, first)?;
                let folder = below.join("kernels").join(format!("{}_{}", first.series, newest[0].version));
                if !folder.join("complete").is_file() {
                    unpack(shell, &suite, &newest, &folder, false)?;
                }
                return found(&folder, &newest[0].version, false);
            }
            bail!("{} {} is not in {} any more: {RENEW}", pin.package, pin.version, pin.suite);
        }
    }
    unpack(shell, &suite, pins, &folder, true)?;
    found(&folder, &first.version, true)
}

/// The newest packages of a pin's series, with the sums of what was downloaded.
pub(crate) fn renewed(shell: &Shell, below: &Path, pin: &Pin) -> anyhow::Result<Vec<Pin>> {
    let suite = Suite::open(shell, &below.join("apt"), &pin.suite)?;
    let mut pins = newest(&suite, pin)?;
    for pin in &mut pins {
        let file = suite.download(&pin.package, &pin.version, &below.join("debs"))?;
        pin.sha256 = sum(&file)?;
    }
    Ok(pins)
}

/// The packages of the newest kernel of a series. Since 6.19 there are three: the image, modules, and what is common.
fn newest(suite: &Suite<'_>, pin: &Pin) -> anyhow::Result<Vec<Pin>> {
    let series = pin.series.replace('.', "\\.");
    let names = suite.search(&format!("^linux-image-{series}([.][.0-9+a-z-]*)?-cloud-amd64$"))?;
    let mut images = Vec::new();
    for name in names {
        for version in suite.versions(&name)? {
            images.push((numbers(&version), name.clone(), version));
        }
    }
    let (_, image, version) =
        images.into_iter().max().with_context(|| format!("{} has no kernel {}", pin.suite, pin.series))?;
    let rest = image.trim_start_matches("linux-image-").to_owned();
    let parts = ["binary", "modules", "base"].map(|part| format!("linux-{part}-{rest}"));
    let is_split = suite.versions(&parts[0])?.contains(&version);
    let packages = if is_split { parts.to_vec() } else { vec![image] };
    let pins = packages.into_iter().map(|package| Pin {
        package,
        version: version.clone(),
        sha256: String::new(),
        ..pin.clone()
    });
    Ok(pins.collect())
}

/// The numbers of a version, by which versions of one series are ordered.
fn numbers(version: &str) -> Vec<u64> {
    let words = version.split(|c: char| !c.is_ascii_digit());
    words.filter(|word| !word.is_empty()).filter_map(|word| word.parse().ok()).collect()
}

fn unpack(
    shell: &Shell,
    suite: &Suite<'_>,
    pins: &[Pin],
    folder: &Path,
    is_pinned: bool,
) -> anyhow::Result<()> {
    for pin in pins {
        let file = suite.download(&pin.package, &pin.version, &folder.join("debs"))?;
        let sum = sum(&file)?;
        if is_pinned && sum != pin.sha256 {
            bail!("{} {}: its SHA-256 is {sum}, pinned is {}: {RENEW}", pin.package, pin.version, pin.sha256);
        }
        shell.cmd("dpkg-deb").arg("--extract").arg(&file).arg(folder).quiet().run()?;
    }
    fs::remove_dir_all(folder.join("debs"))?;
    Ok(fs::write(folder.join("complete"), "")?)
}

fn sum(file: &Path) -> anyhow::Result<String> {
    let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Sha256::digest(&content).iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        write!(text, "{byte:02x}").ok();
        text
    }))
}

/// Where its parts are differs: modules moved below `usr` with 6.12, the image to the modules with 6.19.
fn found(folder: &Path, version: &str, is_pinned: bool) -> anyhow::Result<Kernel> {
    let release = |below: &str| {
        let mut entries = fs::read_dir(folder.join(below)).ok()?;
        entries.find_map(|entry| Some(entry.ok()?.path()).filter(|path| path.join("kernel").is_dir()))
    };
    let modules = release("lib/modules").or_else(|| release("usr/lib/modules"));
    let modules = modules.with_context(|| format!("no modules in {}", folder.display()))?;
    let name = modules.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let images = [folder.join("boot").join(format!("vmlinuz-{name}")), modules.join("vmlinuz")];
    let image = images.into_iter().find(|path| path.is_file());
    let image = image.with_context(|| format!("no image in {}", folder.display()))?;
    Ok(Kernel { image, modules, version: version.to_owned(), is_pinned })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_version_has_larger_numbers() {
        let ordered = ["6.1.99-1", "6.1.192-1", "6.1.192-2", "6.1.200-1~deb12u1"];
        assert!(ordered.is_sorted_by(|a, b| numbers(a) < numbers(b)));
    }
}
