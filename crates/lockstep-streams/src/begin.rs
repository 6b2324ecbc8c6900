//! MERGE-5: where a reader begins that wants what comes from now on.
//!
//! The home stream is read from some entries before its end, in growing steps, until a cut is found there
//! that a later one names; then the entry before each row is read, whose epoch must not be above the row's.

use crate::set::StreamSet;
use lockstep_client::{Delivery, Endpoint, Seq, Start, Subscriber, SubscriberEvent};
use lockstep_io::IoError;
use lockstep_io::clock::Clock;
use lockstep_set::{LookBack, MergePlace, MergePlaceRow};
use lockstep_wire::{FrameView, Nanos};
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::time::Duration;

/// Entries of the home stream that are read first.
const STEP: Seq = 4_096;
/// Each further step is so many times as long.
const GROWTH: Seq = 8;
const PAUSE: Duration = Duration::from_millis(10);

/// When it must be found, by this clock.
struct Deadline {
    clock: Clock,
    at: Nanos,
}

impl Deadline {
    fn has_passed(&self) -> bool {
        self.clock.now() >= self.at
    }
}

/// A place at which a reader may begin, as new as there is one.
pub(crate) fn newest_place(set: &StreamSet, timeout: Duration) -> Result<MergePlace, IoError> {
    let clock = Clock::start();
    let deadline = Deadline { at: clock.now() + timeout.as_nanos() as Nanos, clock };
    let mut live = Subscriber::connect(set.home_endpoint(), Delivery::Committed, Start::Live)?;
    live.begin(timeout, |_| ControlFlow::Continue(()))?;
    let end = live.deliver_next();
    drop(live);
    let mut step = STEP;
    loop {
        let from = end.saturating_sub(step).max(1);
        let place = look_back(set.home_endpoint(), from, end, &deadline)?;
        match place {
            Some(place) if has_ended(set, &place, &deadline)? => return Ok(place),
            // A takeover ended a row early: the next cut is behind it.
            Some(_) => {}
            None if from == 1 => return Ok(MergePlace::beginning()),
            None => step *= GROWTH,
        }
        if deadline.has_passed() {
            let doing = format!("find where the merged order goes on within {timeout:?}");
            let why = "no cut of the home stream names another one whose rows have ended: see whether a \
                       coordinator runs, with `lockstep streams show`";
            return Err(IoError::because(doing, ErrorKind::TimedOut, why));
        }
    }
}

/// The place behind the newest cut in `from..end` of the home stream that a later one names. Cuts behind
/// `end` are read as well, if they arrive meanwhile.
fn look_back(
    home: &Endpoint,
    from: Seq,
    end: Seq,
    deadline: &Deadline,
) -> Result<Option<MergePlace>, IoError> {
    let mut found = LookBack::default();
    read(home, Start::From(from), end, deadline, |event| {
        if let SubscriberEvent::SetNote { seq, payload, .. } = event {
            found.on_note(seq, payload);
        }
    })?;
    Ok(found.found().cloned())
}

/// Whether each row has ended at its bound.
fn has_ended(set: &StreamSet, place: &MergePlace, deadline: &Deadline) -> Result<bool, IoError> {
    for row in place.streams.iter().filter(|row| row.next > 1) {
        let &MergePlaceRow { stream, row: (epoch, next), .. } = row;
        let Some((_, endpoint)) = set.of_cluster(stream) else {
            let why = "a cut has a row for it, and this program's file does not have it";
            return Err(IoError::argument(format!("read the stream of cluster {stream}"), why));
        };
        let mut is_below = true;
        read(endpoint, Start::From(next - 1), next, deadline, |event| {
            if let SubscriberEvent::Frame { bytes } = event
                && let Ok(frame) = FrameView::parse(bytes)
                && (frame.header.first_seq..frame.header.next_seq()).contains(&(next - 1))
            {
                is_below = frame.header.epoch() <= epoch;
            }
        })?;
        if !is_below {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads a stream from `start` up to `end`, with its frames.
fn read(
    endpoint: &Endpoint,
    start: Start,
    end: Seq,
    deadline: &Deadline,
    mut f: impl FnMut(SubscriberEvent<'_>),
) -> Result<(), IoError> {
    let mut subscriber = Subscriber::connect(endpoint, Delivery::Committed, start)?;
    subscriber.report_frames();
    let mut why = String::new();
    while subscriber.deliver_next() < end {
        let work = subscriber.poll(1_024, |event| {
            if let SubscriberEvent::Abandoned { .. } | SubscriberEvent::Refused { .. } = event {
                why = format!("{event:?}");
            }
            f(event);
            ControlFlow::Continue(())
        });
        let doing = || format!("read cluster {} up to seq {end}", endpoint.cluster());
        if subscriber.is_ended() {
            return Err(IoError::because(doing(), ErrorKind::NotFound, why));
        }
        if deadline.has_passed() {
            return Err(IoError::because(doing(), ErrorKind::TimedOut, "its entries did not arrive in time"));
        }
        if work == 0 {
            subscriber.wait(PAUSE)?;
        }
    }
    Ok(())
}
