//! The map of frontends, and the filter in front of it.

use std::io;

use aya::maps::MapError;
use svclb_common::{
    key::FrontendKey,
    layout::map,
    line::Line,
    service::{
        Frontend,
        filter::{PLACES, count_in, count_out, place},
    },
};

use super::{
    Error,
    family::MapFamily,
    pins::Pins,
    tables::{Hash, absent, element, open_array, open_hash},
};
use crate::sys::mapped::{Access, MappedArray};

/// Both of a family. Nobody else writes either.
pub(super) struct Frontends<F: MapFamily> {
    /// The map.
    pub(super) map: Hash<FrontendKey<F::Addr>, Frontend>,
    filter: MappedArray<Line>,
}

/// `BPF_NOEXIST` (linux/bpf.h).
const NOEXIST: u64 = 1;

/// Whether it is there already.
fn exists(error: &MapError) -> bool {
    matches!(error, MapError::SyscallError(error) if error.io_error.kind() == io::ErrorKind::AlreadyExists)
}

impl<F: MapFamily> Frontends<F> {
    /// Opens the pinned maps.
    pub(super) fn open(pins: &Pins, access: Access) -> Result<Self, Error> {
        Ok(Self {
            map: open_hash(pins, &F::map(map::FRONTENDS))?,
            filter: open_array(pins, &F::map(map::FRONTEND_FILTER), access)?,
        })
    }

    /// Gives back the memory under the filter.
    pub(super) fn release(&mut self) -> io::Result<()> {
        self.filter.release()
    }

    fn line(&self, place: u32) -> Result<&Line, Error> {
        element(&self.filter, F::map(map::FRONTEND_FILTER), Line::of(place))
    }

    /// Counts all anew, for who takes over what others have counted.
    pub(super) fn recount(&self) -> Result<(), Error> {
        let mut counts = vec![0_u8; PLACES as usize];
        for key in self.map.keys() {
            let key = key.map_err(|error| Error::map(F::map(map::FRONTENDS), &error))?;
            let count = &mut counts[place(&key) as usize];
            *count = count.saturating_add(1);
        }
        for (place, count) in (0..).zip(counts) {
            let counted = self.line(place)?.at(place);
            if counted.load() != count {
                counted.store(count);
            }
        }
        Ok(())
    }

    /// Writes a frontend or takes it away. It is counted in before it is there, and out when it is gone: what fails between
    /// leaves a place that looks taken.
    pub(super) fn set(&mut self, key: FrontendKey<F::Addr>, frontend: Option<Frontend>) -> Result<(), Error> {
        let failed = |error: MapError| Error::map(F::map(map::FRONTENDS), &error);
        let place = place(&key);
        let Some(frontend) = frontend else {
            if let Err(error) = self.map.remove(&key) {
                return absent(error).map_err(failed);
            }
            count_out(self.line(place)?, place);
            return Ok(());
        };
        count_in(self.line(place)?, place);
        let mut written = self.map.insert(key, frontend, NOEXIST);
        if written.as_ref().is_err_and(exists) {
            // It was counted when it came.
            count_out(self.line(place)?, place);
            written = self.map.insert(key, frontend, 0);
        }
        written.map_err(failed)
    }
}
