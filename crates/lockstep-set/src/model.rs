//! The merged order over abstract streams: logs that grow, commit, are taken over and founded anew; several
//! coordinators, some of them late; readers that read when they like. Whatever the order of all that, each
//! reader delivers a prefix of one order.

use crate::reader::{MergedEvent, MergedReader};
use crate::{
    Coordinator, CoordinatorLimits, CutEntry, CutPoint, CutRow, LookBack, LookBackNext, Merge, MergeEntry,
    MergeOutcome, MergePlace, MergePlaceRow, MergeTurn, SetEntry, SetRow,
};
use lockstep_core::engine::subscriber::SubscriberEvent;
use lockstep_wire::{Epoch, Identity, Nanos, Seq};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// The cluster of the home stream.
const HOME: u64 = 10;
/// The clusters of the other streams.
const OTHERS: [u64; 2] = [20, 30];

#[derive(Clone, PartialEq, Eq, Debug)]
enum Entry {
    Plain(u64),
    Epoch(Epoch),
    Sets(Vec<u8>),
}

/// One stream: its log, of which a part is committed.
#[derive(Clone, Debug, Default)]
struct Log {
    entries: Vec<(Entry, Nanos)>,
    committed: usize,
    round: u32,
}

impl Log {
    fn new() -> Self {
        let mut log = Self::default();
        log.take_over(0);
        log.committed = 1;
        log
    }

    /// A new leader begins behind entry `stays`. Returns the notes that it takes back: their publishers send
    /// them again.
    fn take_over(&mut self, stays: usize) -> Vec<Vec<u8>> {
        let taken_back = self.entries.split_off(stays.min(self.entries.len()));
        self.committed = self.committed.min(stays);
        self.round += 1;
        let leader = Identity { replica: 1, incarnation: 1 };
        self.entries.push((Entry::Epoch(Epoch::new(self.round, leader)), 0));
        let note = |(entry, _)| match entry {
            Entry::Sets(payload) => Some(payload),
            _ => None,
        };
        taken_back.into_iter().filter_map(note).collect()
    }

    fn epoch_at(&self, next: Seq) -> Epoch {
        let before = self.entries.iter().take(next as usize - 1).rev();
        let epochs = before.filter_map(|(entry, _)| match entry {
            Entry::Epoch(epoch) => Some(*epoch),
            _ => None,
        });
        epochs.into_iter().next().unwrap_or(Epoch::NONE)
    }
}

/// What a reader delivered: merged number, cluster, seq, and its time.
type Delivered = (u64, u64, Seq, Nanos);

/// Reads as far as `merge` and the committed logs allow. Returns the entries that were read and wait: an
/// epoch that ends a row, a cut.
fn read(merge: &mut Merge, home: &Log, others: &[Log], out: &mut Vec<Delivered>) -> Vec<(u64, Seq)> {
    let mut waiting = Vec::new();
    loop {
        let turn = merge.turn();
        let (log, stream) = match turn {
            MergeTurn::Home => (home, HOME),
            MergeTurn::Other(index) => {
                let stream = merge.cuts().streams()[index].stream;
                let log = OTHERS.iter().position(|cluster| *cluster == stream).expect("a stream of the set");
                (&others[log], stream)
            }
        };
        let seq = merge.next_of(turn);
        let Some((entry, stamped)) = log.entries[..log.committed].get(seq as usize - 1) else {
            return waiting;
        };
        let what = match entry {
            Entry::Plain(_) => MergeEntry::Plain,
            Entry::Epoch(epoch) => MergeEntry::Epoch(*epoch),
            Entry::Sets(payload) => MergeEntry::Sets(payload),
        };
        if let MergeOutcome::Deliver { number, timestamp } = merge.judge(turn, seq, *stamped, what) {
            merge.deliver(turn, *stamped, what);
            out.push((number, stream, seq, timestamp));
        } else {
            waiting.push((stream, seq));
        }
    }
}

/// The same by the events of subscriptions, each of which is given the bound below which it delivers.
fn read_events(home: &Log, others: &[Log]) -> Vec<Delivered> {
    let mut reader = MergedReader::new(HOME, &MergePlace::beginning());
    let mut next = BTreeMap::from([(HOME, 1), (OTHERS[0], 0), (OTHERS[1], 0)]);
    let mut out = Vec::new();
    loop {
        let before = out.len();
        let mut take = |event: MergedEvent<'_>| {
            let seq = event.event.seq().expect("the world has entries alone");
            let place = (event.number.expect("each has its number"), event.stream, seq, event.timestamp);
            if out.last() != Some(&place) {
                out.push(place);
            }
            ControlFlow::Continue(())
        };
        let has_waited = reader.deliver_waiting(&mut take).is_some();
        let stream = reader.turn();
        let log = OTHERS.iter().position(|other| *other == stream).map_or(home, |index| &others[index]);
        let next = next.get_mut(&stream).expect("a stream of the set");
        // A subscription begins where the reader says, also where a list takes its stream in again.
        *next = reader.read_next(stream).expect("its turn has come");
        let mut flow = ControlFlow::Continue(());
        while flow.is_continue() && *next < reader.bound_of(stream) {
            let Some((entry, timestamp)) = log.entries[..log.committed].get(*next as usize - 1) else {
                break;
            };
            let (seq, timestamp, publisher) = (*next, *timestamp, 1);
            *next += 1;
            let event = match entry {
                Entry::Plain(_) => SubscriberEvent::Closed { seq, timestamp, publisher, reason: b"" },
                Entry::Epoch(epoch) => SubscriberEvent::Epoch { epoch: *epoch, seq },
                Entry::Sets(payload) => SubscriberEvent::SetNote { seq, timestamp, publisher, payload },
            };
            flow = reader.on_event(stream, event, &mut take);
            if matches!(entry, Entry::Epoch(_)) {
                let members = SubscriberEvent::Membership { seq, members: 3 };
                _ = reader.on_event(stream, members, &mut take);
            }
        }
        if out.len() == before && !has_waited && reader.turn() == stream {
            return out;
        }
    }
}

/// A step of the world; numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Append(usize, Nanos),
    Commit(usize, usize),
    TakeOver(usize, usize),
    /// An operator founds a stream on less than was committed.
    Found(usize, usize),
    /// A coordinator looks at all streams.
    Look(usize),
    /// It publishes a cut, which arrives behind so many others.
    Publish(usize),
    Arrive(usize),
    /// A cut that some program made up.
    Foreign(Seq, Seq, Seq),
    Read(usize),
    /// It goes on from where it stands, as one that has only that.
    Resume(usize),
    /// An operator lists these of the other streams, in this order.
    List(Vec<usize>),
}

fn step() -> impl Strategy<Value = Step> {
    let stream = 0usize..3;
    prop_oneof![
        6 => (stream.clone(), 0u64..100).prop_map(|(stream, time)| Step::Append(stream, time)),
        6 => (stream.clone(), 0usize..9).prop_map(|(stream, by)| Step::Commit(stream, by)),
        1 => (stream, 0usize..9).prop_map(|(stream, stays)| Step::TakeOver(stream, stays)),
        1 => (1usize..3, 0usize..9).prop_map(|(stream, lost)| Step::Found(stream, lost)),
        4 => (0usize..3).prop_map(Step::Look),
        4 => (0usize..3).prop_map(Step::Publish),
        4 => (0usize..4).prop_map(Step::Arrive),
        1 => (0u64..30, 0u64..30, 0u64..30).prop_map(|(after, a, b)| Step::Foreign(after, a, b)),
        4 => (0usize..3).prop_map(Step::Read),
        2 => (0usize..3).prop_map(Step::Resume),
        1 => Just(vec![0, 1]).prop_shuffle().prop_map(Step::List),
        1 => prop::collection::vec(0usize..2, 0..2).prop_map(Step::List),
    ]
}

/// A coordinator, and how far it has read the merged order.
struct Writer {
    rules: Coordinator,
    merge: Merge,
}

impl Writer {
    fn new() -> Self {
        let limits = CoordinatorLimits { interval_ns: 0, patience: 0 };
        Self { rules: Coordinator::new(limits), merge: Merge::default() }
    }
}

#[derive(Default)]
struct Reader {
    merge: Merge,
    delivered: Vec<Delivered>,
    /// What it has read beside that: the subscription has delivered it.
    waiting: Vec<(u64, Seq)>,
    /// It had read what a founding has taken away: it ends (LINEAGE-2).
    has_ended: bool,
}

struct World {
    home: Log,
    others: Vec<Log>,
    writers: Vec<Writer>,
    readers: Vec<Reader>,
    in_flight: Vec<Vec<u8>>,
    /// How many lists were given.
    lists: u64,
    /// The greatest seq from which a list has merged each of the other streams.
    listed_from: [Seq; 2],
    now: Nanos,
}

impl World {
    fn new() -> Self {
        let mut home = Log::new();
        let names = ["a", "b"];
        let rows = OTHERS.iter().zip(names);
        let rows =
            rows.map(|(stream, name)| SetRow { stream: *stream, from: 1, name: name.into() }).collect();
        home.entries.push((Entry::Sets(SetEntry { number: 1, rows }.to_bytes()), 0));
        home.committed = 2;
        let reader = |_| Reader::default();
        Self {
            home,
            others: vec![Log::new(), Log::new()],
            writers: (0..3).map(|_| Writer::new()).collect(),
            readers: (0..3).map(reader).collect(),
            in_flight: Vec::new(),
            lists: 1,
            listed_from: [1; 2],
            now: 0,
        }
    }

    /// The greatest bound of a row of this stream in any cut.
    fn row_bound(&self, cluster: u64) -> Seq {
        let of_log = self.home.entries.iter().filter_map(|(entry, _)| match entry {
            Entry::Sets(payload) => Some(payload),
            _ => None,
        });
        let cuts = of_log.chain(&self.in_flight).filter_map(|payload| CutEntry::parse(payload).ok());
        let rows = cuts.flat_map(|cut| cut.rows).filter(|row| row.stream == cluster);
        rows.map(|row| row.next).max().unwrap_or(0)
    }

    fn log(&mut self, stream: usize) -> &mut Log {
        if stream == 0 { &mut self.home } else { &mut self.others[stream - 1] }
    }

    fn act(&mut self, step: Step) {
        self.now += 1;
        match step {
            Step::Append(stream, time) => {
                let now = self.now;
                self.log(stream).entries.push((Entry::Plain(now), time));
            }
            Step::Commit(stream, by) => {
                let log = self.log(stream);
                log.committed = (log.committed + by).min(log.entries.len());
            }
            Step::TakeOver(stream, stays) => {
                let log = self.log(stream);
                let stays = (log.committed + stays).min(log.entries.len());
                let again = log.take_over(stays);
                self.in_flight.extend(again);
            }
            Step::Found(stream, lost) => self.found(stream - 1, lost),
            Step::Look(writer) => self.look(writer),
            Step::Publish(writer) => {
                let Writer { rules, merge } = &mut self.writers[writer];
                let committed = |stream: u64| {
                    let log = &self.others[OTHERS.iter().position(|cluster| *cluster == stream)?];
                    let next = log.committed as Seq + 1;
                    Some((log.epoch_at(next), next))
                };
                if let Some(cut) = rules.cut(self.now, merge, committed) {
                    self.in_flight.push(cut.to_bytes());
                }
            }
            Step::Arrive(which) => {
                if !self.in_flight.is_empty() {
                    let cut = self.in_flight.remove(which % self.in_flight.len());
                    self.home.entries.push((Entry::Sets(cut), 0));
                }
            }
            Step::Foreign(after, a, b) => {
                let row = |(stream, next): (&u64, Seq)| CutRow {
                    stream: *stream,
                    next: next + 1,
                    ..CutRow::default()
                };
                let rows = OTHERS.iter().zip([a, b]).map(row).collect();
                // A key that lists `lockstep/set` writes no such thing; one that names no cut is void.
                let after = CutPoint { seq: after.max(1_000), ..CutPoint::default() };
                let cut = CutEntry { after, done: 0, rows };
                self.home.entries.push((Entry::Sets(cut.to_bytes()), 0));
            }
            Step::Read(reader) => self.read(reader),
            Step::Resume(reader) => {
                let merge = &mut self.readers[reader].merge;
                *merge = Merge::at(&merge.place());
            }
            Step::List(listed) => {
                self.lists += 1;
                for index in &listed {
                    let from = self.others[*index].committed as Seq + 1;
                    self.listed_from[*index] = self.listed_from[*index].max(from);
                }
                let row = |index: &usize| SetRow {
                    stream: OTHERS[*index],
                    from: self.others[*index].committed as Seq + 1,
                    name: index.to_string(),
                };
                let list = SetEntry { number: self.lists, rows: listed.iter().map(row).collect() };
                self.home.entries.push((Entry::Sets(list.to_bytes()), 0));
            }
        }
    }

    fn found(&mut self, index: usize, lost: usize) {
        let log = &mut self.others[index];
        let stays = log.committed.saturating_sub(lost).max(1);
        log.take_over(stays);
        let bound = stays as Seq + 1;
        for reader in &mut self.readers {
            let delivered = reader.delivered.iter().map(|entry| (entry.1, entry.2));
            let mut has_read = delivered.chain(reader.waiting.iter().copied());
            reader.has_ended |= has_read.any(|(stream, seq)| stream == OTHERS[index] && seq >= bound);
        }
        // A coordinator that had read more starts again, without a state.
        self.writers.iter_mut().for_each(|writer| *writer = Writer::new());
    }

    fn look(&mut self, writer: usize) {
        let Self { home, others, writers, .. } = self;
        read(&mut writers[writer].merge, home, others, &mut Vec::new());
    }

    fn read(&mut self, reader: usize) {
        let Self { home, others, readers, .. } = self;
        let Reader { merge, delivered, waiting, has_ended } = &mut readers[reader];
        if !*has_ended {
            waiting.extend(read(merge, home, others, delivered));
        }
    }
}

/// The order of all that is committed.
fn order_of(home: &Log, others: &[Log]) -> Vec<Delivered> {
    let mut all = Vec::new();
    read(&mut Merge::default(), home, others, &mut all);
    all
}

/// Where a reader may begin by MERGE-5: behind each cut that a later one names, where the rows ended at their
/// bounds.
fn beginnings(home: &Log, others: &[Log]) -> Vec<MergePlace> {
    let cut = |seq: Seq| match &home.entries.get((seq as usize).checked_sub(1)?)?.0 {
        Entry::Sets(payload) => CutEntry::parse(payload).ok(),
        _ => None,
    };
    let points = (1..=home.committed as Seq).filter_map(|seq| {
        let point = cut(seq)?.after;
        Some((point, cut(point.seq)?))
    });
    let ended = |row: &CutRow| {
        let log =
            &others[OTHERS.iter().position(|cluster| *cluster == row.stream).expect("a stream of the set")];
        log.epoch_at(row.next) <= row.epoch()
    };
    let may = points.filter(|(_, cut)| cut.rows.iter().all(ended));
    may.map(|(point, cut)| MergePlace::behind(point, &cut.rows)).collect()
}

/// Where a reader or a coordinator begins that looks back from the end of what is committed of the home
/// stream, of which entries below `oldest` are gone; none where it has to wait for a cut.
fn look_back(home: &Log, others: &[Log], oldest: Seq) -> Option<MergePlace> {
    let mut look = LookBack::new(home.committed as Seq + 1);
    look.on_gone(oldest);
    loop {
        for seq in look.from()..look.end() {
            if let Entry::Sets(payload) = &home.entries[seq as usize - 1].0 {
                look.on_note(seq, payload);
            }
        }
        let place = match look.at_end() {
            LookBackNext::Place(place) => place,
            LookBackNext::Farther => continue,
            LookBackNext::Wait => return None,
        };
        // Each frame has one entry.
        let has_ended = |row: &MergePlaceRow| {
            let log = &others[OTHERS.iter().position(|cluster| *cluster == row.stream)?];
            let last = row.last_covered()?;
            row.ended_at_bound(last..last + 1, log.epoch_at(row.next))
        };
        if place.streams.iter().all(|row| has_ended(row) != Some(false)) {
            return Some(place);
        }
        look.on_early_row();
    }
}

fn merges_all(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut world = World::new();
    for step in steps {
        world.act(step);
    }
    // A list may merge a stream from where a founding has taken it back behind: it is merged once it has
    // grown that far again. A cut from before the founding may then have a row that reaches further: the
    // epoch that would end it began below the list's seq, so that it is merged once it has grown that far.
    for (index, cluster) in OTHERS.into_iter().enumerate() {
        let from = world.listed_from[index];
        let begun =
            world.others[index].entries.iter().rposition(|(entry, _)| matches!(entry, Entry::Epoch(_)));
        let is_below = begun.is_some_and(|at| (at as Seq) + 1 < from);
        let reached = if is_below { world.row_bound(cluster).max(from) } else { from };
        let log = &mut world.others[index];
        while (log.entries.len() as Seq) < reached {
            log.entries.push((Entry::Plain(0), 0));
        }
    }
    for _ in 0..4 {
        for stream in 0..3 {
            let log = world.log(stream);
            log.committed = log.entries.len();
        }
        while !world.in_flight.is_empty() {
            world.act(Step::Arrive(0));
        }
        world.home.committed = world.home.entries.len();
        world.look(0);
        world.act(Step::Publish(0));
        world.act(Step::Arrive(0));
    }
    world.home.committed = world.home.entries.len();
    let mut merge = Merge::default();
    read(&mut merge, &world.home, &world.others, &mut Vec::new());
    prop_assert_eq!(merge.next_of(MergeTurn::Home), world.home.committed as Seq + 1);
    for (log, cluster) in world.others.iter().zip(OTHERS) {
        let listed = merge.cuts().streams().iter().position(|one| one.stream == cluster);
        let merged = listed.map(|index| merge.next_of(MergeTurn::Other(index)));
        // A list may add a stream behind what a founding has left of it.
        prop_assert!(merged.is_none_or(|next| next > log.committed as Seq), "{:?}", merge);
    }
    Ok(())
}

/// A founding takes all of a stream away, and a list merges it from a seq that it has not reached again.
#[test]
fn a_stream_that_was_founded_below_its_lists_seq_is_merged_once_it_has_grown_to_the_row() {
    let steps = [
        Step::Append(1, 0),
        Step::List(vec![]),
        Step::Commit(1, 1),
        Step::Append(1, 0),
        Step::List(vec![0, 1]),
        Step::Append(1, 0),
        Step::Commit(1, 2),
        Step::Look(0),
        Step::Publish(0),
        Step::Found(1, 3),
        Step::Found(1, 0),
    ];
    merges_all(steps.to_vec()).unwrap_or_else(|error| panic!("{error}"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn each_reader_delivers_a_prefix_of_one_order_whatever_is_read_when(
        steps in prop::collection::vec(step(), 0..120)
    ) {
        let mut world = World::new();
        for step in steps {
            world.act(step);
        }
        for stream in 0..3 {
            let log = world.log(stream);
            log.committed = log.entries.len();
        }
        let whole = order_of(&world.home, &world.others);
        for reader in 0..world.readers.len() {
            world.read(reader);
        }
        for reader in world.readers.iter().filter(|reader| !reader.has_ended) {
            prop_assert_eq!(&reader.delivered, &whole);
        }
        prop_assert_eq!(&read_events(&world.home, &world.others), &whole);
        for place in beginnings(&world.home, &world.others) {
            let mut behind = Vec::new();
            read(&mut Merge::at(&place), &world.home, &world.others, &mut behind);
            prop_assert_eq!(&behind[..], &whole[place.number as usize - 1..], "from {:?}", place);
        }
        for oldest in 1..=world.home.committed as Seq {
            let Some(place) = look_back(&world.home, &world.others, oldest) else { continue };
            let mut behind = Vec::new();
            read(&mut Merge::at(&place), &world.home, &world.others, &mut behind);
            prop_assert_eq!(&behind[..], &whole[place.number as usize - 1..], "looks back to {}: {:?}", oldest, place);
        }
        let numbers = whole.iter().map(|(number, ..)| *number);
        prop_assert!(numbers.eq(1..=whole.len() as u64), "without holes");
        prop_assert!(whole.is_sorted_by_key(|(.., time)| *time), "the time never falls");
        for cluster in [HOME, OTHERS[0], OTHERS[1]] {
            let seqs: Vec<Seq> = whole.iter().filter(|entry| entry.1 == cluster).map(|entry| entry.2).collect();
            // A stream that was taken out comes back further on.
            prop_assert!(seqs.is_sorted_by(|a, b| a < b), "its own order: {:?}", seqs);
        }
    }

    /// Nothing waits for ever: once a coordinator has read all and its cut has arrived, all is merged.
    #[test]
    fn what_is_committed_is_merged_by_the_next_cut(steps in prop::collection::vec(step(), 0..80)) {
        merges_all(steps)?;
    }

    #[test]
    fn any_payload_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0..3) {
        let magic: &[u8] = [&b"LKSCUT\0\0"[..], b"LKSSET\0\0", b""][kind as usize];
        let payload = [magic, &bytes].concat();
        if let Ok(cut) = CutEntry::parse(&payload) {
            prop_assert_eq!(CutEntry::parse(&cut.to_bytes()), Ok(cut));
        }
        if let Ok(list) = SetEntry::parse(&payload) {
            prop_assert_eq!(SetEntry::parse(&list.to_bytes()), Ok(list));
        }
        let mut merge = Merge::default();
        merge.judge(MergeTurn::Home, 1, 0, MergeEntry::Sets(&payload));
    }
}
