//! `svclb top`: what happens now, in a terminal. It reads the pins and needs no agent.
//!
//! [`view`] is what is looked at and how keys change it, [`draw`] is how it looks; neither knows of tables or of a
//! terminal.

mod draw;
mod number;
mod once;
mod view;

use std::{
    io::{IsTerminal as _, stdin, stdout},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use ratatui::crossterm::event::{self, Event};
use tokio::time::sleep;

use self::view::{Next, View};
use crate::{
    datapath::pins::Pins,
    report::Output,
    usage::{Counters, Order, Reading, Snapshot},
};

/// How to look.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Between two looks.
    pub interval: Duration,
    /// Whether to print one table and end.
    pub once: bool,
    /// What comes first.
    pub order: Order,
    /// How to print; JSON is printed once.
    pub output: Output,
}

/// Shows what happens until the user has seen enough; without a terminal, prints one table after one interval.
pub async fn top(pins: &Pins, settings: Settings) -> anyhow::Result<ExitCode> {
    let first = Reading::of(pins)?;
    if settings.once || settings.output == Output::Json || !(stdin().is_terminal() && stdout().is_terminal())
    {
        let before = Counters::of(&first);
        sleep(settings.interval).await;
        let snapshot = Snapshot::between(Some(&before), Reading::of(pins)?);
        once::print(snapshot, settings.order, settings.output)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut terminal = ratatui::try_init().context("cannot use the terminal")?;
    let outcome = follow(&mut terminal, pins, first, settings);
    ratatui::try_restore().context("cannot give the terminal back")?;
    outcome.map(|()| ExitCode::SUCCESS)
}

fn follow(
    terminal: &mut ratatui::DefaultTerminal,
    pins: &Pins,
    first: Reading,
    Settings { interval, order, .. }: Settings,
) -> anyhow::Result<()> {
    let mut view = View::new(order, interval);
    let mut snapshot = Snapshot::between(None, first);
    let mut due = Instant::now() + interval;
    loop {
        terminal.draw(|frame| draw::draw(frame, &mut view, &snapshot))?;
        let left = due.saturating_duration_since(Instant::now());
        if event::poll(left)? {
            if let Event::Key(key) = event::read()?
                && view.press(key, &snapshot) == Next::End
            {
                return Ok(());
            }
        } else {
            due = Instant::now() + interval;
            if view.is_paused() {
                continue;
            }
            match Reading::of(pins) {
                Ok(reading) => {
                    snapshot = Snapshot::between(Some(&Counters::of_snapshot(&snapshot)), reading);
                    view.failed(None);
                }
                // The tables may come back.
                Err(error) => view.failed(Some(error.to_string())),
            }
        }
    }
}

#[cfg(test)]
mod tests;
