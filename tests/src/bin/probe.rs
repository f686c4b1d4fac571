//! A client for the tests: `svclb-probe MODE ADDRESS COUNT`.
//!
//! | mode | each repetition |
//! |---|---|
//! | `tcp` | connects, asks, is answered, closes |
//! | `sctp` | the same, in an association of SCTP |
//! | `udp` | connects a datagram socket, asks, is answered |
//! | `sendto` | names the destination with each datagram, on one socket |
//! | `large-SIZE` | as `udp`, with datagrams of that many bytes, answered by as many |
//! | `options-SIZE` | the same, with options in the IP header |
//! | `hold` | asks again on the one connection, once per line of standard input |
//! | `hold-udp` | as `sendto`, once per line of standard input, which may name another address |
//! | `hold-connected` | asks on one connected socket, once per line of standard input, which may be `sendto` |
//! | `each` | asks what each line `ID PROTOCOL ADDRESS MILLISECONDS` of standard input says, all at once |
//! | `table` | `tcp` for each line `ADDRESS COUNT` of standard input, all lines at once |
//! | `steady` | many clients at a moderate rate (`probe/steady.rs`) |
//!
//! COUNT may be `-`: until standard input closes. The outcome is one line of JSON on
//! standard output, for `table` an object by address; those that hold write one line per request, and
//! `hold-connected` connects anew after a failure. Socket hooks belong to a cgroup, so a client must be a process:
//! the tests cannot ask by themselves.

use std::{
    collections::BTreeMap,
    io::{self, BufRead as _, BufReader, ErrorKind, Write as _},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

#[path = "probe/each.rs"]
mod each;
#[path = "probe/option.rs"]
mod option;
#[path = "probe/steady.rs"]
mod steady;

use anyhow::{Context as _, bail};
use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use svclb_tests::{netns::wait::here, probe::Answers};

/// How long an answer may take. Far longer than any should, and shorter than a test's patience.
const LIMIT: Duration = Duration::from_secs(3);

/// After so many failures the rest would tell nothing new, and take long.
const MAX_FAILURES: u32 = 3;

fn timeout() -> Duration {
    here(LIMIT)
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|mode| mode == "table") {
        return table();
    }
    if arguments.first().is_some_and(|mode| mode == "steady") {
        return steady::steady();
    }
    if arguments.first().is_some_and(|mode| mode == "each") {
        return each::run();
    }
    let [mode, address, count] = arguments.as_slice() else { bail!("usage: svclb-probe MODE ADDRESS COUNT") };
    let address: SocketAddr = address.parse().context("ADDRESS")?;
    if mode == "hold" {
        return hold(address);
    }
    let (mode, size) = mode.split_once('-').filter(|(mode, _)| *mode != "hold").unwrap_or((mode, "0"));
    let size = size.parse().context("SIZE")?;
    let ask: fn(&mut Client, &mut Answers) -> io::Result<()> = match mode {
        "large" => large,
        "options" => with_options,
        "tcp" => tcp,
        "sctp" => sctp,
        "udp" => udp,
        "sendto" | "hold-udp" | "hold-connected" => sendto,
        _ => bail!("no such MODE: {mode}"),
    };
    let mut client = Client { address, socket: UdpSocket::bind(any(address))?, size };
    client.socket.set_read_timeout(Some(timeout()))?;
    if mode == "hold-udp" {
        return hold_udp(&mut client);
    }
    if mode == "hold-connected" {
        return hold_connected(&client);
    }
    let mut answers = Answers::default();
    let mut repetitions = Repetitions::parse(count)?;
    while answers.failed() < MAX_FAILURES && repetitions.next() {
        if let Err(error) = ask(&mut client, &mut answers) {
            answers.error(name(&error));
        }
    }
    println!("{}", serde_json::to_string(&answers)?);
    Ok(())
}

/// What the repetitions have in common.
struct Client {
    address: SocketAddr,
    /// The socket of `sendto`.
    socket: UdpSocket,
    /// Bytes of the datagrams of `large`.
    size: usize,
}

fn tcp(client: &mut Client, answers: &mut Answers) -> io::Result<()> {
    let stream = TcpStream::connect_timeout(&client.address, timeout())?;
    stream.set_nodelay(true)?;
    ask_stream(stream, answers)
}

fn sctp(client: &mut Client, answers: &mut Answers) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(client.address), Type::STREAM, Some(Protocol::SCTP))?;
    socket.connect_timeout(&client.address.into(), timeout())?;
    ask_stream(socket.into(), answers)
}

fn ask_stream(mut stream: TcpStream, answers: &mut Answers) -> io::Result<()> {
    stream.set_read_timeout(Some(timeout()))?;
    let peer = stream.peer_addr()?.to_string();
    stream.write_all(b"who\n")?;
    let mut line = String::new();
    if BufReader::new(&stream).read_line(&mut line)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    answers.answer(&line, peer);
    Ok(())
}

fn udp(client: &mut Client, answers: &mut Answers) -> io::Result<()> {
    let socket = UdpSocket::bind(any(client.address))?;
    socket.set_read_timeout(Some(timeout()))?;
    socket.connect(client.address)?;
    let peer = socket.peer_addr()?.to_string();
    socket.send(b"who\n")?;
    let mut buffer = [0; 256];
    let length = socket.recv(&mut buffer)?;
    answers.answer(&String::from_utf8_lossy(&buffer[..length]), peer);
    Ok(())
}

fn large(client: &mut Client, answers: &mut Answers) -> io::Result<()> {
    let socket = UdpSocket::bind(any(client.address))?;
    ask_large(&socket, client, answers)
}

fn with_options(client: &mut Client, answers: &mut Answers) -> io::Result<()> {
    let socket = UdpSocket::bind(any(client.address))?;
    option::set(&socket, client.address.is_ipv4())?;
    ask_large(&socket, client, answers)
}

/// The answer is a line and the bytes of the request behind its first ones.
fn ask_large(socket: &UdpSocket, client: &Client, answers: &mut Answers) -> io::Result<()> {
    socket.set_read_timeout(Some(timeout()))?;
    socket.connect(client.address)?;
    let request: Vec<u8> = (0..client.size).map(|at| (at % 251) as u8).collect();
    socket.send(&request)?;
    let mut buffer = vec![0; 1 << 16];
    let length = socket.recv(&mut buffer)?;
    let line = buffer[..length].split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default();
    if length != request.len() || buffer[line.len()..length] != request[line.len()..] {
        return Err(ErrorKind::InvalidData.into());
    }
    answers.answer(&String::from_utf8_lossy(line), socket.peer_addr()?.to_string());
    Ok(())
}

fn sendto(client: &mut Client, answers: &mut Answers) -> io::Result<()> {
    client.socket.send_to(b"who\n", client.address)?;
    let mut buffer = [0; 256];
    let (length, source) = client.socket.recv_from(&mut buffer)?;
    answers.answer(&String::from_utf8_lossy(&buffer[..length]), source.to_string());
    Ok(())
}

/// The stack of a thread that asks: there may be thousands.
const STACK: usize = 128 << 10;

/// Many addresses at once: silence takes its time, and it is the same time for all.
fn table() -> anyhow::Result<()> {
    let mut threads = Vec::new();
    for line in io::stdin().lines() {
        let line = line?;
        let (address, count) = line.split_once(' ').context("a line is ADDRESS COUNT")?;
        let (address, count): (SocketAddr, u32) = (address.parse()?, count.parse()?);
        let body = move || -> io::Result<Answers> {
            let mut client = Client { address, socket: UdpSocket::bind(any(address))?, size: 0 };
            let mut answers = Answers::default();
            for _ in 0..count {
                if let Err(error) = tcp(&mut client, &mut answers) {
                    answers.error(name(&error));
                    break;
                }
            }
            Ok(answers)
        };
        threads.push((address, thread::Builder::new().stack_size(STACK).spawn(body)?));
    }
    let mut outcomes = BTreeMap::new();
    for (address, thread) in threads {
        let answers = thread.join().map_err(|_panic| anyhow::anyhow!("a thread has panicked"))??;
        outcomes.insert(address.to_string(), answers);
    }
    println!("{}", serde_json::to_string(&outcomes)?);
    Ok(())
}

/// One connection, one request per line of standard input.
fn hold(address: SocketAddr) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, timeout())?;
    stream.set_read_timeout(Some(timeout()))?;
    let mut replies = BufReader::new(stream.try_clone()?);
    for line in io::stdin().lines() {
        line?;
        let mut answers = Answers::default();
        let peer = stream.peer_addr()?.to_string();
        let mut reply = String::new();
        let outcome = stream.write_all(b"who\n").and_then(|()| replies.read_line(&mut reply));
        match outcome {
            Ok(0) => answers.error("EOF".into()),
            Ok(_) => answers.answer(&reply, peer),
            Err(error) => answers.error(name(&error)),
        }
        println!("{}", serde_json::to_string(&answers)?);
        io::stdout().flush()?;
    }
    Ok(())
}

/// One socket, one request per line of standard input.
fn hold_udp(client: &mut Client) -> anyhow::Result<()> {
    for line in io::stdin().lines() {
        let line = line?;
        if !line.is_empty() {
            client.address = line.parse().context("a line is empty or ADDRESS")?;
        }
        let mut answers = Answers::default();
        if let Err(error) = sendto(client, &mut answers) {
            answers.error(name(&error));
        }
        println!("{}", serde_json::to_string(&answers)?);
        io::stdout().flush()?;
    }
    Ok(())
}

/// One connected datagram socket, one request per line of standard input.
fn hold_connected(client: &Client) -> anyhow::Result<()> {
    let Client { address, socket, .. } = client;
    let ask = |is_sendto: bool| {
        if is_sendto { socket.send_to(b"who\n", address) } else { socket.send(b"who\n") }?;
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer)?;
        let peer = socket.peer_addr()?.to_string();
        io::Result::Ok((String::from_utf8_lossy(&buffer[..length]).into_owned(), peer))
    };
    socket.connect(address)?;
    for line in io::stdin().lines() {
        let mut answers = Answers::default();
        match ask(line? == "sendto") {
            Ok((reply, peer)) => answers.answer(&reply, peer),
            Err(error) => {
                answers.error(name(&error));
                socket.connect(address)?;
            }
        }
        println!("{}", serde_json::to_string(&answers)?);
        io::stdout().flush()?;
    }
    Ok(())
}

/// The wildcard of an address's family.
fn any(like: SocketAddr) -> SocketAddr {
    match like {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

/// What an error is called in the report.
fn name(error: &io::Error) -> String {
    match (error.kind(), error.raw_os_error()) {
        (ErrorKind::TimedOut | ErrorKind::WouldBlock, _) => "timeout".into(),
        (_, Some(number)) => format!("{:?}", Errno::from_raw(number)),
        (kind, None) => format!("{kind:?}"),
    }
}

/// How often to ask.
enum Repetitions {
    Left(u32),
    Until(Arc<AtomicBool>),
}

impl Repetitions {
    fn parse(count: &str) -> anyhow::Result<Self> {
        if count != "-" {
            return Ok(Self::Left(count.parse().context("COUNT")?));
        }
        let closed = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&closed);
        thread::spawn(move || {
            // An error ends the input as well.
            let _bytes = io::copy(&mut io::stdin(), &mut io::sink()).ok();
            seen.store(true, Ordering::Relaxed);
        });
        Ok(Self::Until(closed))
    }

    fn next(&mut self) -> bool {
        match self {
            Self::Left(left) => {
                let more = *left > 0;
                *left = left.saturating_sub(1);
                more
            }
            Self::Until(closed) => !closed.load(Ordering::Relaxed),
        }
    }
}
