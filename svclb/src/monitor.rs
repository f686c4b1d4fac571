//! `svclb monitor`: what the flight recorder has noted, and what it notes from now on.
//!
//! | module | noun |
//! |---|---|
//! | [`told`] | an event with the names of what it is about |
//! | [`names`] | what cells and devices are called |
//! | [`filter`] | which events are wanted |
//! | [`follow`] | what is new in the recorder |
//! | [`pcapng`] | events as a file of packets |
//!
//! It reads the recorder's logs and takes nothing away, so any number of monitors may run, with an agent or without one.

#[cfg(test)]
mod docs;
mod filter;
mod follow;
mod names;
mod pcapng;
mod told;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::ValueEnum;
use svclb_common::event::Record;
use tokio::time::{MissedTickBehavior, interval};

pub use self::filter::Filter;
use self::{follow::Follower, names::Names, told::Told};
use crate::datapath::{pins::Pins, recorder::Recorder};

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A line each, for people.
    Table,
    /// A JSON object each, a line each; its shape is stable.
    Json,
    /// A file of packets with what happened as their comments, for Wireshark and its like.
    Pcapng,
}

/// What is wanted.
#[derive(Debug)]
pub struct Options {
    /// Which events.
    pub filter: Filter,
    /// What is recorded, instead of what comes.
    pub history: bool,
    /// End after so many.
    pub count: Option<usize>,
    /// How to print.
    pub output: Output,
}

/// How often a monitor looks.
const LOOK: Duration = Duration::from_millis(100);

/// Prints what is wanted of the recorder to standard output.
pub async fn run(pins: &Pins, options: Options) -> anyhow::Result<ExitCode> {
    pins.require()?;
    let recorder = Recorder::open(pins)?;
    let mut printer = Printer { pins, left: options.count, options: &options, devices: Vec::new() };
    let mut follower = Follower::default();
    let done = match printer.begin().and_then(|()| {
        let seen = follower.step(recorder.logs()?).records;
        if options.history { printer.history(&seen) } else { Ok(false) }
    }) {
        Ok(done) => done || options.history,
        Err(error) if is_closed(&error) => true,
        Err(error) => return Err(error),
    };
    if done {
        return Ok(ExitCode::SUCCESS);
    }
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let step = follower.step(recorder.logs()?);
        match printer.print(&step.records, step.left_out) {
            Ok(false) => {}
            Ok(true) => return Ok(ExitCode::SUCCESS),
            Err(error) if is_closed(&error) => return Ok(ExitCode::SUCCESS),
            Err(error) => return Err(error),
        }
    }
}

/// Whether nobody reads any more.
fn is_closed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

struct Printer<'a> {
    pins: &'a Pins,
    options: &'a Options,
    /// How many are still wanted.
    left: Option<usize>,
    /// Devices that a file of packets has told of.
    devices: Vec<u32>,
}

impl Printer<'_> {
    fn begin(&self) -> anyhow::Result<()> {
        if self.options.output == Output::Pcapng {
            let mut out = io::stdout().lock();
            out.write_all(&pcapng::section())?;
            out.flush()?;
        }
        Ok(())
    }

    /// Prints the last ones that are wanted.
    fn history(&mut self, records: &[Record]) -> anyhow::Result<bool> {
        let names = Names::read(self.pins)?;
        let mut told: Vec<_> = self.wanted(records, &names);
        if let Some(count) = self.left {
            told.drain(..told.len().saturating_sub(count));
        }
        self.write(&told)?;
        Ok(true)
    }

    /// Prints what is wanted of new records; whether there were enough.
    fn print(&mut self, records: &[Record], left_out: u64) -> anyhow::Result<bool> {
        if records.is_empty() && left_out == 0 {
            return Ok(false);
        }
        // Whoever is named was there when the event happened, or is there since.
        let names = Names::read(self.pins)?;
        let mut told = self.wanted(records, &names);
        if let Some(left) = &mut self.left {
            told.truncate(*left);
            *left -= told.len();
        }
        self.write(&told)?;
        if left_out != 0 && self.options.output == Output::Table && self.options.filter.is_all() {
            eprintln!("svclb: {left_out} more like these were counted and not noted");
        }
        Ok(self.left == Some(0))
    }

    fn wanted(&self, records: &[Record], names: &Names) -> Vec<(Told, Record)> {
        let told = records.iter().filter_map(|record| Some((Told::new(&record.event, names)?, *record)));
        told.filter(|(told, _)| self.options.filter.takes(told)).collect()
    }

    fn write(&mut self, told: &[(Told, Record)]) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        for (told, record) in told {
            match self.options.output {
                Output::Table => writeln!(out, "{told}")?,
                Output::Json => writeln!(out, "{}", serde_json::to_string(told)?)?,
                Output::Pcapng => {
                    let ifindex = record.event.ifindex;
                    let interface =
                        if let Some(interface) = self.devices.iter().position(|device| *device == ifindex) {
                            interface
                        } else {
                            self.devices.push(ifindex);
                            out.write_all(&pcapng::interface(told.device()))?;
                            self.devices.len() - 1
                        };
                    out.write_all(&pcapng::packet(interface as u32, told, record))?;
                }
            }
        }
        out.flush()?;
        Ok(())
    }
}
