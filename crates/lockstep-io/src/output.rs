//! # output: lines for stdout and stderr for which no thread waits
//!
//! The reader of a log may hang: then its pipe is full, and a write waits for ever. So a daemon puts its
//! lines into a queue, and two threads, one for each stream, write them. A line that finds the queue full is
//! dropped and counted, and the log reports the count once it is read again. A daemon that ends waits for the
//! queue only for a moment.
//!
//! ```text
//!   any thread ─ write ─▶ queue, bounded ─▶ thread ─▶ stdout or stderr
//! ```
//!
//! A program that is no daemon never calls [`hold`], and writes at once.

use super::capabilities;
use lockstep_core::engine::counters::CounterRow;
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most bytes that wait: the flight recorder as text fits twice.
const QUEUE_BYTES: usize = 2 << 20;
/// The cost of a line beside its bytes.
const LINE_COST: usize = 64;
/// The most bytes of one write.
const BATCH: usize = 64 << 10;
/// A write that takes longer waits for a reader that hangs, and is no longer waited for.
const STUCK: Duration = Duration::from_millis(400);
/// How long a daemon that ends waits for its lines to be written.
pub const FLUSH: Duration = Duration::from_millis(900);

/// The destination of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutputStream {
    /// Data.
    Out,
    /// Everything else.
    Err,
}

/// How lines of a stream are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    /// The thread that has a line writes it at once.
    Direct,
    /// Lines wait for a thread that is not started yet.
    Waiting,
    /// The thread writes them.
    Queued,
}

struct Queue {
    mode: Mode,
    lines: VecDeque<Vec<u8>>,
    /// The cost of the queued lines.
    cost: usize,
    /// The start of the thread's present write.
    writes_since: Option<Instant>,
}

impl Queue {
    /// Takes a line, unless it has no room.
    fn push(&mut self, line: &[u8]) -> bool {
        let cost = line.len() + LINE_COST;
        let fits = self.cost + cost <= QUEUE_BYTES;
        if fits {
            self.cost += cost;
            self.lines.push_back(line.to_vec());
        }
        fits
    }

    /// The oldest lines, as many as one write takes, and their number.
    fn take(&mut self) -> (Vec<u8>, u64) {
        let (mut batch, mut count) = (Vec::new(), 0);
        while let Some(line) = self.lines.front() {
            if !batch.is_empty() && batch.len() + line.len() > BATCH {
                break;
            }
            self.cost -= line.len() + LINE_COST;
            batch.extend_from_slice(line);
            count += 1;
            self.lines.pop_front();
        }
        (batch, count)
    }
}

struct Output {
    fd: libc::c_int,
    queue: Mutex<Queue>,
    /// Signals that a line was queued or written.
    changed: Condvar,
    dropped: AtomicU64,
}

impl Output {
    const fn of(fd: libc::c_int) -> Self {
        let queue = Queue { mode: Mode::Direct, lines: VecDeque::new(), cost: 0, writes_since: None };
        Self { fd, queue: Mutex::new(queue), changed: Condvar::new(), dropped: AtomicU64::new(0) }
    }

    /// A thread that panicked has left a consistent value.
    fn locked(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, line: &[u8]) {
        let mut queue = self.locked();
        if queue.mode == Mode::Direct {
            drop(queue);
            self.count_dropped(write_all(self.fd, line), 1);
            return;
        }
        let is_taken = queue.push(line);
        drop(queue);
        self.changed.notify_all();
        self.count_dropped(if is_taken { Ok(()) } else { Err(ErrorKind::WouldBlock.into()) }, 1);
    }

    fn count_dropped(&self, written: io::Result<()>, lines: u64) {
        if written.is_err() {
            self.dropped.fetch_add(lines, Ordering::Relaxed);
        }
    }

    /// Runs the writing thread.
    fn write_queued(&self) {
        let mut reported = 0;
        let mut queue = self.locked();
        loop {
            while queue.lines.is_empty() {
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            let (batch, count) = queue.take();
            queue.writes_since = Some(Instant::now());
            drop(queue);
            let written = write_all(self.fd, &batch);
            let works = written.is_ok();
            self.count_dropped(written, count);
            let dropped = self.dropped.load(Ordering::Relaxed);
            if works && dropped > reported {
                let lines = dropped - reported;
                reported = dropped;
                // The report itself goes through this queue.
                report(lines);
            }
            queue = self.locked();
            queue.writes_since = None;
            self.changed.notify_all();
        }
    }

    /// Waits until all lines are written, or until `deadline`.
    fn flush(&self, deadline: Instant) {
        let mut queue = self.locked();
        while queue.mode == Mode::Queued && (queue.writes_since.is_some() || !queue.lines.is_empty()) {
            let now = Instant::now();
            let until = queue.writes_since.map_or(deadline, |since| deadline.min(since + STUCK));
            let left = until.saturating_duration_since(now);
            if left.is_zero() {
                return;
            }
            queue = self.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Logs that lines were dropped; the counters have it in any case.
fn report(lines: u64) {
    #[cfg(feature = "tracing")]
    tracing::warn!(lines, "{lines} lines of this process were dropped: they were not read in time");
    let _ = lines; // without the feature there is no log
}

static OUTPUTS: [Output; 2] = [Output::of(libc::STDOUT_FILENO), Output::of(libc::STDERR_FILENO)];

fn output(stream: OutputStream) -> &'static Output {
    match stream {
        OutputStream::Out => &OUTPUTS[0],
        OutputStream::Err => &OUTPUTS[1],
    }
}

/// From now on lines wait for [`start`]: this process is a daemon.
pub fn hold() {
    for output in &OUTPUTS {
        let mut queue = output.locked();
        if queue.mode == Mode::Direct {
            queue.mode = Mode::Waiting;
        }
    }
}

/// Starts the threads that write the held lines, and those that follow. It does nothing in a process that has
/// not called [`hold`].
pub fn start() {
    for (output, name) in OUTPUTS.iter().zip(["lockstep-stdout", "lockstep-stderr"]) {
        let mut queue = output.locked();
        if queue.mode != Mode::Waiting {
            continue;
        }
        let thread = std::thread::Builder::new().name(name.to_owned());
        // Without a thread lines wait, and are dropped. The end of the process tries again.
        if capabilities::spawn(thread, || output.write_queued()).is_ok() {
            queue.mode = Mode::Queued;
        }
    }
}

/// Writes a line with its end, or several. In a daemon it neither waits nor fails.
pub fn write(stream: OutputStream, line: &[u8]) {
    output(stream).write(line);
}

/// Writes a line, and its end.
pub fn write_line(stream: OutputStream, text: impl fmt::Display) {
    write(stream, format!("{text}\n").as_bytes());
}

/// Waits until the lines of this process are written, for [`FLUSH`] at most. Call it at the end of the
/// process.
pub fn flush() {
    start();
    let deadline = Instant::now() + FLUSH;
    OUTPUTS.iter().for_each(|output| output.flush(deadline));
}

/// The counter of [`dropped`], which each daemon has.
pub const DROPPED_ROW: CounterRow = CounterRow::count(
    "log_lines_dropped",
    "Lines of stdout and stderr that were dropped: they were not read in time, or the stream refused them.",
);

/// Lines that were dropped: the queue was full, or the stream refused them.
pub fn dropped() -> u64 {
    OUTPUTS.iter().map(|output| output.dropped.load(Ordering::Relaxed)).sum()
}

/// Whether this stream has no reader any more: the other end of its pipe or socket is closed. A program that
/// has nothing to write learns it in no other way.
pub fn is_reader_gone(stream: OutputStream) -> bool {
    is_closed_behind(output(stream).fd)
}

fn is_closed_behind(fd: libc::c_int) -> bool {
    // An error and a hang-up are reported without a request.
    let mut entry = libc::pollfd { fd, events: 0, revents: 0 };
    // SAFETY: one entry, which lives across the call.
    let found = unsafe { libc::poll(&raw mut entry, 1, 0) };
    found > 0 && entry.revents & (libc::POLLERR | libc::POLLHUP) != 0
}

/// Stderr through this module, for a log.
#[derive(Clone, Copy, Debug, Default)]
pub struct StderrWriter;

impl io::Write for StderrWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write(OutputStream::Err, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes all bytes past the lock of std: its holder may be the thread in trouble.
fn write_all(fd: libc::c_int, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        // SAFETY: `bytes` lives across the call, which only reads it.
        let written = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
        if written > 0 {
            bytes = &bytes[written as usize..];
            continue;
        }
        let error = if written == 0 { ErrorKind::WriteZero.into() } else { io::Error::last_os_error() };
        match error.kind() {
            ErrorKind::Interrupted => {}
            // The stream was passed to this process as non-blocking: it is waited for here.
            ErrorKind::WouldBlock => {
                let mut entry = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
                // SAFETY: one entry, which lives across the call.
                unsafe { libc::poll(&raw mut entry, 1, -1) };
            }
            _ => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::{AsRawFd, IntoRawFd};

    /// An output into a pipe, for as long as the process lives, and the pipe's other end.
    fn piped() -> (&'static Output, io::PipeReader) {
        let (reader, writer) = io::pipe().expect("a pipe");
        let output: &'static Output = Box::leak(Box::new(Output::of(writer.into_raw_fd())));
        output.locked().mode = Mode::Waiting;
        (output, reader)
    }

    fn begin(output: &'static Output) {
        output.locked().mode = Mode::Queued;
        std::thread::spawn(|| output.write_queued());
    }

    #[test]
    fn lines_are_written_in_their_order_and_a_flush_waits_for_them() {
        let (output, mut reader) = piped();
        output.write(b"held\n");
        begin(output);
        (0..100).for_each(|line| output.write(format!("{line}\n").as_bytes()));
        output.flush(Instant::now() + Duration::from_secs(60));
        let expected: String =
            std::iter::once("held\n".to_owned()).chain((0..100).map(|line| format!("{line}\n"))).collect();
        let mut text = vec![0; expected.len()];
        reader.read_exact(&mut text).expect("a pipe");
        assert_eq!(
            (String::from_utf8(text).expect("text"), output.dropped.load(Ordering::Relaxed)),
            (expected, 0)
        );
    }

    #[test]
    fn nobody_waits_for_a_pipe_that_nobody_reads_and_what_is_dropped_is_counted() {
        let (output, mut reader) = piped();
        begin(output);
        let line = [b'x'; 999];
        let lines = 2 * QUEUE_BYTES / line.len();
        (0..lines).for_each(|_| output.write(&[&line[..], b"\n"].concat()));
        output.flush(Instant::now() + Duration::from_millis(1));
        let dropped = output.dropped.load(Ordering::Relaxed);
        assert!(dropped > 0 && dropped < lines as u64, "{dropped} of {lines}");
        // The pipe is read again: the waiting lines are written.
        let rest = (lines as u64 - dropped) as usize * (line.len() + 1);
        let mut text = vec![0; rest];
        reader.read_exact(&mut text).expect("a pipe");
        output.flush(Instant::now() + Duration::from_secs(60));
        assert_eq!(output.locked().cost, 0);
    }

    #[test]
    fn the_end_of_a_reader_is_seen_without_a_write() {
        let (reader, writer) = io::pipe().expect("a pipe");
        assert!(!is_closed_behind(writer.as_raw_fd()));
        drop(reader);
        assert!(is_closed_behind(writer.as_raw_fd()));
        let (one, other) = std::os::unix::net::UnixStream::pair().expect("sockets");
        assert!(!is_closed_behind(one.as_raw_fd()));
        drop(other);
        assert!(is_closed_behind(one.as_raw_fd()));
        let file = tempfile::tempfile().expect("a file");
        let null = std::fs::File::options().write(true).open("/dev/null").expect("it is there");
        assert!(!is_closed_behind(file.as_raw_fd()) && !is_closed_behind(null.as_raw_fd()));
    }

    #[test]
    fn a_stream_that_is_closed_or_full_or_does_not_wait_fails_nobody() {
        let (output, reader) = piped();
        begin(output);
        drop(reader);
        output.write(b"nobody\n");
        output.flush(Instant::now() + Duration::from_secs(60));
        assert_eq!(output.dropped.load(Ordering::Relaxed), 1);

        let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
        assert!(write_all(full.as_raw_fd(), b"x").is_err());
        assert!(write_all(-1, b"x").is_err(), "closed");

        let (mut reader, writer) = io::pipe().expect("a pipe");
        // SAFETY: the descriptor is open, and the call has no pointers.
        assert_eq!(unsafe { libc::fcntl(writer.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) }, 0);
        let long = vec![b'x'; 1 << 20];
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| write_all(writer.as_raw_fd(), &long));
            let mut text = vec![0; long.len()];
            reader.read_exact(&mut text).expect("a pipe");
            writing.join().expect("no panic").expect("it waits by itself");
        });
    }
}
