//! The list of the streams of a set, and what its home stream says of them.

use crate::OperationError;
use lockstep_client::{
    Delivery, Endpoint, PublishError, Publisher, PublisherEvent, Start, Subscriber, SubscriberEvent,
};
use lockstep_config::{Config, SetPlace};
use lockstep_io::clock::Clock;
use lockstep_set::{CutEntry, CutPoint, CutRow, SetEntry, SetRow};
use lockstep_wire::{Nanos, PublisherId, SET_NAMES, SETS, Seq};
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
                if let Ok(list) = SetEntry::parse(payload) {
                    self.on_list(seq, list);
                } else if let Ok(cut) = CutEntry::parse(payload) {
                    let last = LastCut { seq, timestamp, publisher, rows: cut.rows };
                    self.on_cut(cut.after, last);
                }
            }
            _ => {}
        }
    }

    fn on_list(&mut self, seq: Seq, list: SetEntry) {
        let is_next = list.number == self.number() + 1;
        if is_next || !self.is_whole && self.list.is_none() {
            self.list = Some((list, seq));
        }
    }

    fn on_cut(&mut self, after: CutPoint, cut: LastCut) {
        if self.list.is_none() {
            let name =
                |number| self.in_file.get(&number).cloned().unwrap_or_else(|| format!("cluster-{number}"));
            let rows = cut.rows.iter();
            let rows = rows.map(|row| SetRow { stream: row.stream, from: row.next, name: name(row.stream) });
            self.list = Some((SetEntry { number: after.list, rows: rows.collect() }, 0));
        }
        let is_next = after.seq == self.last.as_ref().map_or(0, |last| last.seq);
        let counts = self.coordinators.entry(cut.publisher).or_default();
        if is_next || !self.is_whole && self.last.is_none() {
            counts.counted += 1;
            self.last = Some(cut);
        } else {
            counts.voided += 1;
        }
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
