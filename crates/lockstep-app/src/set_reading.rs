//! The merged order of a set as a replica reads it, and what it tells the journals of the other streams.

use crate::error::AppError;
use crate::reading::Placed;
use crate::settings::AppSettings;
use lockstep_client::{Delivery, Endpoint, Publisher, PublisherEvent};
use lockstep_io::IoError;
use lockstep_io::clock::random_u64;
use lockstep_machine::{MergedInput, PublisherId, Seq, SnapshotCursor};
use lockstep_streams::{MergedCursor, MergedStart, MergedSubscriber, StreamSet};
use lockstep_wire::{JOURNALS, Need};
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// For [`MergedStart::Live`] alone: a replica begins at the beginning or at a cursor.
const NO_WAIT: Duration = Duration::ZERO;
/// The most events of one turn of a publisher that publishes needs alone.
const BATCH: usize = 16;

/// See the module.
pub(crate) struct SetReading {
    merged: MergedSubscriber,
    home: u64,
    /// The name of this replica in the other streams.
    name: String,
    needs: Vec<StreamNeed>,
}

/// What the journals of one other stream must retain for this replica.
struct StreamNeed {
    stream: u64,
    publisher: Publisher,
    ticket: Option<usize>,
    own: Option<PublisherId>,
    /// Until it is published.
    need: Option<Need>,
}

impl SetReading {
    /// Begins at the merged cursor with this text, or at the beginning.
    pub fn begin(set: &StreamSet, settings: &AppSettings, text: Option<String>) -> Result<Self, AppError> {
        if settings.delivery != Delivery::Committed {
            let why = "a machine over a set applies what is committed: leave `delivery` as it is";
            return Err(IoError::argument("read a set", why).into());
        }
        let refused = |why: String| IoError::argument("begin with a snapshot", why);
        let start = match text {
            Some(text) => MergedStart::Cursor(text.parse().map_err(refused)?),
            None => MergedStart::Beginning,
        };
        let merged = MergedSubscriber::connect(set.clone(), start, NO_WAIT)?;
        let name = format!("{}/replica/{}", settings.name, settings.number);
        Ok(Self { home: set.home(), merged, name, needs: Vec::new() })
    }

    pub fn poll(
        &mut self,
        limit: usize,
        mut f: impl FnMut(Placed<'_>) -> ControlFlow<()>,
    ) -> Result<usize, AppError> {
        let home = self.home;
        let work = self.merged.poll(limit, |one| {
            let (stream, number, time) = (one.stream, one.number, one.timestamp);
            let place = MergedInput { stream, is_home: stream == home, number, time };
            f((Some(place), one.event))
        })?;
        Ok(work + self.needs.iter_mut().map(|need| need.turn(&self.name)).sum::<usize>())
    }

    pub fn place(&self) -> (SnapshotCursor, Seq) {
        (SnapshotCursor::Set(self.merged.cursor().to_string()), self.merged.next_number())
    }

    /// See [`Reading::need`](crate::reading::Reading::need).
    pub fn need(&mut self, text: &str) -> Result<(), AppError> {
        let Ok(cursor) = text.parse::<MergedCursor>() else { return Ok(()) };
        for (stream, from) in cursor.others() {
            let known = self.needs.iter().position(|need| need.stream == stream);
            let at = match (known, self.merged.set().endpoint_of(stream)) {
                (Some(at), _) => at,
                (None, Some(endpoint)) => {
                    self.needs.push(StreamNeed::open(stream, endpoint)?);
                    self.needs.len() - 1
                }
                (None, None) => continue,
            };
            self.needs[at].need = Some(Need { from });
        }
        Ok(())
    }

    pub fn wait(&mut self, timeout: Duration) -> Result<(), IoError> {
        self.merged.wait(timeout).map(|_| ())
    }

    pub fn due(&self) -> Duration {
        let needs = self.needs.iter().map(|need| need.publisher.due());
        needs.fold(self.merged.due(), Duration::min)
    }

    pub fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        let needs = self.needs.iter().flat_map(|need| need.publisher.net().sockets());
        self.merged.sockets().into_iter().chain(needs).collect()
    }

    pub fn socket_changes(&self) -> u64 {
        self.merged.changes() + self.needs.len() as u64
    }
}

impl StreamNeed {
    fn open(stream: u64, endpoint: &Endpoint) -> Result<Self, AppError> {
        let publisher = Publisher::connect(endpoint)?;
        Ok(Self { stream, publisher, ticket: None, own: None, need: None })
    }

    /// Publishes what is to be retained. A stream without a leader holds up nothing: the need waits.
    fn turn(&mut self, name: &str) -> usize {
        if self.ticket.is_none() && self.own.is_none() {
            let Ok(drawn) = random_u64().and_then(|first| Ok([first, random_u64()?])) else { return 0 };
            self.ticket = self.publisher.core_mut().open(name, drawn);
        }
        let Self { publisher, ticket, own, need, stream } = self;
        let work = publisher.poll(BATCH, |event| match event {
            PublisherEvent::Opened { ticket: opened, publisher, .. } if Some(opened) == *ticket => {
                *own = Some(publisher);
            }
            PublisherEvent::Fenced { publisher, .. } | PublisherEvent::Closed { publisher, .. }
                if Some(publisher) == *own =>
            {
                (*own, *ticket) = (None, None);
            }
            PublisherEvent::OutcomesUnknown => (*own, *ticket) = (None, None),
            PublisherEvent::Refused { reason, .. } => {
                tracing::warn!(
                    stream,
                    "the journals of this stream do not retain what this replica needs: its name '{name}' is \
                     refused there ({reason:?}); allow it with `lockstep keys allow`"
                );
            }
            _ => {}
        });
        if let (Some(own), Some(wanted)) = (*own, *need)
            && publisher.try_publish(own, JOURNALS, &wanted.to_bytes()).is_ok()
        {
            *need = None;
        }
        publisher.flush();
        work
    }
}

/// The seq at which the stream of the cluster `stream`, or the home stream, continues at the merged cursor
/// with this text.
pub(crate) fn next_of(text: &str, stream: Option<u64>) -> Option<Seq> {
    let cursor: MergedCursor = text.parse().ok()?;
    let of = |wanted: u64| cursor.others().find(|(stream, _)| *stream == wanted).map(|(_, next)| next);
    stream.map_or(Some(cursor.home_next()), of)
}
