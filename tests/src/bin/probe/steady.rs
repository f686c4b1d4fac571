//! `svclb-probe steady`: many clients that ask at a moderate rate for as long as they are let.
//!
//! Standard input begins with a line `KIND ADDRESS` for each client and an empty one. Each line that follows is answered
//! with a line of JSON: what all clients have seen so far. When it closes, the clients end, and a last line says so of
//! all their requests.

use std::{
    io::{self, BufRead as _, BufReader, ErrorKind, Write as _},
    net::{SocketAddr, TcpStream, UdpSocket},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use svclb_tests::{
    netns::wait::here,
    soak::tally::{Kind, Tally},
};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(10);

/// The kernel repeats a first packet after a second; a datagram is not repeated at all.
const SLOW: Duration = Duration::from_millis(900);

/// So many failures are described.
const DESCRIBED: usize = 50;

/// The stack of a client.
const STACK: usize = 128 << 10;

/// What all clients share.
struct Common {
    begun: Instant,
    tally: Mutex<Tally>,
    is_over: Mutex<bool>,
    end: Condvar,
}

/// Why there was no right answer.
struct Failure {
    reason: String,
    /// Whether it took an established connection along.
    is_reset: bool,
}

impl Common {
    /// Waits, and tells whether to go on.
    fn pause(&self, pause: Duration) -> bool {
        let is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        let (is_over, _) = self
            .end
            .wait_timeout_while(is_over, pause, |is_over| !*is_over)
            .unwrap_or_else(PoisonError::into_inner);
        !*is_over
    }

    fn end(&self) {
        *self.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.end.notify_all();
    }

    fn note(&self, kind: Kind, address: SocketAddr, outcome: Result<(), Failure>, took: Duration) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = tally.kinds.entry(kind).or_default();
        counts.asked += 1;
        counts.slow += u64::from(outcome.is_ok() && took > SLOW);
        if let Err(Failure { reason, is_reset }) = outcome {
            counts.failed += 1;
            counts.reset += u64::from(is_reset);
            if tally.failures.len() < DESCRIBED {
                let at = self.begun.elapsed().as_millis();
                tally.failures.push(format!("{at} ms: {kind} to {address}: {reason}, after {took:?}"));
            }
        }
    }

    fn tell(&self) -> anyhow::Result<()> {
        let text = {
            let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
            serde_json::to_string(&*tally)?
        };
        println!("{text}");
        Ok(io::stdout().flush()?)
    }
}

/// Clients until standard input closes.
pub(crate) fn steady() -> anyhow::Result<()> {
    let common = Arc::new(Common {
        begun: Instant::now(),
        tally: Mutex::default(),
        is_over: Mutex::new(false),
        end: Condvar::new(),
    });
    let mut clients = Vec::new();
    let mut lines = io::stdin().lines();
    while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
        let (kind, address) = line.split_once(' ').context("a line is KIND ADDRESS")?;
        let (kind, address) = (kind.parse()?, address.parse().context("ADDRESS")?);
        let common = Arc::clone(&common);
        let body = move || Client::new(kind, address).run(&common);
        clients.push(thread::Builder::new().stack_size(STACK).spawn(body)?);
    }
    for line in lines {
        line?;
        common.tell()?;
    }
    common.end();
    for client in clients {
        client.join().map_err(|_panic| anyhow::anyhow!("a client has panicked"))?;
    }
    common.tell()
}

/// One client.
struct Client {
    kind: Kind,
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
    socket: Option<UdpSocket>,
    /// The pod that has answered, where it is to stay the same.
    pod: Option<String>,
}

impl Client {
    fn new(kind: Kind, address: SocketAddr) -> Self {
        Self { kind, address, stream: None, socket: None, pod: None }
    }

    fn run(mut self, common: &Common) {
        loop {
            let begun = Instant::now();
            let outcome = self.ask();
            common.note(self.kind, self.address, outcome, begun.elapsed());
            if !common.pause(self.kind.pause()) {
                return;
            }
        }
    }

    fn ask(&mut self) -> Result<(), Failure> {
        match self.kind {
            Kind::Short => self.connection().and_then(|mut stream| line(&mut stream)).map(drop),
            Kind::Affine => {
                let pod = self.connection().and_then(|mut stream| line(&mut stream))?;
                self.is_same(pod)
            }
            Kind::Long | Kind::Idle => {
                let mut stream = if let Some(stream) = self.stream.take() {
                    stream
                } else {
                    self.pod = None;
                    self.connection()?
                };
                let pod = line(&mut stream)?;
                self.stream = Some(stream);
                self.is_same(pod)
            }
            Kind::Datagram | Kind::Connected | Kind::Exchange => self.datagram().map_err(|error| {
                // what comes late must not be the next one's answer
                self.socket = None;
                Failure { reason: super::name(&error), is_reset: false }
            }),
        }
    }

    fn connection(&self) -> Result<BufReader<TcpStream>, Failure> {
        let open = || {
            let stream = TcpStream::connect_timeout(&self.address, here(LIMIT))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(here(LIMIT)))?;
            io::Result::Ok(BufReader::new(stream))
        };
        open()
            .map_err(|error| Failure { reason: format!("connect: {}", super::name(&error)), is_reset: false })
    }

    fn is_same(&mut self, pod: String) -> Result<(), Failure> {
        let before = self.pod.get_or_insert_with(|| pod.clone());
        if *before == pod {
            return Ok(());
        }
        let reason = format!("another pod: {before}, then {pod}");
        *before = pod;
        Err(Failure { reason, is_reset: false })
    }

    fn datagram(&mut self) -> io::Result<()> {
        if self.kind == Kind::Exchange {
            self.socket = None;
        }
        if self.socket.is_none() {
            let socket = UdpSocket::bind(super::any(self.address))?;
            socket.set_read_timeout(Some(here(LIMIT)))?;
            if self.kind != Kind::Datagram {
                socket.connect(self.address)?;
            }
            self.socket = Some(socket);
        }
        let socket = self.socket.as_ref().ok_or(ErrorKind::NotConnected)?;
        if self.kind == Kind::Datagram {
            socket.send_to(b"who\n", self.address)?;
        } else {
            socket.send(b"who\n")?;
        }
        let mut buffer = [0; 256];
        let (_, source) = socket.recv_from(&mut buffer)?;
        if source == self.address { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
    }
}

/// Asks on a connection; gives the pod that answers.
fn line(stream: &mut BufReader<TcpStream>) -> Result<String, Failure> {
    let mut answer = String::new();
    let outcome = stream.get_mut().write_all(b"who\n").and_then(|()| stream.read_line(&mut answer));
    let reason = match outcome {
        Ok(0) => "EOF".to_owned(),
        Ok(_) => return Ok(answer.split(' ').next().unwrap_or_default().to_owned()),
        Err(error) => super::name(&error),
    };
    Err(Failure { reason, is_reset: true })
}
