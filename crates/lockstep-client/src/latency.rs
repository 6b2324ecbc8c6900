//! Latencies that a handle measures once its counters are published. They are sampled: a message outside the
//! sample costs one comparison.

use lockstep_core::engine::durations::Durations;
use lockstep_core::engine::publisher::PublisherEvent;
use lockstep_core::engine::subscriber::SubscriberEvent;
use lockstep_io::clock::Clock;
use lockstep_wire::{Nanos, PublisherId, PublisherSeq};

/// The time from the sending of a message until its publisher knows that it is committed, measured for one
/// message at a time.
#[derive(Default, Debug)]
pub(crate) struct RoundTrips {
    durations: Durations,
    /// The sampled message, and the time at which it was sent, if it is.
    sample: Option<(PublisherId, PublisherSeq, Option<Nanos>)>,
}

impl RoundTrips {
    /// A message was written.
    #[inline]
    pub(crate) fn on_written(&mut self, publisher: PublisherId, number: PublisherSeq) {
        self.sample.get_or_insert((publisher, number, None));
    }

    /// All written messages are sent.
    #[inline]
    pub(crate) fn on_sent(&mut self, now: Nanos) {
        if let Some((_, _, sent)) = &mut self.sample {
            sent.get_or_insert(now);
        }
    }

    /// An event of a poll that began at `now`.
    #[inline]
    pub(crate) fn on_event(&mut self, now: Nanos, event: &PublisherEvent) {
        let Some((publisher, number, sent)) = self.sample else { return };
        match event {
            PublisherEvent::Committed { publisher: of, publisher_seq, .. }
                if *of == publisher && *publisher_seq >= number =>
            {
                if let Some(sent) = sent {
                    self.durations.add(now.saturating_sub(sent));
                }
                self.sample = None;
            }
            // Any other event ends the sample.
            PublisherEvent::Committed { .. } | PublisherEvent::Stamped { .. } => {}
            _ => self.sample = None,
        }
    }

    pub(crate) fn durations(&self) -> &Durations {
        &self.durations
    }
}

/// The time from the timestamp of an entry until it is delivered, measured for the first message of each
/// poll.
#[derive(Default, Debug)]
pub(crate) struct DeliveryLatencies {
    durations: Durations,
    first: Option<Nanos>,
}

impl DeliveryLatencies {
    /// An event of a poll.
    #[inline]
    pub(crate) fn on_event(&mut self, event: &SubscriberEvent<'_>) {
        if let SubscriberEvent::Message(message) = event {
            self.first.get_or_insert(message.timestamp);
        }
    }

    /// The end of a poll that began at `now`.
    #[inline]
    pub(crate) fn on_polled(&mut self, clock: &Clock, now: Nanos) {
        if let Some(timestamp) = self.first.take() {
            self.durations.add(clock.wall(now).saturating_sub(timestamp));
        }
    }

    pub(crate) fn durations(&self) -> &Durations {
        &self.durations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(publisher: PublisherId, publisher_seq: PublisherSeq) -> PublisherEvent {
        PublisherEvent::Committed { publisher, publisher_seq, seq: 9 }
    }

    #[test]
    fn a_round_trip_lasts_from_the_sending_until_the_commit_of_that_message() {
        let mut trips = RoundTrips::default();
        trips.on_written(1, 5);
        trips.on_written(1, 6);
        trips.on_sent(1_000);
        trips.on_sent(2_000);
        trips.on_event(3_000, &committed(2, 8));
        trips.on_event(3_000, &committed(1, 4));
        assert_eq!(trips.durations().count(), 0, "of another publisher, or of an earlier message");
        trips.on_event(4_000, &committed(1, 6));
        assert_eq!((trips.durations().count(), trips.durations().sum()), (1, 3_000));
        trips.on_event(5_000, &committed(1, 7));
        assert_eq!(trips.durations().count(), 1, "there is no sample");
    }
}
