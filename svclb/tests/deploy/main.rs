//! What is in `deploy/`: the manifests, the chart, and what both promise of the agent.
#![expect(clippy::unwrap_used, reason = "a file that is not as it should be fails its test")]

mod agent;
mod chart;
mod objects;
mod privileges;
mod rights;
mod template;
mod types;
