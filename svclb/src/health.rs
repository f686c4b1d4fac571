//! Whether this node is to be sent traffic, told to load balancers and to the kubelet.
//!
//! [`State`] is what the agent says of itself. [`serve()`] tells it under `/healthz` and `/livez`, and
//! [`ServicePorts`] at the `healthCheckNodePort` of every Service that has one.

mod answer;
mod record;
mod service_ports;
mod state;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::{
    answer::answer,
    service_ports::{ListenFailure, ServicePorts},
    state::{AbsentNode, Health, Moment, State},
};
use crate::{http, metrics::Metrics};

/// Serves `/healthz` and `/livez` until told to stop.
pub async fn serve(listener: TcpListener, state: State, metrics: Metrics, stop: CancellationToken) {
    let answer = move |path: String| {
        let answer = answer(&path, &state, &metrics, Moment::now());
        async { answer }
    };
    http::serve(listener, answer, stop).await;
}
