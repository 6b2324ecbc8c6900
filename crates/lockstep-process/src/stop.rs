//! How a process is asked to stop: SIGTERM or SIGINT once, and once more to end it at once.
//!
//! An operator who stops a process often asks twice at once: `timeout` and supervisors signal the process
//! and its group. So a second request counts only when it comes a second after the first; it ends the
//! process where it is, and reports what that skips.

use lockstep_io::output::{self, OutputStream};
use lockstep_io::{IoError, capabilities};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// A request that comes sooner after the first one counts as the first one.
pub const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The message about the work that an immediate end skips.
type Skips = Box<dyn Fn() -> String + Send>;

/// The meaning of a request to stop, by its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Requests {
    first: Option<Duration>,
}

/// The reaction to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Meaning {
    /// Stop in order.
    Stop,
    /// Nothing: the first one came just now.
    Same,
    /// End at once.
    End,
}

impl Requests {
    /// A request arrives at `now`, measured from some beginning.
    fn on_request(&mut self, now: Duration) -> Meaning {
        match self.first {
            None => {
                self.first = Some(now);
                Meaning::Stop
            }
            Some(first) if now < first + AGAIN_AFTER => Meaning::Same,
            Some(_) => Meaning::End,
        }
    }
}

/// The flag of this process, once it listens to requests.
static OF_PROCESS: OnceLock<Arc<AtomicBool>> = OnceLock::new();
/// This process ends for a cause that it cannot mend.
static HAS_CAUSE: AtomicBool = AtomicBool::new(false);
/// The time that an orderly end for a cause has.
const CAUSE_PATIENCE: Duration = Duration::from_secs(3);

/// Ends this process with exit code 1, for a cause that was logged and that only a start mends: in order
/// where it listens to requests to stop, and at once where it does not, or takes too long.
pub fn end_for_cause() {
    HAS_CAUSE.store(true, Ordering::Release);
    let Some(asked) = OF_PROCESS.get() else { low_level::exit(1) };
    asked.store(true, Ordering::Release);
    // On a thread of its own: the caller may hold what an orderly end waits for.
    let wait = || {
        std::thread::sleep(CAUSE_PATIENCE);
        low_level::exit(1)
    };
    if capabilities::spawn(std::thread::Builder::new().name("lockstep-end".into()), wait).is_err() {
        low_level::exit(1);
    }
}

/// The exit code of a process whose command has ended with `code`.
pub fn exit_code(code: u8) -> u8 {
    if code == 0 && HAS_CAUSE.load(Ordering::Acquire) { 1 } else { code }
}

/// Whether this process was asked to stop.
#[derive(Clone)]
pub struct Stop {
    asked: Arc<AtomicBool>,
    skips: Arc<Mutex<Option<Skips>>>,
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl Stop {
    /// Listens to SIGTERM and SIGINT from now on, on a thread of its own. A second request ends the process
    /// with 128 and the signal's number, as in a shell.
    ///
    /// # Errors
    /// No handler could be installed, or no thread started.
    pub fn by_signals() -> Result<Self, IoError> {
        let stop = Self { asked: Arc::default(), skips: Arc::default() };
        let mut signals =
            Signals::new([SIGTERM, SIGINT]).map_err(|e| IoError::new("listen to SIGTERM and SIGINT", e))?;
        let listening = stop.clone();
        let listen = move || {
            let (begun, mut requests) = (Instant::now(), Requests::default());
            for signal in signals.forever() {
                match requests.on_request(begun.elapsed()) {
                    Meaning::Stop => listening.asked.store(true, Ordering::Release),
                    Meaning::Same => {}
                    Meaning::End => listening.end(signal),
                }
            }
        };
        let thread = capabilities::spawn(std::thread::Builder::new().name("lockstep-stop".into()), listen);
        thread.map_err(|e| IoError::new("starting the thread that listens to signals", e))?;
        let _first = OF_PROCESS.set(Arc::clone(stop.flag()));
        Ok(stop)
    }

    /// Set once it was asked; others may set it too.
    pub fn flag(&self) -> &Arc<AtomicBool> {
        &self.asked
    }

    /// From now on a process that ends at once prints this text about the work that this skips.
    pub fn skips(&self, words: impl Fn() -> String + Send + 'static) {
        *self.skips.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(words));
    }

    fn end(&self, signal: i32) {
        let name = if signal == SIGTERM { "SIGTERM" } else { "SIGINT" };
        let skips = self.skips.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped =
            skips.as_ref().map_or_else(|| "nothing that is stored is harmed".to_string(), |words| words());
        // A log line where there is a log, and only there.
        if tracing::event_enabled!(tracing::Level::WARN) {
            tracing::warn!("a second {name}: this process ends at once; {skipped}");
        } else {
            let text = format_args!("lockstep: a second {name}: this process ends at once; {skipped}");
            output::write_line(OutputStream::Err, text);
        }
        output::flush();
        low_level::exit(128 + signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_request_that_comes_a_second_behind_the_first_is_a_second_one() {
        let ms = Duration::from_millis;
        for first in [0, 7, 5_000] {
            let mut requests = Requests::default();
            assert_eq!(requests.on_request(ms(first)), Meaning::Stop);
            for soon in [0, 1, 500, 999] {
                assert_eq!(requests.on_request(ms(first + soon)), Meaning::Same, "{soon} ms");
            }
            assert_eq!(requests.on_request(ms(first + 1_000)), Meaning::End);
        }
    }
}
