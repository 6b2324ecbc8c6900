//! The streams of a set, as a machine over its merged order sees them: one order, and one space of
//! publishers.
//!
//! A machine over a set is the same machine. The seq of an input is the entry's merged number, its time is
//! the merged time, and a publisher's id has the number of its stream above the id that it has there: so two
//! publishers of two streams are two. The home stream is number 0, and its ids stay as they are; the others
//! are numbered as their first entries come.

use lockstep_core::engine::clients::Clients;
use lockstep_core::engine::saved::{take_u32, take_u64};
use lockstep_wire::{Nanos, PublisherId, Seq};

/// Bits of a publisher's id within its stream: a cluster has at most a million publishers.
const ID_BITS: u32 = 24;
/// The most streams of which entries were merged, in the life of a set.
const STREAMS_EVER_MAX: usize = 128;

/// An entry of a set, at its place in the merged order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MergedInput {
    /// The cluster of its stream.
    pub stream: u64,
    /// Whether that is the home stream, into which the machine publishes.
    pub is_home: bool,
    /// Its number in the merged order; `None` of an event that stands for no entry.
    pub number: Option<Seq>,
    /// The merged time, nanoseconds since the Unix epoch.
    pub time: Nanos,
}

/// The number of the stream of a publisher of a set, as [`InputEvent::Stream`](crate::InputEvent::Stream) has
/// it; 0 is the home stream. It is 0 for a machine that reads one stream.
pub fn stream_of(publisher: PublisherId) -> u8 {
    (publisher >> ID_BITS) as u8
}

/// The id in the machine's inputs of what is `publisher` in the stream with this number.
pub(super) fn id_of(number: usize, publisher: PublisherId) -> PublisherId {
    assert!(publisher >> ID_BITS == 0, "a cluster has fewer than 2^{ID_BITS} publishers");
    (number as u32) << ID_BITS | publisher
}

/// The other streams, by their numbers from 1, and the gateways' clients of each.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct OtherStreams(Vec<(u64, Clients)>);

impl OtherStreams {
    /// The number of the stream of a cluster, and whether it is new; `None`: there is no number left.
    pub fn number(&mut self, cluster: u64) -> Option<(usize, bool)> {
        let known = self.0.iter().position(|(known, _)| *known == cluster);
        if let Some(at) = known {
            return Some((at + 1, false));
        }
        if self.0.len() + 1 >= STREAMS_EVER_MAX {
            return None;
        }
        self.0.push((cluster, Clients::default()));
        Some((self.0.len(), true))
    }

    /// The clients of the stream with this number, not 0.
    pub fn clients(&mut self, number: usize) -> &mut Clients {
        &mut self.0[number - 1].1
    }

    /// Appends them to a snapshot.
    pub fn save(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.0.len() as u32).to_le_bytes());
        for (cluster, clients) in &self.0 {
            out.extend_from_slice(&cluster.to_le_bytes());
            clients.save(out);
        }
    }

    /// Those of a snapshot.
    pub fn restore(rest: &mut &[u8]) -> Option<Self> {
        let mut all = Vec::new();
        for _ in 0..take_u32(rest)? {
            all.push((take_u64(rest)?, Clients::restore(rest)?));
        }
        (all.len() < STREAMS_EVER_MAX).then_some(Self(all))
    }
}
