//! What this machine must offer, and what a test does without it.

use std::{env, fmt, fs, io::Write as _, path::PathBuf, process::Command};

use nix::unistd::geteuid;

use super::cgroup;

/// Set where a skip is a failure, as in CI.
pub const NO_SKIP: &str = "SVCLB_TEST_NO_SKIP";

/// Commands the tests start.
const COMMANDS: [&str; 4] = ["ip", "tc", "curl", "sh"];

/// Why a test cannot run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Namespaces and programs need root.
    NotRoot,
    /// The kernel has no BPF file system.
    NoBpffs,
    /// Socket hooks need cgroup v2.
    NoCgroup2,
    /// A command is missing.
    NoCommand(&'static str),
    /// The agent is not built.
    NoAgent(PathBuf),
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRoot => f.write_str("namespaces and programs need root"),
            Self::NoBpffs => f.write_str("this kernel has no BPF file system"),
            Self::NoCgroup2 => f.write_str("cgroup v2 is not mounted"),
            Self::NoCommand(command) => write!(f, "the command {command} is missing"),
            Self::NoAgent(path) => {
                write!(f, "there is no agent at {}: run cargo build, or set SVCLB_BIN", path.display())
            }
        }
    }
}

/// What worlds stand on.
#[derive(Clone, Debug)]
pub struct Ground {
    /// The mount of cgroup v2.
    pub cgroups: PathBuf,
    /// The agent.
    pub svclb: PathBuf,
    /// The client.
    pub probe: PathBuf,
}

impl Ground {
    /// Looks what is there. `probe` is the client's binary, which only a test knows.
    pub fn find(probe: &str) -> Result<Self, Skip> {
        if !geteuid().is_root() {
            return Err(Skip::NotRoot);
        }
        let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        if !filesystems.lines().any(|line| line.split_whitespace().last() == Some("bpf")) {
            return Err(Skip::NoBpffs);
        }
        let cgroups = cgroup::mount_point().ok_or(Skip::NoCgroup2)?;
        let starts = |command: &&str| Command::new(command).arg("--version").output().is_ok();
        if let Some(command) = COMMANDS.into_iter().find(|command| !starts(command)) {
            return Err(Skip::NoCommand(command));
        }
        let probe = PathBuf::from(probe);
        // Both binaries are built into the same folder.
        let svclb = env::var_os("SVCLB_BIN").map_or_else(|| probe.with_file_name("svclb"), PathBuf::from);
        if !svclb.is_file() {
            return Err(Skip::NoAgent(svclb));
        }
        Ok(Self { cgroups, svclb, probe })
    }
}

/// Whether a skip is a failure.
pub fn skip_fails() -> bool {
    env::var_os(NO_SKIP).is_some_and(|value| value != "0")
}

/// Runs a test where it can run. Where it cannot, says why and goes on, unless a skip
/// is a failure.
pub fn test(probe: &str, body: impl FnOnce(Ground) -> anyhow::Result<()>) -> anyhow::Result<()> {
    match Ground::find(probe) {
        Ok(ground) => body(ground),
        Err(skip) => {
            anyhow::ensure!(!skip_fails(), "skipped, and {NO_SKIP} is set: {skip}");
            let name = std::thread::current().name().unwrap_or("test").to_owned();
            // Not by a macro: what macros print is shown for failed tests only.
            Ok(writeln!(std::io::stderr(), "{name}: skipped: {skip}")?)
        }
    }
}
