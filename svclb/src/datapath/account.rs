//! What the agent says of itself, where other processes find it: a map with one text, in JSON.
//!
//! No program knows of it, so it is not part of the bytecode; the agent makes it. An agent that has been killed leaves its
//! last word behind, which counts as long as the agent runs.

use aya::maps::{HashMap, Map, MapData, MapError, MapType};

use super::{Error, pins::Pins};
use crate::condition::{self, Account};

/// The name of the map.
const NAME: &str = "ACCOUNT";
/// Bytes that there is room for.
const ROOM: usize = 32 * 1024;
/// How often a text is read that was written at the same time.
const TRIES: usize = 5;

type Texts = HashMap<MapData, u32, [u8; ROOM]>;

/// Keeps the map like the board, until it is dropped.
pub async fn publish(pins: &Pins) -> Result<(), Error> {
    let mut texts = make(pins)?;
    loop {
        write(&mut texts, condition::account())?;
        condition::changed().await;
    }
}

/// What the agent that runs, or ran last, says of itself. None if it says nothing.
pub fn read(pins: &Pins) -> Option<Account> {
    let texts = open(pins).ok()?;
    (0..TRIES).find_map(|_| {
        let text = texts.get(&0, 0).ok()?;
        let len = text.iter().position(|byte| *byte == 0).unwrap_or(ROOM);
        serde_json::from_slice(&text[..len]).ok()
    })
}

fn make(pins: &Pins) -> Result<Texts, Error> {
    if let Ok(texts) = open(pins) {
        return Ok(texts);
    }
    let path = pins.map(NAME);
    let shape = aya_obj::Map::new_from_params(MapType::Hash as u32, 4, ROOM as u32, 1, 0);
    let data = MapData::create(shape, NAME, None).map_err(|error| failed(&error))?;
    data.pin(&path).map_err(|error| failed(&error))?;
    texts(data)
}

fn open(pins: &Pins) -> Result<Texts, Error> {
    MapData::from_pin(pins.map(NAME)).map_err(|error| failed(&error)).and_then(texts)
}

fn texts(data: MapData) -> Result<Texts, Error> {
    Map::from_map_data(data).and_then(HashMap::try_from).map_err(|error| failed(&error))
}

#[expect(
    clippy::large_stack_arrays,
    reason = "the map's value, once a change; the agent's stack has megabytes"
)]
fn write(texts: &mut Texts, mut account: Account) -> Result<(), Error> {
    let mut text = [0; ROOM];
    loop {
        // Text and numbers always have a JSON form.
        let json = serde_json::to_vec(&account).unwrap_or_default();
        if json.len() < ROOM {
            text[..json.len()].copy_from_slice(&json);
            return texts.insert(0, text, 0).map_err(|error: MapError| failed(&error));
        }
        account.problems.truncate(account.problems.len() / 2);
    }
}

fn failed(error: &dyn std::error::Error) -> Error {
    Error::map(NAME, error)
}
