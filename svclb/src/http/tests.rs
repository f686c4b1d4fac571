//! The server and real sockets on loopback.

use std::{future::pending, net::Ipv6Addr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::oneshot,
};

use super::{client::*, *};

fn local() -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)
}

fn echo() -> (SocketAddr, CancellationToken) {
    let listener = listen(local()).unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let path = |path| async { answer(StatusCode::OK, PLAIN, path) };
    tokio::spawn(serve(listener, path, stop.clone()));
    (address, stop)
}

#[tokio::test]
async fn any_method_and_any_body_get_the_same_answer() {
    let (address, _stop) = echo();
    let table = [
        ("GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "/a"),
        ("GET /a?b=c HTTP/1.0\r\n\r\n", "/a"),
        ("POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody", "/b"),
        ("BREW / HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", "/"),
        ("HEAD /a HTTP/1.1\r\nHost: x\r\n\r\n", ""),
    ];
    for (request, body) in table {
        let reply = send(address, request).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, body), "{request:?}");
        assert_eq!(reply.header("content-type"), Some(PLAIN));
    }
    assert_eq!(get(address, &format!("/{}", "a".repeat(60_000))).await.status, 431);
    assert_eq!(send(address, "nonsense\r\n\r\n").await.status, 400);
}

#[tokio::test]
async fn a_slow_client_is_let_go() {
    let (short, long) = (Duration::from_millis(10), Duration::from_hours(1));
    let table = [
        ("GET / HTTP/1.1\r\n", Patience { head: short, whole: long }),
        ("", Patience { head: short, whole: long }),
        // Asked in time, but the answer never comes.
        ("GET / HTTP/1.0\r\n\r\n", Patience { head: long, whole: short }),
    ];
    for (request, patience) in table {
        let listener = listen(local()).unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve_patiently(
            patience,
            listener,
            Guests::default(),
            |_path, _query| pending(),
            CancellationToken::new(),
        ));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        timeout(Duration::from_mins(1), stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_server_that_was_told_to_stop_has_closed_its_port() {
    let listener = listen(local()).unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let server = tokio::spawn(serve(listener, |_path| async { not_found() }, stop.clone()));
    assert_eq!(get(address, "/").await.status, 404);
    stop.cancel();
    server.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    listen(address).unwrap();
}

#[tokio::test]
async fn an_address_in_use_is_tried_until_it_is_free() {
    let taken = listen(local()).unwrap();
    let address = taken.local_addr().unwrap();
    let (sender, told) = oneshot::channel();
    let failed = |error: &io::Error| sender.send(error.kind()).unwrap();
    let waiting = tokio::spawn(listen_every(Duration::from_millis(1), address, failed));
    assert_eq!(told.await, Ok(io::ErrorKind::AddrInUse), "told once");
    drop(taken);
    assert_eq!(waiting.await.unwrap().local_addr().unwrap(), address);
}

#[tokio::test]
async fn all_addresses_are_those_of_both_families_unless_kept_apart() {
    let v6 = listen(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0)).unwrap();
    let port = v6.local_addr().unwrap().port();
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();

    let v4 = listen_in_family(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)).unwrap();
    let port = v4.local_addr().unwrap().port();
    if v6.local_addr().unwrap().is_ipv6() {
        listen_in_family(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)).unwrap();
    }
}
