//! How often the node's ways have changed, which the programs compare with what they remember of them.

use svclb_common::{cell::Word32, layout::map};

use super::{
    Error,
    pins::Pins,
    tables::{element, open_array},
};
use crate::sys::mapped::{Access, MappedArray};

/// The writer of the map.
pub struct WaysMap(MappedArray<Word32>);

impl WaysMap {
    /// Opens the pinned map.
    pub fn open(pins: &Pins) -> Result<Self, Error> {
        open_array(pins, map::ROUTES, Access::Write).map(Self)
    }

    /// Makes the programs ask anew for the way of every flow.
    pub fn changed(&self) -> Result<(), Error> {
        let changes = element(&self.0, map::ROUTES.into(), 0)?;
        changes.store(changes.load().wrapping_add(1));
        Ok(())
    }
}
