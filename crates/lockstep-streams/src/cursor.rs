//! A place in the merged order as text.

use lockstep_client::{Cursor, Epoch, Nanos, Seq};
use lockstep_set::{CutPoint, MergePlace, MergePlaceRow};
use std::fmt;
use std::str::FromStr;

/// A place in the merged order at which another reader can resume.
///
/// It has the place of the order at which every stream can be taken up, with the cursor of each stream where
/// that is known, and the number from which on entries were not delivered yet: those between are read again
/// and not delivered again. As text it is one line of a few hundred characters:
/// `merged:1;NUMBER;…;HOME;STREAM…`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MergedCursor {
    /// The number of the next merged entry.
    pub number: u64,
    pub(crate) place: MergePlace,
    /// Of the home stream, and of each other one in the order of the place's list; none where a subscription
    /// begins at the seq.
    pub(crate) cursors: Vec<Option<Cursor>>,
}

impl MergedCursor {
    /// The seq at which the home stream is taken up.
    pub fn home_next(&self) -> Seq {
        self.cursors.first().copied().flatten().map_or(self.place.home, |cursor| cursor.seq)
    }

    /// The cluster of each other stream that is merged, with the seq at which it is taken up.
    pub fn others(&self) -> impl Iterator<Item = (u64, Seq)> {
        self.place.streams.iter().enumerate().map(|(at, row)| {
            let cursor = self.cursors.get(at + 1).copied().flatten();
            (row.stream, cursor.map_or(row.next, |cursor| cursor.seq))
        })
    }

    /// The cursor of a stream that goes on at the seq `next`, if this place is there.
    pub(crate) fn cursor_at(&self, stream: u64, next: Seq) -> Option<Cursor> {
        let at = match self.place.streams.iter().position(|row| row.stream == stream) {
            Some(at) => (self.place.streams[at].next == next).then_some(at + 1)?,
            None => (self.place.home == next).then_some(0)?,
        };
        self.cursors.get(at).copied().flatten()
    }
}

const MAGIC: &str = "merged:1";

impl fmt::Display for MergedCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MergePlace { number, time, home, last, list, base, streams } = &self.place;
        let CutPoint { seq, list: cut_list, base: cut_base, time: cut_time } = last;
        write!(f, "{MAGIC};{};{number};{time};{list};{base};", self.number)?;
        write!(f, "{seq},{cut_list},{cut_base},{cut_time};{home}")?;
        write_cursor(f, self.cursors.first())?;
        for (at, row) in streams.iter().enumerate() {
            let MergePlaceRow { stream, row: (row_epoch, row_next), next, epoch } = row;
            write!(f, ";{stream},{:x},{row_next},{next},{:x}", row_epoch.0, epoch.0)?;
            write_cursor(f, self.cursors.get(at + 1))?;
        }
        Ok(())
    }
}

fn write_cursor(f: &mut fmt::Formatter<'_>, cursor: Option<&Option<Cursor>>) -> fmt::Result {
    match cursor {
        Some(Some(cursor)) => write!(f, "@{cursor}"),
        _ => Ok(()),
    }
}

impl FromStr for MergedCursor {
    type Err = String;

    /// Parses what a merged cursor prints.
    fn from_str(text: &str) -> Result<Self, String> {
        parse(text).ok_or_else(|| {
            format!("'{text}' is no merged cursor: write one as `subscribe --merged` printed it at its end")
        })
    }
}

fn parse(text: &str) -> Option<MergedCursor> {
    let mut parts = text.strip_prefix(MAGIC)?.strip_prefix(';')?.split(';');
    let mut decimal = || parts.next()?.parse::<u64>().ok();
    let (deliver, number, time, list, base) = (decimal()?, decimal()?, decimal()?, decimal()?, decimal()?);
    let [seq, cut_list, cut_base, cut_time] = numbers(parts.next()?, [10; 4])?;
    let last = CutPoint { seq, list: cut_list, base: cut_base, time: cut_time };
    let (home, cursor) = split_cursor(parts.next()?)?;
    let home: Seq = home.parse().ok().filter(|home| *home > 0)?;
    // A subscription that began behind its place would leave entries out.
    let is_behind = |cursor: Option<Cursor>, next: Seq| cursor.is_some_and(|cursor| cursor.seq > next);
    if is_behind(cursor, home) {
        return None;
    }
    let (mut streams, mut cursors) = (Vec::new(), vec![cursor]);
    for part in parts {
        let (row, cursor) = split_cursor(part)?;
        let [stream, row_epoch, row_next, next, epoch] = numbers(row, [10, 16, 10, 10, 16])?;
        let is_twice = streams.iter().any(|other: &MergePlaceRow| other.stream == stream);
        if is_twice || row_next == 0 || next == 0 || is_behind(cursor, next) {
            return None;
        }
        streams.push(MergePlaceRow { stream, row: (Epoch(row_epoch), row_next), next, epoch: Epoch(epoch) });
        cursors.push(cursor);
    }
    let place = MergePlace { number, time: time as Nanos, home, last, list, base, streams };
    (place.is_whole() && deliver >= number).then_some(MergedCursor { number: deliver, place, cursors })
}

fn numbers<const N: usize>(text: &str, radix: [u32; N]) -> Option<[u64; N]> {
    let mut parts = text.split(',');
    let mut all = [0; N];
    for (number, radix) in all.iter_mut().zip(radix) {
        *number = u64::from_str_radix(parts.next()?, radix).ok()?;
    }
    parts.next().is_none().then_some(all)
}

fn split_cursor(text: &str) -> Option<(&str, Option<Cursor>)> {
    match text.split_once('@') {
        Some((row, cursor)) => Some((row, Some(cursor.parse().ok()?))),
        None => Some((text, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merged_cursor_is_read_as_it_is_written_and_nothing_else_is_one() {
        let row =
            |stream, next| MergePlaceRow { stream, row: (Epoch(0x1_0000), 9), next, epoch: Epoch(0x1_0000) };
        let last = CutPoint { seq: 4, list: 1, base: 2, time: 7 };
        let streams = vec![row(20, 9), row(30, 5)];
        let place = MergePlace { number: 19 - 2, time: 8, home: 5, last, list: 1, base: 2, streams };
        let cursor = Cursor { history: 1, seq: 5, chain: 0xabc };
        let merged = MergedCursor { number: 20, place, cursors: vec![Some(cursor), None, Some(cursor)] };
        let text = merged.to_string();
        assert_eq!(text.parse(), Ok(merged));
        for (at, from) in ["home", "stream"].iter().zip([text.find('@'), text.rfind('@')]) {
            let (begin, end) = text.split_at(from.expect("a cursor"));
            let behind = format!("{begin}{}", end.replacen(":5:", ":6:", 1));
            assert!(
                behind.parse::<MergedCursor>().is_err(),
                "a cursor behind its place, of the {at}: {behind}"
            );
        }
        for wrong in
            ["", "1:2:3", "merged:1;", &text[..text.len() - 1].replace("@", "@@"), &format!("{text};x")]
        {
            let refused = wrong.parse::<MergedCursor>().unwrap_err();
            assert!(refused.contains("is no merged cursor"), "{refused}");
        }
        let other_number = text.replacen(";17;", ";18;", 1);
        assert!(
            other_number.parse::<MergedCursor>().is_err(),
            "a number that does not follow from the positions"
        );
    }
}
