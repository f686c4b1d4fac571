//! The HTTP server of a pod.

use std::{
    io,
    net::{Ipv6Addr, SocketAddr},
    thread::{self, JoinHandle},
};

use axum::{
    Router,
    extract::ConnectInfo,
    http::header::{CONNECTION, CONTENT_TYPE},
    response::IntoResponse,
    routing::get,
};
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, runtime, sync::oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    layout::{POD_PORT, Pod},
    netns::{self, Namespace},
};

/// What a pod answers.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its name.
    pub(super) pod: String,
    /// Its node's name.
    pub(super) node: String,
    /// From where the pod sees the request come.
    pub(super) client: String,
}

/// A running server.
pub(super) struct Server {
    pod: &'static Pod,
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl Server {
    /// Serves a pod's port in its namespace, on a thread of its own: the
    /// namespace's thread stays free to send requests, also to this server.
    pub(super) async fn start(pod: &'static Pod, namespace: &Namespace) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let (ready, listening) = oneshot::channel();
        let body = {
            let stop = stop.clone();
            move || serve(pod, ready, &stop)
        };
        // A new thread is born in the namespace of the one that starts it.
        let thread = namespace
            .run(move || thread::Builder::new().name(format!("{}-http", pod.name)).spawn(body))
            .await??;
        listening.await.map_err(|_ended| netns::Error::Ended(pod.name.to_owned()))??;
        Ok(Self { pod, stop, thread })
    }

    /// Whose server it is.
    pub(super) fn pod(&self) -> &'static Pod {
        self.pod
    }

    /// Closes the port and ends the thread.
    pub(super) fn stop(self) {
        self.stop.cancel();
        // How a server ends is of no interest any more.
        drop(self.thread.join());
    }
}

/// Serves until told to stop. Where no listener is to be had, that is sent
/// instead of readiness.
fn serve(pod: &'static Pod, ready: oneshot::Sender<io::Result<()>>, stop: &CancellationToken) {
    let body = async |ready: oneshot::Sender<_>| {
        // One listener is both 0.0.0.0 and [::].
        let listener = match TcpListener::bind((Ipv6Addr::UNSPECIFIED, POD_PORT)).await {
            Ok(listener) => listener,
            Err(error) => return drop(ready.send(Err(error))),
        };
        // Nobody waits any more when the world is being removed.
        drop(ready.send(Ok(())));
        let service = routes(pod).into_make_service_with_connect_info::<SocketAddr>();
        tokio::select! {
            // It never ends by itself.
            _ = async { axum::serve(listener, service).await } => {}
            () = stop.cancelled() => {}
        }
    };
    match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(body(ready)),
        Err(error) => drop(ready.send(Err(error))),
    }
}

fn routes(pod: &'static Pod) -> Router {
    let answer = move |ConnectInfo(client): ConnectInfo<SocketAddr>| async move {
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        let answer = Answer { pod: pod.name.into(), node: pod.node.into(), client: client.to_string() };
        // Each request of this world is a connection of its own.
        let headers = [(CONTENT_TYPE, "application/json"), (CONNECTION, "close")];
        (headers, serde_json::to_string(&answer).unwrap_or_default() + "\n").into_response()
    };
    let name = move || async move { format!("{}\n", pod.name) };
    Router::new().route("/", get(answer)).route("/name", get(name))
}
