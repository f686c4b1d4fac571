//! Scenarios as trials of the test runner.

use std::sync::Arc;

use anyhow::anyhow;
use libtest_mimic::{Failed, Trial};
use svclb_tests::{
    cluster::{Assets, Plane, Scene},
    netns::ground::{self, Ground},
};

/// One scenario.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    /// What is true if it passes.
    pub(crate) name: &'static str,
    /// What it does to the cluster.
    pub(crate) body: Body,
}

/// What a scenario does to the cluster.
#[derive(Clone, Copy)]
pub(crate) enum Body {
    /// Changes objects in its own namespace only.
    Inside(fn(&mut Scene<'_>) -> anyhow::Result<()>),
    /// Changes objects outside of namespaces, or counts on what the ring's own cluster is.
    Own(fn(&mut Scene<'_>) -> anyhow::Result<()>),
    /// Needs a control plane that nobody else uses.
    Alone(fn(Ground, &Plane) -> anyhow::Result<()>),
}

/// A scenario that any cluster has room for.
pub(crate) const fn inside(name: &'static str, body: fn(&mut Scene<'_>) -> anyhow::Result<()>) -> Scenario {
    Scenario { name, body: Body::Inside(body) }
}

/// A scenario for the ring's own cluster.
pub(crate) const fn own(name: &'static str, body: fn(&mut Scene<'_>) -> anyhow::Result<()>) -> Scenario {
    Scenario { name, body: Body::Own(body) }
}

/// A scenario for a cluster of its own.
pub(crate) const fn alone(name: &'static str, body: fn(Ground, &Plane) -> anyhow::Result<()>) -> Scenario {
    Scenario { name, body: Body::Alone(body) }
}

/// Why a scenario cannot run on a cluster that is there already.
const NOT_OURS: &str = "the API server of KUBECONFIG is not the ring's to restart, nor are its objects outside of \
                        namespaces to change";

/// Scenarios by theme.
pub(crate) type Themes = [(&'static str, &'static [Scenario])];

/// The trials of a run, which share a control plane.
pub(crate) fn trials(themes: &Themes, ground: &Ground, assets: &Assets, plane: Plane) -> Vec<Trial> {
    let is_own = plane.is_own();
    if !is_own {
        eprintln!("scenarios are ignored that need a control plane of the ring's own: {NOT_OURS}");
    }
    let plane = Arc::new(plane);
    let trial = |(title, scenario): (String, &Scenario)| {
        let (ground, plane, body) = (ground.clone(), Arc::clone(&plane), scenario.body);
        let assets = assets.clone();
        let is_possible = is_own || matches!(body, Body::Inside(_));
        let run = move || match body {
            _ if !is_possible => Err(anyhow!(NOT_OURS)),
            Body::Inside(body) | Body::Own(body) => in_scene(ground, &plane, body),
            Body::Alone(body) => Plane::start(&assets).and_then(|plane| body(ground, &plane)),
        };
        let trial = Trial::test(title, move || run().map_err(|error| Failed::from(format!("{error:?}"))));
        trial.with_ignored_flag(!is_possible && !ground::skip_fails())
    };
    titled(themes).map(trial).collect()
}

/// The trials' names, with nothing to run.
pub(crate) fn listed(themes: &Themes) -> Vec<Trial> {
    titled(themes).map(|(title, _)| Trial::test(title, || Ok(()))).collect()
}

fn titled(themes: &Themes) -> impl Iterator<Item = (String, &Scenario)> {
    let of_theme = |(theme, scenarios): &(&'static str, &'static [Scenario])| {
        let theme = *theme;
        scenarios.iter().map(move |scenario| (format!("{theme}::{}", scenario.name), scenario))
    };
    themes.iter().flat_map(of_theme)
}

/// Runs a scenario in a world of its own.
pub(crate) fn in_scene(
    ground: Ground,
    plane: &Plane,
    body: impl FnOnce(&mut Scene<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    body(&mut Scene::build(ground, plane, "test")?)
}
