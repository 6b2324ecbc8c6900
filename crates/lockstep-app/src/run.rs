//! The loop over a replica, for a program that has no other.

use crate::app::App;
use crate::debug::{debug, debug_is_asked, note_machine};
use crate::error::AppError;
use crate::pace::Pace;
use crate::reading::Source;
use crate::settings::AppSettings;
use crate::words::print_without_a_logger;
use lockstep_client::Endpoint;
use lockstep_machine::StateMachine;
use lockstep_process::stop::Stop;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Runs a replica of an application until SIGTERM or SIGINT. If the program has installed no subscriber of
/// `tracing`, its lines go to stderr: where it begins, when it has read the stream up to its end, snapshots.
/// If the environment has [`DEBUG_VARIABLE`](crate::DEBUG_VARIABLE), it opens [`debug`](crate::debug())
/// instead.
///
/// # Errors
/// As [`App::connect`] and [`App::turn`].
pub fn run<M: StateMachine>(
    endpoint: &Endpoint,
    settings: AppSettings,
    new: impl Fn() -> M + 'static,
) -> Result<(), AppError> {
    print_without_a_logger();
    if debug_is_asked() {
        return debug(endpoint, &settings, new);
    }
    run_on((endpoint, Source::Stream), settings, new)
}

/// As [`run`], over the merged order of a set: see [`App::connect_set_while`]. The debugger steps one stream,
/// and does not open here.
///
/// # Errors
/// As [`App::connect_set_while`] and [`App::turn`].
#[cfg(feature = "streams")]
pub fn run_set<M: StateMachine>(
    set: &lockstep_streams::StreamSet,
    settings: AppSettings,
    new: impl Fn() -> M + 'static,
) -> Result<(), AppError> {
    print_without_a_logger();
    run_on((set.home_endpoint(), Source::Set(set.clone())), settings, new)
}

fn run_on<M: StateMachine>(
    source: (&Endpoint, Source),
    settings: AppSettings,
    new: impl Fn() -> M + 'static,
) -> Result<(), AppError> {
    note_machine(&settings);
    let stop = Stop::by_signals()?;
    let flag = Arc::clone(stop.flag());
    let goes_on = move || !flag.load(Ordering::Acquire);
    let mut app = match App::connect_to(source, settings, new, goes_on) {
        Err(AppError::Stopped(_)) => return Ok(()),
        connected => connected?,
    };
    let mut pace = Pace::begin(&app)?;
    while !stop.flag().load(Ordering::Acquire) {
        let work = match app.turn(|_, _| {}) {
            Err(AppError::Stopped(_)) => break,
            done => done?,
        };
        if work == 0 {
            pace.wait(&app);
        }
    }
    tracing::info!("{} stops behind seq {}, at a signal", app.in_words(), app.replica().next() - 1);
    Ok(())
}
