//! Times of Python: seconds as a float, `None` without end.

use crate::errors::of_argument;
use pyo3::PyResult;
use std::time::Duration;

/// The longest sleep between two looks for signals.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

/// A timeout in seconds; `None` of none and of infinity.
pub(crate) fn timeout(seconds: Option<f64>) -> PyResult<Option<Duration>> {
    let Some(seconds) = seconds.filter(|seconds| *seconds != f64::INFINITY) else { return Ok(None) };
    let wrong = || of_argument(format!("timeout {seconds} is no time: write seconds, 0 or more"));
    Duration::try_from_secs_f64(seconds).map(Some).map_err(|_| wrong())
}

/// The time until which a call goes on.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(Option<u64>);

impl Deadline {
    /// So long after `now`, nanoseconds of the clock that it is compared with.
    pub(crate) fn after(now: u64, timeout: Option<Duration>) -> Self {
        Self(timeout.map(|timeout| now.saturating_add(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX))))
    }

    /// The time that is left.
    pub(crate) fn left(self, now: u64) -> Duration {
        self.0.map_or(Duration::MAX, |at| Duration::from_nanos(at.saturating_sub(now)))
    }
}
