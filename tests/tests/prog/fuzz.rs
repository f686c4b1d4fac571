//! Any frames through every program of a packet: valid ones with changes, and bytes of no meaning.
//!
//! `SVCLB_FUZZ_FRAMES` says how many frames pass each program, over all settings together; `SVCLB_FUZZ_SEED` is the
//! number that a failure has printed, and makes the same frames again. Threads share the tables, so what a frame meets
//! there is not the same again.
//!
//! | module | noun |
//! |---|---|
//! | [`seeds`] | services and valid packets |
//! | [`mutation`] | changes of them |
//! | [`programs`] | the programs, run with as little ado as possible |
//! | [`view`] | what etherparse reads of a packet |
//! | [`ends`] | whose a packet is |
//! | [`judge`] | what must hold |
//! | [`kmsg`] | the kernel's log |

mod ends;
mod judge;
mod kmsg;
mod mutation;
mod programs;
mod seeds;
mod view;

use std::{
    env,
    fmt::Write as _,
    num::NonZero,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Instant,
};

use fastrand::Rng;
use svclb_common::config::{
    BPF_LOOP, DSR_GUE, DSR_TCP, DSR_UDP, DatapathConfig, MASQUERADE_ALL, MASQUERADE_COMPAT, SocketMode,
    VIP_ECHO,
};

use self::{
    ends::Ends,
    judge::{Fate, judge},
    kmsg::KernelLog,
    mutation::{Making, Seeds},
    programs::{Bench, Programs},
    seeds::{CIDRS, SERVICES},
};
use crate::{
    cidr::{self, Cidr},
    lab::Lab,
    node::{Device, Node},
    tables::{Services, Written},
};

/// Frames through each program unless told otherwise.
const FRAMES: u64 = 400_000;

/// Tests that share them.
const SETTINGS: u64 = 4;

/// Room for every list of backends.
const SLOTS: u32 = 4096;

/// A setting's programs and tables.
struct Ground {
    flags: u32,
    socket_mode: SocketMode,
    /// Whether it is known which addresses only Services have.
    has_ranges: bool,
}

/// A frame that something is wrong with.
struct Finding {
    making: Making,
    program: usize,
    ifindex: u32,
    fault: String,
}

/// Findings of a thread before it ends.
const MOST_FINDINGS: usize = 4;

/// What one thread needs.
struct Worker<'w> {
    programs: &'w Programs<'w>,
    seeds: &'w Seeds,
    ends: &'w Ends,
    bench: Bench,
    frame: Vec<u8>,
}

impl Finding {
    /// Whether another one is probably the same.
    fn is_like(&self, fault: &str) -> bool {
        let kind = |fault: &str| fault.chars().take(40).collect::<String>();
        kind(&self.fault) == kind(fault)
    }
}

/// Frames by program and fate.
type Tally = Vec<[u64; Fate::ALL.len()]>;

impl Worker<'_> {
    /// What becomes of a frame.
    fn fate(&mut self, making: Making, program: usize, ifindex: u32) -> Result<Fate, String> {
        making.write(self.seeds, &mut self.frame);
        self.pass(program, ifindex)
    }

    /// The same of the frame at hand.
    fn pass(&mut self, program: usize, ifindex: u32) -> Result<Fate, String> {
        let ran = self.bench.run(self.programs, program, ifindex, &self.frame);
        let (verdict, out) = ran.map_err(|error| format!("{error:#}"))?;
        judge(self.ends, &self.frame, verdict, out)
    }

    /// Makes frames and passes each through every program, until there are enough or something is found.
    fn work(&mut self, rng: &mut Rng, node: &Node, frames: u64, stop: &AtomicBool) -> (Tally, Vec<Finding>) {
        const ANY: [Device; 4] = [Device::Pod, Device::Uplink, Device::SecondUplink, Device::Loopback];
        let count = self.programs.names().count();
        let (mut tally, mut findings) = (vec![[0; Fate::ALL.len()]; count], Vec::<Finding>::new());
        for _ in 0..frames {
            let making = Making::any(rng, self.seeds);
            making.write(self.seeds, &mut self.frame);
            let elsewhere = if rng.bool() { Some(ANY[rng.usize(..ANY.len())]) } else { None };
            for (program, tally) in tally.iter_mut().enumerate() {
                let ifindex = node.index(elsewhere.unwrap_or_else(|| self.programs.device(program)));
                match self.pass(program, ifindex) {
                    Ok(fate) => tally[fate as usize] += 1,
                    Err(fault) if findings.iter().any(|known| known.is_like(&fault)) => {}
                    Err(fault) => findings.push(Finding { making, program, ifindex, fault }),
                }
            }
            if findings.len() >= MOST_FINDINGS {
                stop.store(true, Ordering::Relaxed);
            }
            if stop.load(Ordering::Relaxed) {
                break;
            }
        }
        (tally, findings)
    }

    /// The finding with as few changes of the frame as still show it.
    fn simplest(&mut self, mut finding: Finding) -> Finding {
        loop {
            let Finding { making, program, ifindex, .. } = finding;
            let simpler = making.simpler().find_map(|making| {
                let fault = self.fate(making, program, ifindex).err()?;
                Some(Finding { making, program, ifindex, fault })
            });
            match simpler {
                Some(simpler) => finding = simpler,
                None => return finding,
            }
        }
    }

    /// What a finding looks like.
    fn describe(&mut self, finding: &Finding) -> String {
        let Finding { making, program, ifindex, fault } = finding;
        making.write(self.seeds, &mut self.frame);
        let name = self.programs.names().nth(*program).unwrap_or_default();
        let mut text = format!("{name} on device {ifindex}: {fault}\n{making:?}\nframe ");
        text.extend(hex(&self.frame));
        match self.bench.run(self.programs, *program, *ifindex, &self.frame) {
            Ok((verdict, out)) => {
                _ = write!(text, "\nonce more: {verdict:?} ");
                text.extend(hex(out));
            }
            Err(error) => _ = write!(text, "\nonce more: {error:#}"),
        }
        text
    }
}

fn hex(bytes: &[u8]) -> impl Iterator<Item = String> {
    bytes.iter().map(|byte| format!("{byte:02x}"))
}

impl Ground {
    fn lab(&self, node: &Node) -> anyhow::Result<Lab> {
        let config = DatapathConfig {
            flags: self.flags,
            socket_mode: self.socket_mode as u32,
            ..DatapathConfig::PER_PACKET
        };
        let mut lab = Lab::new(config, &[("SLOTS_V4", SLOTS), ("SLOTS_V6", SLOTS)])?;
        let services: Services = serde_saphyr::from_str(SERVICES)?;
        Written::new(&mut lab, node, &services, |_| true)?;
        if self.has_ranges {
            let cidrs = CIDRS.map(|text| Cidr::try_from(text.to_owned()).expect("a range"));
            cidr::write(&mut lab, &cidrs, &cidrs)?;
        }
        programs::load(&mut lab, node)?;
        Ok(lab)
    }

    /// Sends this setting's share of all frames through every program.
    fn storm(&self) {
        let number = |name| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
        // The same frames each time unless more are asked for: what is rare is searched for by who has the time.
        let wanted = number("SVCLB_FUZZ_FRAMES");
        let frames = wanted.unwrap_or(FRAMES).div_ceil(SETTINGS);
        let seed = number("SVCLB_FUZZ_SEED").unwrap_or_else(|| wanted.map_or(1, |_| fastrand::u64(..)));
        let node = Node::new().unwrap();
        let lab = self.lab(&node).unwrap();
        let (programs, seeds) = (Programs::of(&lab), Seeds::new());
        let ends = Ends::new(self.has_ranges, self.flags & VIP_ECHO != 0);
        let worker = || Worker {
            programs: &programs,
            seeds: &seeds,
            ends: &ends,
            bench: Bench::new(),
            frame: Vec::new(),
        };
        let threads = wanted.map_or(1, |_| thread::available_parallelism().map_or(1, NonZero::get) as u64);
        let (mut log, stop, began) = (KernelLog::new().unwrap(), AtomicBool::new(false), Instant::now());
        let outcomes: Vec<_> = thread::scope(|scope| {
            let spawn = |thread| {
                let (mut worker, node, stop) = (worker(), &node, &stop);
                let mut rng = Rng::with_seed(seed.wrapping_add(thread));
                scope.spawn(move || worker.work(&mut rng, node, frames.div_ceil(threads), stop))
            };
            let running: Vec<_> = (0..threads).map(spawn).collect();
            running.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let took = began.elapsed();
        let complaints = log.complaints().unwrap();
        assert!(complaints.is_empty(), "seed {seed}: the kernel's log: {complaints:#?}");
        let mut tally = vec![[0; Fate::ALL.len()]; programs.names().count()];
        let mut found = Vec::new();
        for (part, findings) in outcomes {
            let counts = tally.iter_mut().flatten().zip(part.into_iter().flatten());
            counts.for_each(|(sum, count)| *sum += count);
            let mut worker = worker();
            for finding in findings {
                let simplest = worker.simplest(finding);
                found.push(worker.describe(&simplest));
            }
        }
        assert!(found.is_empty(), "seed {seed}:\n{}", found.join("\n\n"));
        let ran: u64 = tally.iter().flatten().sum();
        println!("seed {seed}: {ran} runs in {took:?} by {threads} threads: {:?}", Fate::ALL);
        for (name, fates) in programs.names().zip(&tally) {
            println!("{name}: {fates:?}");
            let passed: u64 = fates.iter().sum();
            // Who changes nothing does nothing wrong.
            assert!(
                fates[Fate::Translated as usize] > passed / 1000,
                "{name} translates next to nothing: {fates:?}"
            );
        }
    }
}

#[test]
fn any_frame_with_every_default() {
    let flags = DatapathConfig::PER_PACKET.flags;
    Ground { flags, socket_mode: SocketMode::Off, has_ranges: false }.storm();
}

#[test]
fn any_frame_where_everybody_is_masqueraded() {
    let flags = DatapathConfig::PER_PACKET.flags & !BPF_LOOP | MASQUERADE_ALL | MASQUERADE_COMPAT;
    Ground { flags, socket_mode: SocketMode::Off, has_ranges: true }.storm();
}

#[test]
fn any_frame_with_direct_server_return() {
    let flags = DatapathConfig::PER_PACKET.flags | DSR_TCP | DSR_UDP | VIP_ECHO;
    Ground { flags, socket_mode: SocketMode::Off, has_ranges: true }.storm();
}

#[test]
fn any_frame_with_packets_in_datagrams_and_processes_at_their_sockets() {
    let flags = DatapathConfig::PER_PACKET.flags | DSR_TCP | DSR_UDP | DSR_GUE;
    Ground { flags, socket_mode: SocketMode::Host, has_ranges: false }.storm();
}
