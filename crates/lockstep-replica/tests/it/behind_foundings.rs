//! A node that holds nothing begins behind a checkpoint of a history that was left: retention has kept the
//! end of it. It continues in the history that was founded on that one, whatever it has promised before, and
//! whether the founding comes from a journal or from a repairer.

use super::histories::{LATER, founder, limits, tail_of};
use super::install::checkpoint_before;
use super::refounded::{frames_of, recover};
use lockstep_core::engine::event::Role;
use lockstep_memory::cluster::Cluster;
use lockstep_memory::world::*;
use lockstep_replica::journal::base;
use lockstep_replica::journal::checkpoint::Checkpoint;
use lockstep_replica::replica::ReplicaEngine;
use lockstep_wire::*;

/// The founder, and the node that holds nothing.
const FOUNDER: u32 = 2;
const LATE: u32 = 3;

/// A history was left and another one founded, in which two epochs have begun and messages are committed.
/// Returns where it was founded.
fn founded() -> (Cluster, Seq) {
    let mut cluster = Cluster::new(3, |_| {});
    let publisher = cluster.add_publisher(|_| {});
    let id = cluster.open(publisher, "orders", [1, 1]);
    cluster.publishers[publisher].publish(id, &["a", "b", "c"]);
    cluster.drain(publisher);
    assert!(cluster.run_until(Cluster::is_equal));
    let founded = recover(&mut cluster, FOUNDER, 0);
    cluster.dead = vec![1, LATE];
    cluster.publishers[publisher].publish(id, &["d"]);
    cluster.drain(publisher);
    let first = cluster.replicas[FOUNDER as usize - 1].tail().end().epoch;
    let frames = frames_of(&cluster.replicas[FOUNDER as usize - 1]);
    let again = start(tail_of(founder(FOUNDER), &frames), limits(founder(FOUNDER))).expect("its journal");
    cluster.replicas[FOUNDER as usize - 1] = again;
    cluster.publishers[publisher].publish(id, &["e"]);
    cluster.drain(publisher);
    assert!(cluster.replicas[FOUNDER as usize - 1].tail().end().epoch > first, "a second epoch");
    (cluster, founded)
}

/// The checkpoints of the former history behind which a log can begin.
fn checkpoints_before_it(cluster: &Cluster, founded: Seq) -> Vec<Checkpoint> {
    let all = (3..=founded).map(|seq| checkpoint_before(cluster, FOUNDER, seq));
    let fit = all.filter(|checkpoint| base::judge(checkpoint).is_ok() && checkpoint.history == HISTORY);
    let fit: Vec<_> = fit.collect();
    assert_eq!(fit.last().map(|checkpoint| checkpoint.end.next), Some(founded), "up to where it was left");
    fit
}

/// The node that holds nothing, under a new identity.
fn late(promised: Epoch) -> ReplicaEngine<MemoryPorts> {
    let mut tail = tail_of(founder(LATE), &[]);
    tail.promise(promised);
    start(tail, limits(founder(LATE))).expect("a node")
}

fn replay(cluster: &mut Cluster) {
    let (from, now) = (cluster.replicas[LATE as usize - 1].tail().end().next, cluster.now);
    for bytes in frames_of(&cluster.replicas[FOUNDER as usize - 1]) {
        let frame = FrameView::from_prefix(&bytes).unwrap();
        if frame.header.first_seq >= from {
            let late = &mut cluster.replicas[LATE as usize - 1];
            assert!(late.on_replayed(now, (founder(FOUNDER), LATER), &frame));
        }
    }
}

fn follows(cluster: &Cluster) -> bool {
    let [theirs, ours] = [FOUNDER, LATE].map(|number| &cluster.replicas[number as usize - 1]);
    ours.tail().end() == theirs.tail().end() && ours.core.lineage() == theirs.core.lineage()
}

/// What the node that holds nothing has seen and promised before it begins.
#[derive(Clone, Copy, Debug)]
struct Form {
    promised: Epoch,
    /// It follows the later history already.
    follows_later: bool,
    /// The founding comes from a journal, and else from a repairer.
    replayed: bool,
    /// The checkpoint lists it, as a member that never began.
    listed: bool,
}

fn goes_on(checkpoint: &Checkpoint, form: Form) {
    let (mut cluster, _) = founded();
    let mut checkpoint = checkpoint.clone();
    if form.listed {
        checkpoint.members.push(MemberBody::full(founder(LATE), address(LATE)));
    }
    cluster.replicas[LATE as usize - 1] = late(form.promised);
    cluster.dead = vec![1];
    if form.follows_later {
        cluster.lost = |from, to, bytes| from == FOUNDER && to == LATE && bytes[5] != Kind::Heartbeat as u8;
        cluster.run(50);
        cluster.lost = |_, _, _| false;
    }
    let late = &mut cluster.replicas[LATE as usize - 1];
    let what = format!("behind {}: {form:?}", checkpoint.end.next);
    assert!(late.may_begin_behind(&checkpoint), "{what}");
    late.install(&checkpoint);
    late.invariants();
    if form.replayed {
        replay(&mut cluster);
    }
    if form.listed {
        // S12: a member of the former history was left behind, and says so.
        assert!(cluster.run_until(|cluster| cluster.replicas[LATE as usize - 1].core.is_stopped()), "{what}");
        return;
    }
    assert!(cluster.run_until(follows), "{what}\n{}", cluster.describe());
    assert_eq!(cluster.replicas[LATE as usize - 1].role(), Role::Learner, "{what}");
}

#[test]
fn lineage_2_a_node_behind_a_checkpoint_of_a_former_history_goes_on_in_the_later_one() {
    let (cluster, founded) = founded();
    let last = epochs_of(&cluster);
    let mut failed = Vec::new();
    for checkpoint in checkpoints_before_it(&cluster, founded) {
        for promised in [Epoch::NONE, checkpoint.end.epoch, last.0, last.1] {
            for bits in 0..8 {
                let [follows_later, replayed, listed] = [0, 1, 2].map(|bit| bits >> bit & 1 == 1);
                let form = Form { promised, follows_later, replayed, listed };
                if std::panic::catch_unwind(|| goes_on(&checkpoint, form)).is_err() {
                    failed.push((checkpoint.end.next, form));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

/// The first epoch of the later history, and the last one.
fn epochs_of(cluster: &Cluster) -> (Epoch, Epoch) {
    let frames = frames_of(&cluster.replicas[FOUNDER as usize - 1]);
    let headers = frames.iter().map(|bytes| Header::peek(bytes).unwrap());
    let epochs: Vec<_> =
        headers.filter(|header| header.history == LATER).map(|header| header.epoch()).collect();
    (epochs[0], epochs[epochs.len() - 1])
}

/// Retention went on: the oldest that is kept is of the later history by now.
#[test]
fn s6_a_node_without_a_record_begins_again_behind_a_checkpoint_of_the_later_history() {
    let (mut cluster, founded) = founded();
    let end = cluster.replicas[FOUNDER as usize - 1].tail().end();
    let later = checkpoint_before(&cluster, FOUNDER, end.next);
    assert_eq!((base::judge(&later), later.history), (Ok(()), LATER));
    for checkpoint in checkpoints_before_it(&cluster, founded) {
        cluster.replicas[LATE as usize - 1] = late(Epoch::NONE);
        let late = &mut cluster.replicas[LATE as usize - 1];
        late.install(&checkpoint);
        assert!(late.may_begin_behind(&later), "it continues the log that ends at {}", checkpoint.end.next);
        late.install(&later);
        late.invariants();
        cluster.dead = vec![1];
        assert!(cluster.run_until(follows), "{}", cluster.describe());
        cluster.dead = vec![1, LATE];
    }
    // A log that ends beyond the founding is no part of the later history.
    let mut beyond = checkpoint_before(&cluster, FOUNDER, founded);
    beyond.end.next = founded + 1;
    let mut other = checkpoint_before(&cluster, FOUNDER, founded);
    other.end.chain ^= 1;
    for (what, checkpoint) in [("beyond the founding", beyond), ("of another chain", other)] {
        cluster.replicas[LATE as usize - 1] = late(Epoch::NONE);
        let late = &mut cluster.replicas[LATE as usize - 1];
        late.install(&checkpoint);
        assert!(!late.may_begin_behind(&later), "{what}");
    }
}

/// Retention went on while it asked for what lies below the founding (seed 92091711).
#[test]
fn s12_a_node_that_went_over_has_no_vote_behind_a_later_checkpoint_of_the_former_history() {
    let (mut cluster, founded) = founded();
    let before = checkpoints_before_it(&cluster, founded);
    let (first, mut later) = (&before[0], before[before.len() - 1].clone());
    later.members.push(MemberBody::full(founder(LATE), address(LATE)));
    cluster.replicas[LATE as usize - 1] = late(Epoch::NONE);
    cluster.replicas[LATE as usize - 1].install(first);
    cluster.dead = vec![1];
    cluster.lost = |_, to, bytes| to == LATE && Header::peek(bytes).is_some_and(|it| it.history == HISTORY);
    let went_over = |cluster: &Cluster| cluster.replicas[LATE as usize - 1].core.history() == LATER;
    assert!(cluster.run_until(went_over), "{}", cluster.describe());
    let late = &mut cluster.replicas[LATE as usize - 1];
    assert!(late.may_begin_behind(&later), "it holds no record, and continues its log");
    late.install(&later);
    late.invariants();
    assert_eq!((late.role(), late.core.history()), (Role::Learner, LATER), "a list of the former history");
    cluster.lost = |_, _, _| false;
    assert!(cluster.run_until(follows), "{}", cluster.describe());
    assert_eq!(cluster.replicas[LATE as usize - 1].role(), Role::Learner);
}
