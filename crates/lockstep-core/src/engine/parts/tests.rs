use super::*;
use lockstep_wire::{EntryHeader, EntryKind};

const LIMITS: PartsLimits = PartsLimits { message_len_max: 16, bytes: 48 };

struct Joiner {
    parts: Reassembly,
    seq: Seq,
}

impl Joiner {
    fn new(retracts: bool) -> Self {
        Self { parts: Reassembly::new(LIMITS, retracts), seq: 10 }
    }

    fn take(&mut self, publisher: PublisherId, number: PublisherSeq, flags: u8, text: &str) -> Joined {
        let header = EntryHeader {
            kind: EntryKind::Message as u8,
            flags,
            length: text.len() as u16,
            publisher,
            publisher_seq: number,
            destination: 0,
            time_or_incarnation: 0,
        };
        self.seq += 1;
        self.parts.on_part(
            self.seq - 1,
            1_000 + self.seq - 1,
            &Entry { header: &header, payload: text.as_bytes() },
        )
    }

    fn begin(&mut self, publisher: PublisherId, number: PublisherSeq, text: &str) -> Joined {
        self.take(publisher, number, PART_MORE, text)
    }

    fn go_on(&mut self, publisher: PublisherId, number: PublisherSeq, text: &str) -> Joined {
        self.take(publisher, number, PART_MORE | PART_NEXT, text)
    }

    /// The last part; returns the message, if it is whole.
    fn end(&mut self, publisher: PublisherId, number: PublisherSeq, text: &str) -> Option<String> {
        let Joined::Whole(index) = self.take(publisher, number, PART_NEXT, text) else { return None };
        let whole = String::from_utf8(self.parts.message(index).to_vec()).expect("text");
        self.parts.on_delivered(index);
        Some(whole)
    }

    fn retract(&mut self, from: Seq) {
        self.parts.on_retract(from);
        self.seq = from;
    }
}

#[test]
fn messages_of_several_publishers_are_joined_whatever_stands_between_their_parts() {
    let mut joiner = Joiner::new(false);
    joiner.begin(1, 5, "ab");
    joiner.begin(2, 9, "uv");
    joiner.go_on(1, 6, "cd");
    assert_eq!(joiner.parts.oldest(), Some((10, 1_010)));
    assert_eq!(joiner.end(2, 10, "wx").as_deref(), Some("uvwx"));
    assert_eq!(joiner.end(1, 7, "e").as_deref(), Some("abcde"));
    assert!(joiner.parts.is_empty() && joiner.parts.oldest().is_none(), "and its memory is free");
}

#[test]
fn a_publisher_that_dies_in_the_middle_leaves_nothing_half_delivered() {
    let mut joiner = Joiner::new(false);
    joiner.begin(1, 5, "ab");
    joiner.parts.on_end(11, 1);
    assert_eq!(
        joiner.end(1, 6, "late"),
        None,
        "its successor goes on with its numbers, not with its message"
    );
    joiner.begin(1, 7, "x");
    joiner.begin(1, 8, "y");
    assert_eq!(joiner.end(1, 9, "z").as_deref(), Some("yz"), "what was begun anew takes the place");
    joiner.begin(1, 10, "x");
    assert_eq!(joiner.end(1, 12, "z"), None, "a number is left out");
    assert!(joiner.parts.is_empty());
}

#[test]
fn a_message_that_began_before_us_is_none() {
    let mut joiner = Joiner::new(false);
    assert_eq!(joiner.go_on(1, 6, "cd"), Joined::Waits);
    assert_eq!(joiner.end(1, 7, "e"), None);
}

#[test]
fn a_retract_goes_back_to_the_parts_that_are_left() {
    for from in 10..=13 {
        let mut joiner = Joiner::new(true);
        joiner.begin(1, 5, "ab");
        joiner.go_on(1, 6, "cd");
        assert_eq!(joiner.end(1, 7, "ef").as_deref(), Some("abcdef"));
        joiner.retract(from);
        // The new log has another publisher's entry first, and then what was lost, again.
        joiner.begin(2, 1, "u");
        for (number, text) in (5..).zip(["ab", "cd"]).skip(from as usize - 10) {
            let flags = if number == 5 { PART_MORE } else { PART_MORE | PART_NEXT };
            joiner.take(1, number, flags, text);
        }
        let again = joiner.end(1, 7, "ef");
        assert_eq!(again.as_deref(), (from < 13).then_some("abcdef"), "from {from}");
        joiner.parts.on_commit(100);
        assert_eq!(joiner.parts.list.len(), 1, "what is final is kept no more");
    }
}

#[test]
fn an_end_that_is_taken_back_did_not_end_it() {
    let mut joiner = Joiner::new(true);
    joiner.begin(1, 5, "ab");
    joiner.parts.on_end(11, 1);
    joiner.retract(11);
    assert_eq!(joiner.end(1, 6, "cd").as_deref(), Some("abcd"));
}

#[test]
fn a_message_that_is_too_long_names_the_bound() {
    let mut joiner = Joiner::new(false);
    joiner.begin(1, 5, "0123456789");
    let refused = joiner.go_on(1, 6, "0123456");
    assert_eq!(refused, Joined::Abandoned(1, 10, PartsBound::Length(16)));
    assert_eq!(joiner.end(1, 7, "x"), None);
    joiner.begin(1, 8, "");
    for number in 9..8 + PARTS_MAX as u64 {
        assert_eq!(joiner.go_on(1, number, ""), Joined::Waits);
    }
    let refused = joiner.go_on(1, 8 + PARTS_MAX as u64, "");
    assert_eq!(refused, Joined::Abandoned(1, 13, PartsBound::Length(16)), "nor of more parts than any needs");
    assert!(joiner.parts.is_empty());
}

#[test]
fn when_memory_is_used_up_the_oldest_makes_room_and_is_named() {
    let mut joiner = Joiner::new(false);
    for publisher in 1..=3 {
        assert_eq!(joiner.begin(publisher, 1, "ab"), Joined::Waits);
    }
    assert_eq!(joiner.begin(4, 1, "uv"), Joined::Abandoned(1, 10, PartsBound::Memory(48)));
    assert_eq!(joiner.end(1, 2, "cd"), None);
    for publisher in 2..=4 {
        assert!(joiner.end(publisher, 2, "cd").is_some());
    }
    assert_eq!(joiner.parts.spare.len(), 3, "memory stays as much as it was");
}

#[test]
fn what_was_delivered_makes_room_before_what_waits() {
    let mut joiner = Joiner::new(true);
    joiner.begin(1, 1, "ab");
    joiner.begin(2, 1, "ab");
    assert!(joiner.end(2, 2, "cd").is_some());
    joiner.begin(3, 1, "ab");
    assert_eq!(joiner.begin(4, 1, "uv"), Joined::Waits);
    assert!(joiner.end(1, 2, "cd").is_some());
    // It comes back by a retract, and is not whole: said, not silent.
    joiner.retract(12);
    let abandoned = joiner.take(2, 2, PART_NEXT, "cd");
    assert_eq!(abandoned, Joined::Abandoned(2, 12, PartsBound::Memory(48)));
}
