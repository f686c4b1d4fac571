//! Questions that come one after the other and are asked beside each other.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream, UdpSocket},
    thread,
    time::Duration,
};

use anyhow::{Context as _, bail};
use socket2::{Domain, Protocol, Socket, Type};
use svclb_tests::probe::Outcome;

/// The first port that questions are asked from, and how many there are: each question has its own, so that none belongs
/// to a flow of an earlier one. Below them are ports of services, above them those that the kernel gives out.
const PORTS: (u16, u32) = (20_000, 10_000);

/// Asks what each line says, until there are no more. The outcomes are lines in the order in which they are known.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut threads = Vec::new();
    for line in io::stdin().lines() {
        let line = line?;
        let words: Vec<_> = line.split(' ').collect();
        let [id, protocol, address, patience] = words[..] else {
            bail!("a line is ID PROTOCOL ADDRESS MILLISECONDS, not {line}")
        };
        let id: u32 = id.parse().context("ID")?;
        let address: SocketAddr = address.parse().context("ADDRESS")?;
        let patience = Duration::from_millis(patience.parse().context("MILLISECONDS")?);
        let kind = match protocol {
            "tcp" => (Type::STREAM, Protocol::TCP),
            "udp" => (Type::DGRAM, Protocol::UDP),
            other => bail!("no PROTOCOL {other}"),
        };
        threads.retain(|thread: &thread::JoinHandle<()>| !thread.is_finished());
        threads.push(thread::Builder::new().stack_size(super::STACK).spawn(move || {
            let outcome = match ask(id, kind, address, patience) {
                Ok(answer) => Outcome { id, answer: Some(answer), error: None },
                Err(error) => Outcome { id, answer: None, error: Some(super::name(&error)) },
            };
            let line = serde_json::to_string(&outcome).unwrap_or_default() + "\n";
            // Nobody reads any more only if the test is over.
            io::stdout().lock().write_all(line.as_bytes()).ok();
        })?);
    }
    for thread in threads {
        thread.join().map_err(|_panic| anyhow::anyhow!("a thread has panicked"))?;
    }
    Ok(())
}

fn ask(
    id: u32,
    (kind, protocol): (Type, Protocol),
    to: SocketAddr,
    patience: Duration,
) -> io::Result<String> {
    let socket = Socket::new(Domain::for_address(to), kind, Some(protocol))?;
    socket.set_reuse_address(true)?;
    let mut own = super::any(to);
    own.set_port(PORTS.0 + (id % PORTS.1) as u16);
    socket.bind(&own.into())?;
    let mut buffer = [0; 256];
    let length = if kind == Type::STREAM {
        socket.connect_timeout(&to.into(), patience)?;
        let mut stream: TcpStream = socket.into();
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(b"who\n")?;
        stream.read(&mut buffer)?
    } else {
        socket.connect(&to.into())?;
        let socket: UdpSocket = socket.into();
        socket.set_read_timeout(Some(patience))?;
        socket.send(b"who\n")?;
        socket.recv(&mut buffer)?
    };
    if length == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(String::from_utf8_lossy(&buffer[..length]).trim_end().to_owned())
}
