//! MERGE-5: where a reader begins that wants what comes from now on.
//!
//! The home stream is read from some entries before its end, in growing steps, until a cut is found there
//! that a later one names ([`LookBack`]); then the entry before each row is read, whose epoch must not be
//! above the row's.

use crate::set::StreamSet;
use lockstep_client::{Delivery, Endpoint, Seq, Start, Subscriber, SubscriberEvent};
use lockstep_io::IoError;
use lockstep_io::clock::Clock;
use lockstep_set::{LookBack, LookBackNext, MergePlace};
use lockstep_wire::{FrameView, Nanos};
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::time::Duration;

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
    let home = set.home_endpoint();
    let mut live = Subscriber::connect(home, Delivery::Committed, Start::Live)?;
    live.begin(timeout, |_| ControlFlow::Continue(()))?;
    let mut look = LookBack::new(live.deliver_next());
    drop(live);
    let mut end = look.end();
    loop {
        let gone = read(home, Start::From(look.from()), end, &deadline, |event| {
            if let SubscriberEvent::SetNote { seq, payload, .. } = event {
                look.on_note(seq, payload);
            }
        })?;
        if let Some(oldest) = gone {
            look.on_gone(oldest);
            continue;
        }
        match look.at_end() {
            LookBackNext::Place(place) if has_ended(set, &place, &deadline)? => return Ok(place),
            // A takeover ended a row early.
            LookBackNext::Place(_) => look.on_early_row(),
            LookBackNext::Farther => {}
            LookBackNext::Wait => end += 1,
        }
        if deadline.has_passed() {
            let doing = format!("find where the merged order goes on within {timeout:?}");
            let why = "no cut of the home stream names another one whose rows have ended: see whether a \
                       coordinator runs, with `lockstep streams show`";
            return Err(IoError::because(doing, ErrorKind::TimedOut, why));
        }
    }
}

/// Whether each row has ended at its bound. Of a stream that no longer retains the entry before it nobody can
/// say that it has not.
fn has_ended(set: &StreamSet, place: &MergePlace, deadline: &Deadline) -> Result<bool, IoError> {
    for row in &place.streams {
        let Some(last) = row.last_covered() else { continue };
        let stream = row.stream;
        let Some((_, endpoint)) = set.of_cluster(stream) else {
            let why = "a cut has a row for it, and this program's file does not have it";
            return Err(IoError::argument(format!("read the stream of cluster {stream}"), why));
        };
        let mut has_ended = true;
        read(endpoint, Start::From(last), row.next, deadline, |event| {
            if let SubscriberEvent::Frame { bytes } = event
                && let Ok(FrameView { header, .. }) = FrameView::parse(bytes)
                && let Some(ended) = row.ended_at_bound(header.first_seq..header.next_seq(), header.epoch())
            {
                has_ended = ended;
            }
        })?;
        if !has_ended {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads a stream from `start` up to `end`, with its frames. Where its entries from there on are no longer
/// retained it returns the oldest one that is.
fn read(
    endpoint: &Endpoint,
    start: Start,
    end: Seq,
    deadline: &Deadline,
    mut f: impl FnMut(SubscriberEvent<'_>),
) -> Result<Option<Seq>, IoError> {
    let mut subscriber = Subscriber::connect(endpoint, Delivery::Committed, start)?;
    subscriber.report_frames();
    let (mut why, mut gone) = (String::new(), None);
    while subscriber.deliver_next() < end {
        let work = subscriber.poll(1_024, |event| {
            match event {
                SubscriberEvent::Abandoned { from, oldest, .. } if oldest > from => gone = Some(oldest),
                SubscriberEvent::Abandoned { .. } | SubscriberEvent::Refused { .. } => {
                    why = format!("{event:?}");
                }
                _ => {}
            }
            f(event);
            ControlFlow::Continue(())
        });
        if gone.is_some() {
            return Ok(gone);
        }
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
    Ok(None)
}
