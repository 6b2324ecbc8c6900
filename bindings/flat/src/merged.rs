//! Events of the merged order of a set: the row of each, as its own stream reports it, and its place in the
//! order.

use crate::batch::Batch;
use crate::event::FlatEvent;
use lockstep_client::IoError;
use lockstep_streams::{MergedEvent, MergedSubscriber};
use std::ops::ControlFlow;

/// The place of an event in the merged order of a set. Little-endian, without padding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct FlatPlace {
    /// The merged number of the entry, from 1 without holes; 0 of an event that stands for no entry. What one
    /// entry says in several events has one number.
    pub number: u64,
    /// The merged time: the greatest timestamp so far, nanoseconds since the Unix epoch. It never falls.
    pub time: u64,
    /// The number of the stream's cluster.
    pub stream: u64,
}

impl FlatPlace {
    /// The place of an event, its row and its payload; `None` for an event of a later version.
    #[inline]
    pub fn of_merged<'a>(merged: &MergedEvent<'a>) -> Option<(Self, FlatEvent, &'a [u8])> {
        let MergedEvent { number, timestamp, stream, event } = merged;
        let (row, payload) = FlatEvent::of_subscriber(event)?;
        Some((Self { number: number.unwrap_or(0), time: *timestamp, stream: *stream }, row, payload))
    }
}

/// Events of polls of one merged subscriber: a place for each row of the batch.
#[derive(Clone, Debug, Default)]
pub struct MergedBatch {
    batch: Batch,
    places: Vec<FlatPlace>,
}

impl From<Batch> for MergedBatch {
    /// An empty batch with the memory of this one.
    fn from(mut batch: Batch) -> Self {
        batch.clear();
        Self { batch, places: Vec::new() }
    }
}

impl MergedBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::from(Batch::new())
    }

    /// Empties it; its memory stays.
    pub fn clear(&mut self) {
        self.batch.clear();
        self.places.clear();
    }

    /// The rows and their payloads, in the merged order.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// The places of the rows.
    pub fn places(&self) -> &[FlatPlace] {
        &self.places
    }

    /// The rows with their payloads, and the places of the rows.
    pub fn into_parts(self) -> (Batch, Vec<FlatPlace>) {
        (self.batch, self.places)
    }

    /// Adds a row with its payload, and its place.
    #[inline]
    pub fn push(&mut self, place: FlatPlace, row: FlatEvent, payload: &[u8]) {
        self.batch.push(row, payload);
        self.places.push(place);
    }

    /// One turn of `merged`, whose events are added here: at most `limit` messages, until the batch is full.
    /// After each event `flow` says whether the rest is left for the next turn. Returns the work done.
    ///
    /// # Errors
    /// As of the subscriber's own `poll`. Where the turn has brought events before it failed, they come
    /// first: the next turn fails.
    pub fn poll(
        &mut self,
        merged: &mut MergedSubscriber,
        limit: usize,
        flow: ControlFlow<()>,
    ) -> Result<usize, IoError> {
        let before = self.places.len();
        let work = merged.poll(limit, |event| {
            if let Some((place, row, payload)) = FlatPlace::of_merged(&event) {
                self.push(place, row, payload);
            }
            if self.batch.is_full() { ControlFlow::Break(()) } else { flow }
        });
        let brought = self.places.len() - before;
        work.or_else(|error| if brought > 0 { Ok(brought) } else { Err(error) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::FlatKind;
    use lockstep_client::{Message, SubscriberEvent};

    #[test]
    fn a_place_has_the_layout_that_other_languages_read() {
        let bytes = bytemuck::bytes_of(&FlatPlace { number: 1, time: 2, stream: 3 }).to_vec();
        let numbers: Vec<_> =
            bytes.chunks(8).map(|one| u64::from_le_bytes(one.try_into().expect("8"))).collect();
        assert_eq!(numbers, [1, 2, 3]);
    }

    #[test]
    fn each_row_has_its_place() {
        let (publisher, publisher_seq, destination, timestamp) = (1, 3, 0, 7);
        let message =
            Message { seq: 9, publisher, publisher_seq, destination, timestamp, payload: b"one".as_slice() };
        let merged = [
            MergedEvent {
                number: Some(5),
                timestamp: 8,
                stream: 40,
                event: SubscriberEvent::Message(message),
            },
            MergedEvent {
                number: None,
                timestamp: 8,
                stream: 41,
                event: SubscriberEvent::Multicast { lost: true },
            },
        ];
        let mut batch = MergedBatch::new();
        for event in &merged {
            let (place, row, payload) = FlatPlace::of_merged(event).expect("a row");
            batch.push(place, row, payload);
        }
        let places =
            [FlatPlace { number: 5, time: 8, stream: 40 }, FlatPlace { number: 0, time: 8, stream: 41 }];
        assert_eq!(batch.places(), places);
        let rows = batch.batch().rows();
        assert_eq!((rows[0].kind(), rows[0].seq, rows[0].timestamp), (Some(FlatKind::Message), 9, 7));
        assert_eq!((rows[1].kind(), rows[1].detail), (Some(FlatKind::Multicast), 1));
        assert_eq!(batch.batch().payload(&rows[0]), b"one");
        batch.clear();
        assert!(batch.places().is_empty() && batch.batch().rows().is_empty());
    }
}
