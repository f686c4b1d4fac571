//! What clients do: the [`Task`]s of their standard input, one after the other.

use std::{
    io::{self, BufRead, Read as _, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use nix::{
    poll::ppoll,
    sys::{
        epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
        time::TimeSpec,
    },
    time::{ClockId, clock_gettime},
};
use socket2::{Domain, SockAddr, Socket, Type};

use super::{
    server::SINK,
    work::{Outcome, Sample, Task, Work},
};
use crate::spread::percentile;

/// How long nothing may come of something.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many short connections there are at a time.
const AT_ONCE: usize = 16;
/// Bytes of one write of bulk.
const BULK: usize = 1 << 17;
/// The longest time of bulk, in milliseconds.
const LONGEST: u32 = 10_000;
/// Between two looks for a server that is awaited, and how long one look takes at most.
const PAUSE: Duration = Duration::from_micros(200);
const LOOK: Duration = Duration::from_millis(20);
/// How long a server is awaited.
const AWAITED: Duration = Duration::from_mins(4);

/// Does tasks until `tasks` ends, and writes an outcome after each.
pub fn perform(tasks: impl BufRead, mut outcomes: impl Write) -> anyhow::Result<()> {
    for line in tasks.lines() {
        let outcome = match line?.parse().and_then(|task| task_outcome(&task)) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Failed(format!("{error:#}")),
        };
        serde_json::to_writer(&mut outcomes, &outcome)?;
        writeln!(outcomes)?;
        outcomes.flush()?;
    }
    Ok(())
}

fn task_outcome(task: &Task) -> anyhow::Result<Outcome> {
    match task {
        Task::Work { work, amount, targets } => {
            let sample = match work {
                Work::Connect => connects(*amount, targets),
                Work::Short => short(*amount, targets),
                Work::PingPong => ping_pong(*amount, first(targets)?),
                Work::Bulk => bulk(*amount, first(targets)?),
            };
            Ok(Outcome::Done(sample.with_context(|| task.to_string())?))
        }
        Task::Await { server, target } => {
            Ok(Outcome::Answered(answered(*server, *target).with_context(|| task.to_string())?))
        }
    }
}

fn first(targets: &[SocketAddr]) -> anyhow::Result<SocketAddr> {
    targets.first().copied().context("no target")
}

/// A socket whose connection ends by a reset, and whose calls end.
fn socket(target: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

fn connects(count: u32, targets: &[SocketAddr]) -> anyhow::Result<Sample> {
    let targets: Vec<_> = targets.iter().map(|target| (*target, SockAddr::from(*target))).collect();
    let mut times = Vec::new();
    let begin = Instant::now();
    for ((target, address), _number) in targets.iter().cycle().zip(0..count) {
        let socket = socket(*target)?;
        let asked = Instant::now();
        socket.connect(address)?;
        times.push(asked.elapsed().as_secs_f64() * 1e6);
    }
    let rate = f64::from(count) / begin.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    Ok(Sample { rate, p50: percentile(&times, 50), p99: percentile(&times, 99) })
}

fn short(count: u32, targets: &[SocketAddr]) -> anyhow::Result<Sample> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut wanted = targets.iter().cycle().take(count as usize).copied();
    let mut slots: Vec<Option<Socket>> = Vec::new();
    let mut events = [EpollEvent::empty(); AT_ONCE];
    let begin = Instant::now();
    for target in wanted.by_ref().take(AT_ONCE) {
        slots.push(Some(open(&epoll, slots.len(), target)?));
    }
    let mut open_slots = slots.len();
    while open_slots > 0 {
        let ready = epoll.wait(&mut events, EpollTimeout::try_from(PATIENCE)?)?;
        ensure!(ready > 0, "no answer within {PATIENCE:?}");
        for event in &events[..ready] {
            let index = usize::try_from(event.data())?;
            let slot = slots.get_mut(index).context("an event of nobody")?;
            let socket = slot.as_ref().context("an event of a closed socket")?;
            if !exchanged(&epoll, index, socket, event.events())? {
                continue;
            }
            *slot = None;
            match wanted.next() {
                Some(target) => *slot = Some(open(&epoll, index, target)?),
                None => open_slots -= 1,
            }
        }
    }
    Ok(Sample { rate: f64::from(count) / begin.elapsed().as_secs_f64(), p50: 0.0, p99: 0.0 })
}

fn open(epoll: &Epoll, index: usize, target: SocketAddr) -> anyhow::Result<Socket> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM.nonblocking(), None)?;
    socket.set_linger(Some(Duration::ZERO))?;
    match socket.connect(&target.into()) {
        Err(error) if error.raw_os_error() != Some(nix::libc::EINPROGRESS) => return Err(error.into()),
        _ => {}
    }
    epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLOUT, u64::try_from(index)?))?;
    Ok(socket)
}

/// Takes the next step of a connection, and tells whether that was its last.
fn exchanged(epoll: &Epoll, index: usize, socket: &Socket, ready: EpollFlags) -> anyhow::Result<bool> {
    let mut stream = socket;
    if ready.contains(EpollFlags::EPOLLOUT) {
        stream.write_all(b"?")?;
        let mut answer = EpollEvent::new(EpollFlags::EPOLLIN, u64::try_from(index)?);
        epoll.modify(socket, &mut answer)?;
        return Ok(false);
    }
    stream.read_exact(&mut [0])?;
    Ok(true)
}

fn stream(target: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = socket(target)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_tcp_nodelay(true)?;
    socket.connect(&target.into())?;
    Ok(socket.into())
}

fn ping_pong(count: u32, target: SocketAddr) -> anyhow::Result<Sample> {
    let mut stream = stream(target)?;
    let begin = Instant::now();
    for _number in 0..count {
        stream.write_all(b"?")?;
        stream.read_exact(&mut [0])?;
    }
    Ok(Sample { rate: f64::from(count) / begin.elapsed().as_secs_f64(), p50: 0.0, p99: 0.0 })
}

fn bulk(milliseconds: u32, target: SocketAddr) -> anyhow::Result<Sample> {
    let mut stream = stream(target)?;
    // A reset would overtake what is on its way.
    let end = Duration::from_millis(u64::from(milliseconds.min(LONGEST)));
    let bytes = vec![SINK; BULK];
    let (begin, mut writes) = (Instant::now(), 0_u32);
    while begin.elapsed() < end {
        stream.write_all(&bytes)?;
        writes += 1;
    }
    stream.shutdown(std::net::Shutdown::Write)?;
    ensure!(stream.read(&mut [0])? == 0, "a server that was to take everything has answered");
    #[expect(clippy::cast_precision_loss, reason = "a power of two")]
    let bits = f64::from(writes) * BULK as f64 * 8.0;
    Ok(Sample { rate: bits / begin.elapsed().as_secs_f64() / 1e9, p50: 0.0, p99: 0.0 })
}

/// When the server of this number has answered.
fn answered(server: u8, target: SocketAddr) -> anyhow::Result<u64> {
    let begin = Instant::now();
    while begin.elapsed() < AWAITED {
        if look(target).is_ok_and(|number| number == server) {
            let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
            return Ok(u64::try_from(Duration::from(now).as_nanos())?);
        }
        ppoll(&mut [], Some(TimeSpec::from_duration(PAUSE)), None)?;
    }
    bail!("it has not answered within {AWAITED:?}")
}

/// Who answers; a look that takes longer than [`LOOK`] finds nobody.
fn look(target: SocketAddr) -> io::Result<u8> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    socket.set_linger(Some(Duration::ZERO))?;
    socket.connect_timeout(&target.into(), LOOK)?;
    socket.set_read_timeout(Some(LOOK))?;
    let (mut stream, mut answer) = (TcpStream::from(socket), [0]);
    stream.write_all(b"?")?;
    stream.read_exact(&mut answer)?;
    Ok(answer[0])
}

#[cfg(test)]
mod tests {
    use std::{
        net::TcpListener,
        os::unix::net::UnixStream,
        thread::{self, JoinHandle},
    };

    use super::*;
    use crate::traffic::server::serve;

    struct Served {
        address: SocketAddr,
        stop: Option<UnixStream>,
        thread: Option<JoinHandle<()>>,
    }

    impl Served {
        fn new(number: u8) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let (stop, stopped) = UnixStream::pair().unwrap();
            let thread = thread::spawn(move || serve(number, &listener, &stopped).unwrap());
            Self { address, stop: Some(stop), thread: Some(thread) }
        }
    }

    impl Drop for Served {
        fn drop(&mut self) {
            drop(self.stop.take());
            self.thread.take().into_iter().for_each(|thread| thread.join().unwrap());
        }
    }

    fn outcomes(lines: &str) -> Vec<Outcome> {
        let mut written = Vec::new();
        perform(lines.as_bytes(), &mut written).unwrap();
        let text = String::from_utf8(written).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn all_work_is_done_with_all_servers() {
        let (one, two) = (Served::new(1), Served::new(2));
        let both = format!("{},{}", one.address, two.address);
        let lines: String = Work::ALL.map(|work| format!("{} 40 {both}\n", work.name())).concat();
        let outcomes = outcomes(&lines);
        assert_eq!(outcomes.len(), Work::ALL.len());
        for (work, outcome) in Work::ALL.into_iter().zip(outcomes) {
            let Outcome::Done(sample) = outcome else { panic!("{work:?}: {outcome:?}") };
            assert!(sample.rate > 0.0, "{work:?}");
            assert_eq!(work == Work::Connect, sample.p50 > 0.0 && sample.p99 >= sample.p50, "{work:?}");
        }
    }

    #[test]
    fn who_is_awaited_answers_at_a_time_of_the_clock() {
        let before = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap()).as_nanos();
        let server = Served::new(7);
        let told = outcomes(&format!("await 7 {}\n", server.address));
        let after = Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap()).as_nanos();
        let [Outcome::Answered(at)] = told[..] else { panic!("{told:?}") };
        assert!((before..=after).contains(&u128::from(at)));
        assert_eq!(look(server.address).unwrap(), 7);
    }

    #[test]
    fn work_that_fails_is_told_and_the_next_is_done() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let nobody = listener.local_addr().unwrap();
        drop(listener);
        let server = Served::new(1);
        let address = server.address;
        let told =
            outcomes(&format!("connect 1 {nobody}\nshort 1 {nobody}\nshort 3 {address}\nrest 1 {address}\n"));
        let is_failure = |outcome: &Outcome| matches!(outcome, Outcome::Failed(_));
        assert_eq!(told.iter().map(is_failure).collect::<Vec<_>>(), [true, true, false, true], "{told:?}");
    }
}
