//! An agent that ends in the middle of taking over from one of another layout: packets do not notice, and the next one
//! finishes what it has begun.

use anyhow::{Context as _, ensure};
use svclb::{
    datapath::{
        attach::{Attachments, TcMode, Wanted},
        carry::Carry,
        loader::{self, Programs},
        object::Capacities,
        pins::Pins,
        probe,
        resize::Resize,
    },
    netdev::{Role, device_names},
    sys::netns,
};
use svclb_common::config::{BPF_LOOP, DatapathConfig};
use svclb_tests::netns::{
    Agent, Place, World,
    client::Mode,
    layout::{Family, Frontend, NODE1, POD1},
    older::V5,
};

use crate::{
    support::world,
    upgrade::{Live, is_gone, older_pins, publish},
};

const FLAGS: [&str; 2] = ["--socket-lb", "off"];

/// What has been done of taking over, as far as it outlives a process only by its pins.
struct Half {
    carry: Carry,
    programs: Option<Programs>,
    attachments: Option<Attachments>,
    wanted: Wanted,
}

/// What a step does.
type Act = fn(&Pins, &mut Half) -> anyhow::Result<()>;

/// The steps of `datapath::carry`, by what each begins.
const STEPS: [(&str, Act); 7] = [
    ("share", |_, half| Ok(half.carry.share()?)),
    ("fill", |pins, half| {
        let flags = if probe::has_loop() { BPF_LOOP } else { 0 };
        let per_packet = DatapathConfig::PER_PACKET;
        let flags = per_packet.flags & !BPF_LOOP | flags;
        let config = DatapathConfig { host_netns: netns::cookie()?, flags, ..per_packet };
        half.programs = Some(loader::load(pins, &Capacities::new(), &Resize::default(), &config)?);
        half.carry.fill()?;
        Ok(())
    }),
    ("behind", |pins, half| {
        let programs = half.programs.as_mut().context("no programs")?;
        let mut attachments = Attachments::adopt(pins, TcMode::Auto)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(attachments.apply(programs, &half.wanted, Some(&half.carry)))?;
        ensure!(attachments.are_behind(&half.carry, &half.wanted), "a device is left");
        half.attachments = Some(attachments);
        Ok(())
    }),
    ("close", |_, half| Ok(half.carry.close().map(drop)?)),
    ("empty", |_, half| Ok(half.carry.empty().map(drop)?)),
    ("front", |_, half| Ok(half.carry.front()?)),
    ("release", |_, half| Ok(half.carry.release()?)),
];

/// Goes as many steps as an agent would have, and leaves behind what a kill would.
fn go(pins: &Pins, older: &Pins, steps: usize) -> anyhow::Result<()> {
    std::fs::create_dir_all(pins.maps())?;
    std::fs::create_dir_all(pins.links())?;
    let carry = Carry::find(pins, &Capacities::new())?.context("there is no older agent")?;
    let names = device_names();
    let mut wanted = Wanted { loopback: true, ..Wanted::default() };
    for device in carry.devices().filter(|device| *device != 1) {
        let is_uplink = older.link(&format!("uplink_{device}")).exists();
        let role = if is_uplink { Role::Uplink } else { Role::Pod };
        wanted.devices.insert(device, (names[&device].clone(), role));
    }
    let mut half = Half { carry, programs: None, attachments: None, wanted };
    for (name, step) in &STEPS[..steps] {
        step(pins, &mut half).with_context(|| (*name).to_owned())?;
        // Each may be done twice.
        if *name != "behind" {
            step(pins, &mut half).with_context(|| format!("{name}, again"))?;
        }
    }
    Ok(())
}

fn ends_after(world: &World, steps: usize) -> anyhow::Result<()> {
    let older = Agent::start_other(world, &V5.unpack(world)?, &FLAGS)?;
    let mut live = Live::open(world)?;
    older.kill()?;
    let load = world.load(Place::Pod(POD1), Mode::Tcp, Frontend::ClusterIp.of(62, Family::V4))?;
    let (pins, older) = (Pins::new(world.bpffs(&NODE1)), older_pins(world));
    world.namespace(NODE1.name).run(move || go(&pins, &older, steps))??;
    live.ask("without an agent")?;
    for family in Family::ALL {
        for (place, frontend) in
            [(Place::Pod(POD1), Frontend::ClusterIp), (Place::Outside, Frontend::NodePort)]
        {
            for mode in Mode::ALL {
                let answers = world.ask(place, mode, frontend.of(62, family), 10)?;
                ensure!(answers.answered() == 10, "{place:?} {mode:?} {family:?}: {answers:?}");
            }
        }
    }
    let mut young = Live::open(world)?;
    let agent = Agent::start(world, &FLAGS)?;
    live.ask("under the next agent")?;
    young.ask("under the next agent, opened without one")?;
    let answers = load.finish()?;
    ensure!(answers.failed() == 0 && answers.answered() > 20, "under load: {answers:?}");
    is_gone(world)?;
    drop((live, young));
    ensure!(agent.terminate()?.success());
    let cleanup = world.svclb(&["cleanup"])?;
    ensure!(cleanup.status.success() && world.pinned()?.is_empty(), "{cleanup:?}");
    Ok(())
}

fn ends_after_each(steps: impl Iterator<Item = usize>) -> anyhow::Result<()> {
    world(|world| {
        publish(world)?;
        for count in steps {
            let last = count.checked_sub(1).map_or("nothing", |at| STEPS[at].0);
            ends_after(world, count).with_context(|| format!("the agent has ended after: {last}"))?;
        }
        Ok(())
    })
}

#[test]
fn an_agent_that_ends_before_it_has_taken_over_is_not_noticed() -> anyhow::Result<()> {
    ends_after_each(1..4)
}

#[test]
fn an_agent_that_ends_while_it_takes_over_is_not_noticed() -> anyhow::Result<()> {
    ends_after_each(4..8)
}
