//! A virtual machine of QEMU, for the time of one run.
//!
//! Instructions are interpreted: where this host is a virtual machine itself, `/dev/kvm` may open and yet execute a
//! kernel too slowly to boot.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use xshell::Shell;

/// Memory in MiB: the root file system is in it, once more while it is unpacked.
const MEMORY: &str = "3072";

/// What the kernel is told: to end when it panics, and to leave off what costs an interpreter much and proves nothing
/// here: guards against the leaks of real processors, and memory that is cleared whenever it is given out.
const COMMAND_LINE: &str =
    "console=ttyS0 panic=-1 oops=panic quiet mitigations=off init_on_alloc=0 apparmor=0 audit=0";

/// What a machine boots.
pub(crate) struct Boot<'a> {
    pub(crate) kernel: &'a Path,
    pub(crate) rootfs: &'a Path,
    /// Where what it prints is kept.
    pub(crate) console: &'a Path,
    pub(crate) patience: Duration,
}

/// Boots a machine and hands each line of its console to `line`, until it turns itself off.
pub(crate) fn run(shell: &Shell, boot: &Boot<'_>, mut line: impl FnMut(&str)) -> anyhow::Result<()> {
    let mut machine = Machine::start(shell, boot)?;
    let out = machine.0.stdout.take().context("QEMU has no console")?;
    let mut console = File::create(boot.console)?;
    let (lines, inbox) = mpsc::channel();
    let reading = thread::spawn(move || {
        let mut out = BufReader::new(out);
        let mut bytes = Vec::new();
        while out.read_until(b'\n', &mut bytes).is_ok_and(|length| length > 0) {
            let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            if lines.send(text).is_err() {
                return;
            }
            bytes.clear();
        }
    });
    let deadline = Instant::now() + boot.patience;
    loop {
        match inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(text) => {
                writeln!(console, "{text}")?;
                line(&text);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                bail!("the machine does not end within {:?}", boot.patience)
            }
        }
    }
    let status = machine.0.wait()?;
    reading.join().ok();
    if !status.success() {
        bail!("QEMU: {status}");
    }
    Ok(())
}

/// Ends with this value, and with this process, however that ends.
struct Machine(Child);

impl Machine {
    fn start(shell: &Shell, boot: &Boot<'_>) -> anyhow::Result<Self> {
        let version = shell.cmd("qemu-system-x86_64").arg("--version").quiet().read()?;
        // The kernel kills it when this process is gone.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "qemu-system-x86_64"]);
        command.args(["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", processor(&version)]);
        command.args(["-m", MEMORY, "-smp", "2", "-nodefaults", "-no-user-config", "-display", "none"]);
        command.args(["-serial", "stdio", "-no-reboot", "-kernel"]).arg(boot.kernel);
        command.arg("-initrd").arg(boot.rootfs);
        command.args(["-append", COMMAND_LINE]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        Ok(Self(child.context("cannot start qemu-system-x86_64")?))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// QEMU 7 spoils a flag after `cmpxchg16b` where two processors are interpreted at once, and 6.12 crashes.
fn processor(version: &str) -> &'static str {
    if version.contains("version 7.") { "max,-cx16" } else { "max" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_without_what_is_broken() {
        assert_eq!(processor("QEMU emulator version 7.2.22 (Debian 1:7.2)"), "max,-cx16");
        assert_eq!(processor("QEMU emulator version 10.0.2"), "max");
    }
}
