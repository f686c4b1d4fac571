//! Many clients, slow clients, clients that never read: others are answered meanwhile.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Notify,
};

use super::{client::*, guests::MOST_BYTES, *};

/// Clients that have nothing to fear from the clock.
const FOREVER: Patience = Patience { head: Duration::from_hours(1), whole: Duration::from_hours(1) };

/// More than a server has at once.
const CROWD: usize = guests::MOST + 60;

/// A server that answers with the path, and who is there.
fn start<F, R>(answer: F) -> (SocketAddr, Guests)
where
    F: Fn(String) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Answer> + Send + 'static,
{
    let listener = listen(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)).unwrap();
    let (address, guests) = (listener.local_addr().unwrap(), Guests::default());
    let answer = move |path: String, _query| answer(path);
    tokio::spawn(serve_patiently(FOREVER, listener, guests.clone(), answer, CancellationToken::new()));
    (address, guests)
}

async fn path(path: String) -> Answer {
    answer(StatusCode::OK, PLAIN, path)
}

#[tokio::test]
async fn clients_that_send_a_byte_at_a_time_keep_nobody_out() {
    let (address, guests) = start(path);
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n";
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&request[..number % request.len()]).await.unwrap();
        crowd.push(stream);
    }
    // Whoever was let go may not be written to any more.
    for stream in &mut crowd {
        drop(stream.write_all(b"X").await);
    }
    assert_eq!(get(address, "/a").await.body, "/a");
    assert!(guests.count().0 <= guests::MOST);
}

#[tokio::test]
async fn connections_without_end_keep_nobody_out() {
    let (address, guests) = start(path);
    let mut newest = Vec::new();
    for number in 0..3000 {
        let stream = TcpStream::connect(address).await.unwrap();
        if number % 16 == 0 {
            assert_eq!(get(address, "/a").await.body, "/a");
        }
        newest.push(stream);
        if newest.len() == CROWD {
            newest.clear();
        }
    }
    assert!(guests.count().0 <= guests::MOST);
}

#[tokio::test]
async fn who_has_asked_is_answered_however_many_come_after() {
    let (asked, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (has_asked, may_go) = (Arc::clone(&asked), Arc::clone(&go));
    let (address, _) = start(move |path: String| {
        let (asked, go) = (Arc::clone(&has_asked), Arc::clone(&may_go));
        async move {
            asked.notify_one();
            go.notified().await;
            answer(StatusCode::OK, PLAIN, path)
        }
    });
    let waiting = tokio::spawn(async move { get(address, "/a").await });
    asked.notified().await;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(TcpStream::connect(address).await.unwrap());
    }
    // The first of them has been let go.
    assert_eq!(crowd[0].read(&mut [0]).await.unwrap_or(0), 0);
    go.notify_one();
    assert_eq!(waiting.await.unwrap().body, "/a");
}

#[tokio::test]
async fn clients_that_never_read_hold_a_limited_amount_of_memory() {
    const LONG: usize = 8 << 20;
    let (address, guests) = start(|path: String| async move {
        let text = if path == "/long" { "x".repeat(LONG) } else { path };
        answer(StatusCode::OK, PLAIN, text)
    });
    let mut crowd = Vec::new();
    for _ in 0..3 * MOST_BYTES / LONG {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /long HTTP/1.0\r\n\r\n").await.unwrap();
        // Its answer is on the way, and stays there.
        stream.read_exact(&mut [0; 9]).await.unwrap();
        crowd.push(stream);
        assert!(guests.count().1 <= MOST_BYTES);
    }
    assert_eq!(get(address, "/a").await.body, "/a");
    assert_eq!(get(address, "/long").await.body.len(), LONG);
}

#[tokio::test]
async fn heads_without_end_are_refused() {
    let (address, _) = start(path);
    let line = format!("GET /{} HTTP/1.1\r\n", "a".repeat(1 << 20));
    let value = format!("GET / HTTP/1.1\r\nA: {}\r\n", "a".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\n{}", "A: b\r\n".repeat(100_000));
    for head in [line, value, many] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server need not read all of it.
        drop(stream.write_all(head.as_bytes()).await);
        let mut reply = Vec::new();
        drop(stream.read_to_end(&mut reply).await);
        assert!(
            reply.is_empty() || reply.starts_with(b"HTTP/1.1 431"),
            "{}",
            String::from_utf8_lossy(&reply)
        );
        assert_eq!(get(address, "/a").await.body, "/a");
    }
}

#[tokio::test]
async fn a_body_that_never_comes_is_not_waited_for() {
    let (address, _) = start(path);
    let reply = send(address, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000000\r\n\r\n").await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "/a"));
}
