//! The messages of the trading day by destination, over which a client's sequence is counted.
//!
//! A client's sequence counts the committed messages for the destinations that it receives, since the day
//! began. So it follows from the stream alone, and any gateway can send any client any of its numbers. The
//! messages lie in a [`Backlog`] in the order of the stream; each destination has a list of their positions.
//! The sequence of several destinations is the merge of their lists; positions rise with the stream, so
//! merging compares positions.
//!
//! ```text
//!   backlog │ 7: to 3 │ 8: to 5 │ 12: to 3 │ 15: to 4 │ …       lists   3: [7, 12]   4: [15]   5: [8]
//!                                                               a client of 3, 5: 1 = 7, 2 = 8, 3 = 12
//! ```

use lockstep_core::engine::ports::{Backlog, BacklogError};
use lockstep_core::engine::subscriber::Message;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_wire::{DayMark, Destination};
use std::collections::BTreeMap;

/// The length before each message in the backlog.
const RECORD_LEN: usize = 4;
/// The day of a stream before the first mark begins one.
pub const FIRST_DAY: &str = "FIRST";

/// Whether messages have a number at present.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LedgerDay {
    /// Unknown: the stream was read from a later entry, and no day has begun since; or a message of the day
    /// began before that entry, and cannot be read.
    Unknown,
    /// It is open.
    Open(String),
    /// The last day is over. Messages until the next day begins have no number.
    Over,
}

/// The ledger: see the module.
#[derive(Debug)]
pub struct Ledger<B> {
    backlog: B,
    lists: BTreeMap<Destination, Vec<u64>>,
    /// Whether messages for everybody are stored, because some user receives them.
    keeps_everybody: bool,
    /// Whether the stream is read from its first entry on.
    whole: bool,
    day: LedgerDay,
    /// Messages with a destination that came while no day was open.
    outside: u64,
    /// Whether a message found no room: then nothing is counted any more.
    full: bool,
}

/// A client's place in its sequence.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DeliveryPlace {
    /// Each destination that it receives, and how many of its messages lie behind.
    destinations: Vec<(Destination, usize)>,
}

impl DeliveryPlace {
    /// Whether the client receives `destination`.
    pub fn receives(&self, destination: Destination) -> bool {
        self.destinations.iter().any(|(known, _)| *known == destination)
    }

    /// Each destination that the client receives.
    pub fn destinations(&self) -> impl Iterator<Item = Destination> {
        self.destinations.iter().map(|(destination, _)| *destination)
    }

    /// Adds a destination, from its beginning. No message could be addressed to it before: a gateway that has
    /// not read every name refuses a user that receives an unknown one.
    pub fn hear(&mut self, destination: Destination) {
        if !self.receives(destination) {
            self.destinations.push((destination, 0));
        }
    }
}

impl<B: Backlog> Ledger<B> {
    /// An empty ledger. `whole`: the stream is read from its first entry on.
    pub fn new(backlog: B, whole: bool, keeps_everybody: bool) -> Self {
        let day = if whole { LedgerDay::Open(FIRST_DAY.to_owned()) } else { LedgerDay::Unknown };
        Self { backlog, lists: BTreeMap::new(), keeps_everybody, whole, day, outside: 0, full: false }
    }

    /// The trading day.
    pub fn day(&self) -> &LedgerDay {
        &self.day
    }

    /// Whether the stream is read from its first entry on, so that every name was read.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Whether messages for everybody are stored.
    pub fn has_broadcast(&self) -> bool {
        self.keeps_everybody
    }

    /// Messages with a destination that came while no day was open.
    pub fn outside(&self) -> u64 {
        self.outside
    }

    /// Whether a message of the day found no room.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// A day begins or ends. A day that begins ends an open one.
    pub fn on_day(&mut self, mark: &DayMark<'_>) -> Result<(), BacklogError> {
        if mark.is_start {
            self.backlog.cut(0)?;
            self.lists.clear();
            self.full = false;
            self.day = LedgerDay::Open(mark.name.to_owned());
        } else if self.day != LedgerDay::Unknown {
            // The last number of an uncounted day is unknown.
            self.day = LedgerDay::Over;
        }
        Ok(())
    }

    /// A message ends whose first part lies before the first entry that was read: its publisher and its
    /// content are unknown, and other readers may count it. Returns whether numbers are unknown from here
    /// until a day begins.
    pub fn on_lacking(&mut self) -> bool {
        let counts = matches!(self.day, LedgerDay::Open(_)) && !self.whole;
        if counts {
            self.day = LedgerDay::Unknown;
        }
        counts
    }

    /// Handles the next message of the stream. Returns whether it has a number in any sequence.
    pub fn on_message(&mut self, message: &Message<'_>) -> Result<bool, BacklogError> {
        if !self.takes(message) {
            match self.day {
                LedgerDay::Over => self.outside += u64::from(message.destination != 0),
                LedgerDay::Open(_) => self.full |= message.destination != 0 || self.keeps_everybody,
                LedgerDay::Unknown => {}
            }
            return Ok(false);
        }
        let record: [u8; RECORD_LEN] = (message.payload.len() as u32).to_le_bytes();
        let at = self.backlog.append([&record, message.payload])?;
        self.lists.entry(message.destination).or_default().push(at);
        Ok(true)
    }

    /// Whether a message of this destination would have a number if it were the next.
    pub fn takes(&self, message: &Message<'_>) -> bool {
        (message.destination != 0 || self.keeps_everybody)
            && (matches!(self.day, LedgerDay::Open(_)) || planted(Mutation::OutsideCounts))
            && !self.full
            && self.backlog.has_room(RECORD_LEN + message.payload.len())
    }

    fn list(&self, destination: Destination) -> &[u64] {
        self.lists.get(&destination).map_or(&[], Vec::as_slice)
    }

    /// The number of the next message for a client that receives `destinations`.
    pub fn next_number(&self, destinations: &[Destination]) -> u64 {
        1 + destinations.iter().map(|destination| self.list(*destination).len() as u64).sum::<u64>()
    }

    /// The number of the next message for a client at `place`.
    pub fn number_behind(&self, place: &DeliveryPlace) -> u64 {
        1 + place.destinations().map(|destination| self.list(destination).len() as u64).sum::<u64>()
    }

    /// The place before message `number`, from 1 to the next one, of a client of these distinct destinations.
    pub fn place(&self, destinations: &[Destination], number: u64) -> DeliveryPlace {
        let before = |at: u64| -> u64 {
            destinations.iter().map(|one| self.list(*one).partition_point(|place| *place < at) as u64).sum()
        };
        // The least position before which `number - 1` messages lie.
        let (mut low, mut high) = (0, self.backlog.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if before(middle) < number - u64::from(!planted(Mutation::ResumesBehind)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let behind = |one: &Destination| (*one, self.list(*one).partition_point(|place| *place < low));
        DeliveryPlace { destinations: destinations.iter().map(behind).collect() }
    }

    /// Reads the next message from `place` on into `out`, and moves `place` behind it. `false`: there is
    /// none.
    pub fn next(&self, place: &mut DeliveryPlace, out: &mut Vec<u8>) -> Result<bool, BacklogError> {
        let ahead = place.destinations.iter_mut().filter_map(|(destination, behind)| {
            let at = *self.lists.get(destination)?.get(*behind)?;
            Some((at, behind))
        });
        let Some((at, behind)) = ahead.min_by_key(|(at, _)| *at) else { return Ok(false) };
        let len = len_at(&self.backlog, at)?;
        out.resize(len, 0);
        self.backlog.read(at + RECORD_LEN as u64, out)?;
        *behind += 1;
        Ok(true)
    }

    /// Whether no message lies ahead of `place`.
    pub fn is_at_end(&self, place: &DeliveryPlace) -> bool {
        place.destinations.iter().all(|(destination, behind)| *behind >= self.list(*destination).len())
    }
}

fn len_at(backlog: &impl Backlog, at: u64) -> Result<usize, BacklogError> {
    let mut record = [0; RECORD_LEN];
    backlog.read(at, &mut record)?;
    Ok(u32::from_le_bytes(record) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_core::engine::ports::MemoryBacklog;
    use lockstep_wire::Seq;

    fn ledger() -> Ledger<MemoryBacklog> {
        Ledger::new(MemoryBacklog::new(1 << 20), true, false)
    }

    fn message(seq: Seq, destination: Destination, payload: &[u8]) -> Message<'_> {
        Message { seq, publisher: 1, publisher_seq: seq, destination, timestamp: 0, payload }
    }

    fn all(ledger: &Ledger<MemoryBacklog>, place: &mut DeliveryPlace) -> Vec<String> {
        let mut out = Vec::new();
        let mut read = Vec::new();
        while ledger.next(place, &mut out).unwrap() {
            read.push(String::from_utf8(out.clone()).unwrap());
        }
        read
    }

    #[test]
    fn a_clients_sequence_counts_what_is_addressed_to_it_and_begins_anywhere() {
        let mut ledger = ledger();
        for seq in 1..=90u64 {
            let text = seq.to_string();
            ledger.on_message(&message(seq, (seq % 3) as u32, text.as_bytes())).unwrap();
        }
        assert_eq!(ledger.next_number(&[1]), 31);
        assert_eq!(ledger.next_number(&[0]), 1, "nobody hears everybody's");
        for number in 1..=31 {
            let expected: Vec<_> = (1..=90).filter(|seq| seq % 3 == 1).map(|seq| seq.to_string()).collect();
            let read = all(&ledger, &mut ledger.place(&[1], number));
            assert_eq!(read, expected[number as usize - 1..]);
        }
    }

    #[test]
    fn who_hears_several_destinations_has_one_sequence_over_them_in_the_streams_order() {
        let mut ledger = ledger();
        for seq in 1..=60u64 {
            let text = seq.to_string();
            ledger.on_message(&message(seq, 1 + (seq * seq % 5) as u32, text.as_bytes())).unwrap();
        }
        let destinations = [5, 2];
        let expected: Vec<_> = (1..=60u64)
            .filter(|seq| destinations.contains(&(1 + (seq * seq % 5) as u32)))
            .map(|seq| seq.to_string())
            .collect();
        let next = ledger.next_number(&destinations);
        assert_eq!(next as usize, expected.len() + 1);
        for number in 1..=next {
            let mut place = ledger.place(&destinations, number);
            assert_eq!(all(&ledger, &mut place), expected[number as usize - 1..]);
            assert!(ledger.is_at_end(&place));
        }
    }

    #[test]
    fn numbers_begin_anew_with_the_day_and_what_comes_between_two_days_has_none() {
        let mut ledger = ledger();
        let day = |begins| DayMark { is_start: begins, name: if begins { "20261121" } else { "" } };
        ledger.on_message(&message(1, 7, b"before")).unwrap();
        ledger.on_day(&day(true)).unwrap();
        assert_eq!(ledger.next_number(&[7]), 1);
        ledger.on_message(&message(3, 7, b"in")).unwrap();
        ledger.on_day(&day(false)).unwrap();
        ledger.on_message(&message(5, 7, b"between")).unwrap();
        assert_eq!((ledger.next_number(&[7]), ledger.outside()), (2, 1));
        assert_eq!(
            all(&ledger, &mut ledger.place(&[7], 1)),
            ["in"],
            "a slow client still gets what was its own"
        );
        ledger.on_day(&day(true)).unwrap();
        assert_eq!(ledger.next_number(&[7]), 1);
    }

    #[test]
    fn a_stream_that_is_not_read_from_its_beginning_has_no_numbers_before_a_day_begins() {
        let mut ledger = Ledger::new(MemoryBacklog::new(1 << 20), false, false);
        assert!(!ledger.on_message(&message(50, 7, b"unknown")).unwrap());
        ledger.on_day(&DayMark { is_start: true, name: "A" }).unwrap();
        assert!(ledger.on_message(&message(52, 7, b"known")).unwrap());
        assert_eq!(ledger.next_number(&[7]), 2);
    }

    #[test]
    fn a_message_that_began_before_what_was_read_leaves_its_day_without_numbers() {
        let mut late = Ledger::new(MemoryBacklog::new(1 << 20), false, false);
        assert!(!late.on_lacking(), "no day has begun: it has no number anyhow");
        late.on_day(&DayMark { is_start: true, name: "A" }).unwrap();
        late.on_message(&message(52, 7, b"known")).unwrap();
        assert!(late.on_lacking());
        assert!(!late.on_message(&message(54, 7, b"is it 2 or 3?")).unwrap());
        assert_eq!((late.day(), late.next_number(&[7])), (&LedgerDay::Unknown, 2));
        late.on_day(&DayMark { is_start: true, name: "B" }).unwrap();
        assert!(late.on_message(&message(56, 7, b"1")).unwrap());
    }

    #[test]
    fn a_day_that_is_larger_than_its_room_says_so_and_counts_nothing_wrong() {
        let mut ledger = Ledger::new(MemoryBacklog::new(100), true, false);
        let taken = (1..20).filter(|seq| ledger.on_message(&message(*seq, 7, b"12345678")).unwrap()).count();
        assert_eq!((taken, ledger.is_full(), ledger.next_number(&[7])), (8, true, 9));
    }
}
