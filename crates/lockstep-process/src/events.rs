//! # events: events, recorded without blocking
//!
//! A formatted log line costs the hot thread as much as ten messages. So it pushes 48 bytes: a code and
//! some numbers, into two places. A bounded queue leads to a side thread that makes the text and hands it
//! to `tracing`; when it is full the event is lost there, counted, and the loss is logged. A
//! [ring](lockstep_io::event_ring) always retains the newest: the flight recorder. It is a mapped file that
//! outlives the process, answers queries, and is printed on a panic and on SIGUSR1.
//!
//! ```text
//!                  ┌─▶ queue ──▶ side thread ──▶ tracing (text or JSON, on stderr)
//!   record(event) ─┤
//!                  └─▶ ring  ──▶ file, pages of queries, dump: panic, SIGUSR1
//! ```

use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;
use lockstep_io::clock::{Clock, Utc};
use lockstep_io::event_ring::{EventPage, EventRing};
use lockstep_io::output::{self, OutputStream};
use lockstep_io::{IoError, capabilities};
use lockstep_wire::{EventRecord, EventRow, Nanos};
use signal_hook::{SigId, consts::SIGUSR1};
use std::fmt::{self, Write as _};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;
use tracing::Level;

/// The code under which the side thread itself reports that events were lost.
pub const LOST_CODE: u16 = 1;
/// How long the side thread sleeps when there is nothing to format. It is not woken: that would be a system
/// call of the hot thread.
const DRAIN_PAUSE: Duration = Duration::from_millis(50);
/// After so many of these pauses the side thread takes the offset of the wall time again: each second.
const PAUSES_PER_OFFSET: u64 = 20;

/// Codes of events that come in bursts, one for each gap: the flight recorder has all, and the log few.
const BURSTS: [u16; 1] = [1202];
/// So many of a code have a line, ...
const BURST_LINES: u64 = 16;
/// ... in this time; then one line has the count of the others.
const BURST_NS: Nanos = 10_000_000_000;

/// Which events of a code that comes in bursts have a line.
#[derive(Clone, Copy, Default)]
struct Burst {
    since: Nanos,
    seen: u64,
}

impl Burst {
    /// An event at `now`: whether it has a line, and how many before it had none.
    fn on_event(&mut self, now: Nanos) -> (bool, u64) {
        let left_out = self.end(now);
        if self.seen == 0 {
            self.since = now;
        }
        self.seen += 1;
        (self.seen <= BURST_LINES, left_out)
    }

    /// How many had no line, once their time is over.
    fn end(&mut self, now: Nanos) -> u64 {
        if self.seen == 0 || now < self.since.saturating_add(BURST_NS) {
            return 0;
        }
        std::mem::take(&mut self.seen).saturating_sub(BURST_LINES)
    }
}

/// The meaning of a code: its severity, and its text.
#[derive(Clone, Copy)]
pub struct EventKind {
    /// The stable number.
    pub code: u16,
    /// The level of its log line.
    pub level: Level,
    /// Writes its text, from the event's numbers.
    pub format: fn(&EventRecord, &mut fmt::Formatter<'_>) -> fmt::Result,
}

/// An event with its kind: prints as text. An event of an unknown kind prints as its numbers.
pub struct EventText<'a> {
    event: &'a EventRecord,
    kind: Option<&'a EventKind>,
}

impl<'a> EventText<'a> {
    /// The text of an event by the kinds of its process.
    pub fn new(kinds: &'a [EventKind], event: &'a EventRecord) -> Self {
        Self { event, kind: kinds.iter().find(|kind| kind.code == event.code) }
    }

    /// The level of its log line.
    pub fn level(&self) -> Level {
        self.kind.map_or(Level::WARN, |kind| kind.level)
    }

    /// Its code, which prints as `LS1001`.
    pub fn code(&self) -> EventCode {
        EventCode(self.event.code)
    }
}

impl fmt::Display for EventText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Some(kind) => (kind.format)(self.event, f),
            None => {
                let EventRecord { a, b, c, d, small, e, .. } = self.event;
                write!(f, "an event without text: a={a} b={b} c={c} d={d} e={e} small={small}")
            }
        }
    }
}

struct Shared {
    kinds: &'static [EventKind],
    queue: ArrayQueue<EventRecord>,
    lost: CachePadded<AtomicU64>,
    /// Wall time less monotonic time.
    offset: CachePadded<AtomicU64>,
    /// The ring until there is a file.
    memory: EventRing,
    file: OnceLock<EventRing>,
}

impl Shared {
    #[inline]
    fn ring(&self) -> &EventRing {
        self.file.get().unwrap_or(&self.memory)
    }
}

/// Where events are pushed. Clones share one queue and one ring; any thread may push and read.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

impl Recorder {
    /// A recorder with the codes `kinds`, and room for `queue_events` not yet formatted.
    pub fn new(kinds: &'static [EventKind], queue_events: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                kinds,
                queue: ArrayQueue::new(queue_events.max(1)),
                lost: CachePadded::default(),
                offset: CachePadded::new(AtomicU64::new(Clock::start().wall(0))),
                memory: EventRing::in_memory(),
                file: OnceLock::new(),
            }),
        }
    }

    /// From now on the ring is the file at `path`, which others may read while this process runs and
    /// afterwards. It begins with the events so far. Only one thread may record meanwhile.
    ///
    /// # Errors
    /// The file cannot be made, or there is one already.
    pub fn store_in(&self, path: &Path) -> Result<(), IoError> {
        let ring = EventRing::create(path)?;
        for row in self.shared.memory.rows() {
            ring.record(row.wall, &row.record);
        }
        self.shared.file.set(ring).map_err(|_| {
            let doing = format!("make the file of events {}", path.display());
            IoError::because(doing, ErrorKind::AlreadyExists, "this process has one already")
        })
    }

    /// Records `event`: no system call, no lock, no allocation.
    #[inline]
    pub fn record(&self, event: EventRecord) {
        let shared = &*self.shared;
        shared.ring().record(event.at.wrapping_add(shared.offset.load(Ordering::Relaxed)), &event);
        if shared.queue.push(event).is_err() {
            shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many events found the queue full, and so have no log line.
    pub fn dropped(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// The newest events, oldest first, at most
    /// [`RING_EVENTS`](lockstep_io::event_ring::RING_EVENTS); an event that is being written is left out.
    pub fn recent(&self) -> Vec<EventRow> {
        self.shared.ring().rows()
    }

    /// The newest events below a number, as [`EventRing::page`].
    pub fn page(&self, before: u64, rows: &mut [EventRow]) -> EventPage {
        self.shared.ring().page(before, rows)
    }

    /// The flight recorder as text, one line per event, oldest first. Times are wall times, as the log's own:
    /// an event's log line stands up to the pause of that thread behind it, and has the same `at_ns`.
    pub fn recent_text(&self) -> String {
        let events = self.recent();
        let mut text = format!("flight recorder: the last {} events, newest at the end\n", events.len());
        for EventRow { wall, record, .. } in &events {
            let described = EventText::new(self.shared.kinds, record);
            let (at, level, code, at_ns) = (Utc(*wall), described.level(), described.code(), record.at);
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{at} {level:>5} {described} code={code} at_ns={at_ns}");
        }
        text
    }

    /// Prints the flight recorder on stderr. It does not wait for a slow reader.
    pub fn dump(&self) {
        let text = self.recent_text();
        text.split_inclusive('\n').for_each(|line| output::write(OutputStream::Err, line.as_bytes()));
    }

    /// Dumps on each panic of this process, before the hook that is in place.
    pub fn dump_on_panic(&self) {
        let (recorder, hook) = (self.clone(), std::panic::take_hook());
        std::panic::set_hook(Box::new(move |panic| {
            recorder.dump();
            hook(panic);
        }));
    }

    /// Ends the process on a panic of the thread for which `is_last` is true, after a dump: no destructor
    /// runs, and no backtrace is made, which takes longer than all the rest. `is_last` is called first of
    /// all, and may notify others. A panic of any other thread goes to the hook that is in place.
    pub fn abort_on_panic(&self, is_last: impl Fn() -> bool + Send + Sync + 'static) {
        let (recorder, hook) = (self.clone(), std::panic::take_hook());
        std::panic::set_hook(Box::new(move |panic| {
            if !is_last() {
                return hook(panic);
            }
            recorder.dump();
            output::write_line(OutputStream::Err, panic);
            output::flush();
            std::process::abort();
        }));
    }

    /// Starts the side thread: it formats queued events, and dumps on SIGUSR1.
    ///
    /// # Errors
    /// The thread or the signal's handler cannot be made.
    pub fn start_log(&self) -> Result<EventLog, IoError> {
        let dump_asked = Arc::new(AtomicBool::new(false));
        let signal = signal_hook::flag::register(SIGUSR1, Arc::clone(&dump_asked))
            .map_err(|error| IoError::new("listen to SIGUSR1", error))?;
        let (recorder, stop) = (self.clone(), Arc::new(AtomicBool::new(false)));
        let mut log = EventLog { stop: Arc::clone(&stop), signal, thread: None };
        let work = move || recorder.format_until(&stop, &dump_asked);
        let thread = capabilities::spawn(std::thread::Builder::new().name("lockstep-log".into()), work);
        log.thread =
            Some(thread.map_err(|error| IoError::new("start the thread that formats the log", error))?);
        Ok(log)
    }

    /// The side thread. Events that were recorded before `stop` was set are still formatted.
    fn format_until(&self, stop: &AtomicBool, dump_asked: &AtomicBool) {
        let (mut lost_reported, mut bursts) = (0, [Burst::default(); BURSTS.len()]);
        let clock = Clock::start();
        for pause in 1_u64.. {
            let last = stop.load(Ordering::Acquire);
            while let Some(event) = self.shared.queue.pop() {
                self.log_unless_burst(&event, &mut bursts);
            }
            for (code, burst) in BURSTS.iter().zip(&mut bursts) {
                let now = if last { Nanos::MAX } else { clock.now() };
                log_left_out(*code, burst.end(now));
            }
            let lost = self.dropped();
            if lost > lost_reported {
                let more = lost - lost_reported;
                tracing::warn!(code = %EventCode(LOST_CODE), "{more} events were lost: the queue was full");
                lost_reported = lost;
            }
            if dump_asked.swap(false, Ordering::Relaxed) {
                self.dump();
            }
            if last {
                return;
            }
            if pause.is_multiple_of(PAUSES_PER_OFFSET) {
                self.shared.offset.store(Clock::start().wall(0), Ordering::Relaxed);
            }
            std::thread::sleep(DRAIN_PAUSE);
        }
    }

    fn log_unless_burst(&self, event: &EventRecord, bursts: &mut [Burst]) {
        let place = BURSTS.iter().position(|code| *code == event.code);
        let (has_line, left_out) = place.map_or((true, 0), |place| bursts[place].on_event(event.at));
        log_left_out(event.code, left_out);
        if has_line {
            self.log(event);
        }
    }

    /// Hands one event to `tracing`, whose levels are constants of each place.
    fn log(&self, event: &EventRecord) {
        let text = EventText::new(self.shared.kinds, event);
        let (code, at_ns) = (text.code(), event.at);
        match text.level() {
            Level::ERROR => tracing::error!(%code, at_ns, "{text}"),
            Level::WARN => tracing::warn!(%code, at_ns, "{text}"),
            Level::INFO => tracing::info!(%code, at_ns, "{text}"),
            Level::DEBUG => tracing::debug!(%code, at_ns, "{text}"),
            Level::TRACE => tracing::trace!(%code, at_ns, "{text}"),
        }
    }
}

fn log_left_out(code: u16, count: u64) {
    if count > 0 {
        let code = EventCode(code);
        tracing::info!(%code, "{count} more of these in 10 s have no line here; `lockstep events --code {code}` has them");
    }
}

/// Prints as `LS1001`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventCode(pub u16);

impl fmt::Display for EventCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LS{:04}", self.0)
    }
}

/// The side thread's handle. Dropping it formats the queued events and ends the thread.
pub struct EventLog {
    stop: Arc<AtomicBool>,
    signal: SigId,
    thread: Option<JoinHandle<()>>,
}

impl Drop for EventLog {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // a panic there has been printed
        }
        signal_hook::low_level::unregister(self.signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_has_few_lines_and_one_with_the_count_of_the_others() {
        let mut burst = Burst::default();
        let ms = |at: u64| at * 1_000_000;
        let lines = (0..3_000).filter(|at| burst.on_event(ms(*at)).0).count();
        assert_eq!((lines as u64, burst.end(ms(9_999))), (BURST_LINES, 0));
        assert_eq!(burst.end(ms(10_000)), 3_000 - BURST_LINES);
        assert_eq!(burst.end(ms(30_000)), 0, "once");
        // The next one begins anew, also where nothing looked in between.
        assert_eq!(burst.on_event(ms(40_000)), (true, 0));
        (0..99).for_each(|_| _ = burst.on_event(ms(40_000)));
        assert_eq!(burst.on_event(ms(60_000)), (true, 100 - BURST_LINES));
        assert_eq!(burst.end(Nanos::MAX), 0);
    }
}
