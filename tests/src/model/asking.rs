//! Clients everywhere, and what may become of what they ask.

use std::{collections::BTreeSet, io::Write as _, net::SocketAddr, time::Duration};

use anyhow::Context as _;
use fastrand::Rng;

use super::{difference::Difference, ground::by_name};
use crate::{
    netns::{
        Place, World,
        layout::{CLIENT, Family, NODE1, POD1},
        process::Process,
        wait::{PATIENCE, here},
    },
    probe::Outcome,
    reference::{
        Expected, Protocol, Verdict,
        claim::{Frontend, Kind},
        verdict::Class,
    },
};

/// How long silence must last to count as one. An answer that is expected may take as long as any.
const SILENCE: Duration = Duration::from_millis(150);
/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// Where nobody serves an address, a node may say that its own router is nearer, and the client would ask there for ever.
const STUBBORN: [(&str, &str); 4] = [
    ("ipv4/conf/all/accept_redirects", "0"),
    ("ipv4/conf/eth0/accept_redirects", "0"),
    ("ipv6/conf/all/accept_redirects", "0"),
    ("ipv6/conf/eth0/accept_redirects", "0"),
];

/// One client in each place, which asks many at once.
pub struct Clients {
    all: Vec<(Place, Process)>,
    rng: Rng,
    next: u32,
    /// How often each became of a question: answered, refused, dropped or nobody's.
    pub outcomes: [u64; 4],
}

/// A question, and what may become of it.
struct Question {
    id: u32,
    place: Place,
    frontend: Frontend,
    to: SocketAddr,
    allowed: Allowed,
    /// Whether the client's address decides and nobody but the Node, which says nothing of it, could tell it: a socket has
    /// none when it connects.
    is_unknown: bool,
}

/// What may become of a question.
#[derive(Clone, Debug)]
enum Allowed {
    /// One of these outcomes.
    Verdict(Verdict),
    /// Anything but an answer: the frontend is gone.
    Nobody,
}

impl Clients {
    /// Starts clients in a pod, on the node and outside.
    pub fn start(world: &World, seed: u64) -> anyhow::Result<Self> {
        let client = world.namespace(CLIENT.name);
        client.sysctl(&STUBBORN)?;
        // A router would send ClusterIPs to some node.
        let [v4, v6] = ["10.96.0.0/16", "fd00:10:96::/48"];
        let routes = format!("route replace {v4} via {}\nroute replace {v6} via {}\n", NODE1.v4, NODE1.v6);
        world.ip(CLIENT.name, &routes)?;
        let start = |place: Place| {
            let probe = world.ground().probe.to_string_lossy().into_owned();
            anyhow::Ok((place, world.start(place, &probe, &["each"])?))
        };
        let all = [Place::Pod(POD1), Place::Host, Place::Outside].into_iter().map(start);
        Ok(Self { all: all.collect::<Result<_, _>>()?, rng: Rng::with_seed(seed), next: 0, outcomes: [0; 4] })
    }

    /// Asks so many frontends that there are, and those that have just gone.
    pub fn ask(
        &mut self,
        expected: &Expected,
        gone: &BTreeSet<Frontend>,
        most: usize,
    ) -> anyhow::Result<Vec<Difference>> {
        let can_be_asked = |it: &&Frontend| it.protocol != Protocol::Sctp;
        let mut chosen: Vec<_> = expected.frontends.keys().filter(can_be_asked).copied().collect();
        self.rng.shuffle(&mut chosen);
        chosen.truncate(most);
        let gone = gone.iter().filter(can_be_asked).filter(|it| !expected.frontends.contains_key(it));
        chosen.extend(gone.take(2));
        let mut questions = Vec::new();
        for frontend in chosen {
            let at = self.rng.usize(0..self.all.len());
            questions.extend(self.question(expected, frontend, at));
        }
        self.ask_them(questions)
    }

    /// Asks all frontends from everywhere.
    pub fn ask_all(
        &mut self,
        expected: &Expected,
        gone: &BTreeSet<Frontend>,
    ) -> anyhow::Result<Vec<Difference>> {
        let mut questions = Vec::new();
        let all = expected.frontends.keys().chain(gone).filter(|it| it.protocol != Protocol::Sctp);
        for frontend in all {
            for at in 0..self.all.len() {
                questions.extend(self.question(expected, *frontend, at));
            }
        }
        self.ask_them(questions)
    }

    fn ask_them(&mut self, questions: Vec<Question>) -> anyhow::Result<Vec<Difference>> {
        for question in &questions {
            let silence = matches!(question.allowed, Allowed::Nobody | Allowed::Verdict(Verdict::Dropped));
            let patience = here(if silence { SILENCE } else { ANSWER }).as_millis();
            let protocol = question.frontend.protocol.name().to_lowercase();
            let client = self.all.iter_mut().find(|(place, _)| *place == question.place);
            let (_, client) = client.context("a client in each place")?;
            writeln!(client.stdin()?, "{} {protocol} {} {patience}", question.id, question.to)?;
        }
        let mut differences = Vec::new();
        for question in questions {
            let (_, client) =
                self.all.iter().find(|(place, _)| *place == question.place).context("a client")?;
            let prefix = format!("{{\"id\":{},", question.id);
            let line = client.log.wait_for(0, PATIENCE, |line| line.starts_with(&prefix))?;
            let outcome: Outcome = serde_json::from_str(&line).with_context(|| line.clone())?;
            self.outcomes[kind_of(&question.allowed)] += 1;
            differences.extend(question.judge(&outcome));
        }
        for (_, client) in &self.all {
            client.log.clear();
        }
        Ok(differences)
    }

    fn question(&mut self, expected: &Expected, frontend: Frontend, at: usize) -> Option<Question> {
        let place = self.all.get(at)?.0;
        let family = match frontend.family {
            crate::reference::Family::IPv4 => Family::V4,
            crate::reference::Family::IPv6 => Family::V6,
        };
        let class = match place {
            Place::Pod(_) => Class::LocalPod,
            Place::Host => Class::Host,
            Place::Outside => Class::Other,
        };
        let client = place.machine().address(family);
        let address = frontend.address.unwrap_or_else(|| NODE1.address(family));
        let allowed = match expected.verdict(&frontend, class, client) {
            Some(verdict) => Allowed::Verdict(verdict),
            None => Allowed::Nobody,
        };
        let owner = expected.frontends.get(&frontend).filter(|owner| owner.kind == Kind::LoadBalancer);
        let sources = owner.and_then(|owner| expected.ports.get(&owner.port)?.sources.as_ref());
        let is_unknown = place == Place::Host && sources.is_some_and(|sources| !sources.admits_node);
        self.next += 1;
        let to = (address, frontend.port).into();
        Some(Question { id: self.next, place, frontend, to, allowed, is_unknown })
    }
}

fn kind_of(allowed: &Allowed) -> usize {
    match allowed {
        Allowed::Verdict(Verdict::Backends(_)) => 0,
        Allowed::Verdict(Verdict::Refused) => 1,
        Allowed::Verdict(Verdict::Dropped) => 2,
        Allowed::Nobody => 3,
    }
}

impl Question {
    /// What is wrong with an outcome.
    fn judge(&self, outcome: &Outcome) -> Option<Difference> {
        let is_right = match (&self.allowed, outcome.answer.as_deref(), outcome.error.as_deref()) {
            (Allowed::Verdict(_), None, Some("EPERM")) if self.is_unknown => true,
            (Allowed::Verdict(Verdict::Backends(some)), Some(answer), _) => {
                let name = answer.split(' ').next().unwrap_or_default();
                let family = if self.to.is_ipv4() { Family::V4 } else { Family::V6 };
                by_name(name, family).is_some_and(|backend| some.contains(&backend))
            }
            (Allowed::Verdict(Verdict::Refused), None, Some(error)) => error == "ECONNREFUSED",
            // A socket is told at once.
            (Allowed::Verdict(Verdict::Dropped), None, Some(error)) => {
                ["timeout", "EHOSTUNREACH", "EPERM"].contains(&error)
            }
            (Allowed::Nobody, None, Some(_)) => true,
            _ => false,
        };
        let Self { place, frontend, to, allowed, .. } = self;
        let protocol = frontend.protocol.name();
        (!is_right).then(|| Difference::new(format!("{place:?} asks {to}/{protocol}"), allowed, outcome))
    }
}
