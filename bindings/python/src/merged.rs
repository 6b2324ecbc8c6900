//! The handle that reads the streams of a set in their merged order.

use crate::batch::Spare;
use crate::errors::{of_argument, of_config, of_io};
use crate::guard::{CheckedOut, Guarded};
use crate::merged_event::{MergedBatch, MergedEvent};
use crate::time::{Deadline, SLICE, timeout};
use lockstep_client::IoError;
use lockstep_flat::{FlatEvent, FlatPlace, MergedBatch as FlatBatch};
use lockstep_io::clock::Clock;
use lockstep_streams::{MergedCursor, MergedStart, StreamSet};
use pyo3::prelude::*;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

/// Polls of one call at most, so that an order without an end leaves it.
const TURNS_MAX: usize = 4_096;
/// A hundred years.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// The handle, with the events that it has reported and the program has not received yet: as of a handle of
/// one stream, an iteration polls one event at a time, and the cursor is that behind the last one received.
struct MergedPolled {
    merged: lockstep_streams::MergedSubscriber,
    waiting: VecDeque<(FlatPlace, FlatEvent, Vec<u8>)>,
    /// The position before the turn that has brought the events that wait.
    position: Option<MergedCursor>,
    spare: Spare,
    scratch: FlatBatch,
    clock: Clock,
}

impl MergedPolled {
    /// One turn that brings one entry at most; its events wait for the program.
    fn turn(&mut self) -> Result<usize, IoError> {
        let before = self.merged.cursor();
        self.scratch.clear();
        let work = self.scratch.poll(&mut self.merged, 1, ControlFlow::Break(()))?;
        let rows = self.scratch.batch().rows().iter().zip(self.scratch.places());
        self.waiting
            .extend(rows.map(|(row, place)| (*place, *row, self.scratch.batch().payload(row).to_vec())));
        self.position = Some(before);
        Ok(work)
    }

    fn now(&self) -> u64 {
        self.clock.now()
    }

    /// Polls until an event waits, or there is nothing to do. Returns whether there is.
    fn poll_one(&mut self) -> Result<bool, IoError> {
        let mut turns = 0;
        while self.waiting.is_empty() && turns < TURNS_MAX {
            if self.turn()? == 0 {
                return Ok(!self.waiting.is_empty());
            }
            turns += 1;
        }
        Ok(true)
    }

    /// Polls into a batch until it has `limit` events or is full, or there is nothing to do. A turn that
    /// fails behind events leaves its failure to the next one.
    fn gather(&mut self, limit: usize) -> Result<FlatBatch, IoError> {
        let mut batch = FlatBatch::from(self.spare.take());
        for (place, row, payload) in self.waiting.drain(..) {
            batch.push(place, row, &payload);
        }
        let mut turns = 0;
        while batch.places().len() < limit && !batch.batch().is_full() && turns < TURNS_MAX {
            let left = limit - batch.places().len();
            match batch.poll(&mut self.merged, left, ControlFlow::Continue(())) {
                Ok(0) => break,
                Ok(_) => turns += 1,
                Err(error) if batch.places().is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(batch)
    }

    /// The number of the next entry that the program receives.
    fn next_number(&self) -> u64 {
        let numbers = self.waiting.iter().map(|(place, ..)| place.number);
        numbers.filter(|number| *number > 0).min().unwrap_or_else(|| self.merged.next_number())
    }

    /// The position behind the last event that the program has received: the events of a turn that it has not
    /// received yet come again.
    fn cursor(&self) -> MergedCursor {
        let behind = self.position.clone().filter(|_| !self.waiting.is_empty());
        let mut cursor = behind.unwrap_or_else(|| self.merged.cursor());
        cursor.number = self.next_number();
        cursor
    }

    /// Sleeps until there is something to poll for, at most `time`; whether that is so.
    fn nap(&mut self, time: Duration) -> Result<bool, IoError> {
        let due = self.merged.due();
        Ok(self.merged.wait(time)? || due <= time)
    }
}

/// What Python calls with a handle that is checked out.
impl CheckedOut<'_, MergedPolled> {
    /// Sleeps until there is something to poll for, or until the time is over. Ctrl-C ends it.
    fn wait_until(&mut self, py: Python<'_>, deadline: Deadline) -> PyResult<bool> {
        loop {
            if !self.waiting.is_empty() {
                return Ok(true);
            }
            let time = deadline.left(self.now()).min(SLICE);
            let polled: &mut MergedPolled = self;
            let is_ready = py.detach(|| polled.nap(time)).map_err(of_io)?;
            py.check_signals()?;
            if is_ready || deadline.left(self.now()).is_zero() {
                return Ok(is_ready);
            }
        }
    }

    fn next_event(&mut self, py: Python<'_>, seconds: Option<f64>) -> PyResult<Option<MergedEvent>> {
        let deadline = Deadline::after(self.now(), timeout(seconds)?);
        loop {
            if let Some((place, row, payload)) = self.waiting.pop_front() {
                return MergedEvent::new(py, place, row, &payload).map(Some);
            }
            let polled: &mut MergedPolled = self;
            let goes_on = py.detach(|| polled.poll_one()).map_err(of_io)?;
            if !self.waiting.is_empty() {
                continue;
            }
            if self.merged.is_ended() || deadline.left(self.now()).is_zero() {
                return Ok(None);
            }
            match goes_on {
                true => py.check_signals()?,
                false => _ = self.wait_until(py, deadline)?,
            }
        }
    }

    fn poll_batch(&mut self, py: Python<'_>, wanted: i64, seconds: Option<f64>) -> PyResult<MergedBatch> {
        let limit = usize::try_from(wanted).ok().filter(|limit| *limit > 0);
        let limit =
            limit.ok_or_else(|| of_argument(format!("limit {wanted} takes no event: write 1 or more")))?;
        let deadline = Deadline::after(self.now(), timeout(seconds)?);
        loop {
            let polled: &mut MergedPolled = self;
            let gathered = py.detach(|| polled.gather(limit)).map_err(of_io)?;
            let is_over = self.merged.is_ended() || deadline.left(self.now()).is_zero();
            if !gathered.places().is_empty() || is_over {
                return MergedBatch::new(py, gathered, &self.spare);
            }
            self.wait_until(py, deadline)?;
        }
    }
}

/// Reads the streams of a set in their merged order, as committed: each entry has a number there, from 1
/// without holes, which is the same for all readers. Each stream's own order is kept, and a stream that is
/// idle or stalled holds up no other one. A program that reads one stream uses a Subscriber. A handle belongs
/// to one thread at a time.
#[pyclass(frozen, module = "lockstep")]
pub(crate) struct MergedSubscriber {
    guarded: Guarded<MergedPolled>,
}

impl MergedSubscriber {
    fn handle(&self) -> PyResult<CheckedOut<'_, MergedPolled>> {
        self.guarded.check_out()
    }
}

#[pymethods]
impl MergedSubscriber {
    #[new]
    #[pyo3(signature = (path = None, start = "live".to_owned(), timeout = Some(10.0)),
           text_signature = "(path=None, start='live', timeout=10.0)")]
    fn new(py: Python<'_>, path: Option<PathBuf>, start: String, timeout: Option<f64>) -> PyResult<Self> {
        let start: MergedStart = start.parse().map_err(|why: String| of_argument(why))?;
        let timeout = self::timeout(timeout)?.unwrap_or(FOR_EVER);
        let set = match path {
            Some(path) => StreamSet::from_file(path),
            None => StreamSet::from_env(),
        };
        let set = set.map_err(of_config)?;
        let merged = py.detach(|| lockstep_streams::MergedSubscriber::connect(set, start, timeout));
        let polled = MergedPolled {
            merged: merged.map_err(of_io)?,
            waiting: VecDeque::new(),
            position: None,
            spare: Spare::default(),
            scratch: FlatBatch::new(),
            clock: Clock::start(),
        };
        Ok(Self { guarded: Guarded::new("MergedSubscriber", polled) })
    }

    /// Events that are there, as a list; never blocks. At most so many.
    #[pyo3(signature = (limit = 256))]
    fn events(&self, py: Python<'_>, limit: i64) -> PyResult<Vec<MergedEvent>> {
        self.handle()?.poll_batch(py, limit, Some(0.0))?.events(py)
    }

    /// Events in a batch, at most so many: those that are there, or the first ones until the timeout in
    /// seconds. Without events it is empty.
    #[pyo3(signature = (limit = 4096, timeout = Some(0.0)), text_signature = "($self, limit=4096, timeout=0.0)")]
    fn poll_batch(&self, py: Python<'_>, limit: i64, timeout: Option<f64>) -> PyResult<MergedBatch> {
        self.handle()?.poll_batch(py, limit, timeout)
    }

    /// The next event, once there is one; None when the timeout in seconds is over, or the order has ended.
    #[pyo3(signature = (timeout = None))]
    fn next_event(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Option<MergedEvent>> {
        self.handle()?.next_event(py, timeout)
    }

    /// Sleeps until there is something to poll for, or until the timeout in seconds; returns whether
    /// there is.
    #[pyo3(signature = (timeout = None))]
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let mut handle = self.handle()?;
        let deadline = Deadline::after(handle.now(), self::timeout(timeout)?);
        handle.wait_until(py, deadline)
    }

    /// The place behind the last event that the program has received, as start of a later handle: a text of a
    /// few hundred characters.
    #[getter]
    fn cursor(&self) -> PyResult<String> {
        Ok(self.handle()?.cursor().to_string())
    }

    /// The number that the next merged entry gets.
    #[getter]
    fn next_number(&self) -> PyResult<u64> {
        Ok(self.handle()?.next_number())
    }

    /// Whether the subscription of a stream has ended, and the merged order with it: the event before gave
    /// the reason.
    #[getter]
    fn is_ended(&self) -> PyResult<bool> {
        Ok(self.handle()?.merged.is_ended())
    }

    /// The name of the stream of a cluster in the set's file; empty if the set has none.
    fn stream_name(&self, stream: u64) -> PyResult<String> {
        Ok(self.handle()?.merged.set().name_of(stream).to_owned())
    }

    /// Closes the sockets. Calls after it are refused; to close again does nothing.
    fn close(&self) -> PyResult<()> {
        self.guarded.close()
    }

    /// Whether it is closed.
    #[getter]
    fn closed(&self) -> bool {
        self.guarded.is_closed()
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<MergedEvent>> {
        self.handle()?.next_event(py, None)
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        drop(slf.get().handle()?);
        Ok(slf)
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, pyo3::types::PyTuple>) -> PyResult<()> {
        self.close()
    }
}
