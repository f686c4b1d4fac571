//! Thousands of connections to the agent's servers: Services change as ever, and others are answered.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
};

use anyhow::{Context as _, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use svclb_tests::netns::{
    Agent, Place,
    client::Mode,
    layout::{Family, Frontend, NODE1, POD1, POD2, POD3},
    manifest::Service,
    wait::{PATIENCE, until},
};

use super::answers;
use crate::support::world;

const SERVICE: u8 = 167;

/// Connections to each of the two servers.
const CROWD: usize = 1000;

/// Begins requests of each slow kind, in turn: nothing, half a line, a head without end, a whole one that asks to stay.
fn crowd(server: SocketAddr) -> anyhow::Result<Vec<TcpStream>> {
    let endless = format!("GET /metrics HTTP/1.1\r\nHost: svclb\r\n{}", "X: y\r\n".repeat(2000));
    let openings = ["", "GET /healthz HTT", &endless, "GET /metrics HTTP/1.1\r\nHost: svclb\r\n\r\n"];
    let mut streams = Vec::new();
    for opening in openings.iter().cycle().take(CROWD) {
        let mut stream = TcpStream::connect(server)?;
        stream.set_nonblocking(true)?;
        // The server may have turned it away already, or take less than that.
        drop(stream.write(opening.as_bytes()));
        streams.push(stream);
    }
    Ok(streams)
}

#[test]
fn a_crowd_at_the_servers_keeps_no_change_waiting() -> anyhow::Result<()> {
    world(|world| {
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
        world.publish(&Service::new("crowded", SERVICE, &[POD2]))?;
        let agent = Agent::start(world, &[])?;
        answers(world, SERVICE, &[POD2])?;
        let inside = world.namespace(NODE1.name);
        let servers = [10256, 10249].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let streams = inside.run(move || servers.map(crowd))?;
        let streams = streams.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(streams.iter().all(|streams| streams.len() == CROWD));
        // Some of it is there while tables change, several times.
        for pods in [&[POD3][..], &[POD2], &[POD3]] {
            world.publish(&Service::new("crowded", SERVICE, pods))?;
            until("a change in a crowd", PATIENCE, || {
                let to = Frontend::ClusterIp.of(SERVICE, Family::V4);
                let answers = world.ask(Place::Pod(POD1), Mode::Tcp, to, 1)?;
                Ok(answers.pods.contains_key(pods[0].name).then_some(()))
            })?;
        }
        // Those who have asked and do not read may have all places, for half a minute.
        for (server, path) in servers.iter().zip(["healthz", "metrics"]) {
            let url = format!("http://{server}/{path}");
            let told = until(&url, PATIENCE * 3, || {
                let output =
                    world.run(Place::Host, "curl", &["--silent", "--fail", "--max-time", "60", &url])?;
                Ok(output.status.success().then_some(()))
            });
            told.with_context(|| agent.log().text())?;
        }
        drop(streams);
        answers(world, SERVICE, &[POD3])
    })
}
