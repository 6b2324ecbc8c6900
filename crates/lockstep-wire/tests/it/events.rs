//! Pages of events: a page is read as it was written, and a query for one has the length of its answer.

use crate::samples::{self, CLUSTER};
use lockstep_wire::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// Writes a page that was decoded once more.
pub fn page_again(header: &Header, body: EventsBody, rows: &EventRows<'_>) -> Vec<u8> {
    let rows: Vec<_> = rows.iter().collect();
    samples::small(|out| write_events(out, &Keyring::none(CLUSTER), *header, body, &rows))
}

proptest! {
    #[test]
    fn a_page_of_events_is_what_was_written_and_no_longer_than_its_query(
        words in any::<[u64; 2]>(),
        oldest in 0..=u64::from(u32::MAX),
        gaps in vec((0..4u64, any::<[u64; 6]>()), 0..=EVENT_ROWS_MAX),
        before in any::<Option<u64>>(),
    ) {
        let [token, ring] = words;
        let mut number = oldest;
        let mut rows: Vec<_> = gaps.into_iter().map(|(gap, [wall, at, a, b, c, d])| {
            number += gap + 1;
            let record = EventRecord { at, a, b, c, d, code: a as u16, small: b as u16, e: c as u32 };
            EventRow { number: number - 1, wall, record }
        }).collect();
        rows.reverse();
        let body = EventsBody { token, ring, oldest, next: number, from: rows.last().map_or(oldest, |row| row.number) };
        let (keys, header) = (Keyring::none(CLUSTER), samples::header(Kind::Events));
        let bytes = samples::small(|out| write_events(out, &keys, header, body, &rows));
        let Ok(Datagram::Events(_, read, seen)) = Datagram::decode(&bytes, &keys) else { panic!("a page") };
        prop_assert_eq!((read, seen.iter().collect::<Vec<_>>()), (body, rows));

        let name = before.map_or_else(String::new, |before| before.to_string());
        let header = samples::header(Kind::Query);
        let query = samples::small(|out| write_query(out, &keys, header, token, QueryKind::Events, &name));
        prop_assert!(query.len() >= bytes.len());
        let Ok(Datagram::Query(_, asked, text, _)) = Datagram::decode(&query, &keys) else { panic!("a query") };
        prop_assert_eq!((asked.token, event_number(text)), (token, before));
    }
}
