//! What traffic costs with each proxy. Measured, never judged by a test.
//!
//! Each proxy has a node of its own, a set of network namespaces with pods and a client outside. All nodes are there
//! at the same time, and one after another is asked.
//!
//! | module | owns |
//! |---|---|
//! | [`path`] | who asks whom |
//! | [`work`] | what a client is told to do, and what it tells of it |
//! | [`client`] | what clients do |
//! | [`server`] | what backends serve |
//! | [`part`] | the programs that are started in namespaces |
//! | [`target`] | pods, and Services in front of them |
//! | [`proxy`] | who makes Services answer |
//! | [`node`] | the namespaces of a proxy |
//! | [`rounds`] | all work with all proxies |
//! | [`figures`] | ratios and goals |
//! | [`report`] | tables and JSON |

pub mod client;
pub mod figures;
pub mod node;
pub mod part;
pub mod path;
pub mod proxy;
pub mod report;
pub mod rounds;
pub mod server;
pub mod target;
pub mod work;

use self::{
    figures::{Figures, rows},
    node::Node,
    proxy::Programs,
    rounds::Effort,
};
use crate::machine::load;

/// Measures all proxies among so many Services.
pub fn measure(programs: &Programs, services: u32, effort: Effort) -> anyhow::Result<Figures> {
    let mut nodes = Vec::new();
    for proxy in programs.proxies() {
        eprintln!("{services} Services: {}", proxy.name());
        let mut node = Node::build(programs, proxy)?;
        if proxy != proxy::Proxy::Bare {
            node.publish(target::objects(services))?;
        }
        node.launch()?;
        node.settle()?;
        nodes.push(node);
    }
    let before = load()?;
    let samples = rounds::run(&mut nodes, effort)?;
    let figures = Figures { services, load: [before, load()?], rows: rows(services, &samples) };
    nodes.iter_mut().try_for_each(Node::stop)?;
    Ok(figures)
}
