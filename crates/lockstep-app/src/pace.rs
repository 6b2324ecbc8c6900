//! The pauses of a replica's loop between its turns, and the lines of its log that report progress.

use crate::app::App;
use crate::error::AppError;
use lockstep_io::idle::Waiter;
use lockstep_machine::StateMachine;
use std::time::Duration;

/// The longest sleep of an idle replica.
const PAUSE: Duration = Duration::from_millis(1);

/// The pauses of a loop over a replica, and the lines that report its progress.
pub struct Pace {
    idle: Waiter,
    /// As [`App::socket_changes`], when the waiter was made.
    socket_changes: u64,
    has_caught_up: bool,
}

impl Pace {
    /// Begins a loop over `app`, and prints where it begins.
    ///
    /// # Errors
    /// File descriptors are used up.
    pub fn begin<M: StateMachine>(app: &App<M>) -> Result<Self, AppError> {
        tracing::info!("{} begins at seq {}", app.in_words(), app.replica().next());
        let idle = app.endpoint().idle().waiter(&app.sockets())?;
        Ok(Self { idle, socket_changes: app.socket_changes(), has_caught_up: false })
    }

    /// Waits after a turn without work as the endpoint is configured, at most a millisecond. It prints once
    /// that the stream is read up to its end.
    pub fn wait<M: StateMachine>(&mut self, app: &App<M>) {
        let changes = app.socket_changes();
        // Without a descriptor for another waiter it looks each millisecond, and tries again.
        if self.socket_changes != changes
            && let Ok(idle) = app.endpoint().idle().waiter(&app.sockets())
        {
            (self.idle, self.socket_changes) = (idle, changes);
        }
        let next = app.replica().next();
        if !self.has_caught_up && app.replica().is_caught_up() {
            self.has_caught_up = true;
            tracing::info!("{} has read the stream up to its end, seq {next}", app.in_words());
        }
        self.idle.on_progress(next);
        self.idle.wait(app.due().min(PAUSE).as_nanos() as u64);
    }
}
