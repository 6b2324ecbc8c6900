//! S8: at most once, in order, and told to nobody before it is committed.

use super::*;
use bytemuck::Zeroable;
use lockstep_wire::{EntryHeader, write_open};
use proptest::prelude::*;

const A: [u64; 2] = [1, 1];
const B: [u64; 2] = [2, 2];

fn open_payload(name: &str, nonce: [u64; 2], incarnation: u32) -> Vec<u8> {
    let mut payload = vec![0; 24 + name.len()];
    write_open(&mut payload, nonce, incarnation, name);
    payload
}

fn entries(log: &[(EntryHeader, Vec<u8>)]) -> impl Iterator<Item = Entry<'_>> {
    log.iter().map(|(header, payload)| Entry { header, payload })
}

/// A table and the log that it is a function of.
struct World {
    table: Publishers,
    log: Vec<(EntryHeader, Vec<u8>)>,
    commit_next: Seq,
}

impl World {
    fn new(publishers_max: u32) -> Self {
        Self { table: Publishers::new(publishers_max), log: Vec::new(), commit_next: 1 }
    }

    fn take(
        &mut self,
        kind: EntryKind,
        publisher: PublisherId,
        publisher_seq: PublisherSeq,
        payload: Vec<u8>,
    ) {
        let seq = self.log.len() as Seq + 1;
        let header = EntryHeader { kind: kind as u8, publisher, publisher_seq, ..EntryHeader::zeroed() };
        self.table.on_entry(seq, &Entry { header: &header, payload: &payload });
        self.log.push((header, payload));
    }

    /// An open as a leader would treat it.
    fn open(&mut self, name: &str, nonce: [u64; 2], after: u32) -> OpenAdmission {
        let payload = open_payload(name, nonce, after);
        let admission = self.table.judge_open(&OpenView::parse(&payload).unwrap());
        if let OpenAdmission::Stamp(id, incarnation, last) = admission {
            self.take(EntryKind::Open, id, last, open_payload(name, nonce, incarnation));
        }
        admission
    }

    /// A message as a leader would treat it.
    fn message(
        &mut self,
        publisher: PublisherId,
        incarnation: u32,
        publisher_seq: PublisherSeq,
    ) -> Admission {
        let admission = self.table.judge(publisher, incarnation, publisher_seq);
        if admission == Admission::Stamp {
            self.take(EntryKind::Message, publisher, publisher_seq, Vec::new());
        }
        admission
    }

    fn close(&mut self, publisher: PublisherId, publisher_seq: PublisherSeq) {
        self.take(EntryKind::Close, publisher, publisher_seq, Vec::new());
    }

    fn commit(&mut self, next: Seq) {
        self.commit_next = next;
        self.table.on_commit(next);
    }

    /// What may be told of `name`, and the same from a table that saw the committed log only.
    fn committed_state(&self, name: &str) -> Option<PublisherState> {
        let (final_part, rest) = self.log.split_at(self.commit_next as usize - 1);
        let mut only = Publishers::new(16);
        for (seq, entry) in (1..).zip(entries(final_part)) {
            only.on_entry(seq, &entry);
        }
        let committed_state = self.table.committed(name, self.commit_next, entries(rest));
        let naive = only.iter().find(|(known, _)| *known == name).map(|(_, state)| state);
        assert_eq!(committed_state, naive, "what is told of {name} is what the committed log says");
        committed_state
    }
}

#[test]
fn s8_a_message_is_stamped_once_and_in_its_publishers_order() {
    let mut world = World::new(4);
    assert_eq!(world.open("a", A, 0), OpenAdmission::Stamp(1, 1, 0));
    assert_eq!(world.message(1, 1, 2), Admission::Hold);
    assert_eq!(world.message(1, 1, 1), Admission::Stamp);
    assert_eq!(world.message(1, 1, 1), Admission::Duplicate);
    assert_eq!(world.message(1, 1, 3), Admission::Hold);
    assert_eq!(world.message(1, 1, 2), Admission::Stamp);
    assert_eq!(world.message(1, 1, 0), Admission::Duplicate);
}

#[test]
fn s8_an_unknown_publisher_or_incarnation_is_told_apart_from_a_fenced_one() {
    let mut world = World::new(4);
    assert_eq!(world.message(1, 1, 1), Admission::Unknown, "nobody opened");
    assert_eq!(world.message(0, 0, 1), Admission::Unknown, "0 is nobody");
    world.open("a", A, 0);
    assert_eq!(world.message(1, 2, 1), Admission::Unknown, "an incarnation to come");
    assert_eq!(world.message(1, 0, 1), Admission::Fenced, "an incarnation never given out is an old one");
    assert_eq!(world.open("a", B, 1), OpenAdmission::Stamp(1, 2, 0));
    assert_eq!(world.message(1, 1, 1), Admission::Fenced);
    assert_eq!(world.message(1, 2, 1), Admission::Stamp);
}

#[test]
fn s8_numbers_go_on_across_incarnations() {
    let mut world = World::new(4);
    world.open("a", A, 0);
    world.message(1, 1, 1);
    world.message(1, 1, 2);
    assert_eq!(world.open("a", B, 1), OpenAdmission::Stamp(1, 2, 2));
    assert_eq!(world.message(1, 2, 2), Admission::Duplicate);
    assert_eq!(world.message(1, 2, 3), Admission::Stamp);
}

/// Found by mutated datagrams under the replicas' key: numbers begin with 1, and no leader that works gives
/// out another.
#[test]
fn s8_a_message_numbered_0_is_taken_back_like_any_other() {
    let mut world = World::new(4);
    world.open("a", A, 0);
    world.commit(2);
    world.take(EntryKind::Message, 1, 0, Vec::new());
    assert_eq!(world.committed_state("a").map(|state| state.last), Some(0));
    world.table.on_cut(2, entries(&world.log[1..]));
    assert_eq!(world.table.state(1).map(|state| state.last), Some(0));
}

/// An entry that is committed in a turn is counted before the table forgets what was before it, and a reply
/// may fall between.
#[test]
fn s8_what_is_committed_is_told_before_the_table_hears_of_it() {
    let mut world = World::new(4);
    world.open("a", A, 0);
    world.message(1, 1, 1);
    world.close(1, 2);
    world.commit(3);
    assert!(world.committed_state("a").is_some_and(|state| !state.closed && state.last == 1));
    world.commit_next = 4;
    assert!(world.committed_state("a").is_some_and(|state| state.closed && state.last == 2));
    world.open("a", B, 1);
    world.commit_next = 5;
    assert!(world.committed_state("a").is_some_and(|state| state.nonce == B && state.incarnation == 2));
}

#[test]
fn s8_a_late_copy_of_an_old_open_fences_nobody() {
    let mut world = World::new(4);
    world.open("a", A, 0);
    assert_eq!(world.open("a", A, 0), OpenAdmission::Stale, "the same datagram again");
    world.open("a", B, 1);
    assert_eq!(world.open("a", A, 0), OpenAdmission::Stale, "a copy from the first process");
    assert_eq!(world.open("a", B, 1), OpenAdmission::Stale);
    assert_eq!(world.open("a", [3, 3], 1), OpenAdmission::Stale, "whoever did not know of the second");
    assert_eq!(world.open("new", A, 1), OpenAdmission::Stale, "follows what never was");
    assert_eq!(world.message(1, 2, 1), Admission::Stamp);
}

#[test]
fn s8_copies_that_share_a_nonce_share_an_incarnation() {
    let mut world = World::new(4);
    world.open("twins", A, 0);
    assert_eq!(world.open("twins", A, 1), OpenAdmission::Stale, "the second twin changes nothing");
    assert_eq!(world.message(1, 1, 1), Admission::Stamp);
    assert_eq!(world.message(1, 1, 1), Admission::Duplicate, "the slower twin's copy");
}

#[test]
fn s8_a_closed_publisher_is_refused_until_it_is_opened_again() {
    let mut world = World::new(4);
    world.open("a", A, 0);
    world.message(1, 1, 1);
    world.close(1, 2);
    assert_eq!(world.message(1, 1, 3), Admission::Closed);
    assert_eq!(world.open("a", A, 0), OpenAdmission::Stale, "a late copy of the old open");
    assert_eq!(
        world.open("a", A, 1),
        OpenAdmission::Stamp(1, 2, 2),
        "who saw it closed may use its nonce again"
    );
    assert_eq!(world.message(1, 2, 3), Admission::Stamp);
}

#[test]
fn s8_a_full_table_refuses_new_names_and_serves_the_known_ones() {
    let mut world = World::new(2);
    assert_eq!(world.open("a", A, 0), OpenAdmission::Stamp(1, 1, 0));
    assert_eq!(world.open("b", A, 0), OpenAdmission::Stamp(2, 1, 0));
    assert_eq!(world.open("c", A, 0), OpenAdmission::Full);
    assert_eq!(world.open("b", B, 1), OpenAdmission::Stamp(2, 2, 0));
}

#[test]
fn s8_what_is_told_of_a_publisher_is_what_the_committed_log_says() {
    let mut world = World::new(4);
    world.open("a", A, 0);
    assert_eq!(world.committed_state("a"), None, "its open is not committed");
    world.commit(2);
    assert_eq!(
        world.committed_state("a").map(|state| (state.id, state.incarnation, state.last)),
        Some((1, 1, 0))
    );
    world.open("b", A, 0);
    for number in 1..=3 {
        world.message(1, 1, number);
        world.message(2, 1, number);
    }
    assert_eq!(world.committed_state("a").map(|state| state.last), Some(0));
    assert_eq!(world.committed_state("b"), None);
    world.commit(5);
    assert_eq!(world.committed_state("a").map(|state| state.last), Some(1));
    world.open("a", B, 1);
    world.message(1, 2, 4);
    world.close(1, 5);
    for commit_next in 5..=world.log.len() as Seq + 1 {
        world.commit(commit_next);
        world.committed_state("a");
        world.committed_state("b");
    }
    assert!(world.committed_state("a").unwrap().closed);
    assert_eq!(world.committed_state("nobody"), None);
}

#[test]
fn s8_a_table_comes_back_from_a_checkpoint_as_it_was() {
    let mut world = World::new(4);
    for name in ["z", "y", "x"] {
        world.open(name, A, 0);
    }
    world.message(2, 1, 1);
    world.close(3, 1);
    world.commit(world.log.len() as Seq + 1);
    let mut restored = Publishers::new(4);
    let mut rows: Vec<_> = world.table.iter().collect();
    rows.sort_by_key(|(_, state)| state.id);
    for (name, state) in rows {
        restored.restore(name, state);
    }
    assert_eq!(restored, world.table);
}

/// What happens to a table: opens, messages and closes of two names, of which the rules pass some.
#[derive(Clone, Debug)]
enum Act {
    Open(usize, u64, u32),
    Message(PublisherId, u32, PublisherSeq),
    Close(PublisherId, PublisherSeq),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0..2usize, 1..4u64, 0..4u32).prop_map(|(name, nonce, after)| Act::Open(name, nonce, after)),
        (1..3u32, 1..4u32, 1..12u64).prop_map(|(id, life, number)| Act::Message(id, life, number)),
        (1..3u32, 1..12u64).prop_map(|(id, number)| Act::Close(id, number)),
    ]
}

impl World {
    fn act(&mut self, act: &Act) {
        match *act {
            Act::Open(name, nonce, after) => {
                self.open(["a", "b"][name], [nonce; 2], after);
            }
            Act::Message(id, life, number) => {
                self.message(id, life, number);
            }
            Act::Close(id, number) => {
                let open = self
                    .table
                    .state(id)
                    .is_some_and(|state| self.table.judge(id, state.incarnation, number) == Admission::Stamp);
                if open {
                    self.close(id, number);
                }
            }
        }
    }
}

proptest! {
    /// A suffix that is cut off leaves nothing behind, wherever commit and cut lie: the table is that of
    /// the log without it, and goes on like it.
    #[test]
    fn s8_a_table_whose_suffix_is_cut_equals_one_that_never_saw_it(
        acts in prop::collection::vec(act(), 0..60),
        later in prop::collection::vec(act(), 0..20),
        commit in 0..=100u64,
        cut in 0..=100u64,
    ) {
        let mut world = World::new(4);
        acts.iter().for_each(|act| world.act(act));
        let length = world.log.len() as u64;
        let commit_next = 1 + commit * length / 100;
        let cut = commit_next + cut * (length + 1 - commit_next) / 100;
        world.commit(commit_next);

        let (before, suffix) = world.log.split_at(cut as usize - 1);
        world.table.on_cut(cut, entries(suffix));

        let mut never = World::new(4);
        for entry in entries(before) {
            never.take(entry.kind(), entry.header.publisher, entry.header.publisher_seq, entry.payload.to_vec());
        }
        never.commit(commit_next);
        prop_assert_eq!(&world.table, &never.table);
        world.log.truncate(cut as usize - 1);
        for act in &later {
            world.act(act);
            never.act(act);
            prop_assert_eq!(&world.table, &never.table);
        }
    }
}
