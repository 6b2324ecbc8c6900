//! What the home stream of a set says of it, as a fold of its notes from somewhere on.

use lockstep_client::SubscriberEvent;
use lockstep_set::{CutEntry, CutRow, Cuts, MergedStream, SetEntry, SetRow, SetsEntry};
use lockstep_wire::{Nanos, PublisherId, SET_NAMES, Seq};
use std::collections::{BTreeMap, VecDeque};

/// Notes that wait for a cut that names another one, at most: a few are under way at a time.
const WAITING_MAX: usize = 4_096;

/// The last cut that counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LastCut {
    /// Its seq in the home stream.
    pub seq: Seq,
    /// When it was stamped, nanoseconds since the Unix epoch.
    pub timestamp: Nanos,
    /// Its publisher.
    pub publisher: PublisherId,
    /// How far it covers each stream.
    pub rows: Vec<CutRow>,
}

/// What a publisher of cuts has published.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct CutCounts {
    /// Cuts that counted.
    pub counted: u64,
    /// Others.
    pub voided: u64,
}

/// The list of the streams that is in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListInForce {
    /// Its number.
    pub number: u64,
    /// Its rows. Where it was not read they are those of the last cut, with the names of the file and without
    /// a seq from which they are merged (0).
    pub rows: Vec<SetRow>,
    /// Its seq, if it was read.
    pub at: Option<Seq>,
}

/// A note of the home stream.
#[derive(Clone, Debug)]
struct Note {
    seq: Seq,
    timestamp: Nanos,
    publisher: PublisherId,
    payload: Vec<u8>,
}

/// What the home stream of a set says, from [`SetView::from`] on.
#[derive(Clone, Debug, Default)]
pub struct SetView {
    /// The last cut that counts; the last one that was read while [`SetView::is_certain`] does not hold.
    pub last: Option<LastCut>,
    /// The publishers of cuts, with what was read of them.
    pub coordinators: BTreeMap<PublisherId, CutCounts>,
    /// Names of publishers of the set, as far as their opens were read.
    pub names: BTreeMap<PublisherId, String>,
    /// The first entry that was read.
    pub from: Seq,
    /// Whether that is the oldest one that is retained.
    pub is_from_oldest: bool,
    /// When the first entry behind the last cut was stamped.
    pub moved_since: Option<Nanos>,
    /// When the first cut that counted was stamped, of those that were read.
    first_counted: Option<Nanos>,
    /// Which cuts count; none before it is certain that one does.
    cuts: Option<Cuts>,
    /// Notes from before that.
    waiting: VecDeque<Note>,
    /// The lists that were read, by number, each with its seq: the first of a number counts.
    lists: BTreeMap<u64, (SetEntry, Seq)>,
    /// The names of the streams in the file.
    in_file: BTreeMap<u64, String>,
}

impl SetView {
    /// Of a home stream that is read from this entry on, with the names of the streams in the file.
    pub fn new(from: Seq, in_file: BTreeMap<u64, String>) -> Self {
        // From its first entry on all is known that counts.
        let cuts = (from == 1).then(Cuts::default);
        Self { from, in_file, cuts, ..Self::default() }
    }

    /// The same, from another entry on.
    pub(super) fn again(&self, from: Seq) -> Self {
        Self::new(from, self.in_file.clone())
    }

    /// Whether it is certain which cuts count and which list is in force: the stream was read from its first
    /// entry on, or from before a cut that a later one names.
    pub fn is_certain(&self) -> bool {
        self.cuts.is_some()
    }

    /// The list in force, if there is one.
    pub fn list(&self) -> Option<ListInForce> {
        let Some(cuts) = &self.cuts else {
            let (number, (list, at)) = self.lists.last_key_value()?;
            return Some(ListInForce { number: *number, rows: list.rows.clone(), at: Some(*at) });
        };
        let number = cuts.list();
        let is_in_force = |list: &SetEntry| {
            list.rows.iter().map(|row| row.stream).eq(cuts.streams().iter().map(|one| one.stream))
        };
        if let Some((list, at)) = self.lists.get(&number).filter(|(list, _)| is_in_force(list)) {
            return Some(ListInForce { number, rows: list.rows.clone(), at: Some(*at) });
        }
        let row =
            |one: &MergedStream| SetRow { stream: one.stream, from: 0, name: self.name_in_file(one.stream) };
        let rows = cuts.streams().iter().map(row).collect();
        (number > 0).then_some(ListInForce { number, rows, at: None })
    }

    /// The number of the list in force; 0 while there is none.
    pub fn number(&self) -> u64 {
        self.list().map_or(0, |list| list.number)
    }

    /// The streams of the list in force, in its order.
    pub fn rows(&self) -> Vec<SetRow> {
        self.list().map_or_else(Vec::new, |list| list.rows)
    }

    /// Whether it is certain which cuts count, and the list in force and the names of who publishes cuts were
    /// read.
    pub(super) fn is_enough(&self) -> bool {
        let has_names = self.coordinators.keys().all(|publisher| self.names.contains_key(publisher));
        self.is_certain() && has_names && self.list().is_none_or(|list| list.at.is_some())
    }

    /// How far the last cut covers a stream.
    pub fn covered(&self, stream: u64) -> Option<&CutRow> {
        self.last.as_ref()?.rows.iter().find(|row| row.stream == stream)
    }

    /// Cuts that did not count, of those that were read.
    pub fn voided(&self) -> u64 {
        self.coordinators.values().map(|counts| counts.voided).sum()
    }

    /// Cuts that counted, of those that were read.
    pub fn counted(&self) -> u64 {
        self.coordinators.values().map(|counts| counts.counted).sum()
    }

    /// Cuts in a second that counted, of those that were read; `None` of fewer than two.
    pub fn cuts_per_second(&self) -> Option<f64> {
        let took = self.last.as_ref()?.timestamp.checked_sub(self.first_counted?).filter(|took| *took > 0)?;
        Some(self.counted().saturating_sub(1) as f64 * 1e9 / took as f64)
    }

    /// The name of a publisher, as far as it is known.
    pub fn name_of(&self, publisher: PublisherId) -> String {
        self.names.get(&publisher).cloned().unwrap_or_else(|| format!("publisher {publisher}"))
    }

    fn name_in_file(&self, stream: u64) -> String {
        self.in_file.get(&stream).cloned().unwrap_or_else(|| format!("cluster-{stream}"))
    }

    /// The next event of the home stream.
    pub(crate) fn on_event(&mut self, event: &SubscriberEvent<'_>) {
        match *event {
            SubscriberEvent::Opened { publisher, name, .. } if name.starts_with(SET_NAMES) => {
                self.names.insert(publisher, name.to_owned());
            }
            SubscriberEvent::Message(message) => {
                self.moved_since.get_or_insert(message.timestamp);
            }
            SubscriberEvent::SetNote { seq, timestamp, publisher, payload } => {
                if let Ok(list) = SetEntry::parse(payload) {
                    self.lists.entry(list.number).or_insert((list, seq));
                }
                let note = Note { seq, timestamp, publisher, payload: payload.to_vec() };
                if self.is_certain() { self.count(&note) } else { self.wait(note) }
            }
            _ => {}
        }
    }

    /// In the midst of a stream nothing is certain before a cut names another one: that one counts, with what
    /// the later one says of it.
    fn wait(&mut self, note: Note) {
        let named = CutEntry::parse(&note.payload).ok().map(|cut| cut.after);
        if let Ok(cut) = CutEntry::parse(&note.payload) {
            let Note { seq, timestamp, publisher, .. } = note;
            self.last = Some(LastCut { seq, timestamp, publisher, rows: cut.rows });
        }
        self.waiting.push_back(note);
        if self.waiting.len() > WAITING_MAX {
            self.waiting.pop_front();
        }
        let Some(point) = named else { return };
        let Some(at) = self.waiting.iter().position(|note| note.seq == point.seq) else { return };
        let Ok(cut) = CutEntry::parse(&self.waiting[at].payload) else { return };
        let streams = cut.rows.iter();
        let streams = streams.map(|row| MergedStream { stream: row.stream, row: (row.epoch(), row.next) });
        self.cuts = Some(Cuts::between(point, point.list, point.base, streams.collect()));
        let mut behind = self.waiting.split_off(at);
        self.waiting.clear();
        if let Some(Note { seq, timestamp, publisher, .. }) = behind.pop_front() {
            self.on_counted(LastCut { seq, timestamp, publisher, rows: cut.rows });
        }
        behind.iter().for_each(|note| self.count(note));
    }

    fn count(&mut self, note: &Note) {
        let Note { seq, timestamp, publisher, ref payload } = *note;
        let Some(cuts) = &mut self.cuts else { return };
        match cuts.on_home_entry(seq, payload) {
            SetsEntry::Counts(cut) => {
                self.on_counted(LastCut { seq, timestamp, publisher, rows: cut.rows });
            }
            SetsEntry::Void if CutEntry::is_meant(payload) => {
                self.coordinators.entry(publisher).or_default().voided += 1;
            }
            SetsEntry::Listed | SetsEntry::Void => {}
        }
    }

    fn on_counted(&mut self, cut: LastCut) {
        self.coordinators.entry(cut.publisher).or_default().counted += 1;
        self.first_counted.get_or_insert(cut.timestamp);
        self.moved_since = None;
        self.last = Some(cut);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_set::CutPoint;

    fn list(number: u64, streams: &[u64]) -> Vec<u8> {
        let row = |stream: &u64| SetRow { stream: *stream, from: 1, name: format!("s{stream}") };
        SetEntry { number, rows: streams.iter().map(row).collect() }.to_bytes()
    }

    fn cut(after: Seq, list: u64, streams: &[u64], next: Seq) -> Vec<u8> {
        let row = |stream: &u64| CutRow { stream: *stream, next, epoch: 1, ..CutRow::default() };
        let after = CutPoint { seq: after, list, base: 9, time: 3 };
        CutEntry { after, done: 0, rows: streams.iter().map(row).collect() }.to_bytes()
    }

    fn view(from: Seq, notes: &[(Seq, Vec<u8>)]) -> SetView {
        let mut view = SetView::new(from, BTreeMap::from([(30, "quotes".to_owned())]));
        for (seq, payload) in notes {
            let timestamp = seq * 1_000_000_000;
            view.on_event(&SubscriberEvent::SetNote { seq: *seq, timestamp, publisher: 7, payload });
        }
        view
    }

    /// What has counted and what not, the seq of the last cut, and the number of the list.
    fn read(from: Seq, notes: &[(Seq, Vec<u8>)]) -> (u64, u64, Seq, u64) {
        let view = view(from, notes);
        (view.counted(), view.voided(), view.last.as_ref().map_or(0, |last| last.seq), view.number())
    }

    fn notes() -> Vec<(Seq, Vec<u8>)> {
        vec![
            (2, list(1, &[20, 30])),
            (3, cut(0, 0, &[20, 30], 5)),
            (4, cut(0, 0, &[20, 30], 6)),
            (6, list(2, &[30])),
            (7, cut(3, 1, &[20, 30], 7)),
            (8, cut(3, 1, &[30], 7)),
            (9, cut(8, 2, &[30], 6)),
            (10, cut(8, 2, &[30], 9)),
        ]
    }

    #[test]
    fn a_cut_is_shown_as_void_wherever_readers_of_the_merged_order_take_it_as_void() {
        let notes = notes();
        assert_eq!(read(1, &notes), (3, 3, 10, 2), "another was first, other rows, a row that falls");
        assert_eq!(read(3, &notes[1..]), (3, 3, 10, 2), "from the first cut on");
        assert_eq!(read(7, &notes[4..]), (2, 1, 10, 2), "from a cut on that nobody names");
    }

    #[test]
    fn in_the_midst_of_a_stream_no_cut_is_believed_before_a_later_one_names_it() {
        let notes = notes();
        for (begin, is_certain) in [(1, true), (5, true), (6, false), (7, false)] {
            assert_eq!(view(9, &notes[begin..]).is_certain(), is_certain, "from {:?}", notes[begin]);
        }
        let view = view(9, &notes[7..]);
        assert_eq!((view.counted(), view.list(), view.last.map(|last| last.seq)), (0, None, Some(10)));
    }

    #[test]
    fn a_list_that_was_not_read_is_what_cuts_say_of_it_with_the_names_of_the_file() {
        let notes = notes();
        let read = view(3, &notes[1..]).list().expect("a list");
        assert_eq!((read.number, read.at, read.rows[0].name.as_str()), (2, Some(6), "s30"));
        let view = view(8, &notes[5..]);
        let unread = view.list().expect("cuts name it");
        assert_eq!((unread.number, unread.at, unread.rows.len()), (2, None, 1));
        assert_eq!((unread.rows[0].name.as_str(), unread.rows[0].from), ("quotes", 0));
        assert!(!view.is_enough(), "more is to be read");
        assert_eq!(view.cuts_per_second(), Some(0.5));
    }
}
