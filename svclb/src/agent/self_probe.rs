//! The self-probe: whether packets at the hooks, and calls of sockets, still get to the programs and are translated.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{MissedTickBehavior, interval, sleep},
};

use crate::{
    condition::{self, Probed, Problem, Topic},
    datapath::{
        hooks,
        pins::Pins,
        self_probe::{SelfProbe, Unprobed},
    },
    model::Family,
    netdev::{Link, Network},
};

/// How often. A packet takes some 50 µs of one CPU, and there are two for each uplink.
const PERIOD: Duration = Duration::from_secs(10);
/// Before a packet that was not counted is sent again: its device may just have changed hands.
const SECOND_TRY: Duration = Duration::from_millis(500);
/// What the calls are told under.
const SOCKETS: &str = "sockets";

/// Path and family.
type Path = (String, Family);

struct Keeper {
    pins: Pins,
    probe: SelfProbe,
    told: BTreeMap<Path, Probed>,
    problems: Vec<Problem>,
    /// Families in which a call was translated once: then this process is among those whose calls are.
    translated: BTreeSet<Family>,
}

/// Probes all uplinks, and sockets, as long as it is asked. `lost` is told when the hooks are to be looked at.
pub(super) async fn keep(pins: Pins, network: watch::Receiver<Arc<Network>>, lost: Arc<Notify>) {
    let probe = match SelfProbe::new(&pins) {
        Ok(probe) => probe,
        Err(error) => {
            let what = format!("there is no self-probe: {error}");
            let advice =
                "nothing, if this kernel lacks bpf_clone_redirect; selfProbe: false says no more of it";
            condition::tell(Topic::Probe, [Problem::warning(what, "self-probe", advice)]);
            return;
        }
    };
    let mut keeper =
        Keeper { pins, probe, told: BTreeMap::new(), problems: Vec::new(), translated: BTreeSet::new() };
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        while !keeper.probe.is_due() {
            sleep(SECOND_TRY).await;
        }
        let network = network.borrow().clone();
        keeper.round(&network).await;
        condition::tell(Topic::Probe, std::mem::take(&mut keeper.problems));
        condition::tell_probes(keeper.told.values().cloned().collect());
        if keeper.told.values().any(|probed| !probed.ok) {
            lost.notify_one();
        }
    }
}

impl Keeper {
    async fn round(&mut self, network: &Network) {
        let uplinks = self.probe.uplinks();
        let links: Vec<_> = uplinks.iter().filter_map(|ifindex| network.links.get(ifindex)).collect();
        let links: Vec<_> = links.into_iter().filter(|link| takes_frames(link)).collect();
        self.told.retain(|(path, _), _| path == SOCKETS || links.iter().any(|link| link.name == *path));
        for link in links {
            for family in Family::ALL {
                self.packet(network, link, family).await;
            }
        }
        if self.probe.has_sockets() {
            for family in Family::ALL {
                self.call(family);
            }
        } else {
            self.told.retain(|(path, _), _| path != SOCKETS);
        }
    }

    async fn packet(&mut self, network: &Network, link: &Link, family: Family) {
        let mut outcome = self.probe.packet(link.index, family).await;
        if matches!(outcome, Ok(None)) {
            sleep(SECOND_TRY).await;
            outcome = self.probe.packet(link.index, family).await;
        }
        let place = format!("{} ingress ({family})", link.name);
        match outcome {
            Ok(took) => {
                self.tell((link.name.clone(), family), took);
                if took.is_none() {
                    let others = hooks::in_front(&self.pins, network, link.index);
                    let others: Vec<_> = others.iter().map(ToString::to_string).collect();
                    let (why, advice) = if others.is_empty() {
                        (
                            "nobody else's program is in front of svclb's".to_owned(),
                            "restart the agent; svclb check says what the device carries",
                        )
                    } else {
                        (
                            format!("in front of svclb's program is {}", others.join(", ")),
                            "let that program pass packets to Services, or detach it (bpftool net show)",
                        )
                    };
                    let what = format!("the self-probe's packet was not translated: {why}");
                    self.problems.push(Problem::error(what, place, advice));
                }
            }
            Err(error) => self.unprobed(error, place),
        }
    }

    fn call(&mut self, family: Family) {
        let place = format!("{SOCKETS} ({family})");
        match self.probe.call(family) {
            Ok(Some(took)) => {
                self.translated.insert(family);
                self.tell((SOCKETS.to_owned(), family), Some(took));
            }
            // A control group that this process is not in says nothing.
            Ok(None) if !self.translated.contains(&family) => {}
            Ok(None) => {
                self.tell((SOCKETS.to_owned(), family), None);
                let what = "the self-probe's connect() was not translated";
                let advice = "restart the agent; bpftool cgroup tree shows what is attached";
                self.problems.push(Problem::error(what, place, advice));
            }
            Err(error) => self.unprobed(error, place),
        }
    }

    fn tell(&mut self, path: Path, took: Option<Duration>) {
        let known = self.told.get(&path);
        let (runs, failures) = known.map_or((0, 0), |known| (known.runs, known.failures));
        let probed = Probed {
            path: path.0.clone(),
            ip_family: path.1.to_string(),
            ok: took.is_some(),
            micros: took.map_or(0, |took| u64::try_from(took.as_micros()).unwrap_or(u64::MAX)),
            at: condition::now(),
            runs: runs + 1,
            failures: failures + u64::from(took.is_none()),
        };
        self.told.insert(path, probed);
    }

    fn unprobed(&mut self, error: Unprobed, place: String) {
        match error {
            // A device that is down, or a host without the family, has nothing to be probed.
            Unprobed::Device(error) => tracing::debug!("self-probe at {place}: {error}"),
            Unprobed::Socket(error) => tracing::debug!("self-probe at {place}: {error}"),
            error @ (Unprobed::NoService | Unprobed::Tables(_)) => {
                let what = format!("the self-probe finds the tables broken: {error}");
                self.problems.push(Problem::error(what, place, "restart the agent: it compares all tables"));
            }
        }
    }
}

/// Whether a frame that is nobody's does no harm there: a bridge would flood what its port receives.
fn takes_frames(link: &Link) -> bool {
    link.up && link.ethernet && link.master.is_none()
}
