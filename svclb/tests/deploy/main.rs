//! What is in `deploy/`: the manifests, the chart, and what both promise of the agent.

mod agent;
mod chart;
mod objects;
mod rights;
mod template;
mod types;
