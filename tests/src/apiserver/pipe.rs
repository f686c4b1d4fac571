//! Bytes on their way, or as far as they come.

use std::io;

use axum::body::{Body, Bytes};
use futures::stream;
use tokio::sync::mpsc;

use super::fault::Fault;

/// The rest of an answer does not arrive, or nobody reads it any more.
#[derive(Debug)]
pub(super) struct Broken;

/// Where the body of an answer is written.
pub(super) struct Pipe {
    sender: mpsc::Sender<io::Result<Bytes>>,
    /// How many bytes still come through, if not all do.
    left: Option<usize>,
    is_cut: bool,
}

impl Pipe {
    /// A body, and where it is written.
    pub(super) fn new(fault: Option<Fault>) -> (Self, Body) {
        let (sender, receiver) = mpsc::channel(16);
        let (left, is_cut) = match fault {
            Some(Fault::Cut(bytes)) => (Some(bytes), true),
            Some(Fault::Stall(bytes)) => (Some(bytes), false),
            _ => (None, false),
        };
        let body = stream::unfold(receiver, |mut receiver| async move {
            receiver.recv().await.map(|bytes| (bytes, receiver))
        });
        (Self { sender, left, is_cut }, Body::from_stream(body))
    }

    /// Writes a line of JSON.
    pub(super) async fn send(&mut self, value: &serde_json::Value) -> Result<(), Broken> {
        let text = line(value);
        match &mut self.left {
            Some(left) if text.len() > *left => {
                let part = text[..text.floor_char_boundary(*left)].to_owned();
                self.write(part).await?;
                if self.is_cut {
                    self.cut().await;
                } else {
                    // Until the client gives up.
                    self.sender.closed().await;
                }
                Err(Broken)
            }
            Some(left) => {
                *left -= text.len();
                self.write(text).await
            }
            None => self.write(text).await,
        }
    }

    /// Writes exactly this.
    pub(super) async fn write(&self, text: String) -> Result<(), Broken> {
        self.sender.send(Ok(text.into())).await.map_err(|_nobody_reads| Broken)
    }

    /// Breaks the connection.
    pub(super) async fn cut(&self) {
        // Nobody reads: then it is broken already.
        self.sender.send(Err(io::ErrorKind::ConnectionReset.into())).await.ok();
    }

    /// Waits until nobody reads.
    pub(super) async fn closed(&self) {
        self.sender.closed().await;
    }
}

/// A line of JSON. Of an event its type comes first, as Go writes it: a client that does not know yet what an object is
/// about has to keep it.
fn line(value: &serde_json::Value) -> String {
    match (value.get("type"), value.get("object")) {
        (Some(kind), Some(object)) => format!("{{\"type\":{kind},\"object\":{object}}}\n"),
        _ => format!("{value}\n"),
    }
}
