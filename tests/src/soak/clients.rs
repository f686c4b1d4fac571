//! The clients of a soak: in a pod, on the node and outside, to every frontend, in both families.

use std::{io::Write as _, time::Duration};

use anyhow::Context as _;

use super::tally::{Counts, Kind, Tally};
use crate::netns::{
    Place, World,
    layout::{Family, Frontend, POD1},
    process::Process,
};

/// A Service that every kind of client asks; its backends stay.
pub(super) const STEADY: u8 = 60;
/// One whose backends come and go in good order.
pub(super) const ROLLING: u8 = 61;
/// One with session affinity.
pub(super) const AFFINE: u8 = 62;
/// One that is flooded, with a few connections of its own.
pub(super) const FLOODED: u8 = 63;

/// Where clients are.
const PLACES: [Place; 3] = [Place::Pod(POD1), Place::Host, Place::Outside];

/// How long clients may take to tell, all of them waiting for a processor.
const TELLING: Duration = Duration::from_mins(1);

/// What is asked, of which Service, by what kind of client.
const TARGETS: &[(u8, Frontend, &[Kind])] = &[
    (
        STEADY,
        Frontend::ClusterIp,
        &[Kind::Short, Kind::Long, Kind::Idle, Kind::Datagram, Kind::Connected, Kind::Exchange],
    ),
    (STEADY, Frontend::NodePort, &[Kind::Short, Kind::Long, Kind::Idle, Kind::Datagram, Kind::Exchange]),
    (STEADY, Frontend::ExternalIp, &[Kind::Short, Kind::Long, Kind::Datagram]),
    (STEADY, Frontend::LoadBalancer, &[Kind::Short, Kind::Long, Kind::Datagram]),
    (ROLLING, Frontend::ClusterIp, &[Kind::Short, Kind::Long, Kind::Datagram]),
    (ROLLING, Frontend::NodePort, &[Kind::Short, Kind::Long]),
    (AFFINE, Frontend::ClusterIp, &[Kind::Affine]),
    (AFFINE, Frontend::LoadBalancer, &[Kind::Affine]),
    (FLOODED, Frontend::LoadBalancer, &[Kind::Long, Kind::Idle]),
];

/// The clients of one place.
struct Crowd {
    place: Place,
    process: Process,
    /// What it has told last.
    last: Tally,
}

impl Crowd {
    fn start(world: &World, place: Place) -> anyhow::Result<Self> {
        let probe = world.ground().probe.to_string_lossy().into_owned();
        let mut process = world.start(place, &probe, &["steady"])?;
        let input = process.stdin()?;
        for (service, frontend, kinds) in TARGETS {
            // ClusterIPs are the cluster's own.
            if place == Place::Outside && *frontend == Frontend::ClusterIp {
                continue;
            }
            for family in Family::ALL {
                for kind in *kinds {
                    writeln!(input, "{kind} {}", frontend.of(*service, family))?;
                }
            }
        }
        writeln!(input)?;
        Ok(Self { place, process, last: Tally::default() })
    }

    /// Lets `act` make the clients tell, and gives what is new.
    fn tell(&mut self, act: impl FnOnce(&mut Process) -> anyhow::Result<()>) -> anyhow::Result<News> {
        let heard = self.process.log.len();
        act(&mut self.process)?;
        let text = self.process.log.wait_for(heard, TELLING, |line| line.starts_with('{'))?;
        let tally: Tally = serde_json::from_str(&text).context("what clients have seen")?;
        let new = tally.failures.get(self.last.failures.len()..).unwrap_or_default();
        let failures = new.iter().map(|failure| format!("{:?}: {failure}", self.place)).collect();
        let counts = tally.sum() - self.last.sum();
        self.last = tally;
        Ok(News { counts, failures })
    }
}

/// What became of requests since the clients told the last time.
#[derive(Default)]
pub(super) struct News {
    /// How many there were.
    pub(super) counts: Counts,
    /// Which failed, as far as they were described.
    pub(super) failures: Vec<String>,
}

impl News {
    fn add(&mut self, other: Self) {
        self.counts += other.counts;
        self.failures.extend(other.failures);
    }
}

/// All clients, until they are asked to end.
pub(super) struct Clients(Vec<Crowd>);

impl Clients {
    /// Starts them.
    pub(super) fn start(world: &World) -> anyhow::Result<Self> {
        let crowds = PLACES.into_iter().map(|place| Crowd::start(world, place));
        Ok(Self(crowds.collect::<anyhow::Result<_>>()?))
    }

    /// What became of requests since the last time.
    pub(super) fn news(&mut self) -> anyhow::Result<News> {
        let mut all = News::default();
        for crowd in &mut self.0 {
            all.add(crowd.tell(|process| Ok(writeln!(process.stdin()?)?))?);
        }
        Ok(all)
    }

    /// Ends them; gives what became of requests since the last time, and of all by kind.
    pub(super) fn finish(mut self) -> anyhow::Result<(News, Tally)> {
        let (mut news, mut tally) = (News::default(), Tally::default());
        for crowd in &mut self.0 {
            news.add(crowd.tell(|process| {
                process.close_stdin();
                Ok(())
            })?);
            crowd.process.wait()?;
            for (kind, counts) in &crowd.last.kinds {
                *tally.kinds.entry(*kind).or_default() += *counts;
            }
        }
        Ok((news, tally))
    }
}
