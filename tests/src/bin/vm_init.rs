//! The first process of a virtual machine that runs tests: `cargo xtask test vm` puts it in as `/init`.
//!
//! It mounts what a host has mounted, loads the modules in `/modules` in the order of their names, runs the suites of
//! `/suites.json` one after the other, and turns the machine off. What xtask reads on the console are lines that
//! begin with [`MARK`]:
//!
//! | line | meaning |
//! |---|---|
//! | `begin SUITE` | what follows is the suite's output |
//! | `spent USER SYSTEM` | seconds that its processes ran, and the kernel for them |
//! | `end SUITE CODE` | it has ended; `late` where it was ended |
//! | `kernel LINE` | the kernel complains, in its log |
//! | `done` | all suites have ended |

use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use anyhow::Context as _;
use nix::{
    kmod::{ModuleInitFlags, finit_module},
    mount::{MsFlags, mount},
    sys::{
        reboot::{RebootMode, reboot},
        resource::{RLIM_INFINITY, Resource, UsageWho, getrusage, setrlimit},
        signal::{Signal, killpg},
        wait::{WaitStatus, waitpid},
    },
    unistd::Pid,
};
use serde::Deserialize;

/// Begins each line that is meant for xtask.
const MARK: &str = "SVCLB-VM";

/// What is mounted, the kind first.
const MOUNTS: [(&str, &str); 8] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("devpts", "/dev/pts"),
    ("tmpfs", "/tmp"),
    ("tmpfs", "/run"),
    ("cgroup2", "/sys/fs/cgroup"),
    ("bpf", "/sys/fs/bpf"),
];

/// Words by which the kernel complains of itself.
const COMPLAINTS: [&str; 6] =
    ["WARNING:", "BUG:", "Oops", "general protection fault", "rcu_sched", "hung_task"];

/// A suite of tests.
#[derive(Deserialize)]
struct Suite {
    name: String,
    program: String,
    arguments: Vec<String>,
    folder: String,
    environment: BTreeMap<String, String>,
    /// How long it may take.
    seconds: u64,
}

fn main() {
    if let Err(error) = run() {
        println!("{MARK} failed {error:#}");
    }
    println!("{MARK} done");
    // There is nobody to tell if this fails, and the kernel panics when its first process ends.
    reboot(RebootMode::RB_POWER_OFF).ok();
}

fn run() -> anyhow::Result<()> {
    for (kind, path) in MOUNTS {
        fs::create_dir_all(path).ok();
        mount(Some(kind), path, Some(kind), MsFlags::empty(), None::<&str>)
            .with_context(|| format!("cannot mount {path}"))?;
    }
    setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY)?;
    setrlimit(Resource::RLIMIT_NOFILE, 65_536, 65_536)?;
    modules()?;
    let suites: Vec<Suite> = serde_json::from_str(&fs::read_to_string("/suites.json")?)?;
    for suite in &suites {
        println!("{MARK} begin {}", suite.name);
        let before = spent()?;
        let code = run_suite(suite).unwrap_or_else(|error| format!("1 {error:#}"));
        let after = spent()?;
        println!("{MARK} spent {} {}", after[0] - before[0], after[1] - before[1]);
        complaints();
        println!("{MARK} end {} {code}", suite.name);
    }
    Ok(())
}

fn modules() -> anyhow::Result<()> {
    let Ok(folder) = fs::read_dir("/modules") else { return Ok(()) };
    let mut paths = folder.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        load(&path).with_context(|| format!("cannot load {}", path.display()))?;
    }
    Ok(())
}

fn load(path: &Path) -> anyhow::Result<()> {
    Ok(finit_module(fs::File::open(path)?, c"", ModuleInitFlags::empty())?)
}

/// Runs a suite to its end, and reaps what its processes leave behind.
fn run_suite(suite: &Suite) -> anyhow::Result<String> {
    let child = Command::new(&suite.program)
        .args(&suite.arguments)
        .current_dir(&suite.folder)
        .envs(&suite.environment)
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .with_context(|| suite.program.clone())?;
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    let (ended, end) = mpsc::channel();
    let waiting = thread::spawn(move || {
        loop {
            match waitpid(None, None) {
                Ok(WaitStatus::Exited(found, code)) if found == pid => break ended.send(code),
                Ok(WaitStatus::Signaled(found, signal, _)) if found == pid => {
                    break ended.send(128 + signal as i32);
                }
                Ok(_) => {}
                Err(_none_left) => break ended.send(1),
            }
        }
    });
    let code = match end.recv_timeout(Duration::from_secs(suite.seconds)) {
        Ok(code) => code.to_string(),
        Err(_late) => {
            killpg(pid, Signal::SIGKILL)?;
            "late".to_owned()
        }
    };
    waiting.join().ok();
    Ok(code)
}

/// Seconds that what has ended by now ran as such, and the kernel for it.
fn spent() -> anyhow::Result<[i64; 2]> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok([usage.user_time().tv_sec(), usage.system_time().tv_sec()])
}

/// Tells what the kernel has complained of since it was asked last, and forgets it.
fn complaints() {
    let Ok(output) = Command::new("dmesg").arg("--read-clear").output() else { return };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in text.lines().filter(|line| COMPLAINTS.iter().any(|word| line.contains(word))) {
        println!("{MARK} kernel {line}");
    }
}
