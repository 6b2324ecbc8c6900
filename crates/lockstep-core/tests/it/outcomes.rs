//! Publishers across a takeover, in logs of several epochs that are made by hand: each message has one
//! fate, whatever a leader had stamped before it died.

use lockstep_core::engine::ports::Group;
use lockstep_core::engine::publisher::{PublisherEngine, PublisherEvent, PublisherLimits};
use lockstep_core::proto::parts::PARTS_BOUNDS;
use lockstep_memory::log::{Log, written};
use lockstep_memory::net::{SimNet, To};
use lockstep_memory::world::*;
use lockstep_wire::Keyring;
use lockstep_wire::*;

const A: [u64; 2] = [1, 1];
const B: [u64; 2] = [2, 2];
const ORDERS: PublisherId = 3;
const RESEND_NS: Nanos = 300_000;

/// A publisher's process, its clock, and what it was told.
pub struct Writer {
    pub publisher: PublisherEngine<SimNet>,
    pub events: Vec<PublisherEvent>,
    pub now: Nanos,
}

impl Writer {
    /// Connected to the log's end.
    fn new(log: &mut Log, change: impl Fn(&mut PublisherLimits)) -> Self {
        let mut limits = PublisherLimits {
            window_entries: 128,
            window_datagrams: 128,
            flight_datagrams: 128,
            resend_ns_min: RESEND_NS,
            resend_ns_max: 50_000_000,
            ..publisher_limits(Identity { replica: 1_000, incarnation: 1 }, 3)
        };
        change(&mut limits);
        let publisher = PublisherEngine::new(SimNet::default(), limits);
        let mut writer = Self { publisher, events: Vec::new(), now: 1_000_000 };
        writer.hear(&[&log.frames[1].clone(), &log.heartbeat()]);
        assert!(writer.publisher.core.is_connected());
        writer
    }

    /// With `orders` open, at seq 3 of a log that is committed so far.
    pub fn opened(log: &mut Log) -> Self {
        log.commit_next = log.end.next;
        let mut writer = Self::new(log, |_| {});
        writer.begin_open(log, A);
        writer.hear(&[&log.push_open("orders", (ORDERS, A), 1, 0), &log.ack(2, 4)]);
        let opened = PublisherEvent::Opened { ticket: 0, publisher: ORDERS, publisher_seq: 1, last: 0 };
        assert_eq!(writer.reported(), [opened]);
        writer
    }

    /// Asks for the name, is told that nobody has it, and sends its open.
    fn begin_open(&mut self, log: &Log, nonce: [u64; 2]) {
        self.publisher.core.open("orders", nonce);
        self.poll();
        self.reply(log, |_| {});
        assert_eq!(self.sent(), [(EntryKind::Open, 0)]);
    }

    /// A replica's answer about the name.
    fn reply(&mut self, log: &Log, change: impl Fn(&mut QueryReplyBody)) {
        let header = Header { commit_next: log.commit_next, ..log.header(Kind::QueryReply, identity(2)) };
        let mut body: QueryReplyBody = bytemuck::Zeroable::zeroed();
        (body.token, body.query_kind) = (1, QueryKind::Publisher as u32);
        change(&mut body);
        let bytes = written(|out| write_reply(out, &Keyring::none(CLUSTER), header, body));
        self.publisher.net_mut().unicast.push_back((bytes, Some(address(2))));
        self.poll();
    }

    /// One turn, in which no time passes.
    pub fn poll(&mut self) {
        let Self { publisher, events, now } = self;
        publisher.poll(*now, Wall(1), 1_000, |event| match event {
            // The texts of the log say their epoch: another copy's, as far as we can tell.
            PublisherEvent::Diverged { .. } => {}
            event => events.push(event),
        });
        publisher.core.invariants();
    }

    /// Hears datagrams in one batch.
    pub fn hear(&mut self, batch: &[&[u8]]) {
        self.publisher.net_mut().groups.extend(batch.iter().map(|bytes| bytes.to_vec()));
        self.poll();
    }

    /// Gets a datagram on the unicast port.
    pub fn repair(&mut self, bytes: Vec<u8>) {
        self.publisher.net_mut().unicast.push_back((bytes, Some(address(2))));
        (0..8).for_each(|_| self.poll());
    }

    /// Hands in messages, and sends each in a datagram of its own.
    pub fn publish(&mut self, count: usize) {
        for _ in 0..count {
            self.publisher.core.try_publish(ORDERS, 0, b"order").expect("room in the window");
            self.poll();
        }
    }

    /// What was submitted since the last look: kinds and numbers.
    fn sent(&mut self) -> Vec<(EntryKind, PublisherSeq)> {
        let mut found = Vec::new();
        for (to, bytes) in sent(self.publisher.net_mut()) {
            if to == To::Group(Group::Submit) {
                let Ok(Datagram::Submission(_, entries)) = Datagram::decode(&bytes, &Keyring::none(CLUSTER))
                else {
                    panic!()
                };
                found.extend(entries.map(|entry| (entry.kind(), entry.header.publisher_seq)));
            }
        }
        found
    }

    /// What it was told since the last look.
    fn reported(&mut self) -> Vec<PublisherEvent> {
        std::mem::take(&mut self.events)
    }
}

fn stamped(publisher_seq: PublisherSeq, seq: Seq) -> PublisherEvent {
    PublisherEvent::Stamped { publisher: ORDERS, publisher_seq, seq }
}

fn unstamped(publisher_seq: PublisherSeq) -> PublisherEvent {
    PublisherEvent::Unstamped { publisher: ORDERS, publisher_seq }
}

fn committed(publisher_seq: PublisherSeq, seq: Seq) -> PublisherEvent {
    PublisherEvent::Committed { publisher: ORDERS, publisher_seq, seq }
}

fn messages(numbers: &[PublisherSeq]) -> Vec<(EntryKind, PublisherSeq)> {
    numbers.iter().map(|number| (EntryKind::Message, *number)).collect()
}

/// A successor of epoch `round` at the end of `log`.
fn begin(log: &mut Log, round: u32) -> Vec<u8> {
    log.begin(epoch(round, round), &member_list(3))
}

#[test]
fn what_was_stamped_and_lost_is_sent_again_at_once_and_has_one_fate() {
    let mut log = Log::begun(3);
    let mut writer = Writer::opened(&mut log);
    writer.publish(4);
    assert_eq!(writer.sent(), messages(&[1, 2, 3, 4]));
    writer.hear(&[&log.push_of(ORDERS, &[1])]);
    let mut next = log.clone();
    writer.hear(&[&log.push_of(ORDERS, &[2, 3])]);
    assert_eq!(writer.reported(), [stamped(1, 4), stamped(2, 5), stamped(3, 6)]);
    // The start alone: what is stamped in the new log stays, the rest is due.
    writer.hear(&[&begin(&mut next, 2)]);
    assert_eq!(writer.reported(), [unstamped(2), unstamped(3)]);
    assert_eq!(writer.sent(), messages(&[2, 3, 4]));
    writer.hear(&[&next.push_of(ORDERS, &[2, 3, 4])]);
    writer.hear(&[&next.ack(3, 6)]);
    writer.hear(&[&next.ack(3, 9)]);
    let places = [stamped(2, 6), stamped(3, 7), stamped(4, 8)];
    let outcomes = [committed(1, 4), committed(2, 6), committed(3, 7), committed(4, 8)];
    assert_eq!(writer.reported(), [places.as_slice(), &outcomes].concat());
    assert!(writer.publisher.core.is_drained() && writer.sent().is_empty());
}

/// A publisher that could not read as fast as it published took its own stamps, which it had missed, for lost
/// submissions, and sent everything again and again: the more was offered, the less was carried.
#[test]
fn what_may_be_stamped_in_what_was_missed_is_not_sent_again_before_that_is_read() {
    let mut log = Log::begun(3);
    let mut writer = Writer::opened(&mut log);
    writer.publish(3);
    writer.sent();
    let missed = log.frames.len();
    log.push_of(ORDERS, &[1, 2]);
    writer.hear(&[&log.push(&["behind it"])]);
    for _ in 0..100 {
        writer.now += RESEND_NS;
        writer.poll();
    }
    assert!(writer.sent().is_empty(), "its place may be in what was missed");
    writer.repair(log.repair(missed, 2, 1));
    assert_eq!(writer.reported(), [stamped(1, 4), stamped(2, 5)]);
    writer.now += 100 * RESEND_NS;
    writer.poll();
    writer.poll();
    assert_eq!(writer.sent(), messages(&[3]), "the third was not there");
}

#[test]
fn what_the_new_leader_has_heard_and_stamped_itself_is_not_sent_again() {
    let mut log = Log::begun(3);
    let mut writer = Writer::opened(&mut log);
    writer.publish(2);
    writer.sent();
    let mut next = log.clone();
    writer.hear(&[&log.push_of(ORDERS, &[1])]);
    writer.hear(&[&begin(&mut next, 2), &next.push_of(ORDERS, &[1, 2])]);
    assert_eq!(writer.reported(), [stamped(1, 4), unstamped(1), stamped(1, 5), stamped(2, 6)]);
    assert!(writer.sent().is_empty());
}

#[test]
fn a_message_that_was_sent_again_in_vain_does_not_wait_out_its_doubled_time() {
    let mut log = Log::begun(3);
    let mut writer = Writer::opened(&mut log);
    writer.publish(1);
    for _ in 0..60 {
        writer.now += 1_000_000;
        writer.poll();
    }
    assert!(writer.sent().len() > 3, "nobody hears it");
    writer.hear(&[&begin(&mut log, 2)]);
    assert_eq!(writer.sent(), messages(&[1]));
    // And from then on it waits as one that was sent again once.
    writer.now += 20 * RESEND_NS;
    writer.poll();
    assert_eq!(writer.sent(), messages(&[1]));
}

#[test]
fn a_full_window_is_sent_again_in_order_and_a_few_datagrams_a_turn() {
    let mut log = Log::begun(3);
    let mut writer = Writer::opened(&mut log);
    writer.publish(30);
    writer.sent();
    writer.hear(&[&begin(&mut log, 2)]);
    let first = writer.sent();
    assert!(first.len() < 30, "a burst of everything would be lost in the new leader's buffer");
    let mut all = first;
    for _ in 0..10 {
        writer.poll();
        all.extend(writer.sent());
    }
    assert_eq!(all, messages(&(1..=30).collect::<Vec<_>>()));
}

#[test]
fn s8_an_open_that_did_not_survive_is_sent_again_and_opens_once() {
    let mut log = Log::begun(3);
    log.commit_next = 3;
    let mut writer = Writer::new(&mut log, |_| {});
    writer.begin_open(&log, A);
    let mut next = log.clone();
    writer.hear(&[&log.push_open("orders", (ORDERS, A), 1, 0)]);
    writer.hear(&[&begin(&mut next, 2)]);
    assert_eq!(writer.reported(), []);
    assert_eq!(writer.sent(), [(EntryKind::Open, 0)]);
    // The id is another name's in the new log; its messages are none of ours.
    next.push_open("other", (ORDERS, B), 1, 0);
    next.push_of(ORDERS, &[1]);
    next.push_open("orders", (ORDERS + 1, A), 1, 0);
    let frames = [next.at(4), next.at(5), next.at(6), next.ack(3, 7)];
    writer.hear(&frames.each_ref().map(Vec::as_slice));
    let opened = PublisherEvent::Opened { ticket: 0, publisher: ORDERS + 1, publisher_seq: 1, last: 0 };
    assert_eq!(writer.reported(), [opened]);
    let refused = writer.publisher.core.try_publish(ORDERS, 0, b"late");
    assert!(refused.is_err(), "{refused:?}");
}

#[test]
fn s8_a_close_that_did_not_survive_is_sent_again_and_closes_once() {
    let mut log = Log::begun(3);
    let mut writer = Writer::opened(&mut log);
    writer.publish(1);
    writer.publisher.core.try_close(ORDERS, b"").unwrap();
    writer.poll();
    writer.sent();
    writer.hear(&[&log.push_of(ORDERS, &[1])]);
    let mut next = log.clone();
    writer.hear(&[&log.push_close(ORDERS, 2)]);
    writer.reported();
    writer.hear(&[&begin(&mut next, 2)]);
    assert_eq!(writer.reported(), []);
    assert_eq!(writer.sent(), [(EntryKind::Close, 2)]);
    writer.hear(&[&next.push_close(ORDERS, 2), &next.ack(3, 7)]);
    let closed = PublisherEvent::Closed { publisher: ORDERS, publisher_seq: 2 };
    assert_eq!(writer.reported(), [committed(1, 4), closed]);
    assert!(writer.publisher.core.is_drained());
}

#[test]
pub fn s8_a_fence_that_did_not_survive_fences_nobody() {
    let mut log = Log::begun(3);
    let mut writer = Writer::opened(&mut log);
    let mut next = log.clone();
    writer.hear(&[&log.push_open("orders", (ORDERS, B), 2, 0)]);
    assert!(writer.publisher.core.try_publish(ORDERS, 0, b"x").is_err(), "fenced, as far as one knows");
    writer.hear(&[&begin(&mut next, 2)]);
    writer.publish(1);
    writer.hear(&[&next.push_of(ORDERS, &[1]), &next.ack(3, 6)]);
    assert_eq!(writer.reported(), [stamped(1, 5), committed(1, 5)]);
}

#[test]
fn s8_a_fence_that_did_survive_fences_and_says_from_where() {
    let mut log = Log::begun(3);
    let mut writer = Writer::opened(&mut log);
    writer.publish(2);
    writer.hear(&[&log.push_of(ORDERS, &[1])]);
    let mut next = log.clone();
    writer.hear(&[&log.push_of(ORDERS, &[2])]);
    writer.hear(&[&begin(&mut next, 2), &next.push_open("orders", (ORDERS, B), 2, 1), &next.ack(3, 7)]);
    let fenced = PublisherEvent::Fenced { publisher: ORDERS, publisher_seq: 2 };
    let reported = [stamped(1, 4), stamped(2, 5), unstamped(2), committed(1, 4), fenced];
    assert_eq!(writer.reported(), reported);
    assert!(writer.publisher.core.is_drained());
}

#[test]
fn a_trading_day_is_marked_once_and_in_its_publishers_order_like_a_message() {
    let mut log = Log::begun(3);
    let mut writer = Writer::opened(&mut log);
    let mark = DayMark { is_start: true, name: "20261121" };
    assert_eq!(writer.publisher.core.try_day(ORDERS, mark, None), Ok(1));
    writer.poll();
    assert_eq!(writer.sent(), [(EntryKind::Day, 1)]);
    let day = log.push_day(ORDERS, 1, mark);
    let next = log.end.next;
    writer.hear(&[&day, &log.ack(2, next)]);
    assert_eq!(writer.reported(), [stamped(1, 4), committed(1, 4)]);
    assert!(writer.publisher.core.is_drained());
}

#[test]
fn a_name_that_ended_here_is_opened_again_under_its_old_ticket_and_takes_no_more_room() {
    let mut log = Log::begun(3);
    let mut writer = Writer::opened(&mut log);
    for incarnation in 2..9 {
        let nonce = [u64::from(incarnation), 9];
        writer.hear(&[&log.push_open("orders", (ORDERS, B), incarnation * 2, 0)]);
        let next = log.end.next;
        writer.hear(&[&log.ack(2, next)]);
        assert_eq!(writer.reported(), [PublisherEvent::Fenced { publisher: ORDERS, publisher_seq: 1 }]);
        assert_eq!(
            writer.publisher.core.open("orders", nonce),
            Some(0),
            "at most four names, and it was one"
        );
        writer.poll();
        writer.reply(&log, |body| {
            (body.publisher, body.incarnation, body.nonce) = (ORDERS, incarnation * 2, B);
        });
        assert_eq!(writer.sent(), [(EntryKind::Open, 0)]);
        let open = log.push_open("orders", (ORDERS, nonce), incarnation * 2 + 1, 0);
        let next = log.end.next;
        writer.hear(&[&open, &log.ack(2, next)]);
        let opened = PublisherEvent::Opened { ticket: 0, publisher: ORDERS, publisher_seq: 1, last: 0 };
        assert_eq!(writer.reported(), [opened]);
    }
}

#[test]
fn a_dead_leader_throttles_nobody() {
    let mut log = Log::begun(3);
    let mut writer = Writer::opened(&mut log);
    let full = log.heartbeat_with(|_, body| body.credit_entries = 0);
    let mut next = log.clone();
    writer.hear(&[&full]);
    assert_eq!(writer.reported(), [PublisherEvent::Throttled]);
    writer.hear(&[&begin(&mut next, 2), &full]);
    assert_eq!(writer.reported(), [PublisherEvent::Unthrottled], "a deposed leader's word is none");
    writer.hear(&[&next.heartbeat_with(|_, body| body.credit_entries = 0)]);
    assert_eq!(writer.reported(), [PublisherEvent::Throttled], "the new one's is told anew");
}

#[test]
fn what_a_copy_had_stamped_and_lost_is_no_fate_of_ours() {
    let mut log = Log::begun(3);
    let mut writer = Writer::opened(&mut log);
    writer.hear(&[&log.push_of(ORDERS, &[1])]);
    let mut next = log.clone();
    // Two by the copy, one of which we hand in before the takeover, and two after it.
    writer.hear(&[&log.push_of(ORDERS, &[2, 3])]);
    writer.publish(2);
    writer.hear(&[&begin(&mut next, 2)]);
    assert_eq!(writer.reported(), [], "nothing was told of their places");
    writer.publish(1);
    writer.sent();
    writer.hear(&[&next.ack(3, 6)]);
    assert_eq!(writer.reported(), [committed(1, 4)]);
    writer.hear(&[&next.push_of(ORDERS, &[2, 3]), &next.ack(3, 8)]);
    assert_eq!(writer.reported(), [stamped(2, 6), stamped(3, 7), committed(2, 6), committed(3, 7)]);
}

/// Found by mutated datagrams under the replicas' key: a leader that works gives no number before the ones
/// below it.
#[test]
fn a_number_of_a_copy_behind_a_hole_leaves_the_window_as_it_has_to_be() {
    let mut log = Log::begun(3);
    let mut writer = Writer::opened(&mut log);
    writer.publish(2);
    writer.sent();
    writer.hear(&[&log.push_of(ORDERS, &[5])]);
    writer.publish(2);
    writer.sent();
    writer.publisher.core.invariants();
}

#[test]
fn a_handle_that_cannot_know_what_of_a_copy_was_taken_back_says_so() {
    let mut log = Log::begun(3);
    log.commit_next = 3;
    let mut writer = Writer::new(&mut log, |limits| limits.window_entries = 2);
    writer.begin_open(&log, A);
    writer.hear(&[&log.push_open("orders", (ORDERS, A), 1, 0), &log.ack(2, 4)]);
    let mut next = log.clone();
    writer.reported();
    writer.hear(&[&log.push_of(ORDERS, &[1, 2, 3, 4])]);
    writer.publish(1);
    writer.hear(&[&begin(&mut next, 2), &next.ack(3, 5)]);
    assert_eq!(writer.reported(), [PublisherEvent::OutcomesUnknown]);
    writer.poll();
    assert_eq!(writer.reported(), [], "and then nothing any more");
}

#[test]
fn a_publisher_whose_beginning_did_not_survive_sees_its_messages_all_the_same() {
    let mut log = Log::begun(3);
    log.push_open("orders", (ORDERS, A), 1, 7);
    log.commit_next = 4;
    let mut next = log.clone();
    log.push(&["lost", "lost"]);
    // It begins at seq 6, behind what is lost.
    let mut writer = Writer::new(&mut log, |_| {});
    writer.publisher.core.open("orders", A);
    writer.poll();
    let own = |body: &mut QueryReplyBody| {
        (body.publisher, body.publisher_seq, body.incarnation, body.nonce) = (ORDERS, 7, 1, A);
    };
    writer.reply(&log, own);
    assert_eq!(writer.reported(), [], "the reply does not cover what came before we watched");
    // The start is at seq 4, so its twin's message stands below where we began.
    writer.hear(&[&begin(&mut next, 2), &next.push_of(ORDERS, &[8])]);
    next.commit_next = 4;
    writer.now += 2_000_000;
    writer.poll();
    writer.reply(&next, own);
    writer.hear(&[&next.ack(3, 6)]);
    let opened = PublisherEvent::Opened { ticket: 0, publisher: ORDERS, publisher_seq: 8, last: 7 };
    assert_eq!(writer.reported(), [opened]);
    writer.publish(1);
    writer.poll();
    assert_eq!(writer.reported(), [committed(8, 5)]);
}

/// Copies of an application share a name. One asks where the name is, and hears an answer from before it was
/// opened, which took its time on the way: it sends an open. What its twin has stamped meanwhile it has not
/// read for its own name.
#[test]
fn a_publisher_that_was_told_of_no_name_counts_anew_what_its_twin_publishes() {
    let mut log = Log::begun(3);
    log.push_open("orders", (ORDERS, A), 1, 7);
    log.commit_next = 4;
    log.push(&["another's"]);
    let mut writer = Writer::new(&mut log, |_| {});
    writer.publisher.core.open("orders", A);
    writer.poll();
    let last = |last: u64| {
        move |body: &mut QueryReplyBody| {
            (body.publisher, body.publisher_seq, body.incarnation, body.nonce) = (ORDERS, last, 1, A);
        }
    };
    writer.reply(&log, last(7));
    assert_eq!(writer.reported(), [], "the reply does not cover what came before we watched");
    writer.now += 2_000_000;
    writer.poll();
    writer.reply(&log, |_| {});
    assert_eq!(writer.sent(), [(EntryKind::Open, 0)], "somebody does not know the name yet");

    writer.hear(&[&log.push_of(ORDERS, &[8])]);
    for _ in 0..10 {
        writer.now += 2_000_000;
        writer.poll();
    }
    log.commit_next = 5;
    writer.reply(&log, last(7));
    assert_eq!(writer.reported(), [], "8 stands behind what this reply covers, and was not counted");
    writer.now += 2_000_000;
    writer.poll();
    log.commit_next = 6;
    writer.reply(&log, last(8));
    writer.hear(&[&log.ack(2, 6)]);
    let opened = PublisherEvent::Opened { ticket: 0, publisher: ORDERS, publisher_seq: 9, last: 8 };
    assert_eq!(writer.reported(), [opened]);
}

#[test]
fn s6_a_publisher_whose_log_is_contradicted_says_that_fates_are_unknown() {
    let mut log = Log::begun(3);
    let mut writer = Writer::opened(&mut log);
    let mut other = log.before(3);
    writer.publish(1);
    writer.hear(&[&begin(&mut other, 2), &other.push_of(ORDERS, &[1]), &other.ack(3, 5)]);
    assert_eq!(writer.reported(), [PublisherEvent::OutcomesUnknown]);
}

/// A publisher that was away for longer than a round trip finds its time over and the answers in its socket.
#[test]
fn a_publisher_that_was_away_reads_what_waits_before_it_sends_anything_again() {
    let mut log = Log::begun(3);
    let mut writer = Writer::opened(&mut log);
    writer.publish(20);
    assert_eq!(writer.sent().len(), 20);
    let stamped: Vec<Vec<u8>> = (1..=20).map(|number| log.push_of(ORDERS, &[number])).collect();
    writer.publisher.net_mut().groups.extend(stamped[..19].iter().cloned());
    writer.now += 100 * RESEND_NS;
    let now = writer.now;
    writer.publisher.flush(now, Wall(1));
    writer.poll();
    assert_eq!(writer.sent(), messages(&[]), "more than one receive lends has come: perhaps all of it");
    writer.now += 200 * RESEND_NS;
    writer.poll();
    assert_eq!(writer.sent(), messages(&[20]), "now it is known what has not");
}

/// PARTS-1, as the publisher of the message sees it: its outcome is what readers make of it.
#[test]
fn a_message_in_parts_that_took_too_long_is_told_as_discarded_and_the_next_one_as_committed() {
    for (more, is_discarded) in [(0, false), (1, true)] {
        let mut log = Log::begun(3);
        let mut writer = Writer::opened(&mut log);
        for _ in 0..2 {
            assert_eq!(writer.publisher.core.parts_of(2_000), 2);
            writer.publisher.core.try_publish(ORDERS, 0, &[b'x'; 2_000]).expect("room in the window");
            writer.poll();
        }
        let first = log.end.next;
        writer.hear(&[&log.push_part(ORDERS, 1, PART_MORE, "a")]);
        while log.end.next < first + PARTS_BOUNDS.span + more {
            let count = (first + PARTS_BOUNDS.span + more - log.end.next).min(40) as usize;
            log.commit_next = log.end.next;
            writer.hear(&[&log.push(&vec!["x"; count])]);
        }
        let at = log.end.next;
        assert_eq!(at - first, PARTS_BOUNDS.span + more);
        writer.hear(&[&log.push_part(ORDERS, 2, PART_NEXT, "b")]);
        writer.hear(&[&log.push_part(ORDERS, 3, PART_MORE, "c"), &log.push_part(ORDERS, 4, PART_NEXT, "d")]);
        writer.hear(&[&log.ack(2, log.end.next)]);
        let discarded = PublisherEvent::Discarded { publisher: ORDERS, publisher_seq: 2, seq: at };
        let outcome = if is_discarded { discarded } else { committed(2, at) };
        assert_eq!(writer.reported(), [stamped(2, at), stamped(4, at + 2), outcome, committed(4, at + 2)]);
    }
}
