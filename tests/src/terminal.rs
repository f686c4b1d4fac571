//! A terminal: a program on the other side of a pseudo terminal, and what its screen shows.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    path::Path,
    process::{Child, Command, ExitStatus},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use anyhow::Context as _;
use nix::pty::{Winsize, openpty};
use vt100::Parser;

use crate::netns::wait::{PATIENCE, until};

/// A terminal of 80 columns and 24 lines with a program, killed when it is dropped.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<Parser>>,
}

impl Terminal {
    /// Starts a program whose terminal it is. `command` makes the command that runs these arguments, `spawn` starts it where
    /// it is to be.
    pub fn start(
        arguments: impl IntoIterator<Item = String>,
        command: impl FnOnce(&Path, Vec<String>) -> Command,
        spawn: impl FnOnce(Command) -> anyhow::Result<Child>,
    ) -> anyhow::Result<Self> {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).context("no pseudo terminal")?;
        let arguments = ["--ctty".to_owned()].into_iter().chain(arguments);
        let mut command = command("setsid".as_ref(), arguments.collect());
        let slave = || pty.slave.try_clone();
        command.stdin(slave()?).stdout(slave()?).stderr(slave()?).env("TERM", "xterm-256color");
        let child = spawn(command)?;
        drop(pty.slave);
        let keyboard = File::from(pty.master);
        let screen = Arc::new(Mutex::new(Parser::new(24, 80, 0)));
        let (mut wire, shown) = (keyboard.try_clone()?, Arc::clone(&screen));
        // Ends with the program, whose end is an error of the terminal's.
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = wire.read(&mut bytes) {
                shown.lock().unwrap_or_else(PoisonError::into_inner).process(&bytes[..count]);
            }
        });
        Ok(Self { child, keyboard, screen })
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) -> anyhow::Result<()> {
        self.keyboard.write_all(keys.as_bytes()).context("the terminal is gone")
    }

    /// What it shows.
    pub fn text(&self) -> String {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).screen().contents()
    }

    /// Whether a program has the whole screen for itself.
    pub fn is_taken(&self) -> bool {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).screen().alternate_screen()
    }

    /// Waits until it shows what is looked for.
    pub fn wait_for(&self, what: &str, shows: impl Fn(&str) -> bool) -> anyhow::Result<String> {
        let look = || Ok(Some(self.text()).filter(|text| shows(text)));
        let (text, _) = until(what, PATIENCE, look).with_context(|| self.text())?;
        Ok(text)
    }

    /// Waits for the end of the program.
    pub fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        let ended = || Ok(self.child.try_wait()?);
        Ok(until("the end of the program", PATIENCE, ended)?.0)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
