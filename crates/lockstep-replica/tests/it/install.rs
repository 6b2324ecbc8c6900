//! A node that holds nothing begins behind a checkpoint, where no journal has the stream from its first entry
//! on.

use lockstep_core::engine::event::Role;
use lockstep_core::proto::lineage::Lineage;
use lockstep_core::proto::log::LogEnd;
use lockstep_memory::cluster::Cluster;
use lockstep_memory::disk::{DiskFault, SimDisk};
use lockstep_memory::world::*;
use lockstep_replica::journal::base::{self, BASE, CheckpointParts};
use lockstep_replica::journal::checkpoint::{ChangeRow, Checkpoint};
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_replica::journal::ports::{Store, TailMemory};
use lockstep_replica::journal::segment_index::{SegmentIndex, Written};
use lockstep_replica::journal::side::{Inputs, SideSettings, SideStep, SideThread};
use lockstep_replica::journal::{Settings, Tail, copy_behind, format, inspect, open, verify};
use lockstep_replica::replica::{CatchUpPlan, Recovered};
use lockstep_wire::*;

/// The node that holds nothing.
pub const LATE: u32 = 3;

/// The tables of replica `number`'s log where the frame with `seq` begins.
pub fn checkpoint_before(cluster: &Cluster, number: u32, seq: Seq) -> Checkpoint {
    let tail = cluster.replicas[number as usize - 1].tail();
    let (mut checkpoint, mut span) = (Checkpoint::default(), tail.find(1));
    while let Some(here) = span {
        let frame = tail.frame(here).expect("no damage");
        if frame.header.next_seq() > seq {
            break;
        }
        checkpoint.apply(&frame).expect("a log");
        span = tail.after(here);
    }
    checkpoint
}

/// Three members of which one was never started; names were opened, and one was closed and opened again.
fn without_the_late_one() -> (Cluster, PublisherId) {
    let mut cluster = Cluster::new(3, |_| {});
    cluster.dead.push(LATE);
    cluster.add_publisher(|_| {});
    cluster.add_publisher(|_| {});
    let id = cluster.open(0, "gateway", [1, 1]);
    cluster.open(1, "other", [2, 2]);
    cluster.publishers[0].publish(id, &["a", "b", "c"]);
    cluster.await_committed(3);
    cluster.run(200);
    (cluster, id)
}

/// The late one begins behind `checkpoint` and runs with the others. The frames before are in no journal:
/// whoever asked for them would wait for ever.
pub fn begin(cluster: &mut Cluster, checkpoint: &Checkpoint) {
    let late = &mut cluster.replicas[LATE as usize - 1];
    assert!(late.is_installable());
    late.install(checkpoint);
    assert!(late.tail().promised() >= checkpoint.end.epoch, "S2: what is stored is promised");
    late.invariants();
    assert!(!late.may_begin_behind(checkpoint), "once");
    assert_eq!(late.tail().end(), checkpoint.end);
    assert_eq!(late.core.commit_next(), checkpoint.end.next, "what a checkpoint covers is committed");
    cluster.dead.retain(|number| *number != LATE);
}

pub fn is_equal_to(cluster: &Cluster, number: u32) -> bool {
    let [a, b] = [LATE, number].map(|number| &cluster.replicas[number as usize - 1]);
    let (Some(ours), Some(theirs)) = (a.tables(), b.tables()) else { return false };
    a.tail().end() == b.tail().end()
        && (ours.membership, ours.change) == (theirs.membership, theirs.change)
        && ours.publishers == theirs.publishers
        && a.core.lineage() == b.core.lineage()
}

#[test]
pub fn a_node_begins_behind_a_checkpoint_as_one_that_starts_on_it() {
    let (mut cluster, id) = without_the_late_one();
    let end = cluster.replicas[0].tail().end();
    let commit_next = cluster.replicas[0].core.commit_next();
    for seq in 3..=commit_next {
        let checkpoint = checkpoint_before(&cluster, 1, seq);
        if base::judge(&checkpoint).is_err() {
            continue; // no epoch has begun there
        }
        let tail = blank_tail(LATE, 256 << 10);
        cluster.replicas[LATE as usize - 1] = start(tail, replica_limits(LATE, 3)).expect("a member");
        begin(&mut cluster, &checkpoint);
        assert_eq!(cluster.replicas[LATE as usize - 1].role(), Role::Standby, "its tables list it");
        let follows = cluster.run_until(|cluster| is_equal_to(cluster, 1));
        assert!(follows, "behind {:?} of {end:?}:\n{}", checkpoint.end, cluster.describe());
        cluster.dead.push(LATE);
    }
    // It counts: with the leader dead, no quorum is without it.
    cluster.dead = vec![1];
    let checkpoint = checkpoint_before(&cluster, 2, commit_next);
    let tail = blank_tail(LATE, 256 << 10);
    cluster.replicas[LATE as usize - 1] = start(tail, replica_limits(LATE, 3)).expect("a member");
    begin(&mut cluster, &checkpoint);
    cluster.dead = vec![1];
    cluster.publishers[0].publish(id, &["d"]);
    cluster.await_committed(4);
    assert!(cluster.run_until(|cluster| is_equal_to(cluster, 2)), "{}", cluster.describe());
}

#[test]
fn one_that_no_member_list_names_begins_as_a_learner_and_an_archiver_never_votes() {
    let (mut cluster, _) = without_the_late_one();
    let mut checkpoint = checkpoint_before(&cluster, 1, cluster.replicas[0].core.commit_next());
    cluster.replicas[LATE as usize - 1].core.become_archiver();
    begin(&mut cluster, &checkpoint);
    assert_eq!(cluster.replicas[LATE as usize - 1].role(), Role::Learner, "an archiver");
    let me = identity(LATE);
    checkpoint.members.retain(|member| member.identity() != me);
    let tail = blank_tail(LATE, 256 << 10);
    cluster.replicas[LATE as usize - 1] = start(tail, replica_limits(LATE, 3)).expect("a node");
    cluster.replicas[LATE as usize - 1].install(&checkpoint);
    assert_eq!(cluster.replicas[LATE as usize - 1].role(), Role::Learner, "not listed");
}

/// It has promised, as a blank member may: nothing below is followed afterwards either.
#[test]
pub fn s2_a_promise_made_before_a_checkpoint_is_kept_behind_it() {
    let (mut cluster, _) = without_the_late_one();
    let checkpoint = checkpoint_before(&cluster, 1, cluster.replicas[0].core.commit_next());
    let mut tail = blank_tail(LATE, 256 << 10);
    let promised = epoch(9, 2);
    tail.promise(promised);
    cluster.replicas[LATE as usize - 1] = start(tail, replica_limits(LATE, 3)).expect("a member");
    begin(&mut cluster, &checkpoint);
    let late = &cluster.replicas[LATE as usize - 1];
    assert_eq!(late.tail().promised(), promised);
    cluster.run(300);
    let late = &cluster.replicas[LATE as usize - 1];
    assert!(late.tail().promised() >= promised && late.tail().end().epoch < promised);
}

/// The first checkpoint of replica 1's log with which a log can begin.
fn first_checkpoint(cluster: &Cluster) -> Checkpoint {
    let commit_next = cluster.replicas[0].core.commit_next();
    let mut checkpoints = (3..commit_next).map(|seq| checkpoint_before(cluster, 1, seq));
    checkpoints.find(|checkpoint| base::judge(checkpoint).is_ok()).expect("an epoch has begun")
}

/// Retention has removed what follows the first checkpoint, before a frame of it came. What the node has said
/// meanwhile stays.
#[test]
pub fn s6_a_node_without_a_record_begins_again_behind_a_later_checkpoint() {
    for promised in [Epoch::NONE, epoch(1, 1), epoch(9, 2)] {
        let (mut cluster, id) = without_the_late_one();
        let first = first_checkpoint(&cluster);
        let later = checkpoint_before(&cluster, 1, cluster.replicas[0].core.commit_next());
        begin(&mut cluster, &first);
        let late = &mut cluster.replicas[LATE as usize - 1];
        late.tail_mut().promise(promised);
        let before = late.tail().promised();
        begin(&mut cluster, &later);
        let late = &cluster.replicas[LATE as usize - 1];
        assert_eq!(late.role(), Role::Standby, "its tables list it");
        assert_eq!(late.tail().promised(), before.max(later.end.epoch), "S2: the promise stays");
        if promised > later.end.epoch {
            continue; // it follows none of the others before they are beyond that
        }
        assert!(cluster.run_until(|cluster| is_equal_to(cluster, 1)), "{}", cluster.describe());
        cluster.dead = vec![1];
        cluster.publishers[0].publish(id, &["d"]);
        cluster.await_committed(4);
    }
}

#[test]
pub fn s6_no_checkpoint_takes_the_place_of_what_it_does_not_continue() {
    let (mut cluster, _) = without_the_late_one();
    let first = first_checkpoint(&cluster);
    let later = checkpoint_before(&cluster, 1, cluster.replicas[0].core.commit_next());
    begin(&mut cluster, &later);
    let mut ahead = later.clone();
    ahead.end.next += 1_000;
    let mut elsewhere = ahead.clone();
    elsewhere.history ^= 1;
    let late = &cluster.replicas[LATE as usize - 1];
    assert!(late.may_begin_behind(&ahead));
    for (what, checkpoint) in [("shorter", &first), ("the same", &later), ("another history", &elsewhere)] {
        assert!(!late.may_begin_behind(checkpoint), "{what}");
    }
    for (what, number) in [("it leads", 1), ("it has records", 2)] {
        assert!(!cluster.replicas[number - 1].may_begin_behind(&ahead), "{what}");
    }
}

#[test]
#[should_panic(expected = "S6: a log that has begun does not begin anew")]
fn s6_a_node_that_holds_something_begins_nowhere_else() {
    let (mut cluster, _) = without_the_late_one();
    let checkpoint = checkpoint_before(&cluster, 1, cluster.replicas[0].core.commit_next());
    cluster.dead.clear();
    assert!(cluster.run_until(|cluster| is_equal_to(cluster, 1)), "{}", cluster.describe());
    cluster.replicas[LATE as usize - 1].install(&checkpoint);
}

/// What a peer sends is judged as a whole before anything of it is believed.
#[test]
pub fn a_checkpoint_whose_parts_do_not_fit_each_other_is_refused_by_the_part() {
    let (cluster, _) = without_the_late_one();
    let good = checkpoint_before(&cluster, 1, cluster.replicas[0].core.commit_next());
    assert_eq!(base::judge(&good), Ok(()));
    type Form = (&'static str, fn(&mut Checkpoint));
    let forms: [Form; 16] = [
        ("end", |one| *one = Checkpoint::default()),
        ("end", |one| one.end.epoch = Epoch(0)),
        ("members", |one| one.members.clear()),
        ("members", |one| one.members = one.members.iter().cycle().take(8).copied().collect()),
        ("members", |one| one.membership_seq = one.end.next),
        ("epochs", |one| one.epochs.clear()),
        ("epochs", |one| one.epochs.push(EpochBase { epoch: 1, base: 1 })),
        ("epochs", |one| one.end.epoch = epoch(7, 1)),
        ("commit", |one| one.commit_next = one.end.next + 1),
        ("publishers", |one| {
            let row = one.publishers[&1].clone();
            one.publishers.insert(u32::MAX, row);
        }),
        ("publishers", |one| one.publishers.get_mut(&2).unwrap().name = "gateway".into()),
        ("undone", |one| {
            let before = one.publishers[&1].clone();
            one.changes.push(ChangeRow { seq: one.end.next, publisher: 1, before });
        }),
        ("undone", |one| {
            let before = one.publishers[&1].clone();
            one.changes.push(ChangeRow { seq: 2, publisher: 9, before });
        }),
        ("start", |one| one.start_frame.clear()),
        ("start", |one| one.start_frame.truncate(HEADER_LEN)),
        ("history", |one| one.history ^= 1),
    ];
    for (part, change) in forms {
        let mut wrong = good.clone();
        change(&mut wrong);
        let why = base::judge(&wrong).expect_err(part);
        assert!(why.contains(part), "{part}: {why}");
        assert!(parts(&wrong, 48).is_err(), "{part}: nothing of it is taken");
    }
}

/// As a source sends it, in parts of `len` bytes.
fn parts(checkpoint: &Checkpoint, len: usize) -> Result<Option<Checkpoint>, &'static str> {
    let (bytes, mut parts, mut whole) = (checkpoint.to_bytes(), CheckpointParts::default(), None);
    for (at, part) in (0..).step_by(len).zip(bytes.chunks(len)) {
        let body = ReplayCheckpointBody { offset: at, len: bytes.len() as u64 };
        whole = parts.take(&header_of(checkpoint), &body, part)?;
    }
    Ok(whole)
}

fn header_of(checkpoint: &Checkpoint) -> Header {
    let LogEnd { next, epoch, chain, timestamp } = checkpoint.end;
    let plain =
        Header { cluster: CLUSTER, history: checkpoint.history, ..Header::new(Kind::ReplayCheckpoint) };
    Header { first_seq: next, epoch: epoch.0, chain, timestamp, ..plain }
}

#[test]
fn a_checkpoint_comes_in_parts_in_their_order_or_not_at_all() {
    let (cluster, _) = without_the_late_one();
    let good = checkpoint_before(&cluster, 1, cluster.replicas[0].core.commit_next());
    let bytes = good.to_bytes();
    for len in [8, 64, bytes.len() - 8, bytes.len()] {
        assert_eq!(parts(&good, len), Ok(Some(good.clone())), "{len}");
    }
    let header = header_of(&good);
    let body = |offset: usize, len: usize| ReplayCheckpointBody { offset: offset as u64, len: len as u64 };
    let after_first = |body: ReplayCheckpointBody, part: &[u8]| {
        let mut parts = CheckpointParts::default();
        let first = ReplayCheckpointBody { offset: 0, len: bytes.len() as u64 };
        assert_eq!(parts.take(&header, &first, &bytes[..64]), Ok(None));
        parts.take(&header, &body, part)
    };
    assert!(after_first(body(0, bytes.len()), &bytes[..64]).is_err(), "twice");
    assert!(after_first(body(72, bytes.len()), &bytes[72..]).is_err(), "one is missing");
    assert!(after_first(body(64, bytes.len() + 8), &bytes[64..]).is_err(), "another length");
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    let whole =
        |header: &Header, bytes: &[u8]| CheckpointParts::default().take(header, &body(0, bytes.len()), bytes);
    assert!(whole(&header, &flipped).is_err(), "a bit that has changed");
    for wrong in [
        Header { first_seq: header.first_seq + 1, ..header },
        Header { chain: header.chain ^ 1, ..header },
        Header { epoch: header.epoch + 1, ..header },
        Header { history: header.history ^ 1, ..header },
    ] {
        assert!(whole(&wrong, &bytes).is_err(), "another end");
    }
}

#[test]
pub fn a_node_without_a_log_asks_for_all_of_it_and_for_the_oldest_checkpoint_in_turn() {
    let blank = CatchUpPlan { may_begin_behind: true, ..CatchUpPlan::new(HISTORY, 1, None) };
    let begun = CatchUpPlan { may_begin_behind: true, ..CatchUpPlan::new(HISTORY, 40, Some(7)) };
    for plain in [blank, begun] {
        assert_eq!(plain.otherwise(0), plain, "nobody says what it keeps");
        let behind = plain.otherwise(70);
        assert_eq!(behind, CatchUpPlan { checkpoint_until: Some(70), ..plain });
        assert_eq!(behind.otherwise(70), plain, "nobody gives it");
        let further = behind.otherwise(90);
        assert_eq!(further, CatchUpPlan { checkpoint_until: Some(90), ..plain }, "the oldest that is given");
        assert_eq!(further.otherwise(90), plain);
    }
    assert_eq!(begun.otherwise(40), begun, "it has that");
    let stored = CatchUpPlan::new(HISTORY, 40, Some(7));
    assert_eq!(stored.otherwise(70), stored, "a node with a record goes on, or nowhere");
}

fn settings(boot: u64, power: bool) -> Settings {
    Settings {
        cluster: CLUSTER,
        replica: LATE,
        boot: [boot, boot],
        power,
        frame_len_max: FRAME_LEN_MAX,
        segment_len: lockstep_replica::journal::SEGMENT_LEN_MIN,
    }
}

/// The process dies in each call of the disk with which a base is stored, in each way in which the call may
/// be done, and the machine loses its power or not: what is found is the log before, none or one behind an
/// earlier checkpoint, or the one behind this checkpoint. The promise of its epoch is in the words.
#[test]
pub fn s9_a_crash_while_a_base_is_stored_leaves_the_log_before_or_that_one() {
    let (cluster, _) = without_the_late_one();
    for before in [None, Some(first_checkpoint(&cluster))] {
        crash_while_a_base_is_stored(&cluster, before);
    }
}

fn crash_while_a_base_is_stored(cluster: &Cluster, before: Option<Checkpoint>) {
    let end_before = before.as_ref().map_or(LogEnd::BLANK, |before| before.end);
    let checkpoint = checkpoint_before(cluster, 1, cluster.replicas[0].core.commit_next());
    let mut found = [0; 2];
    for (power, loses_power) in [(false, false), (true, false), (true, true)] {
        for calls in 0.. {
            let mut done = false;
            for salt in 0..4 {
                let mut store = SimDisk::default();
                store.set_power(power);
                format(&mut store, CLUSTER, identity(LATE), [1, 1]).unwrap();
                let opened = open(&mut store, MemoryTail::new(64 << 10), settings(1, power)).unwrap();
                let mut tail = opened.tail;
                let mut side = SideThread::new(opened.writer, opened.superblock, SideSettings::new(power));
                if let Some(before) = &before {
                    side.begin_behind(&mut store, tail.memory_mut(), before.clone()).unwrap();
                }
                store.arm(DiskFault::Death, calls, salt);
                let stored = side.begin_behind(&mut store, tail.memory_mut(), checkpoint.clone());
                done |= stored.is_ok() && !store.is_dead();
                store.disarm();
                store.revive();
                let (memory, boot) = if loses_power {
                    store.lose_power(&mut |bound| salt % bound);
                    (MemoryTail::new(64 << 10), 2)
                } else {
                    (tail.into_memory(), 1)
                };
                let inspected = inspect(&store, Some(&memory), settings(boot, power)).unwrap();
                let end = inspected.end();
                let is_there = end == checkpoint.end && inspected.checkpoint() == &checkpoint;
                assert!(is_there || end == end_before, "{calls} {salt}: {end:?}");
                assert!(is_there || !done, "S9: what was stored is there: {calls} {salt}");
                found[usize::from(is_there)] += 1;
                let again = open(&mut store, memory, settings(boot, power)).unwrap();
                assert_eq!((again.tail.end(), again.removed_next), (end, end.next));
                assert!(again.tail.is_untouched(), "it may begin behind a later one");
                assert!(again.tail.promised() >= end.epoch, "S2: a log of an epoch is a promise");
            }
            if done {
                break;
            }
        }
    }
    assert!(found.iter().all(|count| *count > 0), "both were seen: {found:?}");
}

/// The frames of a log from `from` on.
fn frames_from<M: TailMemory>(tail: &Tail<M>, from: Seq) -> impl Iterator<Item = FrameView<'_>> {
    let spans = std::iter::successors(tail.find(from), |span| tail.after(*span));
    spans.map(|span| tail.frame(span).expect("no damage"))
}

/// The late one's journal, which has just begun behind `checkpoint`, with its tail and its side thread.
fn journal_behind(checkpoint: &Checkpoint) -> (SimDisk, Tail<MemoryTail>, SideThread) {
    let mut store = SimDisk::default();
    format(&mut store, CLUSTER, identity(LATE), [1, 1]).unwrap();
    let opened = open(&mut store, MemoryTail::new(64 << 10), settings(1, false)).unwrap();
    let mut tail = opened.tail;
    let mut side = SideThread::new(opened.writer, opened.superblock, SideSettings::new(false));
    side.begin_behind(&mut store, tail.memory_mut(), checkpoint.clone()).unwrap();
    (store, tail, side)
}

/// The journal of a node that began behind a checkpoint is one like any other: it grows over segments, starts
/// again warm and cold, and is verified.
#[test]
fn a_journal_behind_a_base_grows_starts_again_and_is_verified() {
    let (cluster, _) = without_the_late_one();
    let tail_of = cluster.replicas[0].tail();
    let from = cluster.replicas[0].core.commit_next() / 2;
    let checkpoint = checkpoint_before(&cluster, 1, from);
    let (mut store, tail, mut side) = journal_behind(&checkpoint);
    assert!(store.list().unwrap().contains(&BASE));
    // Stopped in order before a frame has come.
    let (mut stopped, mut ring) = (store.clone(), tail.clone());
    let inputs = Inputs {
        now: 1,
        wall: 1,
        stop: true,
        lineage: Lineage::of(checkpoint.history),
        committed: checkpoint.end.next,
        ring_only: false,
        device: false,
    };
    while side.turn(&mut stopped, ring.memory_mut(), &inputs, &mut Vec::new()) != SideStep::Stopped {}
    let verified = verify(&stopped).unwrap();
    assert_eq!((verified.damage, verified.end), (vec![], Some(checkpoint.end)));
    // The process dies before its tail knows.
    let mut tail = open(&mut store, tail.into_memory(), settings(1, false)).unwrap().tail;
    let mut whole = checkpoint.clone();
    for frame in frames_from(tail_of, checkpoint.end.next) {
        tail.append(&frame).unwrap();
        whole.apply(&frame).unwrap();
    }
    let end = tail.end();
    assert_eq!(end, tail_of.end());
    // Warm, and nothing of it is in a segment.
    let opened = open(&mut store, tail.into_memory(), settings(1, false)).unwrap();
    assert!(!opened.tail.is_untouched(), "the ring has records");
    assert_eq!((opened.tail.end(), &opened.checkpoint), (end, &whole));
    // Stopped in order, and the ring is gone.
    let (mut tail, mut writer, mut superblock) = (opened.tail, opened.writer, opened.superblock);
    while copy_behind(tail.memory_mut(), &mut writer, &mut store, false).unwrap() > 0 {}
    writer.mark_clean(&mut store, &mut superblock).unwrap();
    let opened = open(&mut store, MemoryTail::new(64 << 10), settings(2, false)).unwrap();
    assert_eq!((opened.tail.end(), &opened.checkpoint), (end, &whole));
    assert_eq!(opened.removed_next, checkpoint.end.next);
    assert!(!opened.tail.is_untouched(), "segments have records");
    let verified = verify(&store).unwrap();
    assert!(verified.damage.is_empty(), "{:?}", verified.damage);
    store.file_mut(BASE).expect("it is kept")[70] ^= 1;
    let damaged = verify(&store).unwrap().damage;
    assert!(damaged.iter().any(|damage| damage.file == BASE.to_string()), "{damaged:?}");
}

/// S6: a node dies as it writes the first records behind its base. What the base covers is committed at its
/// next start, which looks at the journal before it opens it. Otherwise the node would replace what no
/// journal has, and stop (LS1307).
#[test]
pub fn s6_what_a_base_covers_is_committed_at_each_later_start() {
    let (cluster, _) = without_the_late_one();
    let tail_of = cluster.replicas[0].tail();
    let checkpoint = checkpoint_before(&cluster, 1, cluster.replicas[0].core.commit_next() / 2);
    let base = checkpoint.end.next;
    assert!(checkpoint.commit_next < base, "no frame of it says that all of it is committed");
    for (frames, is_written) in [(0, false), (1, false), (1, true), (3, true)] {
        let (mut store, tail, _) = journal_behind(&checkpoint);
        let opened = open(&mut store, tail.into_memory(), settings(1, false)).unwrap();
        let (mut tail, mut writer) = (opened.tail, opened.writer);
        for frame in frames_from(tail_of, base).take(frames) {
            tail.append(&frame).unwrap();
        }
        while is_written && copy_behind(tail.memory_mut(), &mut writer, &mut store, false).unwrap() > 0 {}
        let memory = tail.into_memory();
        for (ring, boot) in [(Some(&memory), 1), (None, 2)] {
            if ring.is_none() && frames > 0 && !is_written {
                continue; // the ring had what it has acknowledged
            }
            let inspected = inspect(&store, ring, settings(boot, false)).unwrap();
            let recovered = Recovered::of_inspection(&inspected, 100);
            assert!(recovered.commit_next >= base, "{frames} {is_written} {boot}: {}", recovered.commit_next);
        }
        let opened = open(&mut store, memory, settings(1, false)).unwrap();
        assert!(Recovered::of_journal(&opened, 100).commit_next >= base, "{frames} {is_written}");
    }
}

/// A node gives a checkpoint only where the frames below it are committed: a blank node that began behind
/// another one would count it as committed. Nothing behind it need be: that may wait for the blank node.
#[test]
pub fn s6_a_checkpoint_is_offered_only_where_it_is_committed() {
    let (cluster, _) = without_the_late_one();
    let tail_of = cluster.replicas[0].tail();
    let checkpoint = checkpoint_before(&cluster, 1, cluster.replicas[0].core.commit_next() / 2);
    let (mut store, tail, _) = journal_behind(&checkpoint);
    let opened = open(&mut store, tail.into_memory(), settings(1, false)).unwrap();
    let (mut tail, mut writer) = (opened.tail, opened.writer);
    for frame in frames_from(tail_of, checkpoint.end.next) {
        tail.append(&frame).unwrap();
    }
    while copy_behind(tail.memory_mut(), &mut writer, &mut store, false).unwrap() > 0 {}
    let (number, offset) = writer.place();
    let to = Written { number, offset, lineage: Lineage::of(checkpoint.history), ..Written::default() };
    let mut index = SegmentIndex::default();
    index.refresh(&store, &to).unwrap();
    let (base, end) = (checkpoint.end.next, tail.end().next);
    assert!(base + 1 < end);
    for bound in 1..=end {
        let expected = if bound >= base { Ok(checkpoint.clone()) } else { Err(bound) };
        assert_eq!(base::offered(&store, &mut index, Seq::MAX, bound).unwrap(), expected, "{bound}");
    }
    assert_eq!(base::offered(&store, &mut index, base - 1, end).unwrap(), Err(base), "the oldest is newer");
}
