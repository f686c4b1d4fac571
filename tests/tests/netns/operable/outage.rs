//! The API server does not answer.

use anyhow::{Context as _, ensure};
use svclb_tests::netns::{Agent, layout::POD2, manifest::Service};

use crate::{apiserver::serve, support::world};

#[test]
fn a_server_that_does_not_answer_is_named_with_the_time() -> anyhow::Result<()> {
    world(|world| {
        let (mut server, kubeconfig) = serve(world)?;
        Service::new("web", 39, &[POD2]).objects()?.into_iter().for_each(|object| server.apply(object));
        let mut agent = Agent::launch_with_api(world, &kubeconfig, &[])?;
        agent.wait_synced(world)?;
        super::healthy(world)?;
        server.stop()?;
        let (first, status) =
            super::problem(world, "the API server does not answer", &server.address().to_string())?;
        ensure!(first.severity == "error" && status.synced, "what was told is in the tables: {status:?}");
        let since = first.since.context("since when?")?;
        let text = super::screen(world)?;
        ensure!(text.contains("API server") && text.contains(&since), "{text}");

        // One that starts meanwhile is not in sync, and knows why.
        agent.kill()?;
        let _next = Agent::launch_with_api(world, &kubeconfig, &[])?;
        let (_, status) = super::problem(world, "the API server does not answer", "")?;
        ensure!(!status.synced && !status.healthy, "{status:?}");
        Ok(())
    })
}
