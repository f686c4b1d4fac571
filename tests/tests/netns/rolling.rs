//! Pods come and go under clients that ask without pause, and no request fails.

use anyhow::ensure;
use svclb_tests::netns::{
    Agent, Place,
    client::Mode,
    layout::{Family, Frontend, Machine, POD1, POD2, POD3, POD4},
    manifest::{Service, State},
    wait::{PROMISE, until},
};

use crate::support::world;

const SERVICE: u8 = 150;

#[test]
fn no_request_fails_while_pods_come_and_go() -> anyhow::Result<()> {
    world(|world| {
        let service = |pods: &[Machine]| Service::new("rolling", SERVICE, pods);
        world.publish(&service(&[POD2, POD3]))?;
        let _agent = Agent::start(world, &[])?;
        let mut loads = Vec::new();
        for place in [Place::Pod(POD1), Place::Host, Place::Outside] {
            for family in Family::ALL {
                loads.push(world.load(place, Mode::Tcp, Frontend::NodePort.of(SERVICE, family))?);
            }
        }
        let to = Frontend::NodePort.of(SERVICE, Family::V4);
        // As a rolling update goes: a new pod becomes ready, then an old one drains.
        let steps = [
            service(&[POD3]).endpoint(POD4, State::Ready).endpoint(POD2, State::Draining),
            service(&[POD4]).endpoint(POD3, State::Draining),
            service(&[POD4, POD2]).endpoint(POD3, State::Terminating),
            service(&[POD2]).endpoint(POD4, State::Draining),
            service(&[POD2, POD3]),
        ];
        for step in steps.iter().cycle().take(15) {
            world.publish(step)?;
            let ready = step.endpoints.iter().filter(|endpoint| endpoint.state == State::Ready);
            let ready: Vec<_> = ready.map(|endpoint| endpoint.pod.name).collect();
            until("the step in force", PROMISE * 2, || {
                let answers = world.ask(Place::Pod(POD1), Mode::Tcp, to, 12)?;
                ensure!(answers.failed() == 0, "{answers:?}");
                Ok(answers.pods.keys().all(|pod| ready.contains(&pod.as_str())).then_some(()))
            })?;
        }
        for load in loads {
            let answers = load.finish()?;
            ensure!(answers.failed() == 0 && answers.answered() > 50, "{answers:?}");
        }
        Ok(())
    })
}

// Local pods only, down to the last one that drains while another node has ready ones.
#[test]
fn no_request_from_outside_fails_while_local_pods_come_and_go() -> anyhow::Result<()> {
    world(|world| {
        let local = || Service::new("rolling", SERVICE, &[POD3]).spec("externalTrafficPolicy: Local");
        let steps = [
            local().endpoint(POD1, State::Ready).endpoint(POD2, State::Draining),
            local().endpoint(POD1, State::Draining).endpoint(POD2, State::Ready),
            local().endpoint(POD1, State::Draining),
            local().endpoint(POD1, State::Ready),
        ];
        world.publish(&steps[3])?;
        let _agent = Agent::start(world, &[])?;
        let to = Frontend::LoadBalancer.of(SERVICE, Family::V4);
        let load = world.load(Place::Outside, Mode::Tcp, to)?;
        for step in steps.iter().cycle().take(12) {
            world.publish(step)?;
            // The pod that is ready or, without one, the one that drains.
            let serving = |state| {
                let local = step.endpoints.iter().filter(|endpoint| endpoint.pod != POD3);
                local.filter(move |endpoint| endpoint.state == state).map(|endpoint| endpoint.pod.name).next()
            };
            let wanted = serving(State::Ready).or_else(|| serving(State::Draining));
            until("the step in force", PROMISE * 2, || {
                let answers = world.ask(Place::Outside, Mode::Tcp, to, 4)?;
                ensure!(answers.failed() == 0, "{answers:?}");
                Ok(answers.pods.keys().map(String::as_str).eq(wanted).then_some(()))
            })?;
        }
        let answers = load.finish()?;
        ensure!(answers.failed() == 0 && answers.answered() > 50, "{answers:?}");
        Ok(())
    })
}

#[test]
fn a_datagram_client_follows_its_pod() -> anyhow::Result<()> {
    world(|world| {
        let service = |pods: &[Machine]| Service::new("rolling", SERVICE, pods);
        world.publish(&service(&[POD2]))?;
        let _agent = Agent::start(world, &["--socket-lb", "off"])?;
        for family in Family::ALL {
            let to = Frontend::ClusterIp.of(SERVICE, family);
            for pods in [[POD3], [POD2]] {
                // A socket that stays: its flow has to leave the pod that has gone.
                let load = world.load(Place::Pod(POD1), Mode::SendTo, to)?;
                world.publish(&service(&pods))?;
                until("the other pod", PROMISE, || {
                    let answers = world.ask(Place::Pod(POD1), Mode::Udp, to, 4)?;
                    Ok(answers.pods.keys().eq([pods[0].name]).then_some(()))
                })?;
                let answers = load.finish()?;
                ensure!(answers.failed() == 0, "{answers:?}");
            }
        }
        Ok(())
    })
}
