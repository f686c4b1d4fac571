//! What is particular to translation at sockets: both families at one socket, names of ends, datagram sockets whose
//! backend goes, sockets that were there before the Service, pods that have opted out.

use std::net::{IpAddr, SocketAddr};

use anyhow::ensure;
use svclb_tests::{
    netns::{
        Agent, Place, World,
        client::Mode,
        layout::{Family, Frontend, Machine, POD_PORT, POD1, POD3, POD4},
        manifest::Service,
        wait::{PATIENCE, until},
    },
    probe::Answers,
};

use crate::{reach::is_promised, support::world};

const SERVICE: u8 = 60;
const OTHER: u8 = 61;

/// Both kinds of clients whose sockets are translated.
const PLACES: [Place; 2] = [Place::Pod(POD1), Place::Host];

/// The name by which a socket of both families knows an IPv4 address.
fn mapped(end: SocketAddr) -> SocketAddr {
    match end.ip() {
        IpAddr::V4(v4) => (v4.to_ipv6_mapped(), end.port()).into(),
        IpAddr::V6(_) => end,
    }
}

fn direct(pod: &Machine, family: Family) -> SocketAddr {
    (pod.address(family), POD_PORT).into()
}

/// Whether `pod` has answered, and under the name `peer`.
fn is_from(answers: &Answers, pod: &Machine, peer: SocketAddr) -> bool {
    answers.pods.contains_key(pod.name) && answers.peers.contains_key(&peer.to_string())
}

#[test]
fn a_socket_of_both_families_reaches_ipv4() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("mapped", SERVICE, &[POD3, POD4]))?;
        let _agent = Agent::start(world, &["--socket-lb", "all"])?;
        for place in PLACES {
            for frontend in Frontend::ALL.into_iter().filter(|frontend| is_promised(place, *frontend)) {
                let to = mapped(frontend.of(SERVICE, Family::V4));
                for mode in Mode::ALL {
                    let answers = world.ask(place, mode, to, 4)?;
                    let is_right =
                        answers.answered() == 4 && answers.peers.keys().all(|peer| *peer == to.to_string());
                    ensure!(is_right, "{place:?} {mode:?} {to}: {answers:?}");
                }
                let mut held = world.hold_connected(place, to)?;
                for line in ["", "sendto", ""] {
                    let answers = held.ask_by(line)?;
                    ensure!(answers.answered() == 1, "{place:?} connected to {to} {line}: {answers:?}");
                }
            }
        }
        Ok(())
    })
}

#[test]
fn an_end_has_the_name_that_was_used_last() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("one", SERVICE, &[POD3]))?;
        world.publish(&Service::new("two", OTHER, &[POD3]))?;
        let _agent = Agent::start(world, &["--socket-lb", "all"])?;
        for (place, family) in PLACES.into_iter().flat_map(|place| Family::ALL.map(|family| (place, family)))
        {
            let [one, two] = [SERVICE, OTHER].map(|service| Frontend::ClusterIp.of(service, family));
            let pod = direct(&POD3, family);
            let mut held = world.hold_udp(place, one)?;
            for to in [one, two, pod, one, pod, pod, two] {
                let answers = held.ask_by(&to.to_string())?;
                ensure!(is_from(&answers, &POD3, to), "{place:?} to {to}: {answers:?}");
            }
        }
        Ok(())
    })
}

#[test]
fn a_connected_socket_may_name_its_end() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("named", SERVICE, &[POD3, POD4]))?;
        let _agent = Agent::start(world, &["--socket-lb", "all"])?;
        for (place, family) in PLACES.into_iter().flat_map(|place| Family::ALL.map(|family| (place, family)))
        {
            let to = Frontend::ClusterIp.of(SERVICE, family);
            let mut held = world.hold_connected(place, to)?;
            for line in ["", "sendto", "", "sendto", "sendto", "sendto", "sendto", "sendto"] {
                let answers = held.ask_by(line)?;
                let is_right = answers.answered() == 1 && answers.peers.contains_key(&to.to_string());
                ensure!(is_right, "{place:?} to {to} {line}: {answers:?}");
            }
        }
        Ok(())
    })
}

/// What a process hears of a socket whose end was taken away, each once: it cannot send, and when it has connected anew
/// there is still the error that a call which waits would have had at once.
const TOLD: [&str; 2] = ["EDESTADDRREQ", "ECONNABORTED"];

/// Asks until the other pod answers, and gives the failures until then.
fn failures_until(ask: impl Fn() -> anyhow::Result<Answers>, pod: &Machine) -> anyhow::Result<Vec<String>> {
    let mut failures = Vec::new();
    until(pod.name, PATIENCE, || {
        let answers = ask()?;
        failures.extend(answers.errors.into_keys());
        Ok(answers.pods.contains_key(pod.name).then_some(()))
    })?;
    Ok(failures)
}

#[test]
fn a_connected_datagram_socket_leaves_a_backend_that_goes() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("moving", SERVICE, &[POD3]))?;
        let _agent = Agent::start(world, &["--socket-lb", "all"])?;
        let mut held = Vec::new();
        for family in Family::ALL {
            let vip = Frontend::ClusterIp.of(SERVICE, family);
            for to in [vip, mapped(vip)] {
                // A pod's datagrams are packets, and none is lost; a process of the host is told.
                held.push((world.hold_connected(Place::Pod(POD1), to)?, to, 0));
                held.push((world.hold_connected(Place::Host, to)?, to, TOLD.len()));
            }
        }
        let mut strangers = Vec::new();
        for family in Family::ALL {
            strangers.push(world.hold_connected(Place::Host, direct(&POD3, family))?);
        }
        for (held, to, _) in &mut held {
            let answers = held.ask()?;
            ensure!(is_from(&answers, &POD3, *to), "{to}: {answers:?}");
        }
        world.publish(&Service::new("moving", SERVICE, &[POD4]))?;
        for (held, to, most) in held {
            let held = std::cell::RefCell::new(held);
            let failures = failures_until(|| held.borrow_mut().ask(), &POD4)?;
            let is_right =
                failures.len() <= most && failures.iter().all(|failure| TOLD.contains(&failure.as_str()));
            ensure!(is_right, "{to}: {failures:?}");
            let answers = held.borrow_mut().ask()?;
            ensure!(is_from(&answers, &POD4, to), "{to}: {answers:?}");
        }
        for stranger in &mut strangers {
            let answers = stranger.ask()?;
            ensure!(
                answers.pods.contains_key(POD3.name),
                "who calls the pod itself is left alone: {answers:?}"
            );
        }
        Ok(())
    })
}

#[test]
fn sockets_that_were_there_before_the_service() -> anyhow::Result<()> {
    world(|world| {
        world.publish(&Service::new("first", OTHER, &[POD4]))?;
        let _agent = Agent::start(world, &["--socket-lb", "all"])?;
        let mut held = Vec::new();
        for (place, family) in PLACES.into_iter().flat_map(|place| Family::ALL.map(|family| (place, family)))
        {
            let to = Frontend::ClusterIp.of(SERVICE, family);
            held.push((world.hold_udp(place, to)?, to, 0));
            held.push((
                world.hold_connected(place, to)?,
                to,
                if place == Place::Host { TOLD.len() } else { 0 },
            ));
        }
        for (held, to, _) in &mut held {
            let answers = held.ask()?;
            ensure!(answers.failed() == 1, "nobody is there yet at {to}: {answers:?}");
        }
        world.publish(&Service::new("late", SERVICE, &[POD3]))?;
        // It is there when another client is answered.
        for family in Family::ALL {
            until("the Service", PATIENCE, || {
                let answers =
                    world.ask(Place::Host, Mode::Udp, Frontend::ClusterIp.of(SERVICE, family), 1)?;
                Ok((answers.answered() == 1).then_some(()))
            })?;
        }
        for (held, to, most) in held {
            let held = std::cell::RefCell::new(held);
            let failures = failures_until(|| held.borrow_mut().ask(), &POD3)?;
            let is_right =
                failures.len() <= most && failures.iter().all(|failure| TOLD.contains(&failure.as_str()));
            ensure!(is_right, "{to}: {failures:?}");
        }
        Ok(())
    })
}

/// The UID of the first pod.
const UID: &str = "5a0c1d3e-7f00-4b11-9c55-0242ac120002";

/// Asks whether the kernel of a new connection's socket knows the `ClusterIP`: then its packets carry it.
fn packets_have_the_vip(world: &World, vip: SocketAddr) -> anyhow::Result<bool> {
    let mut held = world.hold(Place::Pod(POD1), vip)?;
    let answers = held.ask()?;
    ensure!(answers.answered() == 1 && answers.peers.contains_key(&vip.to_string()), "{answers:?}");
    let output = world.run(Place::Pod(POD1), "cat", &["/proc/net/tcp", "/proc/net/tcp6"])?;
    // As the kernel prints it: the address in words of this machine, in hexadecimal.
    let words: String = match vip.ip() {
        IpAddr::V4(v4) => format!("{:08X}", u32::from_ne_bytes(v4.octets())),
        IpAddr::V6(v6) => v6.octets().chunks(4).fold(String::new(), |text, word| {
            let word = word.try_into().map_or(0, u32::from_ne_bytes);
            text + &format!("{word:08X}")
        }),
    };
    let end = format!(" {words}:{:04X} 01 ", vip.port());
    Ok(String::from_utf8_lossy(&output.stdout).contains(&end))
}

#[test]
fn a_pod_opts_out_and_in() -> anyhow::Result<()> {
    world(|world| {
        let pod = |metadata: &str, spec: &str| {
            format!(
                "apiVersion: v1\nkind: Pod\nmetadata: {{ name: pod1, namespace: default, uid: {UID}, {metadata} }}\n\
                 spec: {{ nodeName: node1, {spec} }}\n"
            )
        };
        let vips = Family::ALL.map(|family| Frontend::ClusterIp.of(SERVICE, family));
        world.publish(&Service::new("seen", SERVICE, &[POD3, POD4]))?;
        let agent = Agent::start(world, &["--socket-lb", "all"])?;
        for vip in vips {
            ensure!(!packets_have_the_vip(world, vip)?, "{vip}: a socket is translated");
        }
        // The Pod is known before its group is there, as when a kubelet has just heard of it.
        world.publish_text("pod.yaml", &pod("labels: { svclb.io/socket-lb: \"off\" }", ""))?;
        let slice = format!("kubepods-burstable-pod{}.slice", UID.replace('-', "_"));
        world.give_group(
            &POD1,
            &format!("kubepods.slice/kubepods-burstable.slice/{slice}/cri-containerd-1.scope"),
        )?;
        let follows = |world: &World, wanted: bool| {
            for vip in vips {
                let look = || Ok((packets_have_the_vip(world, vip)? == wanted).then_some(()));
                until("another way", PATIENCE, look).map_err(|error| error.context(agent.log().text()))?;
            }
            anyhow::Ok(())
        };
        follows(world, true)?;
        for mode in Mode::ALL {
            for vip in vips {
                let answers = world.ask(Place::Pod(POD1), mode, vip, 6)?;
                ensure!(answers.answered() == 6, "{mode:?} {vip}: {answers:?}");
            }
        }
        world.publish_text("pod.yaml", &pod("labels: {}", ""))?;
        follows(world, false)?;
        world.publish_text("pod.yaml", &pod("labels: {}", "runtimeClassName: kata-qemu"))?;
        follows(world, true)?;
        let annotation = "annotations: { svclb.io/socket-lb: \"on\" }";
        world.publish_text("pod.yaml", &pod(annotation, "runtimeClassName: kata-qemu"))?;
        follows(world, false)
    })
}
