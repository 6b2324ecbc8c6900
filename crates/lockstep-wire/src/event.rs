//! Events of a node: what it records about itself, as its ring stores them and as it reports a page of them.

use super::datagram::write;
use super::{HEADER_LEN, Header, Keyring, Nanos, Reject, SMALL_LEN_MAX};
use bytemuck::{Pod, Zeroable};

/// An event. The code determines the meaning of the numbers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct EventRecord {
    /// The time of the event, by the monotonic clock.
    pub at: Nanos,
    /// First number.
    pub a: u64,
    /// Second number.
    pub b: u64,
    /// Third number.
    pub c: u64,
    /// Fourth number.
    pub d: u64,
    /// The code: `1001` is printed as `LS1001`.
    pub code: u16,
    /// A small number, e.g. of a role or a reason.
    pub small: u16,
    /// A fifth number, e.g. of a replica.
    pub e: u32,
}

const _: () = assert!(size_of::<EventRecord>() == 48 && align_of::<EventRecord>() == 8);

/// A recorded event: its number in its ring, and its wall time.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct EventRow {
    /// Its number: the first event of a process has 0.
    pub number: u64,
    /// The event's time in nanoseconds since the Unix epoch, by its host's clock at that moment.
    pub wall: Nanos,
    /// The event.
    pub record: EventRecord,
}

const _: () = assert!(size_of::<EventRow>() == 64);

/// Behind the header of a page of events; `count` [`EventRow`]s follow, the newest first.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct EventsBody {
    /// The query's.
    pub token: u64,
    /// The id of the process's ring.
    pub ring: u64,
    /// The least number of an event that the ring may still have.
    pub oldest: u64,
    /// The number of the next event.
    pub next: u64,
    /// The page has each event from this number on and below the requested one.
    pub from: u64,
}

const _: () = assert!(size_of::<EventsBody>() == 40);

/// The most events in one page, so that it is no longer than a status, and fits the smallest MTU.
pub const EVENT_ROWS_MAX: usize = 9;
/// Room for any page of events.
pub const EVENTS_LEN_MAX: usize =
    HEADER_LEN + size_of::<EventsBody>() + EVENT_ROWS_MAX * size_of::<EventRow>();
const _: () = assert!(EVENTS_LEN_MAX <= SMALL_LEN_MAX);

/// The events of a page, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct EventRows<'a>(&'a [u8]);

impl<'a> EventRows<'a> {
    /// The events, the newest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = EventRow> + use<'a> {
        self.0.chunks_exact(size_of::<EventRow>()).map(bytemuck::pod_read_unaligned)
    }

    /// Judges the rows behind the body of `header`'s datagram, whose length fits them.
    pub(super) fn check(header: &Header, body: &EventsBody, bytes: &'a [u8]) -> Result<Self, Reject> {
        if usize::from(header.count) > EVENT_ROWS_MAX {
            return Err(Reject::Count);
        }
        let rows = Self(&bytes[HEADER_LEN + size_of::<EventsBody>()..header.length as usize]);
        let numbers = || rows.iter().map(|row| row.number);
        let is_sound = body.oldest <= body.from
            && body.from <= body.next
            && numbers().all(|number| (body.from..body.next).contains(&number))
            && numbers().is_sorted_by(|newer, older| newer > older);
        is_sound.then_some(rows).ok_or(Reject::Body)
    }
}

/// Writes a page of events, at most [`EVENT_ROWS_MAX`] `rows`, the newest first, into `out` (at least
/// [`EVENTS_LEN_MAX`]); returns its bytes.
pub fn write_events(
    out: &mut [u8],
    keys: &Keyring,
    mut header: Header,
    body: EventsBody,
    rows: &[EventRow],
) -> usize {
    assert!(rows.len() <= EVENT_ROWS_MAX, "{} events, at most {EVENT_ROWS_MAX}", rows.len());
    header.count = rows.len() as u16;
    write(out, keys, header, bytemuck::bytes_of(&body), bytemuck::cast_slice(rows))
}
