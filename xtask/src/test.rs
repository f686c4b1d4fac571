//! `cargo xtask test`: the rings of tests, each needing more of the machine than the one before.

use anyhow::bail;
use clap::ValueEnum;

use crate::{
    apt, bytecode, report,
    run::build_agent,
    workspace::{Workspace, on_path},
};

/// Which tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ring {
    /// Every ring below.
    #[default]
    All,
    /// Tests that need nothing but a compiler.
    Unit,
    /// Programs run on single packets by the kernel; needs root.
    Prog,
    /// Real connections between network namespaces; needs root.
    Netns,
}

const NEEDS_ROOT: &str = "the rings prog and netns load programs into the kernel: run them as root";

/// Commands the tests start, and the package that has each.
const COMMANDS: &[(&str, &str)] = &[
    ("curl", "curl"),
    ("dig", "bind9-dnsutils"),
    ("dnsmasq", "dnsmasq-base"),
    ("ip", "iproute2"),
    ("nginx", "nginx-light"),
    ("sysctl", "procps"),
    ("unshare", "util-linux"),
];

/// Builds what the ring needs, then runs it; `args` go to the test binaries.
pub(crate) fn test(workspace: &Workspace, ring: Ring, args: &[String]) -> anyhow::Result<()> {
    let rings: &[Ring] = match ring {
        Ring::All => &[Ring::Unit, Ring::Prog, Ring::Netns],
        _ => &[ring],
    };
    let is_root = nix::unistd::geteuid().is_root();
    if !rings.contains(&Ring::Unit) && !is_root {
        bail!(NEEDS_ROOT);
    }
    if is_root && ring != Ring::Unit {
        let missing = COMMANDS.iter().filter(|(command, _)| !on_path(command));
        let packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
        apt::install(&workspace.shell, &packages, "testing")?;
    }
    report::print(&bytecode::build(workspace)?)?;
    for ring in rings {
        if *ring != Ring::Unit && !is_root {
            bail!(NEEDS_ROOT);
        }
        run(workspace, *ring, args)?;
    }
    Ok(())
}

fn run(workspace: &Workspace, ring: Ring, args: &[String]) -> anyhow::Result<()> {
    let targets: &[&[&str]] = match ring {
        Ring::All | Ring::Unit => &[
            &["--workspace", "--exclude", "svclb-tests", "--exclude", "svclb-ebpf"],
            &["--package", "svclb-tests", "--lib", "--test", "apiserver", "--test", "semantics"],
        ],
        Ring::Prog => &[&["--package", "svclb-tests", "--test", "prog"]],
        Ring::Netns => &[&["--package", "svclb-tests", "--test", "netns"]],
    };
    let agent = if ring == Ring::Netns { Some(build_agent(workspace, &[])?) } else { None };
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
