//! The log of an agent: whoever reads it slowly, or not at all, keeps nobody waiting.
//!
//! Standard error is most often a pipe, and a write to a full one waits for its reader. The agent has one task, which would
//! wait as well. So lines go into a queue that a thread of its own empties; those for which there is no room are lost,
//! counted, and told of in their place.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// Lines that wait for the reader at most.
const ROOM: usize = 1024;

/// How long the end of the process waits for the reader.
const FAREWELL: Duration = Duration::from_secs(1);

/// The log of this process.
static LOG: Queue = Queue::new();

/// Lines on their way.
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    lines: VecDeque<Vec<u8>>,
    /// Lines that were lost behind the last in the queue.
    lost: u64,
    lost_ever: u64,
    /// Whether a line has been taken out and not been written yet.
    is_writing: bool,
}

impl State {
    fn is_done(&self) -> bool {
        self.lines.is_empty() && self.lost == 0
    }

    /// The line that stands for those that were lost.
    fn take_lost(&mut self) -> Option<Vec<u8>> {
        let lost = std::mem::take(&mut self.lost);
        (lost > 0)
            .then(|| format!("svclb: {lost} lines of this log were lost: nobody read it\n").into_bytes())
    }
}

impl Queue {
    const fn new() -> Self {
        let state = State { lines: VecDeque::new(), lost: 0, lost_ever: 0, is_writing: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line, or counts it as lost.
    fn push(&self, line: &[u8]) {
        let mut state = self.lock();
        if state.lines.len() < ROOM {
            let lost = state.take_lost();
            state.lines.extend(lost);
            state.lines.push_back(line.to_vec());
        } else {
            state.lost += 1;
            state.lost_ever += 1;
        }
        self.changed.notify_all();
    }

    /// Waits for a line.
    fn pop(&self) -> Vec<u8> {
        let mut state = self.lock();
        state.is_writing = false;
        self.changed.notify_all();
        loop {
            if let Some(line) = state.lines.pop_front().or_else(|| state.take_lost()) {
                state.is_writing = true;
                return line;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Writes what comes, for ever.
    fn serve(&self, mut out: impl Write) {
        loop {
            let line = self.pop();
            // There is nobody left to be told if that fails.
            out.write_all(&line).ok();
        }
    }

    /// Waits until all is written, but not for long.
    fn flush(&self, patience: Duration) {
        let is_busy = |state: &mut State| state.is_writing || !state.is_done();
        // Late or not, it is over.
        drop(self.changed.wait_timeout_while(self.lock(), patience, is_busy));
    }
}

/// Where whole lines go.
#[derive(Clone, Copy, Debug)]
pub enum Out {
    /// To standard error, however long that takes: for commands that do their work and end.
    Waiting,
    /// To standard error by way of the queue.
    Queued,
}

impl Out {
    /// Begins to write lines to standard error on a thread of its own; once in a process.
    pub fn queued() -> io::Result<Self> {
        thread::Builder::new().name("log".into()).spawn(|| LOG.serve(io::stderr()))?;
        Ok(Self::Queued)
    }
}

impl Write for Out {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self {
            Self::Waiting => return io::stderr().write(line),
            Self::Queued => LOG.push(line),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Out {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        *self
    }
}

/// Waits until all lines are written, a second at most: for the end of the process.
pub fn flush() {
    LOG.flush(FAREWELL);
}

/// How many lines were lost since the process began.
pub fn lost() -> u64 {
    LOG.lock().lost_ever
}

#[cfg(test)]
mod tests {
    use std::{
        fs::File,
        io::{BufRead as _, BufReader},
        sync::Arc,
    };

    use nix::{fcntl::OFlag, unistd::pipe2};

    use super::*;

    /// Longer than a pipe has room for.
    const LONG: usize = 128 * 1024;

    #[test]
    fn lines_that_nobody_reads_are_counted_and_keep_nobody_waiting() {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
        let queue = Arc::new(Queue::new());
        thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.serve(File::from(writer))
        });
        queue.push(&[b"x".repeat(LONG), b"\n".to_vec()].concat());
        // Taken out, and stuck in the pipe.
        drop(queue.changed.wait_while(queue.lock(), |state| !state.lines.is_empty()).unwrap());
        for number in 0..ROOM + 7 {
            queue.push(format!("{number}\n").as_bytes());
        }
        queue.flush(Duration::ZERO);
        assert_eq!(queue.lock().lost_ever, 7);

        let mut lines = BufReader::new(File::from(reader)).lines().map(Result::unwrap);
        assert_eq!(lines.next().unwrap().len(), LONG);
        assert_eq!(lines.next().unwrap(), "0");
        let rest: Vec<_> = lines.by_ref().take(ROOM).collect();
        assert_eq!(rest[ROOM - 2], (ROOM - 1).to_string());
        assert_eq!(rest[ROOM - 1], "svclb: 7 lines of this log were lost: nobody read it");
        queue.push(b"later\n");
        assert_eq!(lines.next().unwrap(), "later");
        queue.flush(Duration::from_mins(1));
        let state = queue.lock();
        assert!(state.is_done() && !state.is_writing && state.lost_ever == 7);
    }
}
