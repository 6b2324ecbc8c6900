//! A handle, with the events that it has reported and the program has not received yet.
//!
//! A program that stops in the middle of an iteration goes on by its cursor later. So nothing is polled in
//! advance: an iteration polls one event of the stream at a time, and the cursor is that behind the last
//! event which the program has received.

use crate::batch::{Batch, Spare};
use crate::bytes::with_bytes;
use crate::endpoint::Cursor;
use crate::errors::{of_absent, of_argument, of_io, of_publish};
use crate::event::Event;
use crate::guard::CheckedOut;
use crate::outcomes::Outcomes;
use crate::time::{Deadline, SLICE, timeout};
use lockstep_client::internal::PublisherCore;
use lockstep_client::{IoError, ParticipantEvent, PublishError};
use lockstep_flat::{FlatEvent, FlatHandle, FlatKind};
use pyo3::prelude::*;
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::time::Duration;

/// Polls of one call at most, so that a stream without an end leaves it.
const TURNS_MAX: usize = 4_096;

/// Outcomes of one turn at most that brings one event of the stream.
const OUTCOMES: usize = 64;

/// An event that was polled before the program wanted it.
struct Waiting {
    row: FlatEvent,
    payload: Vec<u8>,
    /// The position behind it; `None` of an event that is not of the stream.
    behind: Option<Option<lockstep_client::Cursor>>,
}

/// See the module.
pub(crate) struct Polled {
    pub(crate) handle: FlatHandle,
    waiting: VecDeque<Waiting>,
    /// The position behind the last event that the program has received, while others wait.
    position: Option<lockstep_client::Cursor>,
    spare: Spare,
    scratch: lockstep_flat::Batch,
    /// What the last drain ended with.
    drained: lockstep_client::Outcomes,
}

/// Whether an event is of the stream, and not of a publisher.
fn is_of_stream(row: &FlatEvent) -> bool {
    row.kind < FlatKind::NameOpened as u32
}

/// Whether an event of the stream moves the position: an entry does, and a retract.
fn has_place(row: &FlatEvent) -> bool {
    use FlatKind as K;
    let is_notification = matches!(
        row.kind(),
        Some(K::Committed | K::Gap | K::Multicast | K::CaughtUp | K::Replaying | K::Lag | K::PartsDiscarded)
    );
    is_of_stream(row) && !is_notification
}

impl Polled {
    pub(crate) fn new(handle: FlatHandle) -> Self {
        let (spare, scratch) = (Spare::default(), lockstep_flat::Batch::new());
        let drained = lockstep_client::Outcomes::default();
        Self { handle, waiting: VecDeque::new(), position: None, spare, scratch, drained }
    }

    /// One turn of the handle: events go to `batch`, which says when it is full. After the first event of the
    /// stream `flow` says whether the rest is left for the next turn.
    fn fill(
        handle: &mut FlatHandle,
        limit: usize,
        batch: &mut lockstep_flat::Batch,
        flow: ControlFlow<()>,
    ) -> usize {
        handle.poll_with(limit, |event, _| match batch.on_participant(&event) {
            ControlFlow::Continue(()) if matches!(event, ParticipantEvent::Subscriber(_)) => flow,
            full_or_outcome => full_or_outcome,
        })
    }

    /// The position behind what was polled.
    fn polled_to(&self) -> Option<lockstep_client::Cursor> {
        self.handle.cursor().ok().flatten()
    }

    /// Whether nothing more comes: the subscription has ended, and no outcome is awaited.
    fn is_over(&self) -> bool {
        self.handle.is_ended() == Ok(true) && self.handle.is_drained() != Ok(false)
    }

    /// The position behind the last event that the program has received.
    pub(crate) fn cursor(&self) -> Option<Cursor> {
        let waits = self.waiting.iter().any(|waiting| waiting.behind.is_some());
        let position = if waits { self.position } else { self.polled_to() };
        position.map(Cursor)
    }

    /// One turn that brings one event of the stream at most; events wait for the program.
    fn turn(&mut self) -> usize {
        let before = self.polled_to();
        self.scratch.clear();
        let work = Self::fill(&mut self.handle, OUTCOMES, &mut self.scratch, ControlFlow::Break(()));
        let rows = self.scratch.rows();
        let last = rows.iter().rposition(has_place);
        if rows.iter().any(is_of_stream) && !self.waiting.iter().any(|waiting| waiting.behind.is_some()) {
            self.position = before;
        }
        for (index, row) in rows.iter().enumerate() {
            // The turn ended behind one entry; notifications before and behind it move nothing. Behind a
            // retract an entry may follow at once: a reader that goes on from between them receives both
            // again.
            let behind = if last.is_none_or(|last| index >= last) { self.polled_to() } else { before };
            let behind = is_of_stream(row).then_some(behind);
            self.waiting.push_back(Waiting {
                row: *row,
                payload: self.scratch.payload(row).to_vec(),
                behind,
            });
        }
        work
    }

    /// The next event that waits, which is the program's from now on.
    fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        if let Some(behind) = waiting.behind {
            self.position = behind;
        }
        Some(waiting)
    }

    /// Polls until an event waits, or there is nothing to do. Returns whether there is.
    fn poll_one(&mut self) -> bool {
        let mut turns = 0;
        while self.waiting.is_empty() && turns < TURNS_MAX {
            if self.turn() == 0 {
                return !self.waiting.is_empty();
            }
            turns += 1;
        }
        true
    }

    /// Polls into a batch until it has `limit` events or is full, or there is nothing to do.
    fn gather(&mut self, limit: usize) -> lockstep_flat::Batch {
        let mut batch = self.spare.take();
        while let Some(Waiting { row, payload, .. }) = self.pop() {
            batch.push(row, &payload);
        }
        let mut turns = 0;
        while batch.rows().len() < limit && !batch.is_full() && turns < TURNS_MAX {
            let left = limit - batch.rows().len();
            if Self::fill(&mut self.handle, left, &mut batch, ControlFlow::Continue(())) == 0 {
                break;
            }
            turns += 1;
        }
        batch
    }

    /// Sleeps until there is something to poll for, at most `time`; whether that is so.
    fn nap(&mut self, time: Duration) -> Result<bool, IoError> {
        let due = self.handle.due();
        Ok(self.handle.wait(time)? || due <= time)
    }
}

/// What Python calls with a handle that is checked out.
impl CheckedOut<'_, Polled> {
    /// Sleeps until there is something to poll for, or until the time is over. Ctrl-C ends it.
    pub(crate) fn wait(&mut self, py: Python<'_>, seconds: Option<f64>) -> PyResult<bool> {
        let deadline = Deadline::after(self.handle.now(), timeout(seconds)?);
        self.wait_until(py, deadline)
    }

    fn wait_until(&mut self, py: Python<'_>, deadline: Deadline) -> PyResult<bool> {
        loop {
            if !self.waiting.is_empty() {
                return Ok(true);
            }
            let time = deadline.left(self.handle.now()).min(SLICE);
            let polled: &mut Polled = self;
            let is_ready = py.detach(|| polled.nap(time)).map_err(of_io)?;
            py.check_signals()?;
            if is_ready || deadline.left(self.handle.now()).is_zero() {
                return Ok(is_ready);
            }
        }
    }

    /// The next event, once there is one; `None` when the time is over, or nothing more comes.
    pub(crate) fn next_event(&mut self, py: Python<'_>, seconds: Option<f64>) -> PyResult<Option<Event>> {
        let deadline = Deadline::after(self.handle.now(), timeout(seconds)?);
        loop {
            if let Some(Waiting { row, payload, .. }) = self.pop() {
                return Ok(Some(Event::new(py, row, &payload)));
            }
            let polled: &mut Polled = self;
            let goes_on = py.detach(|| polled.poll_one());
            if !self.waiting.is_empty() {
                continue;
            }
            if self.is_over() || deadline.left(self.handle.now()).is_zero() {
                return Ok(None);
            }
            match goes_on {
                true => py.check_signals()?,
                false => _ = self.wait_until(py, deadline)?,
            }
        }
    }

    /// Events in a batch: those that are there, or the first ones until the time is over.
    pub(crate) fn poll_batch(
        &mut self,
        py: Python<'_>,
        wanted: i64,
        seconds: Option<f64>,
    ) -> PyResult<Batch> {
        let limit = usize::try_from(wanted).ok().filter(|limit| *limit > 0);
        let limit =
            limit.ok_or_else(|| of_argument(format!("limit {wanted} takes no event: write 1 or more")))?;
        let deadline = Deadline::after(self.handle.now(), timeout(seconds)?);
        loop {
            let polled: &mut Polled = self;
            let gathered = py.detach(|| polled.gather(limit));
            let is_over = self.is_over() || deadline.left(self.handle.now()).is_zero();
            let batch = Batch::new(gathered, &self.spare);
            if !batch.is_empty() || is_over {
                return Ok(batch);
            }
            self.wait_until(py, deadline)?;
        }
    }

    /// The same as a list.
    pub(crate) fn events(&mut self, py: Python<'_>, limit: i64) -> PyResult<Vec<Event>> {
        Ok(self.poll_batch(py, limit, Some(0.0))?.events(py))
    }

    /// Polls until `is_done`, at most for `seconds`; events wait for the program, and `is_done` sees
    /// them. Returns whether it is done.
    pub(crate) fn poll_until(
        &mut self,
        py: Python<'_>,
        deadline: Deadline,
        mut is_done: impl FnMut(&FlatHandle, Option<&FlatEvent>) -> bool + Send,
    ) -> PyResult<bool> {
        loop {
            let polled: &mut Polled = self;
            let is_done = &mut is_done;
            let (done, work) = py.detach(|| {
                let (mut done, mut work, mut turns) = (is_done(&polled.handle, None), 1, 0);
                while !done && work > 0 && turns < TURNS_MAX {
                    work = polled.turn();
                    let mut rows = polled.scratch.rows().iter();
                    done = rows.any(|row| is_done(&polled.handle, Some(row)));
                    done |= is_done(&polled.handle, None);
                    turns += 1;
                }
                (done, work)
            });
            py.check_signals()?;
            let left = deadline.left(self.handle.now());
            if done || left.is_zero() {
                return Ok(done);
            }
            if work == 0 {
                let polled: &mut Polled = self;
                py.detach(|| polled.nap(left.min(SLICE))).map_err(of_io)?;
            }
        }
    }

    /// Hands a message in by `publish`, as soon as there is room for it, at most for `seconds`. Events of the
    /// polls meanwhile wait for the program.
    pub(crate) fn publish(
        &mut self,
        py: Python<'_>,
        payload: &Bound<'_, PyAny>,
        seconds: Option<f64>,
        publish: impl Fn(&mut PublisherCore, &[u8]) -> Result<u64, PublishError>,
    ) -> PyResult<u64> {
        let publish = |handle: &mut FlatHandle, bytes: &[u8]| {
            handle.publisher_mut().map_err(of_absent).map(|publisher| publish(publisher, bytes))
        };
        let timeout = timeout(seconds)?;
        let waits = timeout != Some(Duration::ZERO);
        let tried = with_bytes(payload, |bytes| match publish(&mut self.handle, bytes)? {
            // The object may change while other threads run.
            Err(PublishError::Backpressure) if waits => Ok(Err(bytes.to_vec())),
            tried => tried.map(Ok).map_err(of_publish),
        })?;
        let copy = match tried {
            Ok(number) => return Ok(number),
            Err(copy) => copy,
        };
        let deadline = Deadline::after(self.handle.now(), timeout);
        loop {
            let polled: &mut Polled = self;
            let work = py.detach(|| polled.turn());
            match publish(&mut self.handle, &copy)? {
                Err(PublishError::Backpressure) => {}
                tried => return tried.map_err(of_publish),
            }
            py.check_signals()?;
            let left = deadline.left(self.handle.now());
            if left.is_zero() {
                return Err(of_publish(PublishError::Backpressure));
            }
            if work == 0 {
                let polled: &mut Polled = self;
                py.detach(|| polled.nap(left.min(SLICE))).map_err(of_io)?;
            }
        }
    }

    /// Polls until no message is without an outcome. Returns what became of those since the last time.
    pub(crate) fn drain(&mut self, py: Python<'_>, seconds: Option<f64>) -> PyResult<Outcomes> {
        let deadline = Deadline::after(self.handle.now(), timeout(seconds)?);
        self.poll_until(py, deadline, |handle, _| {
            handle.outcomes().map_or(true, |outcomes| outcomes.open == 0)
        })?;
        let outcomes = self.handle.outcomes().map_err(of_absent)?;
        let before = std::mem::replace(&mut self.drained, outcomes);
        Ok(Outcomes(outcomes.since(&before)))
    }

    /// Seconds until the handle must be polled, although nothing arrives.
    pub(crate) fn due(&self) -> f64 {
        if self.waiting.is_empty() { self.handle.due().as_secs_f64() } else { 0.0 }
    }
}
