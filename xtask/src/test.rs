//! `cargo xtask test`: the rings of tests, each needing more of the machine than the one before.

use std::{env, ffi::OsString};

use anyhow::bail;
use clap::ValueEnum;

use crate::{
    apt, bytecode, report,
    run::build_agent,
    vm::{self, Kernels},
    workspace::{Workspace, on_path},
};

/// Which tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ring {
    /// The rings unit, prog and netns.
    #[default]
    All,
    /// Tests that need nothing but a compiler.
    Unit,
    /// Programs run on single packets by the kernel; needs root.
    Prog,
    /// Real connections between network namespaces; needs root.
    Netns,
    /// A real API server, from `KUBEBUILDER_ASSETS` or `KUBECONFIG`; needs root; not part of `all`.
    Cluster,
    /// Other kernels, in virtual machines; needs root; not part of `all`.
    Vm,
}

const NEEDS_ROOT: &str = "the rings prog, netns and cluster load programs into the kernel: run them as root";

/// What the ring `vm` needs beside [`COMMANDS`].
const MACHINE: &[(&str, &str)] = &[
    ("dpkg-deb", "dpkg"),
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("strip", "binutils"),
    ("xz", "xz-utils"),
];

/// What the ring `netns` needs beside [`COMMANDS`]: the page is looked at in a browser.
const BROWSER: &[(&str, &str)] = &[("chromium-headless-shell", "chromium-headless-shell")];

/// Commands the tests start, and the package that has each.
const COMMANDS: &[(&str, &str)] = &[
    ("curl", "curl"),
    ("dig", "bind9-dnsutils"),
    ("dnsmasq", "dnsmasq-base"),
    ("ip", "iproute2"),
    ("iptables-restore", "iptables"),
    ("nft", "nftables"),
    ("nginx", "nginx-light"),
    ("setpriv", "util-linux"),
    ("setsid", "util-linux"),
    ("sysctl", "procps"),
    ("unshare", "util-linux"),
];

/// Builds what the ring needs, then runs it; `args` go to the test binaries.
pub(crate) fn test(workspace: &Workspace, ring: Ring, args: &[String]) -> anyhow::Result<()> {
    test_with(workspace, ring, args, &Kernels::default())
}

/// The same, with what only the ring `vm` asks for.
pub(crate) fn test_with(
    workspace: &Workspace,
    ring: Ring,
    args: &[String],
    kernels: &Kernels,
) -> anyhow::Result<()> {
    let rings: &[Ring] = match ring {
        Ring::All => &[Ring::Unit, Ring::Prog, Ring::Netns],
        _ => &[ring],
    };
    if ring == Ring::Cluster && has_no_cluster(|name| env::var_os(name)) {
        return skip_cluster(env::var_os("SVCLB_TEST_NO_SKIP").is_some_and(|value| value != "0"));
    }
    let is_root = nix::unistd::geteuid().is_root();
    if !rings.contains(&Ring::Unit) && !is_root {
        bail!(NEEDS_ROOT);
    }
    if is_root && ring != Ring::Unit {
        let more = match ring {
            Ring::Vm => MACHINE,
            Ring::All | Ring::Netns => BROWSER,
            Ring::Unit | Ring::Prog | Ring::Cluster => &[],
        };
        provide(workspace, more)?;
    }
    let object = bytecode::build(workspace)?;
    if ring == Ring::Vm {
        return vm::test(workspace, kernels, args);
    }
    report::print(&object)?;
    for ring in rings {
        if *ring != Ring::Unit && !is_root {
            bail!(NEEDS_ROOT);
        }
        run(workspace, *ring, args)?;
    }
    Ok(())
}

/// Installs what tests start, as far as it is missing.
pub(crate) fn provide_commands(workspace: &Workspace) -> anyhow::Result<()> {
    provide(workspace, &[])
}

fn provide(workspace: &Workspace, more: &[(&str, &'static str)]) -> anyhow::Result<()> {
    let missing = COMMANDS.iter().chain(more).filter(|(command, _)| !on_path(command));
    let packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    apt::install(&workspace.shell, &packages, "testing")
}

/// Whether neither binaries nor a cluster are named; the ring itself judges what is named.
fn has_no_cluster(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    let is_set = |name| variable(name).is_some_and(|value| !value.is_empty());
    !["KUBEBUILDER_ASSETS", "KUBECONFIG"].into_iter().any(is_set)
}

/// Says so before anything is built.
fn skip_cluster(skip_fails: bool) -> anyhow::Result<()> {
    const REASON: &str = "the cluster ring is skipped: etcd and kube-apiserver are missing: set KUBEBUILDER_ASSETS \
                          to their folder, or KUBECONFIG to a cluster";
    if skip_fails {
        bail!("{REASON}, and SVCLB_TEST_NO_SKIP is set");
    }
    println!("{REASON}");
    Ok(())
}

fn run(workspace: &Workspace, ring: Ring, args: &[String]) -> anyhow::Result<()> {
    let targets: &[&[&str]] = match ring {
        Ring::All | Ring::Unit => &[
            &[
                "--workspace",
                "--exclude",
                "svclb-tests",
                "--exclude",
                "svclb-ebpf",
                "--exclude",
                "svclb-bench-ebpf",
            ],
            &[
                "--package",
                "svclb-tests",
                "--lib",
                "--test",
                "apiserver",
                "--test",
                "cost",
                "--test",
                "semantics",
            ],
        ],
        Ring::Prog => &[&["--package", "svclb-tests", "--test", "prog"]],
        Ring::Netns => &[&["--package", "svclb-tests", "--test", "netns"]],
        Ring::Cluster => &[&["--package", "svclb-tests", "--test", "cluster"]],
        // which cargo does not run
        Ring::Vm => &[],
    };
    let agent =
        if matches!(ring, Ring::Netns | Ring::Cluster) { Some(build_agent(workspace, &[])?) } else { None };
    let mut outcome = Ok(());
    for target in targets {
        let mut cargo = workspace.cargo(&["test", "--locked", "--no-fail-fast"]).args(*target);
        if let Some(agent) = &agent {
            cargo = cargo.env("SVCLB_BIN", agent);
        }
        // All of them run, whatever fails.
        outcome = outcome.and(cargo.arg("--").args(args).run());
    }
    Ok(outcome?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_named_by_either_variable_unless_it_is_empty() {
        for (name, value, wanted) in [
            ("KUBEBUILDER_ASSETS", "folder", false),
            ("KUBECONFIG", "file", false),
            ("KUBECONFIG", "", true),
            ("ANOTHER", "folder", true),
        ] {
            let found = has_no_cluster(|asked| (asked == name).then(|| value.into()));
            assert_eq!(found, wanted, "{name}={value}");
        }
    }

    #[test]
    fn a_skip_is_a_failure_where_it_is_asked_for() {
        assert!(skip_cluster(false).is_ok());
        assert!(skip_cluster(true).unwrap_err().to_string().contains("kube-apiserver"));
    }
}
