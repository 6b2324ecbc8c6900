use super::*;
use crate::proto::parts::PARTS_BOUNDS;
use lockstep_wire::{EntryHeader, EntryKind};

/// Bounds that a test reaches.
const BOUNDS: PartsBounds = PartsBounds { span: 100, open: 48, part_cost: 4, message_len: 16, parts: 8 };

struct Joiner {
    parts: Reassembly,
    seq: Seq,
}

impl Joiner {
    fn new(retracts: bool) -> Self {
        let limits = PartsLimits { bounds: BOUNDS, spare_bytes: 1 << 10, ..PartsLimits::default() };
        let parts = Reassembly::new(limits, retracts);
        Self { parts, seq: 10 }
    }

    /// With the bounds of all readers, and nothing but what becomes of messages.
    fn of_all() -> Self {
        let limits = PartsLimits { with_payloads: false, ..PartsLimits::default() };
        Self { parts: Reassembly::new(limits, false), seq: 10 }
    }

    fn take(&mut self, publisher: PublisherId, number: PublisherSeq, flags: u8, text: &str) -> Joined {
        self.take_at(self.seq, publisher, number, flags, text)
    }

    fn take_at(
        &mut self,
        seq: Seq,
        publisher: PublisherId,
        number: PublisherSeq,
        flags: u8,
        text: &str,
    ) -> Joined {
        let header = EntryHeader {
            kind: EntryKind::Message as u8,
            flags,
            length: text.len() as u16,
            publisher,
            publisher_seq: number,
            destination: 0,
            time_or_incarnation: 0,
        };
        self.seq = seq + 1;
        let joined =
            self.parts.on_part(seq, 1_000 + seq, &Entry { header: &header, payload: text.as_bytes() });
        // Of many messages it takes its time.
        if joined == Joined::Waits && self.parts.limits.bounds == BOUNDS {
            self.parts.invariants();
        }
        joined
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
        self.parts.invariants();
        self.seq = from;
    }

    /// The messages that were discarded: publisher, begin, and reason.
    fn discarded(&mut self) -> Vec<(PublisherId, Seq, PartsBound)> {
        std::iter::from_fn(|| self.parts.next_discarded())
            .map(|Discarded { publisher, from, bound }| (publisher, from, bound))
            .collect()
    }
}

#[test]
fn messages_of_several_publishers_are_joined_whatever_stands_between_their_parts() {
    let mut joiner = Joiner::new(false);
    joiner.begin(1, 5, "ab");
    joiner.begin(2, 9, "uv");
    joiner.go_on(1, 6, "cd");
    assert_eq!(joiner.parts.oldest(13), Some((10, 1_010)));
    assert_eq!(joiner.end(2, 10, "wx").as_deref(), Some("uvwx"));
    assert_eq!(joiner.end(1, 7, "e").as_deref(), Some("abcde"));
    assert!(joiner.parts.is_empty() && joiner.parts.oldest(15).is_none(), "and its memory is free");
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
    assert!(joiner.parts.is_empty() && joiner.discarded().is_empty());
}

/// PARTS-1, each form: what leaves a message unfinished, the last seq at which its last part still counts,
/// and why it is discarded.
#[test]
fn what_is_left_unfinished_is_discarded_by_what_stands_in_the_stream() {
    // Nothing but its own parts, and entries of others.
    for (at, is_whole) in [(11, true), (110, true), (111, false), (5_000, false)] {
        let mut joiner = Joiner::new(false);
        joiner.begin(1, 5, "ab");
        joiner.seq = at;
        assert_eq!(joiner.end(1, 6, "cd").is_some(), is_whole, "100 entries behind its first part: {at}");
        let discarded = joiner.discarded();
        assert_eq!(discarded == [(1, 10, PartsBound::Entries(100))], !is_whole, "{at}: {discarded:?}");
    }
    // Messages that are unfinished and began with it or behind it: 48 bytes, each part counts for 4 more.
    for (others, is_whole) in [(7, true), (8, false)] {
        let mut joiner = Joiner::new(false);
        joiner.begin(1, 1, "ab");
        (2..2 + others).for_each(|publisher| _ = joiner.begin(publisher, 1, "ab"));
        assert_eq!(joiner.end(1, 2, "cd").is_some(), is_whole, "{others} others");
        let discarded = joiner.discarded();
        assert_eq!(discarded == [(1, 10, PartsBound::Memory(48))], !is_whole, "{others}: {discarded:?}");
        (2..2 + others).for_each(|publisher| assert!(joiner.end(publisher, 2, "z").is_some()));
    }
    // Its own length, in bytes and in parts.
    let mut joiner = Joiner::new(false);
    joiner.begin(1, 5, "0123456789");
    joiner.go_on(1, 6, "0123456");
    assert_eq!(joiner.discarded(), [(1, 10, PartsBound::Length(16))]);
    assert_eq!(joiner.end(1, 7, "x"), None);
    let first = joiner.seq;
    (0..8).for_each(|number| {
        _ = joiner.take(1, 8 + number, PART_MORE | if number > 0 { PART_NEXT } else { 0 }, "")
    });
    assert_eq!(joiner.discarded(), []);
    joiner.go_on(1, 16, "");
    assert_eq!(joiner.discarded(), [(1, first, PartsBound::Length(16))], "nor of more parts than any needs");
    assert!(joiner.parts.is_empty());
}

/// Readers that began at different places deliver the same of every message whose first part they have.
#[test]
fn all_readers_that_have_a_first_part_agree_about_the_message() {
    let mut random = 7u64;
    let mut draw = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    // Publishers that die, go on late, or begin anew, and gaps of entries of others.
    let mut numbers = [0u64; 6];
    let mut log = Vec::new();
    let mut seq = 1;
    for _ in 0..3_000 {
        let publisher = draw(6) as usize;
        numbers[publisher] += 1 + u64::from(draw(40) == 0);
        let flags = [PART_MORE, PART_MORE | PART_NEXT, PART_MORE | PART_NEXT, PART_NEXT][draw(4) as usize];
        log.push((
            seq,
            publisher as u32 + 1,
            numbers[publisher],
            flags,
            ["", "a", "abcdefg"][draw(3) as usize],
        ));
        seq += 1 + if draw(8) == 0 { draw(60) } else { 0 };
    }
    let delivered = |from: Seq| {
        let mut joiner = Joiner::new(false);
        joiner.parts.begin(from);
        let mut all = BTreeMap::new();
        for &(seq, publisher, number, flags, text) in log.iter().filter(|(seq, ..)| *seq >= from) {
            joiner.seq = seq;
            // Where it began, of what is open.
            let first = joiner.parts.open.get(&publisher).map(|slot| joiner.parts.slots[*slot].first());
            if let Joined::Whole(slot) = joiner.take(publisher, number, flags, text) {
                all.insert(seq, (first.expect("it has a first part"), joiner.parts.message(slot).to_vec()));
                joiner.parts.on_delivered(slot);
            }
        }
        (all, joiner.discarded())
    };
    let (whole, discarded) = delivered(1);
    let memory = discarded.iter().filter(|(_, _, why)| matches!(why, PartsBound::Memory(_))).count();
    assert!(whole.len() > 200 && memory > 10, "{} messages, {memory} discarded for others", whole.len());
    for from in (1..seq).step_by(37) {
        let (late, reported) = delivered(from);
        let expected: BTreeMap<_, _> = whole
            .iter()
            .filter(|(_, (first, _))| *first >= from)
            .map(|(at, what)| (*at, what.clone()))
            .collect();
        assert_eq!(late, expected, "from {from}");
        // Each that it lacks of those that end behind it is reported, and no one ends further behind it than
        // the span.
        let lacks = whole.iter().filter(|(at, (first, _))| *first < from && **at >= from);
        for (at, _) in lacks {
            assert!(
                reported.iter().any(|(_, seq, why)| (seq, *why) == (at, PartsBound::Beginning)),
                "{at} from {from}"
            );
            assert!(*at < from + BOUNDS.span);
        }
    }
}

/// Publishers die within a message as often as anybody likes, each under a name of its own or all under one:
/// the memory is bounded, the resume position moves, and whoever lives is delivered.
#[test]
fn a_hundred_thousand_deaths_take_no_more_than_the_bounds_and_end_nobody() {
    for names in [1, 257, 100_000] {
        let mut joiner = Joiner::of_all();
        let text = "x".repeat(1_200);
        for death in 0..100_000u64 {
            let publisher = 1 + (death % names) as u32;
            // Its next process opens the name anew.
            joiner.parts.on_end(joiner.seq, publisher);
            joiner.begin(publisher, 3 * death + 1, &text);
            joiner.go_on(publisher, 3 * death + 2, &text);
            if death % 5_000 == 4_999 {
                let (me, number) = (200_000, death);
                joiner.begin(me, number, "I ");
                joiner.begin(1, 3 * death + 3, "x");
                assert!(joiner.end(me, number + 1, "live").is_some(), "death {death} of {names} names");
                joiner.parts.invariants();
                let oldest = joiner.parts.oldest(joiner.seq).map_or(joiner.seq, |(seq, _)| seq);
                assert!(joiner.seq - oldest <= PARTS_BOUNDS.span, "death {death} of {names} names");
            }
        }
        // No publisher dies any more, and nothing is left of the dead.
        joiner.parts.on_entry(joiner.seq + PARTS_BOUNDS.span);
        assert!(joiner.parts.is_empty() && joiner.parts.slots.len() <= SLOTS_SPARE);
        let spare: usize = joiner.parts.slots.iter().map(Building::memory).sum();
        assert!(spare <= 16 << 20, "{spare} bytes stay");
    }
}

#[test]
fn the_resume_position_passes_by_what_is_discarded() {
    let mut joiner = Joiner::new(false);
    joiner.begin(1, 5, "dead");
    joiner.seq = 60;
    joiner.begin(2, 1, "live");
    assert_eq!(joiner.parts.oldest(110), Some((10, 1_010)));
    assert_eq!(joiner.parts.oldest(111), Some((60, 1_060)), "before anything more is read");
    joiner.parts.on_entry(111);
    assert_eq!((joiner.parts.open.len(), joiner.discarded().len()), (1, 1));
}

#[test]
fn a_message_that_began_before_us_is_none_and_is_named_where_it_may_be_one_of_others() {
    let mut joiner = Joiner::new(false);
    joiner.parts.begin(10);
    assert_eq!((joiner.go_on(1, 6, "cd"), joiner.end(1, 7, "e")), (Joined::Waits, None));
    assert_eq!(joiner.discarded(), [(1, 11, PartsBound::Beginning)]);
    joiner.seq = 109;
    joiner.end(1, 8, "e");
    assert_eq!(joiner.discarded(), [(1, 109, PartsBound::Beginning)]);
    joiner.end(1, 9, "e");
    assert_eq!(joiner.discarded(), [], "so far behind its first part nobody has it");
    let mut from_first = Joiner::new(false);
    from_first.parts.begin(1);
    assert_eq!((from_first.end(1, 7, "e"), from_first.discarded()), (None, vec![]), "nothing lies before");
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
        assert_eq!(
            (joiner.parts.ended.len(), joiner.parts.open.len()),
            (0, 1),
            "what is final is kept no more"
        );
    }
}

#[test]
fn an_end_that_is_taken_back_did_not_end_it() {
    // By an entry of the name, by the next message of it, by entries of others, and by what is unfinished.
    let ends: [fn(&mut Joiner); 4] = [
        |joiner| joiner.parts.on_end(11, 1),
        |joiner| _ = joiner.begin(1, 6, "x"),
        |joiner| joiner.parts.on_entry(111),
        |joiner| (2..11).for_each(|publisher| _ = joiner.begin(publisher, 1, "ab")),
    ];
    for (form, end) in ends.into_iter().enumerate() {
        let mut joiner = Joiner::new(true);
        joiner.begin(1, 5, "ab");
        end(&mut joiner);
        assert!(!joiner.parts.open.contains_key(&1) || form == 1, "form {form}");
        joiner.retract(11);
        assert_eq!(joiner.end(1, 6, "cd").as_deref(), Some("abcd"), "form {form}");
    }
}
