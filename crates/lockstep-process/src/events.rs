//! # events: events, recorded without blocking
//!
//! A formatted log line costs the hot thread as much as ten messages. So it pushes 48 bytes: a code and
//! some numbers, into two places. A bounded queue leads to a side thread that makes the text and hands it
//! to `tracing`; when it is full the event is lost there, counted, and the loss is logged. A ring always
//! retains the newest [`RING_EVENTS`]: the flight recorder, printed on a panic and on SIGUSR1, when the
//! last events matter and the process cannot be queried.
//!
//! ```text
//!                  ┌─▶ queue ──▶ side thread ──▶ tracing (text or JSON, on stderr)
//!   record(event) ─┤
//!                  └─▶ ring  ──▶ dump: panic, SIGUSR1
//! ```
//!
//! A slot of the ring carries a version: odd while it is written, and twice the number of its event
//! afterwards. A reader of a slot reads the version before and after, and so knows whether the event is
//! whole.

use bytemuck::{Pod, Zeroable};
use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;
use lockstep_io::clock::{Clock, Utc};
use lockstep_io::{IoError, capabilities};
use lockstep_wire::Nanos;
use signal_hook::{SigId, consts::SIGUSR1};
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::thread::JoinHandle;
use std::time::Duration;
use tracing::Level;

/// Events that the flight recorder retains; a power of two.
pub const RING_EVENTS: usize = 4096;
/// The code under which the side thread itself reports that events were lost.
pub const LOST_CODE: u16 = 1;
/// How long the side thread sleeps when there is nothing to format. It is not woken: that would be a system
/// call of the hot thread.
const DRAIN_PAUSE: Duration = Duration::from_millis(50);
/// 64-bit words of an [`EventRecord`].
const WORDS: usize = size_of::<EventRecord>() / 8;

/// An event. The code determines the meaning of the numbers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct EventRecord {
    /// When, by the monotonic clock.
    pub at: Nanos,
    /// First number.
    pub a: u64,
    /// Second number.
    pub b: u64,
    /// Third number.
    pub c: u64,
    /// Fourth number.
    pub d: u64,
    /// What: `1001` is printed as `LS1001`.
    pub code: u16,
    /// A small number, e.g. of a role or a reason.
    pub small: u16,
    /// A fifth number, e.g. of a replica.
    pub e: u32,
}

const _: () = assert!(size_of::<EventRecord>() == 48 && align_of::<EventRecord>() == 8);

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

/// An event with its kind: prints as text. Without a kind it prints as its numbers.
struct Text<'a>(&'a EventRecord, Option<&'a EventKind>);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Text(event, kind) = self;
        match kind {
            Some(kind) => (kind.format)(event, f),
            None => {
                let EventRecord { a, b, c, d, small, e, .. } = event;
                write!(f, "an event without text: a={a} b={b} c={c} d={d} e={e} small={small}")
            }
        }
    }
}

/// One place of the ring.
#[derive(Default)]
struct Slot {
    version: AtomicU64,
    words: [AtomicU64; WORDS],
}

struct Shared {
    kinds: &'static [EventKind],
    queue: ArrayQueue<EventRecord>,
    lost: CachePadded<AtomicU64>,
    /// Number of the next event.
    head: CachePadded<AtomicU64>,
    ring: Box<[Slot]>,
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
                head: CachePadded::default(),
                ring: (0..RING_EVENTS).map(|_| Slot::default()).collect(),
            }),
        }
    }

    /// Records `event`: no system call, no lock, no allocation.
    #[inline]
    pub fn record(&self, event: EventRecord) {
        let shared = &*self.shared;
        let number = shared.head.fetch_add(1, Ordering::Relaxed);
        shared.ring[number as usize % RING_EVENTS].write(number, &event);
        if shared.queue.push(event).is_err() {
            shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many events found the queue full, and so have no log line.
    pub fn dropped(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// The newest events, oldest first, at most [`RING_EVENTS`]; an event that is being written is left
    /// out.
    pub fn recent(&self) -> Vec<EventRecord> {
        let head = self.shared.head.load(Ordering::Acquire);
        let numbers = head.saturating_sub(RING_EVENTS as u64)..head;
        numbers.filter_map(|number| self.shared.ring[number as usize % RING_EVENTS].read(number)).collect()
    }

    /// The flight recorder as text, one line per event, oldest first. Times are wall times, as the log's own:
    /// an event's log line stands up to the pause of that thread behind it, and has the same `at_ns`.
    pub fn recent_text(&self) -> String {
        let (events, clock) = (self.recent(), Clock::start());
        let mut text = format!("flight recorder: the last {} events, newest at the end\n", events.len());
        for event in &events {
            let kind = self.kind(event.code);
            let level = kind.map_or(Level::WARN, |kind| kind.level);
            // Writing into a string cannot fail.
            let (at, at_ns, code) = (Utc(clock.wall(event.at)), event.at, Code(event.code));
            let _ = writeln!(text, "{at} {level:>5} {} code={code} at_ns={at_ns}", Text(event, kind));
        }
        text
    }

    /// Prints the flight recorder on stderr, past std's lock: its holder may be the thread in trouble.
    pub fn dump(&self) {
        write_stderr(&self.recent_text());
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
            write_stderr(&format!("{panic}\n"));
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
        let mut lost_reported = 0;
        loop {
            let last = stop.load(Ordering::Acquire);
            while let Some(event) = self.shared.queue.pop() {
                self.log(&event);
            }
            let lost = self.dropped();
            if lost > lost_reported {
                let more = lost - lost_reported;
                tracing::warn!(code = %Code(LOST_CODE), "{more} events were lost: the queue was full");
                lost_reported = lost;
            }
            if dump_asked.swap(false, Ordering::Relaxed) {
                self.dump();
            }
            if last {
                return;
            }
            std::thread::sleep(DRAIN_PAUSE);
        }
    }

    /// Hands one event to `tracing`, whose levels are constants of each place.
    fn log(&self, event: &EventRecord) {
        let kind = self.kind(event.code);
        let (code, at_ns, text) = (Code(event.code), event.at, Text(event, kind));
        match kind.map_or(Level::WARN, |kind| kind.level) {
            Level::ERROR => tracing::error!(%code, at_ns, "{text}"),
            Level::WARN => tracing::warn!(%code, at_ns, "{text}"),
            Level::INFO => tracing::info!(%code, at_ns, "{text}"),
            Level::DEBUG => tracing::debug!(%code, at_ns, "{text}"),
            Level::TRACE => tracing::trace!(%code, at_ns, "{text}"),
        }
    }

    fn kind(&self, code: u16) -> Option<&'static EventKind> {
        self.shared.kinds.iter().find(|kind| kind.code == code)
    }
}

/// Past std's lock.
fn write_stderr(text: &str) {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        // SAFETY: `rest` lives across the call, which only reads it.
        let written = unsafe { libc::write(libc::STDERR_FILENO, rest.as_ptr().cast(), rest.len()) };
        match written {
            1.. => rest = &rest[written as usize..],
            _ if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {}
            _ => return, // nobody is there to read it
        }
    }
}

/// Prints as `LS1001`.
struct Code(u16);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LS{:04}", self.0)
    }
}

impl Slot {
    /// Writes event `number`, unless another thread is in this slot still: then that one, a whole ring
    /// older, stays, as waiting for it is out of the question.
    fn write(&self, number: u64, event: &EventRecord) {
        let before = self.version.load(Ordering::Relaxed);
        let (writing, written) = (2 * number + 1, 2 * number + 2);
        let free = before.is_multiple_of(2) && before < writing;
        if !free
            || self.version.compare_exchange(before, writing, Ordering::Acquire, Ordering::Relaxed).is_err()
        {
            return;
        }
        fence(Ordering::Release); // no word before the odd version
        let words: [u64; WORDS] = bytemuck::cast(*event);
        for (to, word) in self.words.iter().zip(words) {
            to.store(word, Ordering::Relaxed);
        }
        self.version.store(written, Ordering::Release);
    }

    /// Event `number`, if the slot holds it whole.
    fn read(&self, number: u64) -> Option<EventRecord> {
        let written = 2 * number + 2;
        if self.version.load(Ordering::Acquire) != written {
            return None;
        }
        let words: [u64; WORDS] = std::array::from_fn(|index| self.words[index].load(Ordering::Relaxed));
        fence(Ordering::Acquire); // no word after the second look
        (self.version.load(Ordering::Relaxed) == written).then(|| bytemuck::cast(words))
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
