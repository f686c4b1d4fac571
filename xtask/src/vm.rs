//! `cargo xtask test vm`: tests under other kernels than this host's, each in a virtual machine of its own.
//!
//! | module | noun |
//! |---|---|
//! | [`pin`] | the list of kernels |
//! | [`mirror`] | where their packages are |
//! | [`kernel`] | an unpacked kernel |
//! | [`module`] | its modules |
//! | [`cpio`] | the archive that it boots |
//! | [`rootfs`] | what is in there |
//! | [`machine`] | a machine of QEMU |
//! | [`suite`] | what runs inside |
//! | [`outcome`] | what became of it |
//! | [`feature`] | which features that shows to work |

mod cpio;
mod feature;
mod kernel;
mod machine;
mod mirror;
mod module;
mod outcome;
mod pin;
mod rootfs;
mod suite;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;

use self::{
    kernel::Kernel,
    machine::Boot,
    module::Modules,
    outcome::Reader,
    pin::{Pin, Pins},
    rootfs::Rootfs,
    suite::Suite,
};
use crate::{run::build_agent, workspace::Workspace};

/// Modules that tests need, where a kernel does not have them built in; those that these need are found.
const MODULES: &[&str] = &[
    "8021q",
    "bonding",
    "bridge",
    "cls_bpf",
    "dummy",
    "fou",
    "ip6_tunnel",
    "ipip",
    "nf_conntrack",
    "sch_ingress",
    "sctp",
    "sctp_diag",
    "tcp_diag",
    "tun",
    "udp_diag",
    "veth",
    "vxlan",
];

/// Commands of this host that tests start, and that the first process starts.
const COMMANDS: &[&str] =
    &["cat", "curl", "dig", "dmesg", "dnsmasq", "ip", "nginx", "setpriv", "sh", "sysctl", "tc", "unshare"];

/// Which kernels.
#[derive(Args, Debug, Default)]
pub(crate) struct Kernels {
    /// A series of kernels that `vm` tests; repeatable [default: all in xtask/kernels].
    #[arg(long = "kernel", value_name = "SERIES")]
    series: Vec<String>,
    /// Run what CI runs: few tests, chosen by kernel.
    #[arg(long, conflicts_with_all = ["series", "args"])]
    ci: bool,
    /// Where the mirror has dropped a pinned kernel, take the newest of its series.
    #[arg(long)]
    or_newer: bool,
}

impl Kernels {
    /// What CI runs, which is not to fail because Debian mends a kernel.
    pub(crate) fn ci() -> Self {
        Self { series: Vec::new(), ci: true, or_newer: true }
    }
}

/// Tests that were built, and what they need.
struct Built {
    agent: PathBuf,
    /// Executables by the target's name.
    targets: Vec<(String, PathBuf)>,
}

/// A kernel, and what is to run in it.
struct Run {
    series: String,
    pins: Vec<Pin>,
    filters: Vec<String>,
}

/// What was asked for.
fn runs(pins: &Pins, wanted: &Kernels, filters: &[String]) -> anyhow::Result<Vec<Run>> {
    if !wanted.ci {
        let chosen = pins.chosen(&wanted.series)?.into_iter();
        return Ok(chosen.map(|(series, pins)| Run { series, pins, filters: filters.to_vec() }).collect());
    }
    let series: Vec<String> = suite::CI.iter().map(|(series, _)| series.to_string()).collect();
    let chosen = pins.chosen(&series)?.into_iter().zip(suite::CI);
    let run = |((series, pins), (_, filters)): ((String, Vec<Pin>), &(_, &[&str]))| {
        let filters = filters.iter().map(ToString::to_string).collect();
        Run { series, pins, filters }
    };
    Ok(chosen.map(run).collect())
}

/// Boots each kernel, runs the suites in it, and prints a table of what became of them.
pub(crate) fn test(workspace: &Workspace, wanted: &Kernels, filters: &[String]) -> anyhow::Result<()> {
    let runs = runs(&pins(workspace)?, wanted, filters)?;
    let all: Vec<String> = runs.iter().flat_map(|run| run.filters.iter().cloned()).collect();
    let suites = suite::chosen(&all);
    mirror::provide(&workspace.shell)?;
    let built = build(workspace, &suites)?;
    let mut kernels = Vec::new();
    for Run { series, pins, filters } in &runs {
        let suites = suite::chosen(filters);
        let folder = folder(workspace);
        let kernel = kernel::provide(&workspace.shell, &folder, pins, wanted.or_newer)?;
        let name =
            format!("{series} ({}{})", kernel.version, if kernel.is_pinned { "" } else { ", not pinned" });
        eprintln!("xtask: booting {name}");
        let start = Instant::now();
        let mut reader = boot(workspace, series, &kernel, &suites, &built)?;
        reader.expect_tests(filters);
        if let Some(trouble) = &reader.trouble {
            let console = console(&folder, series);
            eprintln!("xtask: {series}: {trouble}; what it printed is in {}", console.display());
        }
        eprintln!("xtask: {series}: {:.0?}", start.elapsed());
        kernels.push((name, reader));
    }
    report(&suites, &kernels)
}

/// Pins the newest packages of each series that the mirror has.
pub(crate) fn renew(workspace: &Workspace) -> anyhow::Result<()> {
    mirror::provide(&workspace.shell)?;
    let mut list = pins(workspace)?;
    let mut renewed = Vec::new();
    for (series, pins) in list.chosen(&[])? {
        let first = pins.first().context("a kernel without a package")?;
        let pins = kernel::renewed(&workspace.shell, &folder(workspace), first)?;
        println!("{series}: {}", pins.iter().map(|pin| pin.version.as_str()).next().unwrap_or_default());
        renewed.extend::<Vec<Pin>>(pins);
    }
    list.pins = renewed;
    Ok(workspace.shell.write_file(pin::FILE, list.print())?)
}

fn pins(workspace: &Workspace) -> anyhow::Result<Pins> {
    Pins::parse(&workspace.shell.read_file(pin::FILE)?)
}

/// Where kernels and what they print are kept.
fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("vm")
}

/// Where what a kernel prints is kept.
fn console(folder: &Path, series: &str) -> PathBuf {
    folder.join(format!("console-{series}"))
}

fn build(workspace: &Workspace, suites: &[(&Suite, Vec<String>)]) -> anyhow::Result<Built> {
    let agent = build_agent(workspace, &[])?;
    let mut cargo = workspace.cargo(&["test", "--locked", "--no-run", "--package", "svclb-tests"]);
    cargo = cargo.args(["--message-format", "json-render-diagnostics", "--bins"]);
    for (suite, _) in suites {
        cargo = cargo.args(["--test", suite.name]);
    }
    let messages = cargo.quiet().read().context("the tests did not build: their compiler says why above")?;
    Ok(Built { agent, targets: messages.lines().filter_map(executable).collect() })
}

/// The name of a target, and its executable: of a program, not of the tests in it.
fn executable(message: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(message).ok()?;
    let executable = message["executable"].as_str()?;
    let is_program = message["target"]["kind"][0] == "bin";
    let is_test = message["profile"]["test"].as_bool()?;
    (is_program != is_test)
        .then(|| Some((message["target"]["name"].as_str()?.to_owned(), executable.into())))?
}

impl Built {
    fn target(&self, name: &str) -> anyhow::Result<&Path> {
        let found = self.targets.iter().find(|(target, _)| target == name);
        found.map(|(_, path)| path.as_path()).with_context(|| format!("cargo built no {name}"))
    }
}

fn boot(
    workspace: &Workspace,
    series: &str,
    kernel: &Kernel,
    suites: &[(&Suite, Vec<String>)],
    built: &Built,
) -> anyhow::Result<Reader> {
    let folder = folder(workspace);
    let rootfs = folder.join("rootfs.cpio");
    fill(workspace, series, kernel, suites, built, &rootfs)?;
    let console = console(&folder, series);
    let boot = Boot {
        kernel: &kernel.image,
        rootfs: &rootfs,
        console: &console,
        patience: Duration::from_secs(300 + suites.iter().map(|(suite, _)| suite.seconds).sum::<u64>()),
    };
    let mut reader = Reader::default();
    let ran = machine::run(&workspace.shell, &boot, |line| {
        if let Some(told) = reader.line(line) {
            eprintln!("xtask: {series}: {told}");
        }
    });
    if let Err(error) = ran {
        reader.trouble = Some(format!("{error:#}"));
    }
    reader.expect_suites(suites.iter().map(|(suite, _)| suite.name));
    for (suite, _) in suites {
        if let Some(outcome) = reader.suites.get_mut(suite.name) {
            suite.judge(series, outcome);
        }
    }
    Ok(reader)
}

/// Writes what the machine boots.
fn fill(
    workspace: &Workspace,
    series: &str,
    kernel: &Kernel,
    suites: &[(&Suite, Vec<String>)],
    built: &Built,
    file: &Path,
) -> anyhow::Result<()> {
    let shell = &workspace.shell;
    let mut rootfs = Rootfs::create(shell, file, &folder(workspace).join("stripped"))?;
    rootfs.modules(&Modules::find(shell, &kernel.modules)?.with_dependencies(MODULES)?)?;
    COMMANDS.iter().try_for_each(|command| rootfs.command(command))?;
    // tests look for what belongs to them where it was when they were built
    rootfs.folder(&workspace.root.join("bpf-fixtures"))?;
    rootfs.folder(&workspace.root.join("deploy"))?;
    let tests = workspace.root.join("tests");
    rootfs.file(&tests.join("Cargo.toml"))?;
    let agent = "/tests/svclb";
    rootfs.built(&built.agent, agent)?;
    rootfs.built(built.target("svclb-vm-init")?, "/init")?;
    let probe = built.target("svclb-probe")?;
    rootfs.built(probe, &probe.to_string_lossy())?;
    let mut tasks = Vec::new();
    for (suite, filters) in suites {
        rootfs.built(built.target(suite.name)?, &suite.program())?;
        tasks.push(suite.task(series, filters, &tests.to_string_lossy(), agent));
    }
    rootfs.text("suites.json", &Value::from(tasks).to_string())?;
    rootfs.finish()
}

fn report(suites: &[(&Suite, Vec<String>)], kernels: &[(String, Reader)]) -> anyhow::Result<()> {
    let names: Vec<&str> = suites.iter().map(|(suite, _)| suite.name).collect();
    for (kernel, reader) in kernels {
        for (suite, outcome) in reader.suites.iter().filter(|(_, outcome)| !outcome.is_good()) {
            println!("\n{kernel}, {suite}:");
            outcome.complaints.iter().chain(&outcome.failures).for_each(|line| println!("{line}"));
        }
    }
    println!("\n{}\n{}", outcome::table(&names, kernels), feature::table(kernels));
    let is_good = |(_, reader): &&(String, Reader)| {
        reader.trouble.is_none() && reader.suites.values().all(outcome::Outcome::is_good)
    };
    let bad = kernels.iter().filter(|kernel| !is_good(kernel)).count();
    if bad > 0 {
        bail!("{bad} of {} kernels have failures, which are named above", kernels.len());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ci_runs_pinned_kernels_with_filters_of_their_own() {
        let pins = Pins::parse(include_str!("../kernels")).unwrap();
        let ci = Kernels { ci: true, ..Kernels::default() };
        let found = runs(&pins, &ci, &[]).unwrap();
        let found: Vec<_> = found.iter().map(|run| (run.series.as_str(), run.filters.len())).collect();
        let wanted: Vec<_> = suite::CI.iter().map(|(series, filters)| (*series, filters.len())).collect();
        assert_eq!(found, wanted);
        let chosen = Kernels { series: vec!["6.18".into()], ..Kernels::default() };
        let found = runs(&pins, &chosen, &["vm".into()]).unwrap();
        assert!(found.len() == 1 && found[0].series == "6.18" && found[0].filters == ["vm"]);
    }

    #[test]
    fn executables_are_programs_and_suites() {
        let message = |kind: &str, is_test: bool| {
            format!(
                r#"{{"target":{{"name":"a","kind":["{kind}"]}},"profile":{{"test":{is_test}}},"executable":"/x"}}"#
            )
        };
        let wanted = Some(("a".to_owned(), PathBuf::from("/x")));
        assert_eq!(executable(&message("bin", false)), wanted);
        assert_eq!(executable(&message("test", true)), wanted);
        assert_eq!(executable(&message("bin", true)), None);
        assert_eq!(executable("no JSON"), None);
    }
}
