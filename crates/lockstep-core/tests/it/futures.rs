//! Readers in random histories of one to four epochs, whose leaders adopt each other's logs as S5 has it,
//! over a network that loses, repeats and reorders: whatever they hear on the way, in the end they have the
//! one log that came to be, and what was called final on the way was it.

use super::outcomes::Writer;
use lockstep_core::engine::publisher::PublisherEvent;
use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::subscriber::Delivery;
use lockstep_memory::log::Log;
use lockstep_memory::reader::{News, Reader};
use lockstep_memory::world::*;
use lockstep_wire::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const ORDERS: PublisherId = 3;
/// Messages that the publisher has handed in: more than any log holds.
const MESSAGES: usize = 100;

/// A small generator, so that one number tells the whole story.
struct Dice(u64);

impl Dice {
    /// Below `bound`.
    fn roll(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.roll(bound) == 0
    }
}

/// What one epoch said, and what of the log was committed when the next one began.
struct Reign {
    log: Log,
    commit_next: Seq,
    datagrams: Vec<Vec<u8>>,
}

/// The next number that a log has for the publisher.
fn next_number(log: &Log) -> PublisherSeq {
    let mut next = 1;
    for bytes in &log.frames {
        for entry in FrameView::from_prefix(bytes).unwrap().entries() {
            if entry.kind() == EntryKind::Message {
                next = entry.header.publisher_seq + 1;
            }
        }
    }
    next
}

/// One epoch at the end of `log`, of which everything below `commit_next` was committed before.
fn reign(dice: &mut Dice, mut log: Log, round: Option<u32>, mut commit_next: Seq) -> Reign {
    let mut datagrams = Vec::new();
    if let Some(round) = round {
        // The table reaches down to the epoch in force at a commit that promises knew of: this one or less.
        let known = 1 + dice.roll(commit_next);
        let skipped = log.epochs.iter().filter(|row| row.base < known).count().saturating_sub(1);
        datagrams.push(log.begin_with_rows(epoch(round, 1 + round % 3), &member_list(3), skipped));
    }
    for _ in 0..dice.roll(9) {
        let first = next_number(&log);
        let numbers: Vec<_> = (first..=first + dice.roll(3)).collect();
        datagrams.push(log.push_of(ORDERS, &numbers));
        if dice.one_in(3) {
            // One standby holds so much, and the leader: committed.
            let ends: Vec<_> =
                log.frames.iter().map(|bytes| Header::peek(bytes).unwrap().next_seq()).collect();
            let next = ends[ends.len() - 1 - dice.roll(ends.len().min(3) as u64) as usize];
            if next > log.epochs.last().unwrap().base {
                let standby = 1 + log.epoch.leader().replica % 3;
                commit_next = commit_next.max(next);
                datagrams.push(log.ack(standby, next));
            }
        }
        log.commit_next = commit_next;
        if dice.one_in(3) {
            datagrams.push(log.heartbeat());
        }
    }
    Reign { log, commit_next, datagrams }
}

/// A history: `orders` is open and committed, then come the reigns.
fn history(dice: &mut Dice, mut begun: Log) -> Vec<Reign> {
    begun.commit_next = begun.end.next;
    let committed = begun.end.next;
    let mut reigns = vec![reign(dice, begun, None, committed)];
    let rounds = dice.roll(4) as u32;
    for round in 2..2 + rounds {
        let commit_next = reigns.last().unwrap().commit_next;
        // Whose log is adopted: the latest one that a quorum knows of; it holds what is committed.
        let committed = reigns.last().unwrap().log.before(commit_next);
        let holds = |log: &Log| log.frames.starts_with(&committed.frames);
        let able: Vec<_> = reigns.iter().filter(|reign| holds(&reign.log)).collect();
        let adopted = &able[able.len() - 1 - dice.roll(able.len().min(2) as u64) as usize].log;
        let ends: Vec<_> =
            adopted.frames.iter().map(|bytes| Header::peek(bytes).unwrap().next_seq()).collect();
        let ends: Vec<_> = ends.into_iter().filter(|end| *end >= commit_next).collect();
        let end = ends[dice.roll(ends.len() as u64) as usize];
        let log = adopted.before(end);
        reigns.push(reign(dice, log, Some(round), commit_next));
    }
    reigns
}

/// The messages of a log: (seq, text).
fn texts(log: &Log) -> Vec<(Seq, String)> {
    let mut found = Vec::new();
    for bytes in &log.frames {
        let frame = FrameView::from_prefix(bytes).unwrap();
        for (seq, entry) in (frame.header.first_seq..).zip(frame.entries()) {
            if entry.kind() == EntryKind::Message {
                found.push((seq, String::from_utf8(entry.payload.to_vec()).unwrap()));
            }
        }
    }
    found
}

/// What a replica that holds `log` answers (S11).
fn answers(log: &Log, commit_next: Seq, request: &Request) -> Vec<Vec<u8>> {
    let same = request.header.epoch() == log.epoch;
    let mut found = Vec::new();
    for (index, bytes) in log.frames.iter().enumerate() {
        let header = Header::peek(bytes).unwrap();
        let start = request.ranges.is_empty() && same && header.first_seq == log.epochs.last().unwrap().base;
        let mut asked = request.ranges.iter();
        let asked = asked.any(|&(from, to)| header.first_seq < to && from < header.next_seq());
        if start || asked && (same || header.next_seq() <= commit_next) {
            found.push(log.repair(index, 2, commit_next));
        }
    }
    found
}

/// A reader or a publisher, as the network sees it.
trait Listener {
    fn hear(&mut self, bytes: &[u8]);
    fn repair(&mut self, bytes: Vec<u8>);
    /// A while passes. Returns what was asked for meanwhile.
    fn wait(&mut self) -> Vec<Request>;
}

impl Listener for Reader {
    fn hear(&mut self, bytes: &[u8]) {
        Reader::hear(self, bytes);
    }

    fn repair(&mut self, bytes: Vec<u8>) {
        Reader::repair(self, bytes);
    }

    fn wait(&mut self) -> Vec<Request> {
        Reader::wait(self, 200_000);
        self.requests()
    }
}

impl Listener for Writer {
    fn hear(&mut self, bytes: &[u8]) {
        Writer::hear(self, &[bytes]);
    }

    fn repair(&mut self, bytes: Vec<u8>) {
        Writer::repair(self, bytes);
    }

    fn wait(&mut self) -> Vec<Request> {
        self.now += 200_000;
        self.poll();
        requests_in(&sent(self.publisher.net_mut()))
    }
}

/// Speaks the whole history to `listener`, badly, and then the end of it, well.
fn tell(dice: &mut Dice, reigns: &[Reign], listener: &mut impl Listener) {
    let loss = 1 + dice.roll(12);
    let mut late: Vec<Vec<u8>> = Vec::new();
    for reign in reigns {
        // A whole reign may go unheard.
        let deaf = dice.one_in(6);
        for bytes in &reign.datagrams {
            if deaf || dice.one_in(1 + loss) {
                continue;
            }
            match dice.roll(5) {
                0 => late.push(bytes.clone()),
                1 => {
                    listener.hear(bytes);
                    late.push(bytes.clone());
                }
                _ => listener.hear(bytes),
            }
            if dice.one_in(4) && !late.is_empty() {
                let index = dice.roll(late.len() as u64) as usize;
                listener.hear(&late.swap_remove(index));
            }
            if dice.one_in(3) {
                for request in listener.wait() {
                    for answer in answers(&reign.log, reign.log.commit_next, &request) {
                        if !dice.one_in(3) {
                            listener.repair(answer);
                        }
                    }
                }
            }
        }
    }
    for bytes in late {
        listener.hear(&bytes);
    }
    let mut log = reigns.last().unwrap().log.clone();
    log.commit_next = log.end.next;
    for _ in 0..60 {
        listener.hear(&log.heartbeat());
        for request in listener.wait() {
            for answer in answers(&log, log.end.next, &request) {
                listener.repair(answer);
            }
        }
    }
}

/// The log in which `orders` is open, and nothing else.
fn opened() -> Log {
    let mut log = Log::begun(3);
    log.push_open("orders", (ORDERS, [1, 1]), 1, 0);
    log
}

/// What a reader has at each moment that it calls something final.
fn check_finals(reader: &Reader, expected: &[(Seq, String)], first: Seq) {
    let mut stream: Vec<(Seq, String)> = Vec::new();
    for event in &reader.events {
        match event {
            News::Message(seq, text) => stream.push((*seq, text.clone())),
            News::Retract(from) => stream.retain(|(seq, _)| seq < from),
            News::Committed(next) => {
                let is_final = |row: &&(Seq, String)| row.0 < *next;
                let final_now: Vec<_> = stream.iter().filter(is_final).collect();
                let wanted = expected.iter().filter(is_final).filter(|row| row.0 >= first);
                assert_eq!(final_now, wanted.collect::<Vec<_>>(), "called final below {next}");
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// S10, whole.
    #[test]
    fn s10_readers_end_with_the_one_log_that_came_to_be(seed in any::<u64>()) {
        let reigns = history(&mut Dice(seed), opened());
        let expected = texts(&reigns.last().unwrap().log);
        for delivery in [Delivery::Stamped, Delivery::Committed] {
            let mut reader = Reader::new(delivery, Start::From(1));
            tell(&mut Dice(seed ^ 1), &reigns, &mut reader);
            prop_assert!(!reader.subscriber.core.is_ended(), "{:?}", reader.events);
            let retracts = reader.events.iter().filter(|event| matches!(event, News::Retract(_))).count();
            prop_assert!(retracts == 0 || delivery == Delivery::Stamped);
            check_finals(&reader, &expected, 1);
            prop_assert_eq!(reader.stream(), expected.clone(), "{:?}", reader.events);
        }
    }

    /// S10.
    #[test]
    fn s10_live_readers_skip_and_repeat_nothing_from_where_they_began(seed in any::<u64>()) {
        let reigns = history(&mut Dice(seed), opened());
        let expected = texts(&reigns.last().unwrap().log);
        for delivery in [Delivery::Stamped, Delivery::Committed] {
            let mut reader = Reader::new(delivery, Start::Live);
            reader.hear(&reigns[0].log.at(2));
            reader.hear(&reigns[0].log.before(4).heartbeat());
            prop_assert_eq!(reader.subscriber.core.deliver_next(), 4);
            tell(&mut Dice(seed ^ 2), &reigns, &mut reader);
            prop_assert_eq!(reader.stream(), expected.clone(), "{:?}", reader.events);
            let mut late = Reader::new(delivery, Start::Live);
            late.hear(&reigns[0].log.at(2));
            let mut anchor = reigns[0].log.clone();
            late.hear(&anchor.heartbeat());
            tell(&mut Dice(seed ^ 3), &reigns, &mut late);
            let stream = late.stream();
            let first = stream.first().map_or(anchor.end.next, |row| row.0).min(anchor.end.next);
            let rest: Vec<_> = expected.iter().filter(|row| row.0 >= first).cloned().collect();
            prop_assert_eq!(stream, rest, "{:?}", late.events);
        }
    }

    /// S8, S10.
    #[test]
    fn s8_each_message_of_a_publisher_has_one_fate_and_it_is_its_place(seed in any::<u64>()) {
        let mut log = Log::begun(3);
        let mut writer = Writer::opened(&mut log);
        writer.publish(MESSAGES);
        let reigns = history(&mut Dice(seed), log);
        tell(&mut Dice(seed ^ 4), &reigns, &mut writer);
        let last = &reigns.last().unwrap().log;
        let numbers = 1..next_number(last);
        let places: Vec<_> = numbers.zip(texts(last)).map(|(number, (seq, _))| (number, seq)).collect();
        let (mut outcomes, mut stamped) = (Vec::new(), BTreeMap::new());
        for event in &writer.events {
            match *event {
                PublisherEvent::Stamped { publisher_seq, seq, .. } => {
                    let before = stamped.insert(publisher_seq, seq);
                    prop_assert_eq!(before, None, "{} has two places", publisher_seq);
                }
                PublisherEvent::Unstamped { publisher_seq, .. } => {
                    prop_assert!(stamped.remove(&publisher_seq).is_some(), "it had no place");
                }
                PublisherEvent::Committed { publisher_seq, seq, .. } => {
                    prop_assert_eq!(stamped.get(&publisher_seq), Some(&seq));
                    outcomes.push((publisher_seq, seq));
                }
                ref other => prop_assert!(false, "{:?}", other),
            }
        }
        prop_assert_eq!(outcomes, places);
    }
}
