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
    if ring == Ring::Unit {
        // The tables of semantics; the rest of the package needs a kernel.
        let which = ["--package", "svclb-tests", "--test", "semantics"];
        workspace.cargo(&["test", "--locked", "--no-fail-fast"]).args(which).arg("--").args(args).run()?;
    }
    let which: &[&str] = match ring {
        Ring::All | Ring::Unit => &["--workspace", "--exclude", "svclb-tests", "--exclude", "svclb-ebpf"],
        Ring::Prog => &["--package", "svclb-tests", "--test", "prog"],
        Ring::Netns => &["--package", "svclb-tests", "--test", "netns"],
    };
    let mut cargo = workspace.cargo(&["test", "--locked", "--no-fail-fast"]).args(which);
    if ring == Ring::Netns {
        cargo = cargo.env("SVCLB_BIN", build_agent(workspace, &[])?);
    }
    Ok(cargo.arg("--").args(args).run()?)
}
