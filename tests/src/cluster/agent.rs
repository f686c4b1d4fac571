//! Agents that follow the API server.

use std::time::Duration;

use super::Scene;
use crate::netns::{Agent, layout::Machine};

/// How long an agent may take to have followed a whole cluster once.
const FIRST_SYNC: Duration = Duration::from_secs(30);

impl Scene<'_> {
    /// Starts the agent of a node and waits until its tables are complete.
    pub fn agent(&self, node: &Machine, flags: &[&str]) -> anyhow::Result<Agent> {
        let mut agent = self.launch(node, flags)?;
        self.synced(&mut agent, node)?;
        Ok(agent)
    }

    /// Starts the agent of a node and does not wait.
    pub fn launch(&self, node: &Machine, flags: &[&str]) -> anyhow::Result<Agent> {
        let source = ["--kubeconfig".into(), self.kubeconfig().to_string_lossy().into_owned()];
        let fixed = ["--uplink", "eth0", "--pod-interface", "veth-*"];
        let arguments = self.world.run_args_from(node, source, &[&fixed, flags].concat());
        Agent::launch_with(&self.world, node, arguments)
    }

    /// Waits until the tables of an agent are complete.
    pub fn synced(&self, agent: &mut Agent, node: &Machine) -> anyhow::Result<()> {
        agent.synced(&self.world, node, FIRST_SYNC)
    }
}
