//! A small HTTP server for probes and scrapes.
//!
//! One answer per connection, from the path alone. A connection has a limited time, and a server a limited number of
//! them and of bytes in answers, so that slow or many clients hold little and not for long. Nobody waits for them: when
//! there are too many, those go who keep the server waiting.

mod guests;

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use hyper::{
    Request, Response, StatusCode, body::Incoming, header, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::{
    errno::Errno,
    sys::socket::{setsockopt, sockopt},
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    task::yield_now,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use self::guests::{Guests, Seat};

/// An answer with its text.
pub type Answer = Response<String>;

/// How long connections may take.
const PATIENCE: Patience = Patience { head: Duration::from_secs(5), whole: Duration::from_secs(30) };
/// How many connections wait in the kernel's queue.
const BACKLOG: u32 = 1024;
/// The most bytes of a request's head that are looked at.
const BUFFER: usize = 16 * 1024;
/// How long to wait before listening is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How long to wait when no connection can be accepted, for want of file descriptors.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// How long a connection may take.
#[derive(Clone, Copy)]
struct Patience {
    /// Until the client has asked.
    head: Duration,
    /// Altogether.
    whole: Duration,
}

/// Listens at an address. `[::]` includes all addresses of IPv4, and is them alone on a host without IPv6.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    match bind(address, false) {
        Err(error) if is_no_v6(&error) && address.ip().is_unspecified() => {
            bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()), false)
        }
        result => result,
    }
}

/// Listens at an address and at no other: `[::]` does not include IPv4.
pub fn listen_in_family(address: SocketAddr) -> io::Result<TcpListener> {
    bind(address, true)
}

fn bind(address: SocketAddr, only_v6: bool) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &only_v6)?;
    }
    // Connections of an earlier agent may linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn is_no_v6(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    code == Some(Errno::EAFNOSUPPORT as i32) || code == Some(Errno::EADDRNOTAVAIL as i32)
}

/// Listens at an address, trying again every 5 s until it works. `failed` is told of the first failure.
pub async fn listen_in_time(address: SocketAddr, failed: impl FnOnce(&io::Error)) -> TcpListener {
    listen_every(RETRY, address, failed).await
}

async fn listen_every(pause: Duration, address: SocketAddr, failed: impl FnOnce(&io::Error)) -> TcpListener {
    let mut failed = Some(failed);
    loop {
        match listen(address) {
            Ok(listener) => return listener,
            Err(error) => {
                if let Some(failed) = failed.take() {
                    failed(&error);
                }
            }
        }
        sleep(pause).await;
    }
}

/// Serves until told to stop; `answer` is given the path of a request. Connections that are open then may end as
/// they would.
pub async fn serve<F, R>(listener: TcpListener, answer: F, stop: CancellationToken)
where
    F: Fn(String) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
    let answer = move |path: String, _query| answer(path);
    serve_queries(listener, answer, stop).await;
}

/// The same; `answer` is given the query as well, which is empty if there is none.
pub async fn serve_queries<F, R>(listener: TcpListener, answer: F, stop: CancellationToken)
where
    F: Fn(String, String) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
    serve_patiently(PATIENCE, listener, Guests::default(), answer, stop).await;
}

async fn serve_patiently<F, R>(
    patience: Patience,
    listener: TcpListener,
    guests: Guests,
    answer: F,
    stop: CancellationToken,
) where
    F: Fn(String, String) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        if let Ok((stream, _)) = accepted {
            tokio::spawn(connection(patience, stream, answer.clone(), guests.seat()));
            // Whoever was let in is looked at before the next one, who may take its place.
            yield_now().await;
        } else {
            guests.dismiss_one();
            sleep(EXHAUSTED).await;
        }
    }
}

async fn connection<F, R>(patience: Patience, stream: TcpStream, answer: F, seat: Seat)
where
    F: Fn(String, String) -> R + Send + Sync + 'static,
    R: Future<Output = Answer> + Send,
{
    let seat = &seat;
    let service = service_fn(|request: Request<Incoming>| {
        seat.asked();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let answer = answer(request.uri().path().to_owned(), query);
        async {
            let answer = answer.await;
            seat.holds(answer.body().len());
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .keep_alive(false)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    // However it ends, it has ended; the client knows best.
    drop(seat.leave.run_until_cancelled(timeout(patience.whole, connection)).await);
}

/// An answer with a type.
pub(crate) fn answer(status: StatusCode, kind: &'static str, text: String) -> Answer {
    let mut answer = Response::new(text);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    answer
}

/// Plain text.
pub(crate) const PLAIN: &str = "text/plain; charset=utf-8";
/// JSON.
pub(crate) const JSON: &str = "application/json";

/// The answer where there is nothing.
pub(crate) fn not_found() -> Answer {
    answer(StatusCode::NOT_FOUND, PLAIN, "404 page not found\n".into())
}

#[cfg(test)]
pub(crate) mod client;
#[cfg(test)]
mod crowd_tests;
#[cfg(test)]
mod tests;
