//! Repairers that are dead or silent keep nobody from being repaired.

use super::publisher::connected;
use lockstep_core::engine::counters::Counters;
use lockstep_core::engine::event::Events;
use lockstep_core::engine::followed::Followed;
use lockstep_core::engine::publisher::PublisherEvent;
use lockstep_core::engine::receiver::{NACK_LEN_MAX, Receiver, Start};
use lockstep_core::engine::subscriber::Delivery;
use lockstep_memory::log::{Log, written};
use lockstep_memory::net::To;
use lockstep_memory::reader::{News, Reader};
use lockstep_memory::world::*;
use lockstep_wire::Keyring;
use lockstep_wire::*;
use std::net::SocketAddrV4;

const MS: Nanos = 1_000_000;

/// The repairers that a receiver with so many asks, one after the other, when nobody answers.
fn asked(repairers: u32, prefer: SocketAddrV4, times: usize) -> Vec<SocketAddrV4> {
    let mut log = Log::begun(3);
    let (mut counters, mut events) = (Counters::default(), Events::default());
    let limits = receiver_limits(Identity { replica: 2_000, incarnation: 5 }, repairers);
    let mut followed = Followed::new(&limits, Start::From(1));
    let mut receiver = Receiver::new(limits, Start::From(1));
    receiver.check_history(&mut followed, &log.header(Kind::Heartbeat, identity(1))).unwrap();
    receiver.on_frame(
        &mut followed,
        &FrameView::from_prefix(&log.frames[1]).unwrap(),
        None,
        &mut counters,
        &mut events,
    );
    log.push(&["x"]);
    receiver.on_heartbeat(
        &mut followed,
        &log.header(Kind::Heartbeat, identity(1)),
        &mut counters,
        &mut events,
    );
    receiver.requests.prefer = Some(prefer);
    let mut out = [0; NACK_LEN_MAX];
    let mut ask = |step: u64| {
        receiver
            .poll_nack(&mut followed, step * 10 * MS, &mut 0, &mut out, &mut counters, &mut events)
            .map(|(_, to)| to)
    };
    (1..1_000).filter_map(&mut ask).take(times).collect()
}

#[test]
fn a_preferred_repairer_that_is_dead_keeps_none_of_the_others_from_being_asked() {
    for repairers in 1..=6 {
        let asked = asked(repairers, address(9), 4 * repairers as usize);
        for number in 1..=repairers {
            assert!(asked.contains(&address(number)), "{number} of {repairers} is never asked: {asked:?}");
        }
    }
}

#[test]
fn a_subscription_is_abandoned_although_one_repairer_is_dead() {
    let mut log = Log::begun(3);
    let mut reader = Reader::new(Delivery::Stamped, Start::From(1));
    reader.hear(&log.frames[1].clone());
    reader.repair(log.repair(0, 2, 3));
    log.push(&["gone"]);
    reader.hear(&log.heartbeat());
    for _ in 0..200 {
        reader.wait(5 * MS);
        for request in reader.requests() {
            let from = u32::from(request.to.ip().octets()[3]);
            if from != 3 {
                reader.repair(log.answer(from, request.token, RepairReject::TooOld, 50));
            }
        }
    }
    assert_eq!(reader.events.last(), Some(&News::Abandoned(3, 50)));
}

#[test]
fn a_publisher_is_told_that_it_is_lost_although_one_repairer_is_dead() {
    let mut log = Log::begun(3);
    let (mut publisher, mut events) = connected(&mut log);
    log.push(&["gone"]);
    publisher.net_mut().groups.push_back(log.heartbeat());
    for step in 1..400 {
        publisher.poll(step * 5 * MS, Wall(1), 9, |event| events.push(event));
        for request in requests_in(&sent(publisher.net_mut())) {
            let from = u32::from(request.to.ip().octets()[3]);
            if from != 3 {
                let answer = log.answer(from, request.token, RepairReject::TooOld, 40);
                publisher.net_mut().unicast.push_back((answer, Some(request.to)));
            }
        }
    }
    assert_eq!(events, [PublisherEvent::OutcomesUnknown]);
}

#[test]
fn a_reader_from_a_seq_hears_nothing_below_it_when_a_takeover_goes_back_further() {
    for delivery in [Delivery::Stamped, Delivery::Committed] {
        let mut log = Log::begun(3);
        let mut next = log.clone();
        let lost = log.push(&["a", "b", "c"]);
        let mut reader = Reader::new(delivery, Start::From(5));
        reader.hear(&log.frames[1].clone());
        reader.hear(&lost);
        reader.hear(&next.begin(epoch(2, 2), &member_list(3)));
        for text in ["below", "first"] {
            reader.hear(&next.push(&[text]));
        }
        next.commit_next = next.end.next;
        reader.hear(&next.heartbeat());
        let retracts: Vec<_> =
            reader.events.iter().filter(|event| matches!(event, News::Retract(_))).collect();
        let expected: &[&News] = if delivery == Delivery::Stamped { &[&News::Retract(5)] } else { &[] };
        assert_eq!(retracts, expected, "{delivery:?}");
        assert_eq!(reader.stream(), [(5, "first".to_string())], "{delivery:?}");
    }
}

/// A replica that is cut off goes on telling what was: nobody may depend on it alone.
#[test]
fn a_publisher_whose_open_comes_to_nothing_looks_its_name_up_at_another_replica() {
    let mut log = Log::begun(3);
    let (mut publisher, mut events) = connected(&mut log);
    publisher.core.open("orders", [1, 1]);
    let mut asked = Vec::new();
    for step in 2..40 {
        publisher.poll(step * MS, Wall(1), 9, |event| events.push(event));
        for (to, bytes) in sent(publisher.net_mut()) {
            let (To::Unicast(to), Ok(Datagram::Query(_, query, ..))) =
                (to, Datagram::decode(&bytes, &Keyring::none(CLUSTER)))
            else {
                continue;
            };
            asked.push(to);
            let from = identity(u32::from(to.ip().octets()[3]));
            let mut body: QueryReplyBody = bytemuck::Zeroable::zeroed();
            (body.token, body.query_kind) = (query.token, QueryKind::Publisher as u32);
            let header = Header { commit_next: log.end.next, ..log.header(Kind::QueryReply, from) };
            let reply = written(|out| write_reply(out, &Keyring::none(CLUSTER), header, body));
            publisher.net_mut().unicast.push_back((reply, Some(to)));
        }
    }
    assert!(asked.len() >= 3, "it opens, in vain, and looks again: {asked:?}");
    for number in 1..=3 {
        assert!(asked[..3].contains(&address(number)), "{asked:?}");
    }
}

/// By S3 the log of who acknowledges is the leader's as far as it says: that is as good as its beat.
#[test]
fn a_live_reader_that_hears_no_leader_begins_where_the_furthest_of_some_acks_says_that_the_log_ends() {
    let mut log = Log::begun(3);
    let chain = |log: &Log| log.end.chain;
    let mut reader = Reader::new(Delivery::Stamped, Start::Live);
    reader.hear(&log.ack_with(2, log.end.next, |header, _| header.chain = 1));
    assert_eq!(reader.subscriber.core.deliver_next(), 0, "nothing of an epoch whose start is not held (S10)");
    reader.hear(&log.frames[1].clone());
    let (behind, behind_at) = (log.end.next, chain(&log));
    let not_received = log.push(&["before"]);
    (0..64).for_each(|_| reader.hear(&log.clone().ack(2, 3)));
    assert_eq!(reader.subscriber.core.deliver_next(), 0, "below its sender's end an ack carries no chain");
    let (end, at) = (log.end.next, chain(&log));
    reader.hear(&log.ack_with(2, end, |header, _| header.chain = at));
    for _ in 0..14 {
        reader.hear(&log.ack_with(3, behind, |header, _| header.chain = behind_at));
        assert_eq!(reader.subscriber.core.deliver_next(), 0, "who lags is not taken at once");
    }
    reader.hear(&log.ack_with(3, behind, |header, _| header.chain = behind_at));
    assert_eq!(reader.subscriber.core.deliver_next(), end);
    reader.hear(&not_received);
    let frame = log.push(&["after"]);
    reader.hear(&frame);
    assert_eq!(reader.messages(), ["after"]);
    assert_eq!(reader.subscriber.core.commit_next(), 1, "who votes there, only a leader has told so far");
}
