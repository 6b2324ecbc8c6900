//! An application in several copies: whatever starts late, dies and begins again, each output is stamped
//! once.

use lockstep_core::engine::outputs::{Divergence, Outputs, OutputsEnd};
use lockstep_core::engine::publisher::{PublishError, PublisherEngine, PublisherEvent, PublisherLimits};
use lockstep_core::engine::subscriber::{Message, SubscriberEvent};
use lockstep_memory::cluster::Cluster;
use lockstep_memory::net::SimNet;
use lockstep_memory::world::*;
use lockstep_wire::*;

const NAME: &str = "application";
const SHARED: [u64; 2] = [7, 7];

fn plain(_: &mut PublisherLimits) {}

/// One committed entry, as a subscriber tells it.
#[derive(Clone, Debug)]
enum LogEvent {
    Opened(Seq, PublisherId, u32, [u64; 2], PublisherSeq, String),
    Message(Seq, PublisherId, PublisherSeq, Destination, Vec<u8>),
}

impl LogEvent {
    fn event(&self) -> SubscriberEvent<'_> {
        match self {
            Self::Opened(seq, publisher, incarnation, nonce, last, name) => SubscriberEvent::Opened {
                seq: *seq,
                timestamp: 0,
                publisher: *publisher,
                incarnation: *incarnation,
                nonce: *nonce,
                last: *last,
                name,
            },
            Self::Message(seq, publisher, publisher_seq, destination, payload) => {
                SubscriberEvent::Message(Message {
                    seq: *seq,
                    publisher: *publisher,
                    publisher_seq: *publisher_seq,
                    destination: *destination,
                    timestamp: 0,
                    payload,
                })
            }
        }
    }
}

/// The committed messages, those in parts joined.
fn committed(cluster: &Cluster) -> Vec<LogEvent> {
    let replica = &cluster.replicas[0];
    let (tail, mut events, mut span) = (replica.tail(), Vec::new(), replica.tail().find(1));
    let mut begun = std::collections::BTreeMap::<PublisherId, Vec<u8>>::new();
    while let Some(at) = span {
        let frame = tail.frame(at).unwrap();
        for (seq, entry) in (frame.header.first_seq..replica.core.commit_next()).zip(frame.entries()) {
            let EntryHeader { publisher, publisher_seq, destination, flags, .. } = *entry.header;
            match entry.kind() {
                EntryKind::Open => {
                    let OpenView { body, name } = OpenView::parse(entry.payload).unwrap();
                    let (incarnation, nonce, name) = (body.incarnation, body.nonce, name.to_owned());
                    begun.remove(&publisher);
                    events.push(LogEvent::Opened(seq, publisher, incarnation, nonce, publisher_seq, name));
                }
                EntryKind::Message => {
                    let parts = begun.entry(publisher).or_default();
                    if flags & PART_NEXT == 0 {
                        parts.clear();
                    }
                    parts.extend_from_slice(entry.payload);
                    if flags & PART_MORE == 0 {
                        let payload = std::mem::take(parts);
                        events.push(LogEvent::Message(seq, publisher, publisher_seq, destination, payload));
                    }
                }
                _ => {}
            }
        }
        span = tail.after(at);
    }
    events
}

/// What the application says to its `count`th input: sometimes a few datagrams of it.
fn answer(count: u64, input: &[u8]) -> Vec<u8> {
    let more = if count % 4 == 3 { 3_000 } else { count as usize % 90 };
    [b"ack ", input, &vec![count as u8; more]].concat()
}

/// One copy: its handle is publisher `index` of the cluster.
struct Copy {
    index: usize,
    runs: bool,
    outputs: Outputs,
    /// Committed entries that it has read, and inputs among them.
    read: usize,
    inputs: u64,
    /// Behind the last one that was news.
    next: Seq,
    /// Events of its handle that it has taken.
    events_read: usize,
    snapshot: Option<(usize, u64, Vec<u8>)>,
}

impl Copy {
    fn new(cluster: &mut Cluster) -> Self {
        let index = cluster.add_publisher(plain);
        let outputs = Outputs::new(NAME);
        Self { index, runs: false, outputs, read: 0, inputs: 0, next: 0, events_read: 0, snapshot: None }
    }

    /// A new process, which begins with the stream or with the last snapshot.
    fn start(&mut self, cluster: &mut Cluster, number: u32, with_snapshot: bool, nonce: [u64; 2]) {
        let me = Identity { replica: 1_000 + number, incarnation: 77 };
        let limits = PublisherLimits {
            window_entries: 16,
            flight_datagrams: 4,
            ..publisher_limits(me, cluster.replicas.len() as u32)
        };
        let node = &mut cluster.publishers[self.index];
        node.publisher = PublisherEngine::new(SimNet::default(), limits);
        node.events.clear();
        let snapshot = self.snapshot.as_ref().filter(|_| with_snapshot);
        (self.read, self.inputs, self.outputs) = match snapshot {
            Some((read, inputs, saved)) => {
                let (outputs, rest) = Outputs::restore(NAME, saved).expect("what was saved");
                assert!(rest.is_empty());
                // As behind a message that was not whole: some of it is told again.
                (read.saturating_sub(2), *inputs, outputs)
            }
            None => (0, 0, Outputs::new(NAME)),
        };
        assert!(self.outputs.begin_open(&mut node.publisher.core, nonce));
        (self.next, self.events_read, self.runs) = (0, 0, true);
    }

    fn kill(&mut self, cluster: &mut Cluster) {
        // Its handle falls silent with it.
        let me = Identity { replica: 1, incarnation: 1 };
        let limits = PublisherLimits {
            window_entries: 4,
            window_datagrams: 4,
            flight_datagrams: 4,
            ..publisher_limits(me, 0)
        };
        cluster.publishers[self.index].publisher = PublisherEngine::new(SimNet::default(), limits);
        self.runs = false;
    }

    fn save(&mut self) {
        let mut saved = Vec::new();
        self.outputs.save(self.next, &mut saved);
        self.snapshot = Some((self.read, self.inputs, saved));
    }

    /// Reads up to `limit` entries, and hands in what is to be.
    fn turn(&mut self, cluster: &mut Cluster, log: &[LogEvent], limit: usize) -> Result<(), Divergence> {
        if !self.runs {
            return Ok(());
        }
        for event in log.iter().skip(self.read).take(limit) {
            if !self.outputs.on_event(&event.event())? {
                self.read += 1;
                continue;
            }
            self.next = event.event().seq().unwrap_or(0) + 1;
            if let LogEvent::Message(_, _, _, 0, payload) = event {
                self.outputs.push(5, &answer(self.inputs, payload));
                self.inputs += 1;
            }
            self.read += 1;
        }
        let node = &mut cluster.publishers[self.index];
        for event in node.events.iter().skip(self.events_read) {
            self.outputs.on_publisher(event);
            assert!(!matches!(event, PublisherEvent::Diverged { .. }), "{event:?}");
        }
        self.events_read = node.events.len();
        match self.outputs.hand_in(&mut node.publisher.core) {
            Ok(_) => Ok(()),
            Err(PublishError::Fenced) => Ok(()),
            Err(error) => panic!("{error}"),
        }
    }
}

/// One in three datagrams that publishers send is lost.
fn lossy(from: u32, _: u32, bytes: &[u8]) -> bool {
    let sum =
        bytes.iter().take(104).fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)));
    from > 100 && sum % 3 == 0
}

fn outputs_of(log: &[LogEvent]) -> Vec<Vec<u8>> {
    let own = log.iter().filter_map(|event| match event {
        LogEvent::Message(.., 5, payload) => Some(payload.clone()),
        _ => None,
    });
    own.collect()
}

fn expected(log: &[LogEvent]) -> Vec<Vec<u8>> {
    let inputs = log.iter().filter_map(|event| match event {
        LogEvent::Message(.., 0, payload) => Some(payload),
        _ => None,
    });
    inputs.enumerate().map(|(count, input)| answer(count as u64, input)).collect()
}

struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((z ^ (z >> 27)) >> 11) % bound
    }
}

#[test]
fn outputs_of_copies_that_die_start_late_and_begin_again_are_stamped_once_and_none_is_lost() {
    for seed in 0..30 {
        let mut rng = Rng(seed);
        let mut cluster = Cluster::new(3, |_| {});
        let inputs = cluster.add_publisher(plain);
        let id = cluster.open(inputs, "inputs", [1, 1]);
        let mut copies: Vec<_> = (0..3).map(|_| Copy::new(&mut cluster)).collect();
        cluster.lost = lossy;
        let (mut published, mut started) = (0, 10);
        for _ in 0..200 {
            let copy = rng.below(3) as usize;
            match rng.below(12) {
                0..4 => {
                    published += 1;
                    let text = format!("input {published}");
                    let _ = cluster.publishers[inputs].publisher.core.try_publish(id, 0, text.as_bytes());
                }
                4 if !copies[copy].runs => {
                    started += 1;
                    let with_snapshot = rng.below(2) == 0;
                    copies[copy].start(&mut cluster, started, with_snapshot, SHARED);
                }
                5 if copies[copy].runs => copies[copy].kill(&mut cluster),
                6 if copies[copy].runs => copies[copy].save(),
                _ => {
                    cluster.run(1 + rng.below(60) as u32);
                    let log = committed(&cluster);
                    let limit = 1 + rng.below(12) as usize;
                    copies[copy].turn(&mut cluster, &log, limit).expect("all are alike");
                }
            }
        }
        copies[0].kill(&mut cluster);
        copies[0].start(&mut cluster, 9, true, SHARED);
        for _ in 0..4_000 {
            cluster.run(10);
            let log = committed(&cluster);
            for copy in &mut copies {
                copy.turn(&mut cluster, &log, 100).expect("all are alike");
            }
            let drained = cluster.publishers[inputs].publisher.core.is_drained();
            if drained && copies[0].read == log.len() && copies[0].outputs.is_drained() {
                break;
            }
        }
        let log = committed(&cluster);
        assert_eq!(outputs_of(&log), expected(&log), "seed {seed}");
        assert!(!expected(&log).is_empty());
    }
}

#[test]
fn a_copy_of_another_version_is_told_where_it_differs_and_publishes_nothing() {
    let mut cluster = Cluster::new(3, |_| {});
    let inputs = cluster.add_publisher(plain);
    let id = cluster.open(inputs, "inputs", [1, 1]);
    cluster.publishers[inputs].publish(id, &["a", "b", "c"]);
    let (mut first, mut other) = (Copy::new(&mut cluster), Copy::new(&mut cluster));
    first.start(&mut cluster, 20, false, SHARED);
    for _ in 0..200 {
        cluster.run(5);
        let log = committed(&cluster);
        first.turn(&mut cluster, &log, 9).unwrap();
    }
    let log = committed(&cluster);
    assert_eq!(outputs_of(&log).len(), 3);
    // It counts its inputs from 1.
    other.start(&mut cluster, 21, false, SHARED);
    other.inputs = 1;
    let found = (0..400).find_map(|_| {
        cluster.run(5);
        let log = committed(&cluster);
        other.turn(&mut cluster, &log, 9).err()
    });
    let found = found.expect("it differs");
    assert!(found.output == 1 && found.has_other, "{found:?}");
    assert!(found.to_string().contains("give a new version a new name"));
    let log = committed(&cluster);
    assert_eq!(outputs_of(&log).len(), 3, "nothing of it");
}

#[test]
fn a_copy_under_a_nonce_of_its_own_fences_the_others_and_goes_on_where_they_were() {
    let mut cluster = Cluster::new(3, |_| {});
    let inputs = cluster.add_publisher(plain);
    let id = cluster.open(inputs, "inputs", [1, 1]);
    let (mut old, mut new) = (Copy::new(&mut cluster), Copy::new(&mut cluster));
    old.start(&mut cluster, 20, false, SHARED);
    for round in 0..300 {
        if round % 30 == 0 {
            cluster.publishers[inputs].publish(id, &["x", "y"]);
        }
        if round == 150 {
            new.start(&mut cluster, 21, false, [8, 8]);
        }
        cluster.run(20);
        let log = committed(&cluster);
        old.turn(&mut cluster, &log, 9).unwrap();
        new.turn(&mut cluster, &log, 9).unwrap();
    }
    assert_eq!((old.outputs.end(), new.outputs.end()), (Some(OutputsEnd::Fenced), None));
    let log = committed(&cluster);
    assert_eq!(outputs_of(&log), expected(&log));
    assert_eq!(outputs_of(&log).len(), 20);
}

/// What made outputs double: a handle under the shared nonce goes on behind what the stream has.
#[test]
fn what_is_handed_in_again_by_its_number_is_stamped_once_and_by_the_wish_twice() {
    for by_number in [true, false] {
        let mut cluster = Cluster::new(3, |_| {});
        let (first, late) = (cluster.add_publisher(plain), cluster.add_publisher(plain));
        let id = cluster.open(first, NAME, SHARED);
        cluster.publishers[first].publish(id, &["a", "b"]);
        cluster.run(500);
        assert_eq!(cluster.open(late, NAME, SHARED), id);
        for (number, text) in (1..).zip(["a", "b", "c"]) {
            let core = &mut cluster.publishers[late].publisher.core;
            let handed_in = match by_number {
                true => core.try_publish_at(id, number, 0, text.as_bytes()),
                false => core.try_publish(id, 0, text.as_bytes()),
            };
            assert!(handed_in.is_ok());
        }
        cluster.run(500);
        let log = committed(&cluster);
        let texts = log.iter().filter_map(|event| match event {
            LogEvent::Message(.., payload) => Some(String::from_utf8_lossy(payload).into_owned()),
            LogEvent::Opened(..) => None,
        });
        let texts: Vec<_> = texts.collect();
        assert_eq!(texts, if by_number { vec!["a", "b", "c"] } else { vec!["a", "b", "a", "b", "c"] });
    }
}

#[test]
fn a_number_ahead_is_refused_while_something_is_under_way_and_else_gone_on_from() {
    let mut cluster = Cluster::new(3, |_| {});
    let (first, late) = (cluster.add_publisher(plain), cluster.add_publisher(plain));
    let id = cluster.open(first, NAME, SHARED);
    assert_eq!(cluster.open(late, NAME, SHARED), id);
    cluster.publishers[first].publish(id, &["a", "b"]);
    cluster.run(500);
    let core = &mut cluster.publishers[late].publisher.core;
    assert_eq!(core.try_publish_at(id, 3, 0, b"c"), Ok(3));
    assert_eq!(core.try_publish_at(id, 5, 0, b"e"), Err(PublishError::Ahead { number: 5, next: 4 }));
    cluster.run(500);
    assert_eq!(cluster.publishers[late].committed().len(), 1);
    assert!(cluster.publishers[late].publisher.core.is_drained());
}

/// The stream would wait for what lies before it, and the message never had an outcome.
#[test]
fn a_number_that_nobody_reaches_is_refused() {
    let mut cluster = Cluster::new(3, |_| {});
    let (first, late) = (cluster.add_publisher(plain), cluster.add_publisher(plain));
    let id = cluster.open(first, NAME, SHARED);
    let core = &mut cluster.publishers[first].publisher.core;
    assert_eq!(core.try_publish_at(id, 100, 0, b"x"), Err(PublishError::Ahead { number: 100, next: 1 }));
    assert_eq!(core.try_publish_at(id, 1, 0, b"a"), Ok(1));
    cluster.run(500);
    assert_eq!(cluster.open(late, NAME, SHARED), id);
    let core = &mut cluster.publishers[late].publisher.core;
    assert_eq!(core.try_publish_at(id, 3, 0, b"x"), Err(PublishError::Ahead { number: 3, next: 2 }));
    assert_eq!(core.try_publish_at(id, 2, 0, b"b"), Ok(2));
    cluster.run(500);
    assert!(cluster.publishers[late].publisher.core.is_drained());
}

#[test]
pub fn what_follows_from_a_stamped_entry_is_handed_in_once_that_entry_is_final() {
    let mut cluster = Cluster::new(3, |_| {});
    let inputs = cluster.add_publisher(plain);
    let id = cluster.open(inputs, "inputs", [1, 1]);
    let mut copy = Copy::new(&mut cluster);
    copy.start(&mut cluster, 20, false, SHARED);
    cluster.publishers[inputs].publish(id, &["x", "y", "z"]);
    cluster.run(500);
    let log = committed(&cluster);
    let seqs: Vec<Seq> = log
        .iter()
        .filter_map(|event| match event {
            LogEvent::Message(seq, _, _, 0, _) => Some(*seq),
            _ => None,
        })
        .collect();
    // A takeover could still take back everything from the second input on.
    copy.outputs.set_final(seqs[1]).unwrap();
    for _ in 0..20 {
        copy.turn(&mut cluster, &log, 9).unwrap();
        cluster.run(50);
    }
    assert_eq!((outputs_of(&committed(&cluster)).len(), copy.outputs.backlog()), (1, 0));
    copy.outputs.set_final(seqs[2] + 1).unwrap();
    for _ in 0..20 {
        let log = committed(&cluster);
        copy.turn(&mut cluster, &log, 9).unwrap();
        cluster.run(50);
    }
    let log = committed(&cluster);
    assert_eq!((outputs_of(&log), outputs_of(&log).len()), (expected(&log), 3));
}

/// Seed 20261127006542: a leader that was deposed, and does not know it, stamps outputs of entries that its
/// successor stamped, behind other entries.
#[test]
fn another_output_than_the_own_one_ends_a_stamped_copy_once_it_is_final_and_not_before() {
    let opened = LogEvent::Opened(1, 1, 1, SHARED, 0, NAME.into());
    let other = |seq, number| LogEvent::Message(seq, 1, number, 5, b"another one".to_vec());
    for has_other in [true, false] {
        let mut outputs = Outputs::new(NAME);
        outputs.set_final(2).unwrap();
        assert_eq!(outputs.on_event(&opened.event()), Ok(true));
        if has_other {
            outputs.push(5, b"the own one");
        }
        assert_eq!(outputs.on_event(&other(3, 1).event()), Ok(true));
        assert_eq!(outputs.on_event(&other(4, 2).event()), Ok(true), "a takeover may take both back");
        assert_eq!((outputs.set_final(3), outputs.count()), (Ok(()), 0));
        let ended = outputs.set_final(4).unwrap_err();
        assert_eq!((ended.seq, ended.output, ended.has_other), (3, 1, has_other));
    }
}

#[test]
fn a_stamped_copy_that_reads_another_output_than_its_own_hands_in_nothing() {
    let mut cluster = Cluster::new(3, |_| {});
    let inputs = cluster.add_publisher(plain);
    let id = cluster.open(inputs, "inputs", [1, 1]);
    let mut copy = Copy::new(&mut cluster);
    copy.start(&mut cluster, 20, false, SHARED);
    cluster.publishers[inputs].publish(id, &["x"]);
    for turn in 0..40 {
        let log = committed(&cluster);
        copy.outputs.set_final(1_000).unwrap();
        copy.turn(&mut cluster, &log, 9).unwrap();
        cluster.run(50);
        if turn == 20 {
            let own = copy.outputs.publisher().unwrap();
            let other = LogEvent::Message(2_000, own, 2, 5, b"another one".to_vec());
            assert_eq!(copy.outputs.on_event(&other.event()), Ok(true));
            cluster.publishers[inputs].publish(id, &["y"]);
        }
    }
    assert_eq!((outputs_of(&committed(&cluster)).len(), copy.inputs), (1, 2));
}
