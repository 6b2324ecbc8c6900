//! The list of the streams of a set, and what its home stream says of them.

use crate::OperationError;
use lockstep_client::{
    Delivery, Endpoint, PublishError, Publisher, PublisherEvent, Start, Subscriber, SubscriberEvent,
};
use lockstep_config::{Config, SetPlace};
use lockstep_io::clock::Clock;
use lockstep_set::{CutEntry, CutPoint, CutRow, Cuts, MergedStream, SetEntry, SetRow, SetsEntry};
use lockstep_wire::{Epoch, Nanos, PublisherId, SET_NAMES, SETS, Seq};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

/// Lists of other operators that come in between before this one gives up.
const TRIES: usize = 4;

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

/// What the home stream of a set says, as far as it was read.
#[derive(Clone, Debug, Default)]
pub struct SetView {
    /// The list in force, and its seq. Where it is not retained, what the first cut says of it, and 0.
    pub list: Option<(SetEntry, Seq)>,
    /// The last cut that counts.
    pub last: Option<LastCut>,
    /// The publishers of cuts.
    pub coordinators: BTreeMap<PublisherId, CutCounts>,
    /// Names of publishers of the set, as far as their opens were read.
    pub names: BTreeMap<PublisherId, String>,
    /// Which cuts count.
    cuts: Cuts,
    /// Whether the stream was read from its beginning: the first list and cut that are read count otherwise.
    is_whole: bool,
    /// The names of the streams in the file.
    in_file: BTreeMap<u64, String>,
}

impl SetView {
    /// The seq of the list in force; 0 where it is not retained.
    pub fn listed_at(&self) -> Seq {
        self.list.as_ref().map_or(0, |(_, seq)| *seq)
    }

    /// The number of the list in force; 0 while there is none.
    pub fn number(&self) -> u64 {
        self.list.as_ref().map_or(0, |(list, _)| list.number)
    }

    /// The streams of the list in force, in its order.
    pub fn rows(&self) -> &[SetRow] {
        self.list.as_ref().map_or(&[], |(list, _)| &list.rows)
    }

    /// How far the last cut covers a stream.
    pub fn covered(&self, stream: u64) -> Option<&CutRow> {
        self.last.as_ref()?.rows.iter().find(|row| row.stream == stream)
    }

    /// Cuts that did not count.
    pub fn voided(&self) -> u64 {
        self.coordinators.values().map(|counts| counts.voided).sum()
    }

    fn on_event(&mut self, event: &SubscriberEvent<'_>) {
        match *event {
            SubscriberEvent::Opened { publisher, name, .. } if name.starts_with(SET_NAMES) => {
                self.names.insert(publisher, name.to_owned());
            }
            SubscriberEvent::SetNote { seq, timestamp, publisher, payload } => {
                if !self.is_whole {
                    self.begin(payload);
                }
                match (self.cuts.on_home_entry(seq, payload), SetEntry::parse(payload)) {
                    (SetsEntry::Listed, Ok(list)) => self.list = Some((list, seq)),
                    (SetsEntry::Counts(cut), _) => {
                        self.coordinators.entry(publisher).or_default().counted += 1;
                        self.last = Some(LastCut { seq, timestamp, publisher, rows: cut.rows });
                        if let Some((inferred, 0)) = &mut self.list {
                            inferred.number = self.cuts.list();
                        }
                    }
                    _ if CutEntry::is_meant(payload) => {
                        self.coordinators.entry(publisher).or_default().voided += 1;
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// In the midst of a stream the first list is in force, and the first cut counts, whatever they follow.
    fn begin(&mut self, payload: &[u8]) {
        if let (Ok(list), None) = (SetEntry::parse(payload), &self.list) {
            let before = list.number.saturating_sub(1);
            self.cuts = Cuts::between(CutPoint::default(), before, 0, Vec::new());
        }
        let (Ok(cut), None) = (CutEntry::parse(payload), &self.last) else { return };
        if self.list.is_none() {
            let name =
                |number| self.in_file.get(&number).cloned().unwrap_or_else(|| format!("cluster-{number}"));
            let rows = cut.rows.iter();
            let rows = rows.map(|row| SetRow { stream: row.stream, from: row.next, name: name(row.stream) });
            self.list = Some((SetEntry { number: cut.after.list, rows: rows.collect() }, 0));
        }
        let streams = self.rows().iter();
        let streams = streams.map(|row| MergedStream { stream: row.stream, row: (Epoch::NONE, 1) });
        self.cuts = Cuts::between(cut.after, self.number(), cut.after.base, streams.collect());
    }
}

/// Reads the home stream of a set.
pub struct SetReader {
    endpoint: Endpoint,
    subscriber: Subscriber,
    /// What was read.
    pub view: SetView,
}

impl SetReader {
    /// Begins at the beginning of the home stream, which `config` describes.
    ///
    /// # Errors
    /// The device cannot be opened, or the keys are missing.
    pub fn new(config: &Config) -> Result<Self, OperationError> {
        let endpoint = Endpoint::for_operator(config)?;
        let subscriber = Subscriber::connect(&endpoint, Delivery::Committed, Start::From(1))?;
        Ok(Self { endpoint, subscriber, view: SetView { is_whole: true, ..Self::blank(config) } })
    }

    fn blank(config: &Config) -> SetView {
        let streams = config.set.iter().flat_map(|set| &set.streams);
        let in_file = streams.map(|stream| (stream.cluster, stream.name.clone())).collect();
        SetView { in_file, ..SetView::default() }
    }

    /// Reads up to the present end, and at least up to `least`. Where the beginning is not retained any more
    /// it reads what is.
    ///
    /// # Errors
    /// Nothing was read for `timeout`, or the stream cannot be read.
    pub fn read(&mut self, least: Seq, timeout: Duration) -> Result<(), OperationError> {
        let end = end_of(&self.endpoint, timeout)?.max(least);
        let mut moved = (self.subscriber.deliver_next(), self.subscriber.now());
        loop {
            let Self { subscriber, view, .. } = self;
            let mut ended = None;
            let work = subscriber.poll(1024, |event| {
                view.on_event(&event);
                ended = ended.take().or_else(|| SetReadEnd::of(&event));
                ControlFlow::Continue(())
            });
            match ended {
                Some(SetReadEnd::Gone(oldest)) => {
                    self.view =
                        SetView { in_file: std::mem::take(&mut self.view.in_file), ..SetView::default() };
                    let start = Start::From(oldest.max(1));
                    self.subscriber = Subscriber::connect(&self.endpoint, Delivery::Committed, start)?;
                    continue;
                }
                Some(SetReadEnd::Failed(what)) => return Err(OperationError::failed(what)),
                None => {}
            }
            let now = self.subscriber.now();
            let subscriber = &mut self.subscriber;
            let next = subscriber.deliver_next();
            if next >= end {
                return Ok(());
            }
            if next > moved.0 {
                moved = (next, now);
            } else if now.saturating_sub(moved.1) > timeout.as_nanos() as Nanos {
                let what = format!("nothing of the home stream was read for {timeout:?}, up to seq {next}");
                return Err(OperationError::not_ready(what));
            }
            if work == 0 {
                subscriber.wait(Duration::from_millis(100))?;
            }
        }
    }
}

/// Why the home stream cannot be read on.
#[derive(Debug)]
enum SetReadEnd {
    Gone(Seq),
    Failed(String),
}

impl SetReadEnd {
    fn of(event: &SubscriberEvent<'_>) -> Option<Self> {
        Some(match *event {
            SubscriberEvent::Abandoned { oldest, .. } => Self::Gone(oldest),
            SubscriberEvent::Refused { why: Some(why), next } => {
                Self::Failed(format!("the home stream is not given from seq {next} on: {}", why.name()))
            }
            SubscriberEvent::Refused { why: None, next } => {
                Self::Failed(format!("no journal gives the home stream from seq {next} on"))
            }
            SubscriberEvent::Diverged { seq } => {
                Self::Failed(format!("what was received of the home stream differs from it at seq {seq}"))
            }
            SubscriberEvent::HistoryLost { .. } | SubscriberEvent::Ahead { .. } => {
                Self::Failed("the home stream was founded anew meanwhile: try again".to_owned())
            }
            _ => return None,
        })
    }
}

/// What became of a change of the list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ListChange {
    /// The list is as it was: what was wanted holds already.
    Same,
    /// The list of this number is in force from this seq of the home stream on.
    Listed {
        /// Its number.
        number: u64,
        /// Its seq.
        seq: Seq,
    },
}

/// Publishes a list of the streams of the set that `config` is the home stream of: what `wanted` makes of the
/// one in force, `None` if nothing is to change. Lists are numbered, so that of two operators at once one is
/// first, and the other one judges anew by that one's list.
///
/// # Errors
/// Those of `wanted`; the leader refuses, or nobody leads in time.
pub fn change_list(
    config: &Config,
    place: &SetPlace,
    timeout: Duration,
    mut wanted: impl FnMut(&SetView) -> Result<Option<Vec<SetRow>>, OperationError>,
) -> Result<(ListChange, SetView), OperationError> {
    let mut reader = SetReader::new(config)?;
    let mut publisher = None;
    for _ in 0..TRIES {
        reader.read(0, timeout)?;
        let Some(rows) = wanted(&reader.view)? else { return Ok((ListChange::Same, reader.view)) };
        let list = SetEntry { number: reader.view.number() + 1, rows };
        let (publisher, id) = match &mut publisher {
            Some(open) => open,
            none => {
                let mut publisher = Publisher::connect(&Endpoint::for_operator(config)?)?;
                let id = publisher.open(&place.list_name(), timeout)?;
                none.insert((publisher, id))
            }
        };
        let seq = publish(publisher, *id, &list, timeout)?;
        reader.read(seq + 1, timeout)?;
        if reader.view.listed_at() == seq {
            return Ok((ListChange::Listed { number: list.number, seq }, reader.view));
        }
    }
    Err(OperationError::fenced(
        "other operators change the list of streams at this moment: see what they did, and try again",
    ))
}

/// Publishes a list, and returns its seq once it is committed.
fn publish(
    publisher: &mut Publisher,
    id: PublisherId,
    list: &SetEntry,
    timeout: Duration,
) -> Result<Seq, OperationError> {
    let clock = Clock::start();
    let deadline = clock.now() + timeout.as_nanos() as u64;
    let number = publisher.try_publish(id, SETS, &list.to_bytes()).map_err(|error| match error {
        PublishError::Fenced => fenced(),
        error => OperationError::failed(error),
    })?;
    let mut outcome = None;
    while clock.now() < deadline {
        let work = publisher.poll(64, |event| match event {
            PublisherEvent::Committed { publisher_seq, seq, .. } if publisher_seq == number => {
                outcome = Some(Ok(seq));
            }
            PublisherEvent::Fenced { .. } => outcome = Some(Err(fenced())),
            PublisherEvent::NotAllowed { .. } => {
                outcome = Some(Err(OperationError::failed(
                    "the leader refused the list: this needs a replica's key (replica.keys), or a key that lists its name; \
                     `lockstep keys show` on a replica's host lists what each key allows",
                )));
            }
            _ => {}
        });
        if let Some(outcome) = outcome.take() {
            return outcome;
        }
        if work == 0 {
            publisher.wait(Duration::from_millis(100))?;
        }
    }
    Err(OperationError::not_ready(format!(
        "the list was not committed within {timeout:?}: see `lockstep status`"
    )))
}

fn fenced() -> OperationError {
    OperationError::fenced(
        "another operator changes the list of streams at this moment: see what it did, and try again",
    )
}

/// The seq of the next entry of a stream.
///
/// # Errors
/// Nobody leads it in time.
pub fn end_of(endpoint: &Endpoint, timeout: Duration) -> Result<Seq, OperationError> {
    let mut subscriber = Subscriber::connect(endpoint, Delivery::Committed, Start::Live)?;
    subscriber.begin(timeout, |_| ControlFlow::Continue(()))?;
    Ok(subscriber.deliver_next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(view: &mut SetView, seq: Seq, payload: &[u8]) {
        view.on_event(&SubscriberEvent::SetNote { seq, timestamp: 5, publisher: 7, payload });
    }

    fn list(number: u64, streams: &[u64]) -> Vec<u8> {
        let row = |stream: &u64| SetRow { stream: *stream, from: 1, name: format!("s{stream}") };
        SetEntry { number, rows: streams.iter().map(row).collect() }.to_bytes()
    }

    fn cut(after: Seq, list: u64, streams: &[u64], next: Seq) -> Vec<u8> {
        let row = |stream: &u64| CutRow { stream: *stream, next, epoch: 1, ..CutRow::default() };
        let after = CutPoint { seq: after, list, base: 9, time: 3 };
        CutEntry { after, done: 0, rows: streams.iter().map(row).collect() }.to_bytes()
    }

    /// What `seqs` have counted and what not, and the seq of the last cut.
    fn read(is_whole: bool, notes: &[(Seq, Vec<u8>)]) -> (u64, u64, Seq, u64) {
        let mut view = SetView { is_whole, ..SetView::default() };
        for (seq, payload) in notes {
            note(&mut view, *seq, payload);
        }
        let counts = view.coordinators.get(&7).copied().unwrap_or_default();
        (counts.counted, counts.voided, view.last.as_ref().map_or(0, |last| last.seq), view.number())
    }

    #[test]
    fn a_cut_is_shown_as_void_wherever_readers_of_the_merged_order_take_it_as_void() {
        let notes = [
            (2, list(1, &[20, 30])),
            (3, cut(0, 0, &[20, 30], 5)),
            (4, cut(0, 0, &[20, 30], 6)),
            (6, list(2, &[30])),
            (7, cut(3, 1, &[20, 30], 7)),
            (8, cut(3, 1, &[30], 7)),
            (9, cut(8, 2, &[30], 6)),
            (10, cut(8, 2, &[30], 9)),
        ];
        assert_eq!(read(true, &notes), (3, 3, 10, 2), "another was first, other rows, a row that falls");
        assert_eq!(read(false, &notes[5..]), (2, 1, 10, 2), "from a cut on");
        assert_eq!(read(false, &notes[3..]), (2, 2, 10, 2), "from a list on");
    }
}
