//! Step after step: told to the agent, waited for, looked at.

use std::{collections::BTreeSet, mem};

use anyhow::Context as _;
use svclb::datapath::pins::Pins;

use super::{
    asking::Clients,
    difference::{Difference, compare},
    feed::{Feed, Mark},
    listed,
    tables::{Depth, Tables},
};
use crate::{
    netns::{
        World,
        layout::NODE1,
        wait::{PATIENCE, until},
    },
    reference::{Expected, Ground, Reference, Step, claim::Frontend},
};

/// How closely each step is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Closeness {
    /// Every how many steps all cells and the agent's own list are looked at.
    pub every: u32,
    /// How many frontends are asked after each step; 0 is none.
    pub questions: usize,
    /// Whether nobody but this session changes what the agent follows, so that its writes can be counted.
    pub is_alone: bool,
}

impl Default for Closeness {
    fn default() -> Self {
        Self { every: 10, questions: 0, is_alone: true }
    }
}

/// An agent that follows changes, and the reference beside it.
pub struct Session<'a> {
    world: &'a World,
    feed: Feed<'a>,
    ground: &'a Ground,
    tables: Tables,
    clients: Option<Clients>,
    closeness: Closeness,
    reference: Reference,
    expected: Expected,
    gone: BTreeSet<Frontend>,
    /// How many steps there were, with those that took everything away.
    steps: u32,
    /// What becomes of objects on their way to the agent.
    distortion: Option<Distortion>,
}

/// Something that is wrong with the objects that an agent is told of: as if it had misread them.
pub type Distortion = fn(&mut Reference);

impl<'a> Session<'a> {
    /// Begins beside a running agent, which may have done what it likes before: what is not the namespace's is not looked
    /// at.
    pub fn begin(
        world: &'a World,
        feed: Feed<'a>,
        ground: &'a Ground,
        closeness: Closeness,
    ) -> anyhow::Result<Self> {
        let pins = Pins::new(world.bpffs(&NODE1));
        let tables = world.namespace(NODE1.name).run(move || Tables::open(&pins))??;
        let mut session = Self {
            world,
            feed,
            ground,
            tables,
            clients: None,
            closeness,
            reference: Reference::new(&ground.node),
            expected: Expected::default(),
            gone: BTreeSet::new(),
            steps: 0,
            distortion: None,
        };
        // Whoever was here before has left a mark.
        session.steps = session.tables.mark()?.map_or(0, |mark| mark.affinity.saturating_sub(1));
        session.tell(&Step::new())?;
        Ok(session)
    }

    /// With clients, which ask by packets and by sockets.
    pub fn with_clients(&mut self, seed: u64) -> anyhow::Result<()> {
        self.clients = Some(Clients::start(self.world, seed)?);
        Ok(())
    }

    /// Lets the agent misread what it is told from now on. Only a folder of manifests can.
    pub fn distort(&mut self, distortion: Option<Distortion>) {
        self.distortion = distortion;
    }

    /// The clients, if there are some.
    pub fn clients(&self) -> Option<&Clients> {
        self.clients.as_ref()
    }

    /// The objects that there are.
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Takes everything away; what is wrong then.
    pub fn clear(&mut self) -> anyhow::Result<Vec<Difference>> {
        self.step(&Feed::clearing(&self.reference))
    }

    /// Lets a step happen and looks what has become of it. An error is about the test's own machinery, or an agent that
    /// does not follow.
    pub fn step(&mut self, step: &Step) -> anyhow::Result<Vec<Difference>> {
        let before = self.tables.synced_writes();
        self.reference.apply_all(step);
        let expected = self.reference.expected();
        let is_same =
            (&expected.frontends, &expected.ports) == (&self.expected.frontends, &self.expected.ports);
        let old = mem::replace(&mut self.expected, expected);
        let gone = old.frontends.into_keys().filter(|it| !self.expected.frontends.contains_key(it));
        self.gone = gone.collect();
        let after = self.tell(step)?;
        let mut differences = self.look(self.steps.is_multiple_of(self.closeness.every))?;
        // A server tells of one change after the other, and what is between two of them is written as well.
        let is_whole = self.feed.is_whole() || step.len() <= 1;
        if let Some(before) = before.filter(|_| is_same && is_whole && self.closeness.is_alone) {
            let writes = after.saturating_sub(before);
            if writes != Mark::WRITES {
                let about = "writes for a step that changes nothing, with the marker's";
                differences.push(Difference::new(about, Mark::WRITES, writes));
            }
        }
        if differences.is_empty() && self.closeness.questions > 0 {
            differences.extend(self.ask()?);
        }
        Ok(differences)
    }

    /// Asks all frontends that there are, and those that the last step took away, from everywhere.
    pub fn ask_all(&mut self) -> anyhow::Result<Vec<Difference>> {
        let Some(clients) = &mut self.clients else { return Ok(Vec::new()) };
        clients.ask_all(&self.expected, &self.gone)
    }

    /// What is wrong now.
    pub fn look(&self, is_close: bool) -> anyhow::Result<Vec<Difference>> {
        let depth = if is_close { Depth::Every } else { Depth::Reached };
        let seen = self.tables.read(&self.ground.namespace, &self.ground.node_ports, depth)?;
        let mut differences = compare(&self.expected, &seen);
        if is_close {
            differences.extend(listed::compare(self.world, &self.ground.namespace, &self.expected)?);
        }
        Ok(differences)
    }

    fn ask(&mut self) -> anyhow::Result<Vec<Difference>> {
        let Some(clients) = &mut self.clients else { return Ok(Vec::new()) };
        clients.ask(&self.expected, &self.gone, self.closeness.questions)
    }

    /// Tells the agent and waits until it has done it; gives its writes.
    fn tell(&mut self, step: &Step) -> anyhow::Result<u64> {
        self.steps += 1;
        let mark = Mark::of(self.steps);
        let mut told = self.reference.clone();
        if let Some(distort) = self.distortion {
            distort(&mut told);
        }
        self.feed.publish(self.world, (&told, &self.ground.namespace), step, mark)?;
        let arrives = until("a step in the tables", PATIENCE, || {
            // The mark first: whoever writes it has said before that the tables are not in sync.
            let has_arrived = self.tables.mark()? == Some(mark);
            Ok(if has_arrived { self.tables.synced_writes() } else { None })
        });
        let (writes, _) = arrives.with_context(|| format!("step {}: {}", self.steps, names(step)))?;
        Ok(writes)
    }
}

fn names(step: &Step) -> String {
    step.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
