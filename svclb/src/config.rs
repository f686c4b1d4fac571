//! What `svclb run` is asked to do.
//!
//! Flags, a file and the defaults of this module, in this order, each asked only for what those before it leave
//! open: [`resolve()`] gives one [`RunConfig`]. A file is a document of our own or kube-proxy's
//! `KubeProxyConfiguration`; both are checked against a table of their fields (`schema`), so that a typing error
//! is a line that says where.

mod bind;
mod choice;
mod cidr;
mod conntrack;
mod detect;
mod duration;
mod error;
mod file;
mod flow_timeouts;
mod kube_proxy;
mod layer;
mod node_ports;
mod own;
mod port_range;
mod resolve;
mod run;
mod schema;
mod service_series;
mod survey;
mod table_size;
mod text;

pub use self::{
    bind::Bind,
    choice::{DsrEncapsulation, ExternalMode, Masquerade, SocketLb, Tc, Xdp},
    cidr::{ClusterCidrs, NodePortAddresses},
    conntrack::Conntrack,
    detect::DetectLocal,
    error::ConfigError,
    file::File,
    flow_timeouts::FlowTimeouts,
    layer::Layer,
    port_range::PortRange,
    resolve::{Environment, Resolved, resolve},
    run::{RunConfig, Source},
    service_series::ServiceSeries,
    survey::{Setting, Survey, survey},
    table_size::TableSize,
};
pub use crate::model::{Algorithm, Rate};
