//! Asynchronous clients on the one thread that measures. Tokio's own timers are whole milliseconds, too
//! coarse for messages that are due at a time: a timer of the kernel's in the same poll gives nanoseconds.

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::future::{Future, poll_fn};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Builder, Runtime};

/// A runtime whose waits end when they should.
pub struct Turns {
    // Before the runtime that it is registered with.
    timer: AsyncFd<OwnedFd>,
    runtime: Runtime,
}

impl Turns {
    /// A runtime on the calling thread alone.
    ///
    /// # Errors
    /// File descriptors are used up.
    pub fn new() -> Result<Self, String> {
        let fails = |error: std::io::Error| format!("making a runtime: {error}");
        let runtime = Builder::new_current_thread().enable_all().build().map_err(fails)?;
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags).map_err(|error| fails(error.into()))?;
        let entered = runtime.enter();
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for the sake of types that lie about their descriptor"
        )]
        let timer = AsyncFd::new(timer).map_err(fails)?;
        drop(entered);
        Ok(Self { timer, runtime })
    }

    /// Runs `future` to its end, for at most `wait`, which may be zero: then it is looked at, and what else
    /// there is to do is done.
    ///
    /// # Errors
    /// The timer cannot be set.
    pub fn within<F: Future>(&self, wait: Duration, future: F) -> Result<Option<F::Output>, String> {
        let none = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Zero would stop the timer.
        let wait = wait.max(Duration::from_nanos(1));
        let due = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        let setting = Itimerspec { it_interval: none, it_value: due };
        // Setting it also clears what it told before.
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &setting)
            .map_err(|error| format!("setting a timer: {error}"))?;
        let both = async {
            let mut future = pin!(future);
            let mut over = pin!(self.timer.readable());
            poll_fn(|context| {
                if let Poll::Ready(output) = future.as_mut().poll(context) {
                    return Poll::Ready(Some(output));
                }
                over.as_mut().poll(context).map(|ready| {
                    if let Ok(mut ready) = ready {
                        ready.clear_ready();
                    }
                    None
                })
            })
            .await
        };
        Ok(self.runtime.block_on(both))
    }

    /// The same, where not to end in time is an error: `what` was waited for.
    ///
    /// # Errors
    /// It did not end.
    pub fn finish<F: Future>(&self, wait: Duration, what: &str, future: F) -> Result<F::Output, String> {
        self.within(wait, future)?.ok_or_else(|| format!("{what} took longer than {wait:?}"))
    }

    /// The runtime, to spawn on.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }
}
