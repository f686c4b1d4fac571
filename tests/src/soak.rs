//! Everything that may happen to an agent, under clients that ask all the time; `cargo xtask soak` runs it.
//!
//! | module | owns |
//! |---|---|
//! | [`tally`] | what clients have seen |
//! | `clients` | the clients, and what they ask |
//! | `scene` | the world, the API server and the agent |
//! | `event` | what is done to them |
//! | `churn` | endpoints that change beside all that |
//! | `ledger` | what became of it |
//!
//! Clients and events know nothing of each other. Requests are counted for the event during which they were answered.

mod churn;
mod clients;
mod event;
mod ledger;
mod scene;
pub mod tally;

use std::time::{Duration, Instant};

use self::{
    churn::Churning,
    clients::{Clients, News},
    event::Event,
    ledger::Ledger,
    scene::Scene,
};
use crate::netns::{World, ground::Ground, world::PodNetwork};

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Soak {
    /// For so long; every event happens at least once.
    pub time: Duration,
    /// Where the order of events comes from.
    pub seed: u64,
}

/// How clients' packets are translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// All by packet.
    Packets,
    /// Those of the node's processes at their sockets, and sometimes those of pods.
    Sockets,
}

impl Way {
    /// Both.
    const ALL: [Self; 2] = [Self::Packets, Self::Sockets];

    /// For people.
    fn title(self) -> &'static str {
        match self {
            Self::Packets => "by packets (--socket-lb=off)",
            Self::Sockets => "at sockets (--socket-lb=all, --socket-lb=host)",
        }
    }

    /// For programs.
    fn name(self) -> &'static str {
        match self {
            Self::Packets => "packets",
            Self::Sockets => "sockets",
        }
    }

    /// What `--socket-lb` is in turn.
    fn modes(self) -> &'static [&'static str] {
        match self {
            Self::Packets => &["off"],
            Self::Sockets => &["all", "host"],
        }
    }
}

/// What became of it.
pub struct Outcome {
    /// The tables, for people.
    pub tables: String,
    /// The same as lines of JSON.
    pub lines: String,
    /// Whether every promise was kept.
    pub is_kept: bool,
}

impl Soak {
    /// Does it, with each way of translating half of the time.
    pub fn run(self, ground: &Ground) -> anyhow::Result<Outcome> {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let mut outcome = Outcome { tables: String::new(), lines: String::new(), is_kept: true };
        for way in Way::ALL {
            let ledger = self.run_way(way, ground.clone(), &mut random)?;
            outcome.tables += &[way.title(), "\n\n", &ledger.tables(), "\n"].concat();
            outcome.lines += &ledger.lines(way)?;
            outcome.is_kept &= ledger.is_kept();
        }
        Ok(outcome)
    }

    fn run_way(self, way: Way, ground: Ground, random: &mut fastrand::Rng) -> anyhow::Result<Ledger> {
        let mut scene = Scene::build(World::build(ground, PodNetwork::PointToPoint)?, way)?;
        let mut clients = Clients::start(scene.world())?;
        let churning = Churning::start(scene.objects())?;
        let mut ledger = Ledger::default();
        let begun = Instant::now();
        let end = begun + self.time / 2;
        let mut is_first = true;
        'rounds: while is_first || Instant::now() < end {
            let mut round = Event::ALL;
            random.shuffle(&mut round);
            for event in round.into_iter().filter(|event| event.is_promised(way)) {
                if !is_first && Instant::now() >= end {
                    break 'rounds;
                }
                eprintln!("soak: {:5.1} s: {}", begun.elapsed().as_secs_f32(), event.title());
                // The reference knows nothing of what it would read of that.
                churning.rest(event == Event::Model);
                let broken = scene.inject(event, random).err().map(|error| format!("{error:#}"));
                ledger.note(event, 1, clients.news()?, broken);
                if !scene.has_agent() {
                    break 'rounds;
                }
            }
            is_first = false;
        }
        let (news, tally) = clients.finish()?;
        ledger.note(Event::Quiet, 1, news, None);
        ledger.note(Event::Churn, churning.finish()?, News::default(), None);
        ledger.close(tally);
        Ok(ledger)
    }
}
