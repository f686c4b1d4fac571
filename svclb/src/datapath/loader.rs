//! Loading programs over new or adopted maps.

use std::{
    panic::resume_unwind,
    sync::{Mutex, PoisonError},
    thread,
};

use aya::{
    Ebpf, EbpfLoader,
    programs::{Program, ProgramError, ProgramFd, Xdp},
};
use svclb_common::{
    config::{BPF_LOOP, DatapathConfig},
    layout::map,
};

use super::{
    Error,
    error::chain,
    object::{self, BYTECODE, Capacities},
    pins::Pins,
    probe,
    resize::Resize,
    settings,
};

/// The XDP program, and the one for kernels that know frames of one buffer only.
const XDP: [&str; 2] = ["uplink_xdp", "uplink_xdp_page"];

/// The loaded programs. Their maps are pinned and outlive them.
pub struct Programs {
    ebpf: Ebpf,
}

/// Loads all programs. Maps that are pinned are adopted, the others are made and pinned; where those are that move, `resize`
/// says.
pub fn load(
    pins: &Pins,
    capacities: &Capacities,
    resize: &Resize,
    config: &DatapathConfig,
) -> Result<Programs, Error> {
    object::check_pinned(pins, capacities)?;
    let names: Vec<_> = object::names().collect();
    let places = resize.places(pins);
    let config = DatapathConfig { flags: config.flags | resize.flags(), ..*config };
    let mut loader = EbpfLoader::new();
    loader.override_global("CONFIG", &config, true);
    for name in &names {
        loader.map_pin_path(name, pins.map(name));
    }
    for (name, entries) in capacities {
        loader.map_max_entries(name, *entries);
    }
    for place in &places {
        loader.map_pin_path(&place.name, &place.pin).map_max_entries(&place.name, place.entries);
    }
    let mut ebpf = load_maps(&mut loader)?;
    load_programs(&mut ebpf)?;
    settings::write(pins, &config)?;
    Ok(Programs { ebpf })
}

/// Lets the verifier look at all programs, with small maps that are not pinned. Tells
/// how many there are.
///
/// The settings are constants to it: it skips what they switch off, so it looks with each of them.
pub fn verify() -> Result<usize, Error> {
    let names: Vec<_> = object::names().collect();
    let mut programs = 0;
    let has_loop = if probe::has_loop() { BPF_LOOP } else { 0 };
    for config in DatapathConfig::each() {
        // As it is when the agent runs.
        let config = DatapathConfig { flags: config.flags & !BPF_LOOP | has_loop, ..config };
        let mut loader = EbpfLoader::new();
        loader.override_global("CONFIG", &config, true);
        for name in names.iter().filter(|name| !FIXED.contains(&name.as_str())) {
            loader.map_max_entries(name, 64);
        }
        programs = load_programs(&mut load_maps(&mut loader)?)?;
    }
    Ok(programs)
}

/// Lets the verifier look at the XDP program as [`verify`] does at the others. Tells its name.
pub fn verify_xdp() -> Result<&'static str, Error> {
    let names: Vec<_> = object::names().collect();
    let mut loader = EbpfLoader::new();
    for name in names.iter().filter(|name| !FIXED.contains(&name.as_str())) {
        loader.map_max_entries(name, 64);
    }
    Programs { ebpf: load_maps(&mut loader)? }.xdp().map(|(name, _)| name)
}

fn load_maps(loader: &mut EbpfLoader<'_>) -> Result<Ebpf, Error> {
    loader
        .load(BYTECODE)
        .map_err(|error| Error::Load { what: "cannot load the maps".into(), reason: chain(&error) })
}

/// Maps whose size is part of their meaning.
const FIXED: [&str; 4] = [map::DROPS, map::EVENTS, map::STATE, map::ROUTES];

/// Loads all but the XDP programs, on all processors: the verifier looks at each by itself, and that is most
/// of what the start of an agent costs.
fn load_programs(ebpf: &mut Ebpf) -> Result<usize, Error> {
    let is_wanted =
        |program: &Program| matches!(program, Program::SchedClassifier(_) | Program::CgroupSockAddr(_));
    let programs: Vec<_> = ebpf.programs_mut().filter(|(_, program)| is_wanted(program)).collect();
    let count = programs.len();
    let threads = thread::available_parallelism().map_or(1, usize::from).min(count);
    let queue = Mutex::new(programs.into_iter());
    // The lock is held for the taking only.
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some((name, program)) = next() {
            load_program(program).map_err(|error| Error::Verifier {
                program: name.into(),
                reason: last_line(&chain(&error)),
            })?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = work();
        let ended =
            helpers.into_iter().map(|helper| helper.join().unwrap_or_else(|panic| resume_unwind(panic)));
        ended.fold(own, Result::and)
    })?;
    Ok(count)
}

fn load_program(program: &mut Program) -> Result<(), ProgramError> {
    match program {
        Program::SchedClassifier(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
        _ => Ok(()),
    }
}

/// The verifier's log says in its last lines what it did not like; the whole is for `RUST_LOG=debug`.
fn last_line(text: &str) -> String {
    tracing::debug!(log = text, "verifier");
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = lines.next().unwrap_or_default().to_owned();
    let complaint =
        lines.rfind(|line| !line.starts_with("processed") && !line.starts_with("verification time"));
    complaint.map_or(first.clone(), |last| format!("{first}: {last}"))
}

impl Programs {
    /// A loaded program by its name.
    pub fn program_mut(&mut self, name: &str) -> Result<&mut Program, Error> {
        self.ebpf.program_mut(name).ok_or_else(|| Error::Load {
            what: format!("program {name}"),
            reason: "the bytecode does not define it".into(),
        })
    }

    /// The XDP program that this kernel takes, with its name. It is loaded when it is first asked for:
    /// many nodes have no device for it, and looking at it takes the kernel a while.
    pub fn xdp(&mut self) -> Result<(&'static str, &ProgramFd), Error> {
        let mut refusal = None;
        for name in XDP {
            let program: &mut Xdp = self
                .program_mut(name)?
                .try_into()
                .map_err(|error| Error::Load { what: name.into(), reason: chain(&error) })?;
            match if program.fd().is_ok() { Ok(()) } else { program.load() } {
                Ok(()) => return self.fd(name).map(|fd| (name, fd)),
                Err(error) => refusal = refusal.or(Some((name, last_line(&chain(&error))))),
            }
        }
        let (program, reason) = refusal.unwrap_or_default();
        Err(Error::Verifier { program: program.into(), reason })
    }

    /// The descriptor of a loaded program.
    pub fn fd(&self, name: &str) -> Result<&ProgramFd, Error> {
        let missing = || Error::Load { what: format!("program {name}"), reason: "it is not loaded".into() };
        match self.ebpf.program(name) {
            Some(Program::SchedClassifier(program)) => program.fd().map_err(|_unloaded| missing()),
            Some(Program::CgroupSockAddr(program)) => program.fd().map_err(|_unloaded| missing()),
            Some(Program::Xdp(program)) => program.fd().map_err(|_unloaded| missing()),
            _ => Err(missing()),
        }
    }
}

/// The name of a loaded program by its number.
pub(super) fn program_name(id: u32) -> Option<String> {
    aya::programs::loaded_programs()
        .filter_map(Result::ok)
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(str::to_owned))
}
