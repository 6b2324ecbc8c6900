//! # sequence: the one place where a seq is given out
//!
//! A [`Sequencer`] exists only by a [`Leadership`], and a leadership only where [`super::start`] granted
//! an epoch that this process has never stamped in. It writes entries into the frame that is open at the
//! journal's head, and closes that frame when the batch is drained or the datagram is full.

use super::planted::{Mutation, planted};
use crate::proto::log::LogEnd;
use lockstep_wire::{
    Destination, EntryHeader, EntryKind, Epoch, Header, Keys, Kind, OpenFrame, PublisherId, PublisherSeq,
    Seq, Wall,
};

/// The right to stamp in one epoch: a value that one must hold. It is cloned only together with its
/// whole world, by whoever explores what a cluster may do next.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Leadership(Epoch);

impl Leadership {
    /// Only `start` (and takeover) grant it, after the promise is stored.
    pub(super) fn granted(epoch: Epoch) -> Self {
        Self(epoch)
    }

    /// The epoch.
    pub fn epoch(&self) -> Epoch {
        self.0
    }
}

/// What an entry is to say beside its payload.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Stamp {
    /// Its kind.
    pub kind: EntryKind,
    /// Its flags, as submitted.
    pub flags: u8,
    /// Whose it is.
    pub publisher: PublisherId,
    /// The publisher's number of it.
    pub publisher_seq: PublisherSeq,
    /// The destination.
    pub destination: Destination,
}

impl Stamp {
    /// An entry of the cluster itself.
    pub fn of_cluster(kind: EntryKind) -> Self {
        Self { kind, flags: 0, publisher: 0, publisher_seq: 0, destination: 0 }
    }
}

/// The correction while no time of the stream is known: any clock with it shows 0.
const NO_TIME: i64 = i64::MIN;

/// Gives out seqs, one after the other.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Sequencer {
    leadership: Leadership,
    keys: Keys,
    history: u64,
    /// The version of the frames that it closes.
    version: u8,
    open: OpenFrame,
    /// Time of the open frame.
    timestamp: Wall,
    /// By how much the stream's time differs from our clock, or [`NO_TIME`].
    correction: i64,
    frame_len_max: usize,
}

impl Sequencer {
    /// Stamps in one epoch of one history, behind a log of `version`.
    pub fn new(
        leadership: Leadership,
        keys: Keys,
        (history, version): (u64, u8),
        frame_len_max: usize,
    ) -> Self {
        Self {
            leadership,
            keys,
            history,
            version,
            open: OpenFrame::default(),
            timestamp: Wall::default(),
            correction: NO_TIME,
            frame_len_max,
        }
    }

    /// The version of the frames that it closes.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// VERSION-1 (how a log rises): the open frame, which begins with the order, is the first one of
    /// `version`.
    pub fn raise(&mut self, version: u8) {
        assert!(version >= self.version, "VERSION-1: from {} to {version}", self.version);
        assert!(self.open.count() == 1, "VERSION-1: the order is the only entry of the open frame");
        self.version = version;
    }

    /// CLOCK-2 (when time goes back): a frame's time is not below that of the frame before it, unless its
    /// first entry is an operator's order of time. The open frame, which begins with that order, has the time
    /// of a quorum's clocks by our clock, which shows `wall` (CLOCK-1).
    pub fn set_back(&mut self, wall: Wall) {
        assert!(self.open.count() == 1, "CLOCK-2: the order is the only entry of the open frame");
        assert!(self.time(wall) < self.timestamp, "CLOCK-2: from {} to {wall}", self.timestamp);
        if !planted(Mutation::TimeStaysOrdered) {
            self.timestamp = self.time(wall);
        }
    }

    /// From now on the time of what is stamped differs by so much from our clock (CLOCK-1). With `None` that
    /// is as before.
    pub fn set_correction(&mut self, correction: Option<i64>) {
        self.correction = correction.unwrap_or(self.correction);
    }

    /// Whether the stream's time is known. While it is not, what is stamped has the time of the log's end.
    #[inline]
    pub fn has_time(&self) -> bool {
        self.correction != NO_TIME
    }

    /// The stream's time by our clock, which shows `wall`.
    #[inline]
    pub fn time(&self, wall: Wall) -> Wall {
        wall.saturating_add_signed(self.correction)
    }

    /// The epoch that it stamps in.
    pub fn epoch(&self) -> Epoch {
        self.leadership.epoch()
    }

    /// The next seq that it will give out, in a log that ends at `end` without the open frame.
    #[inline]
    pub fn stamp_next(&self, end: &LogEnd) -> Seq {
        end.next + u64::from(self.open.count())
    }

    /// Whether a payload of this length fits the open frame.
    #[inline]
    pub fn fits(&self, payload_len: usize) -> bool {
        self.open.fits(payload_len, self.frame_len_max)
    }

    /// Whether the open frame has no entry.
    #[inline]
    pub fn is_drained(&self) -> bool {
        self.open.is_empty()
    }

    /// S1 (one frame per seq): writes the next entry into the open frame in `memory`, behind the log's `end`,
    /// and returns its seq. `wall` is our clock's time; a frame's time is that of its first entry, and not
    /// below that of the frame before ([`Sequencer::set_back`]). `None` if the frame has no room for it
    /// ([`Sequencer::fits`]).
    #[inline]
    pub fn stamp(
        &mut self,
        end: &LogEnd,
        memory: &mut [u8],
        wall: Wall,
        stamp: Stamp,
        payload: &[u8],
    ) -> Option<Seq> {
        let wall = self.time(wall);
        if self.open.is_empty() {
            let falls = planted(Mutation::TimeFallsUnordered);
            self.timestamp = if falls { wall } else { wall.max(Wall(end.timestamp)) };
        }
        let seq = self.stamp_next(end);
        let header = EntryHeader {
            kind: stamp.kind as u8,
            flags: stamp.flags,
            length: 0,
            publisher: stamp.publisher,
            publisher_seq: stamp.publisher_seq,
            destination: stamp.destination,
            time_or_incarnation: u32::try_from(wall.saturating_since(self.timestamp)).unwrap_or(u32::MAX),
        };
        let memory = memory.get_mut(..self.frame_len_max)?;
        self.open.push(memory, header, payload).then_some(seq)
    }

    /// Closes the open frame, which has at least one entry: seals it, padded to `stride` bytes where that
    /// is given. The journal keeps it before anybody sends it, and ends behind it from then on.
    #[inline]
    pub fn close(
        &mut self,
        end: &LogEnd,
        memory: &mut [u8],
        commit_next: Seq,
        stride: Option<usize>,
    ) -> Header {
        let open = std::mem::take(&mut self.open);
        let identity = self.leadership.epoch().leader();
        let header = Header {
            version: self.version,
            cluster: self.keys.cluster(),
            history: self.history,
            epoch: self.leadership.epoch().0,
            sender: identity.replica,
            incarnation: identity.incarnation,
            first_seq: end.next,
            commit_next,
            timestamp: self.timestamp.0,
            chain: end.chain,
            ..Header::new(Kind::Frame)
        };
        let length = stride.map_or(open.len(), |stride| stride.max(open.len()));
        open.close(memory, &self.keys, header, length)
    }

    /// Bytes of the open frame so far.
    pub fn open_len(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::tests::{begun, epoch, view};
    use lockstep_wire::VERSION_MIN;
    use proptest::prelude::*;

    const STAMP: Stamp =
        Stamp { kind: EntryKind::Message, flags: 0, publisher: 3, publisher_seq: 8, destination: 5 };

    fn sequencer() -> Sequencer {
        let mut sequencer = Sequencer::new(
            Leadership::granted(epoch(1, 1)),
            lockstep_wire::Keyring::none(7).into(),
            (9, VERSION_MIN),
            1424,
        );
        sequencer.set_correction(Some(0));
        sequencer
    }

    #[test]
    fn s1_a_frame_says_whose_it_is_and_continues_the_log() {
        let end = begun();
        let mut sequencer = sequencer();
        let mut memory = vec![0; 1424];
        assert_eq!(sequencer.stamp(&end, &mut memory, Wall(1_000), STAMP, b"a"), Some(end.next));
        assert_eq!(sequencer.stamp(&end, &mut memory, Wall(1_250), STAMP, b"bc"), Some(end.next + 1));
        assert_eq!(sequencer.stamp_next(&end), end.next + 2);
        let header = sequencer.close(&end, &mut memory, 2, None);
        assert_eq!((header.cluster, header.history, header.epoch()), (7, 9, epoch(1, 1)));
        assert_eq!((header.identity(), header.commit_next), (epoch(1, 1).leader(), 2));
        let frame = view(&memory);
        let times: Vec<_> = frame.entries().map(|entry| entry.header.time_or_incarnation).collect();
        assert_eq!((header.timestamp, times), (1_000, vec![0, 250]));
        let entry = frame.entries().nth(1).unwrap();
        assert_eq!((entry.header.publisher, entry.header.publisher_seq), (3, 8));
        assert_eq!((entry.header.destination, entry.payload), (5, b"bc".as_slice()));
        assert_eq!(end.follow(&frame).map(|end| end.next), Ok(end.next + 2));
    }

    #[test]
    fn s1_a_clock_that_steps_back_never_takes_the_stream_back() {
        let mut end = LogEnd { timestamp: 5_000, ..begun() };
        let mut sequencer = sequencer();
        let mut memory = vec![0; 1424];
        for (walls, expected) in [([100, 50], 5_000), ([6_000, 5_500], 6_000), ([5_900, 7_000], 6_000)] {
            for wall in walls {
                sequencer.stamp(&end, &mut memory, Wall(wall), STAMP, b"x");
            }
            let header = sequencer.close(&end, &mut memory, 1, None);
            assert_eq!({ header.timestamp }, expected);
            end = end.follow(&view(&memory)).unwrap();
        }
    }

    #[test]
    fn clock_2_the_frame_that_begins_with_the_order_has_the_time_of_the_clocks_and_the_next_go_on_from_it() {
        let order = Stamp { kind: EntryKind::Order, ..STAMP };
        for ahead in [3_600, 86_400, 15 * 365 * 86_400].map(|seconds| seconds * 1_000_000_000) {
            let right = 1_700_000_000_000_000_000;
            let mut end = LogEnd { timestamp: right + ahead, ..begun() };
            let mut sequencer = sequencer();
            let mut memory = vec![0; 1424];
            // Our own clock is 40 ns ahead of a quorum's.
            sequencer.set_correction(Some(-40));
            let mut times = Vec::new();
            for (wall, stamp, is_order) in
                [(5, STAMP, false), (10, order, true), (8, STAMP, false), (30, STAMP, false)]
            {
                sequencer.stamp(&end, &mut memory, Wall(right + wall), stamp, b"x");
                if is_order {
                    sequencer.set_back(Wall(right + wall));
                    sequencer.stamp(&end, &mut memory, Wall(right + wall + 7), STAMP, b"behind it");
                }
                let header = sequencer.close(&end, &mut memory, 1, None);
                times.push(header.timestamp);
                let offsets: Vec<_> =
                    view(&memory).entries().map(|entry| entry.header.time_or_incarnation).collect();
                assert_eq!(offsets, if is_order { vec![0, 7] } else { vec![0] });
                end = end.follow(&view(&memory)).unwrap();
            }
            assert_eq!(times, [right + ahead, right - 30, right - 30, right - 10]);
        }
    }

    #[test]
    #[should_panic(expected = "CLOCK-2")]
    fn clock_2_no_order_moves_time_ahead() {
        let (end, mut sequencer, mut memory) = (begun(), sequencer(), vec![0; 1424]);
        sequencer.stamp(&end, &mut memory, Wall(100), STAMP, b"x");
        sequencer.set_back(Wall(100));
    }

    #[test]
    fn clock_1_what_is_stamped_before_the_time_is_known_has_the_time_of_the_logs_end() {
        let mut end = LogEnd { timestamp: 5_000, ..begun() };
        let fresh = sequencer();
        let mut sequencer = Sequencer { correction: NO_TIME, ..fresh };
        let mut memory = vec![0; 1424];
        let mut times = Vec::new();
        for correction in [None, None, Some(-1_000), None] {
            sequencer.set_correction(correction);
            times.push(sequencer.has_time());
            sequencer.stamp(&end, &mut memory, Wall(9_000), STAMP, b"x");
            sequencer.close(&end, &mut memory, 1, None);
            end = end.follow(&view(&memory)).unwrap();
            assert_eq!(end.timestamp, if sequencer.has_time() { 8_000 } else { 5_000 });
        }
        assert_eq!(times, [false, false, true, true]);
    }

    #[test]
    fn s1_padding_keeps_the_entries_and_gives_a_burst_one_size() {
        let end = begun();
        let mut sequencer = sequencer();
        let mut memory = vec![0xff; 1424];
        sequencer.stamp(&end, &mut memory, Wall(1), STAMP, b"one");
        let header = sequencer.close(&end, &mut memory, 1, Some(512));
        assert_eq!({ header.length }, 512);
        assert_eq!(view(&memory).entries().count(), 1);
    }

    proptest! {
        /// Whatever is stamped and whenever frames are closed: seqs are contiguous, frames fit, each
        /// follows the one before, and time never falls.
        #[test]
        fn s1_seqs_are_contiguous_and_every_frame_follows_the_one_before(
            steps in prop::collection::vec((0usize..1_297, any::<bool>(), 0u64..100_000), 1..80),
        ) {
            let mut end = begun();
            let mut sequencer = sequencer();
            let mut memory = vec![0; 1424];
            let (mut next, mut time) = (end.next, end.timestamp);
            for (length, closes, wall) in steps {
                let payload = vec![0xab; length];
                let full = !sequencer.fits(length);
                prop_assert!(!(full && sequencer.is_drained()), "an empty frame takes any message");
                if full || closes && !sequencer.is_drained() {
                    let header = sequencer.close(&end, &mut memory, 1, None);
                    prop_assert!(header.length <= 1424 && header.timestamp >= time);
                    time = header.timestamp;
                    end = end.follow(&view(&memory)).expect("it follows");
                    prop_assert_eq!(end.next, next);
                }
                prop_assert_eq!(sequencer.stamp(&end, &mut memory, Wall(wall), STAMP, &payload), Some(next));
                next += 1;
            }
        }
    }
}
