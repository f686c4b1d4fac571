//! The settings of the programs that run: written by the agent that loads them, read by who is to run others like them.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use aya::maps::{Array, Map, MapData};
use svclb_common::{
    config::{DatapathConfig, Settings},
    layout::map,
};

use super::{Error, object::BYTECODE, pins::Pins};

/// What tells one build of the bytecode from another.
fn build() -> u64 {
    let mut hasher = DefaultHasher::new();
    BYTECODE.hash(&mut hasher);
    hasher.finish()
}

fn open(pins: &Pins) -> Result<Array<MapData, Settings>, Error> {
    let data =
        MapData::from_pin(pins.map(map::SETTINGS)).map_err(|error| Error::map(map::SETTINGS, &error))?;
    Map::from_map_data(data).and_then(Array::try_from).map_err(|error| Error::map(map::SETTINGS, &error))
}

/// Writes them.
pub fn write(pins: &Pins, config: &DatapathConfig) -> Result<(), Error> {
    let settings = Settings::new(build(), config);
    open(pins)?.set(0, settings, 0).map_err(|error| Error::map(map::SETTINGS, &error))
}

/// Reads them; nothing if another build has written them, whose programs this one does not have.
pub fn read(pins: &Pins) -> Result<Option<DatapathConfig>, Error> {
    let settings = open(pins)?.get(&0, 0).map_err(|error| Error::map(map::SETTINGS, &error))?;
    Ok(settings.config(build()))
}
