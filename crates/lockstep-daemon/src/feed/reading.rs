//! What a feed reads: one stream, or the merged order of a set.

use crate::Failure;
use crate::ended::ReadingEnd;
use lockstep_client::{Delivery, Endpoint, Subscriber, SubscriberEvent};
use lockstep_io::IoError;
use lockstep_io::idle::{Idle, Waiter};
use lockstep_streams::{MergedStart, MergedSubscriber, StreamSet};
use std::net::UdpSocket;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::time::Duration;

/// The longest search for the newest place of the merged order, where its beginning is gone.
const LIVE_WAIT: Duration = Duration::from_secs(30);

/// The handle, and how its thread waits.
pub struct FeedReading {
    handle: Handle,
    /// The waiter, over the sockets as they were after so many changes.
    waiter: Option<(u64, Waiter)>,
}

enum Handle {
    Stream(Box<Subscriber>),
    Set(Box<MergedSubscriber>),
}

impl FeedReading {
    /// Begins at the first entry, or, where that is gone, at the oldest one; in a merged order at a place a
    /// moment ago.
    pub fn connect(
        streams: &[(String, Endpoint)],
        is_merged: bool,
        reading: &ReadingEnd,
    ) -> Result<Self, IoError> {
        let handle = if is_merged {
            let set = StreamSet::new(streams.to_vec())?;
            let start = if reading.is_whole() { MergedStart::Beginning } else { MergedStart::Live };
            Handle::Set(Box::new(MergedSubscriber::connect(set, start, LIVE_WAIT)?))
        } else {
            let subscriber = Subscriber::connect(&streams[0].1, Delivery::Committed, reading.start())?;
            Handle::Stream(Box::new(subscriber))
        };
        Ok(Self { handle, waiter: None })
    }

    /// The subscription of a feed of one stream: it is counted.
    pub fn counted(&self) -> Option<&Subscriber> {
        match &self.handle {
            Handle::Stream(subscriber) => Some(subscriber),
            Handle::Set(_) => None,
        }
    }

    /// As [`counted`](Self::counted).
    pub fn counted_mut(&mut self) -> Option<&mut Subscriber> {
        match &mut self.handle {
            Handle::Stream(subscriber) => Some(subscriber),
            Handle::Set(_) => None,
        }
    }

    /// One turn. Of another stream than the home stream its messages count, and the end of its reading: days,
    /// and the end of the stream, are the home stream's.
    pub fn poll(
        &mut self,
        limit: usize,
        mut f: impl FnMut(&SubscriberEvent<'_>) -> ControlFlow<()>,
    ) -> Result<usize, Failure> {
        match &mut self.handle {
            Handle::Stream(subscriber) => Ok(subscriber.poll(limit, |event| f(&event))),
            Handle::Set(merged) => {
                let home = merged.set().home();
                let work = merged.poll(limit, |one| match one.event {
                    SubscriberEvent::Day { .. }
                    | SubscriberEvent::CaughtUp { .. }
                    | SubscriberEvent::Opened { .. }
                    | SubscriberEvent::Closed { .. }
                        if one.stream != home =>
                    {
                        ControlFlow::Continue(())
                    }
                    event => f(&event),
                })?;
                Ok(work)
            }
        }
    }

    /// Whether a leader is followed; of a set: that of each stream that is merged.
    pub fn is_connected(&self) -> bool {
        match &self.handle {
            Handle::Stream(subscriber) => subscriber.is_connected(),
            Handle::Set(merged) => {
                let mut streams = merged.reader().streams();
                streams.all(|stream| merged.subscription(stream).is_some_and(Subscriber::is_connected))
            }
        }
    }

    /// Waits for something to read, or for a request.
    pub fn wait(&mut self, idle: Idle, requests: &UdpSocket, time_ns: u64) -> Result<(), IoError> {
        let (changes, next) = match &self.handle {
            Handle::Stream(subscriber) => (0, subscriber.deliver_next()),
            Handle::Set(merged) => (merged.changes(), merged.next_number()),
        };
        let waiter = match &mut self.waiter {
            Some((made, waiter)) if *made == changes => waiter,
            outdated => {
                let mut sockets = match &self.handle {
                    Handle::Stream(subscriber) => subscriber.net().sockets(),
                    Handle::Set(merged) => merged.sockets(),
                };
                sockets.push(requests.as_fd());
                &mut outdated.insert((changes, idle.waiter(&sockets)?)).1
            }
        };
        waiter.on_progress(next);
        waiter.wait(time_ns);
        Ok(())
    }
}
