//! The world of a soak, its API server and its agent, and how events happen to them.

use std::{
    net::TcpListener,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::{
    Way, churn,
    clients::{AFFINE, FLOODED, ROLLING, STEADY},
    event::Event,
};
use crate::{
    apiserver::{
        ApiServer, Expiry, Objects,
        call::Verb,
        fault::{Fault, Interruption},
    },
    model::{
        difference::Difference,
        feed::Feed,
        ground,
        session::{Closeness, Session},
    },
    netns::{
        Agent, World,
        flood::Flood,
        layout::{CLIENT, Family, Frontend, LATE, Machine, NODE1, NODE2, POD2, POD3, POD4},
        manifest::{Service, State},
        server::Server,
        wait::{PATIENCE, until},
    },
    reference::{Generator, Script, Step},
};

/// Where the API server listens: on the other node, so that the agent reaches it through its uplink.
const PORT: u16 = 6443;

/// `--max-flows` in turn.
const SIZES: [&str; 2] = ["262144", "131072"];

/// Packets of a flood: enough to fill the smaller table of half-open flows three times.
const FLOOD: u64 = 100_000;

/// Random steps at once.
const STEPS: usize = 10;

/// The numbers of a Service that is published to see that everything before it is in force.
const MARKERS: [u8; 2] = [90, 91];

/// After a long outage the next attempt comes up to half a minute later.
const RECOVERY: Duration = Duration::from_mins(2);

/// How long it is quiet when nothing happens.
const QUIET: Duration = Duration::from_secs(2);

/// The world, the API server and the agent.
pub(super) struct Scene {
    // The agent first: it is to end before its world does.
    agent: Option<Agent>,
    server: ApiServer,
    kubeconfig: PathBuf,
    /// The other port of the pods.
    #[expect(dead_code, reason = "they serve until this is dropped")]
    servers: Vec<Server>,
    world: World,
    way: Way,
    /// How often settings have changed.
    settings: usize,
    /// How often flow tables have got another size.
    sizes: usize,
    /// How often a marker was published.
    marks: usize,
}

impl Scene {
    /// Publishes the Services of the clients, and starts an agent.
    pub(super) fn build(mut world: World, way: Way) -> anyhow::Result<Self> {
        world.add_pod(&LATE)?;
        let servers = ground::serve(&world)?;
        let server = ApiServer::serve(listener(&world)?)?;
        let kubeconfig = world.path("kubeconfig");
        server.write_kubeconfig(&kubeconfig)?;
        let mut scene =
            Self { agent: None, server, kubeconfig, servers, world, way, settings: 0, sizes: 0, marks: 0 };
        let affinity = Service::new("affine", AFFINE, &[POD2, POD3, POD4]).spec("sessionAffinity: ClientIP");
        scene.publish(&Service::new("steady", STEADY, &[POD2, POD3]))?;
        scene.publish(&Service::new("rolling", ROLLING, &[POD2, POD3]))?;
        scene.publish(&Service::new("flooded", FLOODED, &[LATE]))?;
        scene.publish(&affinity)?;
        scene.publish(&churn::service())?;
        scene.start()?;
        Ok(scene)
    }

    /// The objects of its API server.
    pub(super) fn objects(&self) -> Objects {
        self.server.objects()
    }

    /// The world.
    pub(super) fn world(&self) -> &World {
        &self.world
    }

    /// Whether an agent runs.
    pub(super) fn has_agent(&self) -> bool {
        self.agent.is_some()
    }

    /// Lets something happen, and waits until it is over.
    pub(super) fn inject(&mut self, event: Event, random: &mut fastrand::Rng) -> anyhow::Result<()> {
        match event {
            Event::Kill => {
                self.take_agent()?.kill()?;
                self.start()
            }
            Event::Stop => self.stop_and_start(),
            Event::Settings => {
                self.settings += 1;
                self.stop_and_start()
            }
            Event::Resize => {
                self.sizes += 1;
                self.stop_and_start()
            }
            Event::Second => self.second(),
            Event::Outage => self.outage(|_| ()),
            Event::Expiry => self.outage(|server| server.expire(Expiry::Status)),
            Event::HalfList => self.half_list(random),
            Event::Rolling => self.rolling(),
            Event::Flood => self.flood(),
            Event::Model => self.model(random),
            Event::Device => self.device(),
            Event::Address => self.address(),
            Event::Quiet | Event::Churn => silence(),
        }
    }

    fn publish(&self, service: &Service) -> anyhow::Result<()> {
        self.server.apply_all(service.objects()?);
        Ok(())
    }

    fn flags(&self) -> [&'static str; 4] {
        let modes = self.way.modes();
        let size = SIZES[self.sizes % SIZES.len()];
        ["--socket-lb", modes[self.settings % modes.len()], "--max-flows", size]
    }

    fn take_agent(&mut self) -> anyhow::Result<Agent> {
        self.agent.take().context("no agent runs")
    }

    fn start(&mut self) -> anyhow::Result<()> {
        let mut agent = Agent::launch_with_api(&self.world, &self.kubeconfig, &self.flags())?;
        agent.wait_synced(&self.world)?;
        self.agent = Some(agent);
        Ok(())
    }

    fn stop_and_start(&mut self) -> anyhow::Result<()> {
        let status = self.take_agent()?.terminate()?;
        ensure!(status.success(), "SIGTERM: {status}");
        self.start()
    }

    fn second(&self) -> anyhow::Result<()> {
        let source = ["--kubeconfig".to_owned(), self.kubeconfig.to_string_lossy().into_owned()];
        let output = self.world.raw(&NODE1, &self.world.run_args_from(&NODE1, source, &self.flags()))?;
        let text = String::from_utf8_lossy(&output.stderr);
        let is_refused = !output.status.success() && text.contains("another svclb agent");
        ensure!(is_refused, "a second agent: {}: {text}", output.status);
        Ok(())
    }

    fn outage(&mut self, meanwhile: impl FnOnce(&ApiServer)) -> anyhow::Result<()> {
        self.server.stop()?;
        let quiet = silence();
        meanwhile(&self.server);
        self.server.resume_on(listener(&self.world)?)?;
        quiet?;
        self.in_force()
    }

    fn half_list(&mut self, random: &mut fastrand::Rng) -> anyhow::Result<()> {
        for plural in ["services", "endpointslices"] {
            let fault = Fault::Cut(random.usize(..4000));
            self.server.inject(plural, Verb::Watch, fault, 2);
            self.server.inject(plural, Verb::List, fault, 2);
        }
        self.server.interrupt(Interruption::Gone);
        let outcome = self.in_force();
        self.server.heal();
        outcome
    }

    /// As a rolling update goes: a new pod becomes ready, then an old one drains.
    fn rolling(&mut self) -> anyhow::Result<()> {
        let service = |pods: &[Machine]| Service::new("rolling", ROLLING, pods);
        for step in [
            service(&[POD3]).endpoint(POD4, State::Ready).endpoint(POD2, State::Draining),
            service(&[POD4]).endpoint(POD3, State::Draining),
            service(&[POD4, POD2]).endpoint(POD3, State::Terminating),
            service(&[POD2]).endpoint(POD4, State::Draining),
            service(&[POD2, POD3]),
        ] {
            self.publish(&step)?;
            self.in_force()?;
        }
        Ok(())
    }

    fn flood(&mut self) -> anyhow::Result<()> {
        for family in Family::ALL {
            let target = Frontend::LoadBalancer.of(FLOODED, family);
            Flood::Syns.start(self.world.namespace(CLIENT.name), target, FLOOD)?.finish()?;
            self.in_force()?;
        }
        Ok(())
    }

    /// Random steps in a namespace of their own. It is empty afterwards: the next agent may begin with other tables.
    fn model(&self, random: &mut fastrand::Rng) -> anyhow::Result<()> {
        let ground = ground::of_world();
        // Cells that nobody uses are other Services' as well, which change meanwhile.
        let closeness = Closeness { every: u32::MAX, questions: 4, is_alone: false };
        let mut session = Session::begin(&self.world, Feed::Api(&self.server), &ground, closeness)?;
        session.with_clients(random.u64(..))?;
        let mut generator = Generator::new(random.u64(..), ground.clone());
        let mut steps = Vec::new();
        for _ in 0..STEPS {
            let step = generator.next(session.reference());
            let differences = session.step(&step)?;
            steps.push(step);
            agrees(&differences, &steps)?;
        }
        let differences = session.clear()?;
        agrees(&differences, &steps)
    }

    fn device(&self) -> anyhow::Result<()> {
        let is_attached = || -> anyhow::Result<bool> {
            Ok(self.world.status()?.attached.iter().any(|attached| attached.device == "veth-soak"))
        };
        let script = "link add veth-soak type veth peer name veth-soak-peer\nlink set veth-soak up";
        self.world.ip(NODE1.name, script)?;
        until("a new device", PATIENCE, || Ok(is_attached()?.then_some(())))?;
        self.world.ip(NODE1.name, "link del veth-soak")?;
        until("the end of a device", PATIENCE, || Ok((!is_attached()?).then_some(())))?;
        Ok(())
    }

    fn address(&mut self) -> anyhow::Result<()> {
        self.world.ip(NODE1.name, "addr add 192.0.2.77/24 dev eth0")?;
        self.in_force()?;
        self.world.ip(NODE1.name, "addr del 192.0.2.77/24 dev eth0")?;
        self.in_force()
    }

    /// Waits until all that was published is in force: what is published last comes last.
    fn in_force(&mut self) -> anyhow::Result<()> {
        self.marks += 1;
        let number = MARKERS[self.marks % MARKERS.len()];
        self.publish(&Service::new("marker", number, &[POD2]))?;
        let address = Frontend::ClusterIp.of(number, Family::V4).ip().to_string();
        until("what was published", RECOVERY, || {
            let output = self.world.svclb(&["services", "-o", "json"])?;
            let services: Vec<Value> = serde_json::from_slice(&output.stdout)?;
            let mut addresses = services
                .iter()
                .filter_map(|service| service["frontends"].as_array())
                .flatten()
                .filter_map(|frontend| frontend["address"].as_str());
            Ok(addresses.any(|found| found == address).then_some(()))
        })
        .map(drop)
    }
}

fn agrees(differences: &[Difference], steps: &[Step]) -> anyhow::Result<()> {
    let Some(first) = differences.first() else { return Ok(()) };
    let script = Script { about: Vec::new(), steps: steps.to_vec() }.text()?;
    bail!("{} differences from the reference, the first of them {first}, after\n{script}", differences.len())
}

/// Lets some time pass.
fn silence() -> anyhow::Result<()> {
    let end = Instant::now() + QUIET;
    until("silence", QUIET * 2, || Ok((Instant::now() > end).then_some(()))).map(drop)
}

fn listener(world: &World) -> anyhow::Result<TcpListener> {
    let bind = || TcpListener::bind((NODE2.v4, PORT));
    world.namespace(NODE2.name).run(bind)?.context("cannot listen as the API server")
}
