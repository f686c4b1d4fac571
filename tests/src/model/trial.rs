//! A script from the beginning on, and the smallest one that fails.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use super::{
    difference::Difference,
    feed::{Feed, Mark},
    session::{Closeness, Distortion, Session},
};
use crate::{
    netns::{Agent, World, layout::NODE1},
    reference::{Generator, Ground, Script, Step, shrink::shrink},
};

/// How long it may take to look for the smallest script.
const PATIENCE: Duration = Duration::from_mins(3);
/// How many attempts that may take.
const ATTEMPTS: usize = 2000;
/// How many differences are told.
const TOLD: usize = 12;

/// An agent of the world's first node, to be tried.
pub struct Trial<'a> {
    world: &'a World,
    feed: Feed<'a>,
    ground: Ground,
    /// Starts the agent.
    start: &'a dyn Fn() -> anyhow::Result<Agent>,
    agent: Option<Agent>,
    /// Where scripts that fail are kept.
    pub regressions: PathBuf,
    /// How closely steps are looked at.
    pub closeness: Closeness,
    /// What the agent is to misread, to see whether that is found.
    pub distortion: Option<Distortion>,
    /// Whether scripts are played to the end and then everything is asked.
    asks_at_the_end: bool,
}

/// What a trial came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Steps.
    pub steps: usize,
    /// Changes in them.
    pub changes: usize,
    /// What was asked: what is answered, refused, dropped and nobody's.
    pub asked: [u64; 4],
}

impl<'a> Trial<'a> {
    /// Of an agent that `start` starts.
    pub fn new(
        world: &'a World,
        feed: Feed<'a>,
        ground: Ground,
        start: &'a dyn Fn() -> anyhow::Result<Agent>,
    ) -> Self {
        let regressions = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/netns/model/regressions");
        Self {
            world,
            feed,
            ground,
            start,
            agent: None,
            regressions,
            closeness: Closeness::default(),
            distortion: None,
            asks_at_the_end: false,
        }
    }

    /// Makes that many changes of a seed. What fails is made small and written down.
    pub fn random(&mut self, seed: u64, changes: usize) -> anyhow::Result<Tried> {
        let mut generator = Generator::new(seed, self.ground.clone());
        let mut script = Script { about: vec![format!("Found by seed {seed}.")], steps: Vec::new() };
        let is_asking = self.closeness.questions > 0;
        self.ready()?;
        let ground = self.ground.clone();
        let mut session = Session::begin(self.world, self.feed, &ground, self.closeness)?;
        session.distort(self.distortion);
        if is_asking {
            session.with_clients(seed)?;
        }
        while script.changes() < changes {
            let step = generator.next(session.reference());
            script.steps.push(step.clone());
            let differences = followed(&mut session, &step);
            if !differences.is_empty() {
                // Scripts are played from an empty world on.
                let is_clean = session.clear().is_ok_and(|left| left.is_empty());
                drop(session);
                return self.fail(&script, &differences, is_clean);
            }
        }
        let asked = session.clients().map(|clients| clients.outcomes).unwrap_or_default();
        let left = session.clear()?;
        ensure!(left.is_empty(), "seed {seed}: what is left when all is gone:\n{}", told(&left));
        Ok(Tried { steps: script.steps.len(), changes: script.changes(), asked })
    }

    /// Plays every script that has failed before; gives how many there are.
    pub fn replay(&mut self) -> anyhow::Result<usize> {
        let Ok(entries) = fs::read_dir(&self.regressions) else { return Ok(0) };
        let paths = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
        let scripts = paths.iter().filter(|path| path.extension().is_some_and(|it| it == "yaml"));
        let mut count = 0;
        for path in scripts {
            let script = Script::read(path)?;
            let differences = self.play(&script)?;
            ensure!(differences.is_empty(), "{}: {}", path.display(), told(&differences));
            count += 1;
        }
        Ok(count)
    }

    /// Plays a script from the beginning on, until something is wrong.
    pub fn play(&mut self, script: &Script) -> anyhow::Result<Vec<Difference>> {
        self.ready()?;
        let ground = self.ground.clone();
        let closeness = self.closeness;
        let mut session = Session::begin(self.world, self.feed, &ground, closeness)?;
        session.distort(self.distortion);
        if closeness.questions > 0 || self.asks_at_the_end {
            session.with_clients(1)?;
        }
        let mut found = Vec::new();
        for step in &script.steps {
            found = followed(&mut session, step);
            if !found.is_empty() {
                break;
            }
        }
        if found.is_empty() {
            found = session.look(true)?;
        }
        if found.is_empty() {
            found = session.ask_all()?;
        }
        let nothing = Feed::clearing(session.reference());
        let left = followed(&mut session, &nothing);
        if found.is_empty() {
            found.clone_from(&left);
        }
        drop(session);
        if !left.is_empty() {
            // Others are not to begin with what is left.
            self.restart()?;
        }
        Ok(found)
    }

    fn fail(&mut self, script: &Script, differences: &[Difference], is_clean: bool) -> anyhow::Result<Tried> {
        let first = told(differences);
        // Long before the smallest script is known.
        eprintln!("{} steps: {first}", script.steps.len());
        let log = self.agent.as_ref().map(|agent| agent.log().text()).unwrap_or_default();
        let last: Vec<_> = log.lines().rev().take(20).collect();
        let log: Vec<_> = last.into_iter().rev().collect();
        if !is_clean {
            self.restart()?;
        }
        let begin = Instant::now();
        let wanted = is_asked(differences);
        // What is asked is chosen at random; here it is everything, at the end.
        let questions = std::mem::take(&mut self.closeness.questions);
        self.asks_at_the_end = wanted;
        let mut small = shrink(script, ATTEMPTS, |script| {
            if begin.elapsed() > PATIENCE {
                return Ok(false);
            }
            let found = self.play(script)?;
            Ok(!found.is_empty() && is_asked(&found) == wanted)
        })?;
        let found = self.play(&small)?;
        (self.asks_at_the_end, self.closeness.questions) = (false, questions);
        small.about.extend(found.iter().take(TOLD).map(ToString::to_string));
        let seed = script.about.join(" ").chars().filter(char::is_ascii_digit).collect::<String>();
        let path = self.regressions.join(format!("seed-{seed}.yaml"));
        fs::create_dir_all(&self.regressions)?;
        let text = small.text()?;
        fs::write(&path, &text).with_context(|| path.display().to_string())?;
        bail!(
            "{} steps: {first}\nthe agent's log:\n{}\n{} steps are left, in {}:\n{text}",
            script.steps.len(),
            log.join("\n"),
            small.steps.len(),
            path.display()
        )
    }

    /// An agent runs.
    fn ready(&mut self) -> anyhow::Result<()> {
        if self.agent.is_none() {
            self.agent = Some((self.start)()?);
        }
        Ok(())
    }

    /// Another agent runs, with tables of its own.
    fn restart(&mut self) -> anyhow::Result<()> {
        if let Some(agent) = self.agent.take() {
            agent.kill()?;
        }
        let cleanup = self.world.svclb_on(&NODE1, &["cleanup"])?;
        ensure!(cleanup.status.success(), "svclb cleanup: {}", String::from_utf8_lossy(&cleanup.stderr));
        let nothing = crate::reference::Reference::new(&self.ground.node);
        self.feed.publish(self.world, (&nothing, &self.ground.namespace), &Step::new(), Mark::of(0))?;
        self.ready()
    }
}

/// What is wrong after a step, be it that the agent does not follow.
fn followed(session: &mut Session<'_>, step: &Step) -> Vec<Difference> {
    session
        .step(step)
        .unwrap_or_else(|error| vec![Difference::new("the agent", "to follow", error.to_string())])
}

/// Whether it was an answer that was wrong, and not a table.
fn is_asked(differences: &[Difference]) -> bool {
    differences.iter().any(|difference| difference.about.contains(" asks "))
}

/// The first few of them.
fn told(differences: &[Difference]) -> String {
    let more = differences.len().saturating_sub(TOLD);
    let mut lines: Vec<_> = differences.iter().take(TOLD).map(ToString::to_string).collect();
    lines.extend((more > 0).then(|| format!("and {more} more")));
    lines.join("\n")
}
