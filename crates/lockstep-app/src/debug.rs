//! The debugger of a machine, over the committed stream of a cluster or over a journal's folder: its
//! recordings, and how it is requested.

mod journal;

use crate::error::AppError;
use crate::settings::AppSettings;
use crate::terminal::Terminal;
use journal::JournalRecording;
use lockstep_client::{Cursor, Delivery, Endpoint, Start, Subscriber, SubscriberEvent};
use lockstep_machine::{Debugger, MachineFault, Recording, Seq, StateMachine};
use std::fs;
use std::io::{IsTerminal, stdin, stdout};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// If this variable of the environment is set and not empty, [`run`](crate::run) opens the debugger instead
/// of a replica. If its value contains a `/`, it is the folder of a journal, which [`debug`] reads instead of
/// a cluster.
pub const DEBUG_VARIABLE: &str = "LOCKSTEP_DEBUG";
/// The path of a file into which [`run`](crate::run) writes the machine's name, so that `lockstep dev` knows
/// that the program has a machine, and that [`DEBUG_VARIABLE`] has an effect.
pub const MACHINE_FILE_VARIABLE: &str = "LOCKSTEP_MACHINE_FILE";

/// The pause between two polls.
const PAUSE: Duration = Duration::from_millis(1);
/// How long the stream may be silent before its end is known.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether the environment requests the debugger: see [`DEBUG_VARIABLE`].
pub fn debug_is_asked() -> bool {
    std::env::var_os(DEBUG_VARIABLE).is_some_and(|value| !value.is_empty())
}

/// Writes the machine's name if the environment requests it: see [`MACHINE_FILE_VARIABLE`].
pub fn note_machine(settings: &AppSettings) {
    if let Some(path) = std::env::var_os(MACHINE_FILE_VARIABLE)
        && let Err(error) = fs::write(&path, &settings.name)
    {
        tracing::warn!("{MACHINE_FILE_VARIABLE}, {}: {error}", PathBuf::from(path).display());
    }
}

/// The folder of the journal that the environment names: see [`DEBUG_VARIABLE`].
fn journal_asked_for() -> Option<PathBuf> {
    let value = std::env::var_os(DEBUG_VARIABLE)?;
    value.as_bytes().contains(&b'/').then(|| value.into())
}

/// Opens a terminal on stdin and stdout that steps the machine along the committed stream, forward and
/// back, from its beginning. `h` lists its commands. It publishes nothing, and opens no name. It ends with
/// stdin, or by the command `x`. The stream is that of the cluster, or of the journal that
/// [`DEBUG_VARIABLE`] names.
///
/// # Errors
/// The stream cannot be read from its beginning, or stdin or stdout fails.
pub fn debug<M: StateMachine>(
    endpoint: &Endpoint,
    settings: &AppSettings,
    new: impl Fn() -> M + 'static,
) -> Result<(), AppError> {
    match journal_asked_for() {
        Some(folder) => step_along(JournalRecording::open(&folder)?, settings, new),
        None => step_along(ClusterRecording::new(endpoint)?, settings, new),
    }
}

fn step_along<M: StateMachine>(
    recording: impl Recording,
    settings: &AppSettings,
    new: impl Fn() -> M + 'static,
) -> Result<(), AppError> {
    let debugger = Debugger::new(settings.machine(), recording, new)?;
    let prompts = stdin().is_terminal();
    let done = Terminal::new(debugger, stdin().lock(), stdout().lock(), prompts).run();
    done.map_err(|error| MachineFault::Stream(format!("the debugger's terminal ends: {error}")).into())
}

/// The committed stream of a cluster, as its journals replay it.
struct ClusterRecording {
    endpoint: Endpoint,
    subscriber: Subscriber,
    /// Whether the stream was read once up to its end at that time.
    is_caught_up: bool,
}

impl ClusterRecording {
    fn new(endpoint: &Endpoint) -> Result<Self, AppError> {
        let subscriber = Subscriber::connect(endpoint, Delivery::Committed, Start::From(1))?;
        Ok(Self { endpoint: endpoint.clone(), subscriber, is_caught_up: false })
    }
}

impl Recording for ClusterRecording {
    fn begin(&mut self, from: Option<&Cursor>) -> Result<(), MachineFault> {
        let start = from.map_or(Start::From(1), |cursor| Start::Cursor(*cursor));
        let connected = Subscriber::connect(&self.endpoint, Delivery::Committed, start);
        self.subscriber = connected.map_err(|error| MachineFault::Stream(error.to_string()))?;
        self.is_caught_up = false;
        Ok(())
    }

    fn next(&mut self, show: &mut dyn FnMut(&SubscriberEvent<'_>)) -> Result<bool, MachineFault> {
        let Self { subscriber, is_caught_up, .. } = self;
        let began = Instant::now();
        loop {
            let (mut has_entry, mut fault) = (false, None);
            subscriber.poll(1, |event| {
                match event {
                    SubscriberEvent::CaughtUp { .. } => *is_caught_up = true,
                    SubscriberEvent::Abandoned { .. }
                    | SubscriberEvent::Refused { .. }
                    | SubscriberEvent::HistoryLost { .. } => fault = Some(unreadable(&event)),
                    _ => {}
                }
                show(&event);
                has_entry |= event.seq().is_some();
                if has_entry { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            if let Some(fault) = fault {
                return Err(fault);
            }
            if has_entry {
                return Ok(true);
            }
            if *is_caught_up && subscriber.deliver_next() >= subscriber.commit_next() {
                return Ok(false);
            }
            if began.elapsed() > PATIENCE {
                let next = subscriber.deliver_next();
                return Err(MachineFault::Stream(format!(
                    "nothing arrives after seq {next}, and the stream's end is not known: does the cluster \
                     have a leader?"
                )));
            }
            subscriber.wait(PAUSE).map_err(|error| MachineFault::Stream(error.to_string()))?;
        }
    }

    fn place(&self) -> Option<(Cursor, Seq)> {
        Some((self.subscriber.cursor()?, self.subscriber.deliver_next()))
    }
}

fn unreadable(event: &SubscriberEvent<'_>) -> MachineFault {
    MachineFault::Stream(format!(
        "the stream cannot be read from its beginning, which a debugger needs ({event:?}): read from a cluster or an \
         archiver that has it"
    ))
}
