//! A small world of network namespaces in which svclb can be seen to work:
//! two nodes, four pods and an outside client, without a cluster.
//!
//! Whatever happens, the world is removed: at the end, on an error, on Ctrl-C,
//! and by the next run after a crash.

mod agent;
mod bpffs;
mod cgroup;
mod ground;
mod http;
mod layout;
mod manifests;
mod netlink;
mod netns;
mod options;
mod path;
mod report;
mod request;
mod services;
mod topology;
mod world;

use std::{
    fs,
    future::pending,
    io::{self, Stdout, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub use self::options::Options;
use self::{
    layout::NODES,
    report::{Hints, Report, RequestHint},
    request::Tally,
    world::World,
};

/// Tells which Services of a folder of manifests svclb leaves alone, and why:
/// pairs of name and reason.
pub type NotProxied = fn(&Path) -> Vec<(String, String)>;

/// Makes the world, sends requests through it, stays up if asked to, and
/// removes it.
///
/// Success means that every request was answered as expected.
pub async fn run(options: Options, not_proxied: NotProxied) -> anyhow::Result<ExitCode> {
    let mut stop = Stop::new().context("cannot listen for signals")?;
    let mut world = World::claim(&options.prefix).await?;
    let outcome = tokio::select! {
        outcome = show(&mut world, &options, not_proxied) => outcome,
        // A world that stays up has no other way to end.
        () = stop.asked() => Ok(if options.once { ExitCode::FAILURE } else { ExitCode::SUCCESS }),
    };
    let removed = world.remove().await.context("the world is not removed entirely");
    if let (Err(_), Err(left)) = (&outcome, &removed) {
        // The first failure is the one to be told; this one may be its echo.
        tracing::error!("{left:#}");
    }
    outcome.and_then(|code| removed.map(|()| code))
}

async fn show(world: &mut World, options: &Options, not_proxied: NotProxied) -> anyhow::Result<ExitCode> {
    let mut report = Report::new(stdout());
    let binary = match &options.agent {
        Some(binary) => absolute(binary)?,
        None => std::env::current_exe().context("cannot find this program's own file")?,
    };
    world.build().await?;
    world.check().await?;
    let manifests = match &options.manifests {
        Some(folder) => absolute(folder)?,
        None => world.write_manifests()?,
    };
    report.world()?;
    world.start_agents(&binary, &manifests, &options.agent_args).await?;

    let node = NODES[0].host.name;
    let services = world.agent(node)?.services(world.namespace(node)).await?;
    report.services(&services)?;
    report.not_proxied(&not_proxied(&manifests))?;
    if let Some(pod) = &options.break_backend {
        world.break_backend(pod)?;
    }
    let paths = if options.manifests.is_some() { path::of_services(&services) } else { path::built_in() };
    let faults = ask(world, &paths, options.requests, &mut report).await?;
    if options.once {
        return Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }

    let hint = |path| RequestHint {
        path,
        namespace: netns::path(world.namespace(path.from).name()),
        cgroup: path.socket_of.map(|node| world.cgroup(node)),
    };
    report.hints(&Hints {
        binary: &binary,
        manifests: &manifests,
        logs: world.logs(),
        bpffs: world.agent(node)?.bpffs(),
        requests: path::examples(&paths).into_iter().map(hint).collect(),
    })?;
    Err(world.agent_ended().await)
}

/// Sends the requests and counts the paths that failed.
async fn ask(
    world: &World,
    paths: &[path::Path],
    requests: u32,
    report: &mut Report<Stdout>,
) -> anyhow::Result<usize> {
    report.requests(requests)?;
    let mut faults = Vec::new();
    let mut total = Tally::default();
    for path in paths {
        let stay = path.socket_of.map(|node| world.stay(node)).transpose()?;
        let tally = request::send(world.namespace(path.from), &path.url(), requests).await?;
        drop(stay);
        let fault = tally.fault(requests, &path.expected);
        report.tally(path, &tally, fault.as_deref())?;
        total.merge(&tally);
        faults.extend(fault.map(|fault| format!("{} → {} {}: {fault}", path.origin(), path.what, path.to)));
    }
    report.total(&total)?;
    report.outcome(paths.len(), &faults)?;
    Ok(faults.len())
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    fs::canonicalize(path).with_context(|| format!("cannot find {}", path.display()))
}

/// The signals that end the world.
struct Stop([Signal; 3]);

impl Stop {
    fn new() -> io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    async fn asked(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        let received = tokio::select! {
            received = interrupt.recv() => received,
            received = terminate.recv() => received,
            received = hangup.recv() => received,
        };
        if received.is_none() {
            pending::<()>().await;
        }
    }
}
