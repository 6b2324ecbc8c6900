//! The publisher in a small cluster: names, fates, fences, and copies of one application.

use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::publisher::{PublishError, PublisherEngine, PublisherEvent, PublisherLimits};
use lockstep_memory::cluster::Cluster;
use lockstep_memory::log::{Log, written};
use lockstep_memory::net::SimNet;
use lockstep_memory::world::*;
use lockstep_wire::Keyring;
use lockstep_wire::*;
use std::collections::BTreeMap;

const A: [u64; 2] = [1, 1];
const B: [u64; 2] = [2, 2];

fn plain(_: &mut PublisherLimits) {}

/// The application messages in the leader's log: (seq, publisher, number, text).
fn stamped(cluster: &Cluster) -> Vec<(Seq, PublisherId, PublisherSeq, String)> {
    let tail = cluster.replicas[0].tail();
    let mut found = Vec::new();
    let mut span = tail.find(1);
    while let Some(at) = span {
        let frame = tail.frame(at).unwrap();
        for (seq, entry) in (frame.header.first_seq..).zip(frame.entries()) {
            if entry.kind() == EntryKind::Message {
                let text = String::from_utf8(entry.payload.to_vec()).unwrap();
                found.push((seq, entry.header.publisher, entry.header.publisher_seq, text));
            }
        }
        span = tail.after(at);
    }
    found
}

#[test]
fn a_message_is_stamped_then_committed_and_both_are_told() {
    let mut cluster = Cluster::new(3, |_| {});
    let publisher = cluster.add_publisher(plain);
    let id = cluster.open(publisher, "orders", A);
    cluster.publishers[publisher].events.clear();
    cluster.publishers[publisher].publish(id, &["a", "b"]);
    cluster.drain(publisher);
    let log = stamped(&cluster);
    let (first, second) = (log[0].0, log[1].0);
    let outcome = |publisher_seq, seq, committed| match committed {
        false => PublisherEvent::Stamped { publisher: id, publisher_seq, seq },
        true => PublisherEvent::Committed { publisher: id, publisher_seq, seq },
    };
    assert_eq!(
        cluster.publishers[publisher].events,
        [
            outcome(1, first, false),
            outcome(2, second, false),
            outcome(1, first, true),
            outcome(2, second, true)
        ]
    );
}

#[test]
fn s4_a_publisher_is_told_of_a_commit_when_a_quorum_holds_it_and_not_before() {
    let mut cluster = Cluster::new(3, |_| {});
    let publisher = cluster.add_publisher(plain);
    let id = cluster.open(publisher, "orders", A);
    cluster.lost = |from, _, bytes| matches!(from, 2 | 3) && bytes[5] == Kind::Ack as u8;
    cluster.publishers[publisher].publish(id, &["a"]);
    cluster.run(100);
    assert_eq!(stamped(&cluster).len(), 1);
    let last = cluster.publishers[publisher].events.last();
    assert!(matches!(last, Some(PublisherEvent::Stamped { .. })), "{last:?}");
    cluster.lost = |_, _, _| false;
    cluster.drain(publisher);
    assert_eq!(cluster.publishers[publisher].committed().len(), 1);
}

#[test]
fn one_handle_publishes_under_two_names() {
    let mut cluster = Cluster::new(3, |_| {});
    let publisher = cluster.add_publisher(plain);
    let (first, second) = (cluster.open(publisher, "first", A), cluster.open(publisher, "second", A));
    assert_ne!(first, second);
    for text in ["a", "b"] {
        cluster.publishers[publisher].publish(first, &[text]);
        cluster.publishers[publisher].publish(second, &[text]);
    }
    cluster.drain(publisher);
    let log: Vec<_> = stamped(&cluster).into_iter().map(|(_, id, number, text)| (id, number, text)).collect();
    let row = |id, number, text: &str| (id, number, text.to_owned());
    assert_eq!(log, [row(first, 1, "a"), row(second, 1, "a"), row(first, 2, "b"), row(second, 2, "b")]);
    assert_eq!(cluster.publishers[publisher].committed().len(), 4);
}

#[test]
fn s8_a_newer_process_fences_the_older_one_and_goes_on_with_its_numbers() {
    let mut cluster = Cluster::new(3, |_| {});
    let (old, new) = (cluster.add_publisher(plain), cluster.add_publisher(plain));
    let id = cluster.open(old, "orders", A);
    cluster.publishers[old].publish(id, &["a", "b", "c"]);
    cluster.drain(old);
    assert_eq!(cluster.open(new, "orders", B), id, "a name keeps its id");
    let opened = PublisherEvent::Opened { ticket: 0, publisher: id, publisher_seq: 4, last: 3 };
    assert_eq!(cluster.publishers[new].events.last(), Some(&opened));
    cluster.run(20);
    let fenced = PublisherEvent::Fenced { publisher: id, publisher_seq: 4 };
    assert_eq!(cluster.publishers[old].events.last(), Some(&fenced));
    let refused = cluster.publishers[old].publisher.core.try_publish(id, 0, b"late");
    assert_eq!(refused, Err(PublishError::Fenced));
    cluster.publishers[new].publish(id, &["d"]);
    cluster.drain(new);
    assert_eq!(stamped(&cluster).last().map(|row| (row.2, row.3.as_str())), Some((4, "d")));
}

#[test]
fn s8_what_a_fenced_process_has_in_flight_is_never_stamped() {
    let mut cluster = Cluster::new(3, |_| {});
    let (old, new) = (cluster.add_publisher(plain), cluster.add_publisher(plain));
    let id = cluster.open(old, "orders", A);
    // What the old process says is lost until the new one is open.
    cluster.lost = |from, _, _| from == 101;
    cluster.publishers[old].publish(id, &["late"]);
    cluster.run(20);
    assert_eq!(cluster.open(new, "orders", B), id);
    let late =
        cluster.record.iter().rev().find(|(from, bytes)| *from == 101 && bytes[5] == Kind::Submission as u8);
    let late = late.unwrap().1.clone();
    cluster.lost = |_, _, _| false;
    cluster.replicas[0].net_mut().groups.push_back(late);
    cluster.run(50);
    assert!(stamped(&cluster).is_empty());
    assert!(cluster.replicas[0].core.counters.get(Counter::SubmissionsFenced) >= 1);
    let fenced = PublisherEvent::Fenced { publisher: id, publisher_seq: 1 };
    assert_eq!(cluster.publishers[old].events.last(), Some(&fenced), "and its owner knows which were not");
    assert!(cluster.publishers[old].publisher.core.is_drained());
}

/// "Drained" says that each message has an outcome, and nothing about which.
#[test]
fn a_handle_counts_what_became_of_its_messages() {
    let mut cluster = Cluster::new(3, |_| {});
    let (old, new) = (cluster.add_publisher(plain), cluster.add_publisher(plain));
    let id = cluster.open(old, "orders", A);
    let long = "x".repeat(3 * cluster.publishers[old].publisher.core.part_len_max());
    cluster.publishers[old].publish(id, &["a", "b", &long]);
    let outcomes = |cluster: &Cluster| cluster.publishers[old].publisher.core.outcomes();
    assert_eq!(outcomes(&cluster).to_string(), "0 committed, 3 without an outcome");
    cluster.drain(old);
    let before = outcomes(&cluster);
    assert!(before.are_all_committed() && before.to_string() == "3 committed", "{before}");
    // What the old process says is lost until the new one is open.
    cluster.lost = |from, _, _| from == 101;
    cluster.publishers[old].publish(id, &["late", &long]);
    cluster.run(20);
    assert_eq!(cluster.open(new, "orders", B), id);
    cluster.run(20);
    let late = outcomes(&cluster).since(&before);
    assert!(cluster.publishers[old].publisher.core.is_drained() && !late.are_all_committed());
    assert_eq!(late.to_string(), "0 committed, 2 fenced");
    // A close is no message, and ends behind all of them.
    cluster.publishers[new].publish(id, &["c"]);
    cluster.publishers[new].publisher.core.try_close(id, b"").unwrap();
    cluster.drain(new);
    assert_eq!(cluster.publishers[new].publisher.core.outcomes().to_string(), "1 committed");
}

#[test]
fn s8_late_copies_of_opens_fence_nobody() {
    let mut cluster = Cluster::new(3, |_| {});
    let (old, new) = (cluster.add_publisher(plain), cluster.add_publisher(plain));
    cluster.open(old, "orders", A);
    let id = cluster.open(new, "orders", B);
    let opens: Vec<_> =
        cluster.record.iter().filter(|(_, bytes)| bytes[5] == Kind::Submission as u8).cloned().collect();
    assert!(opens.len() >= 2);
    for (_, bytes) in opens {
        cluster.replicas[0].net_mut().groups.push_back(bytes);
    }
    cluster.run(20);
    cluster.publishers[new].publish(id, &["mine"]);
    cluster.drain(new);
    assert!(
        !cluster.publishers[new].events.iter().any(|event| matches!(event, PublisherEvent::Fenced { .. }))
    );
}

#[test]
fn copies_that_share_a_nonce_publish_each_message_once_and_both_learn_its_place() {
    let mut cluster = Cluster::new(3, |_| {});
    let (left, right) = (cluster.add_publisher(plain), cluster.add_publisher(plain));
    let id = cluster.open(left, "twins", A);
    assert_eq!(cluster.open(right, "twins", A), id);
    for text in ["a", "b", "c"] {
        cluster.publishers[left].publish(id, &[text]);
        cluster.publishers[right].publish(id, &[text]);
        cluster.run(1);
    }
    cluster.drain(left);
    cluster.drain(right);
    let places: Vec<_> = stamped(&cluster).into_iter().map(|(seq, _, number, _)| (number, seq)).collect();
    assert_eq!(places.len(), 3);
    for duplicate in [left, right] {
        assert_eq!(cluster.publishers[duplicate].committed(), places);
    }
}

#[test]
fn a_copy_that_lags_far_behind_learns_the_places_of_what_its_twin_had_stamped() {
    let mut cluster = Cluster::new(3, |_| {});
    let (fast, slow) = (cluster.add_publisher(plain), cluster.add_publisher(plain));
    let id = cluster.open(fast, "twins", A);
    cluster.open(slow, "twins", A);
    for text in ["a", "b", "c", "d"] {
        cluster.publishers[fast].publish(id, &[text]);
        cluster.run(5);
    }
    cluster.drain(fast);
    cluster.publishers[slow].publish(id, &["a", "b", "c", "d", "e"]);
    cluster.drain(slow);
    let places: Vec<_> = stamped(&cluster).into_iter().map(|(seq, _, number, _)| (number, seq)).collect();
    assert_eq!(places.len(), 5);
    assert_eq!(cluster.publishers[slow].committed(), places);
}

#[test]
fn a_copy_that_starts_while_its_twin_publishes_misses_nothing() {
    let mut cluster = Cluster::new(3, |_| {});
    let (fast, slow) = (cluster.add_publisher(plain), cluster.add_publisher(plain));
    let id = cluster.open(fast, "twins", A);
    // Nothing is committed for a while, so that replicas can tell of nothing that is stamped meanwhile.
    cluster.lost = |from, _, bytes| matches!(from, 2 | 3) && bytes[5] == Kind::Ack as u8;
    cluster.publishers[fast].publish(id, &["a", "b"]);
    cluster.run(20);
    cluster.publishers[slow].publisher.core.open("twins", A);
    cluster.run(300);
    cluster.publishers[fast].publish(id, &["c"]);
    cluster.run(20);
    assert!(cluster.publishers[slow].events.is_empty(), "it rests on what is not committed");
    cluster.lost = |_, _, _| false;
    cluster.run(1_000);
    let opened = cluster.publishers[slow].events.iter().find_map(|event| match event {
        PublisherEvent::Opened { publisher_seq, .. } => Some(*publisher_seq),
        _ => None,
    });
    let first = opened.expect("open once it is committed");
    let texts = ["a", "b", "c", "d"];
    cluster.publishers[slow].publish(id, &texts[first as usize - 1..]);
    cluster.drain(slow);
    assert_eq!(cluster.publishers[slow].committed().len(), 5 - first as usize);
    assert_eq!(stamped(&cluster).len(), 4);
}

#[test]
fn a_closed_publisher_is_told_so_and_its_name_can_be_opened_again() {
    for nonce in [A, B] {
        let mut cluster = Cluster::new(3, |_| {});
        let (first, second) = (cluster.add_publisher(plain), cluster.add_publisher(plain));
        let id = cluster.open(first, "orders", A);
        cluster.publishers[first].publish(id, &["a"]);
        cluster.publishers[first].publisher.core.try_close(id, b"").unwrap();
        cluster.drain(first);
        cluster.run(20);
        let closed = PublisherEvent::Closed { publisher: id, publisher_seq: 2 };
        assert_eq!(cluster.publishers[first].events.last(), Some(&closed));
        assert_eq!(cluster.publishers[first].committed().len(), 1);
        let refused = cluster.publishers[first].publisher.core.try_publish(id, 0, b"late");
        assert_eq!(refused, Err(PublishError::Closed));
        assert_eq!(cluster.open(second, "orders", nonce), id);
        cluster.publishers[second].publish(id, &["b"]);
        cluster.drain(second);
        let texts: Vec<_> = stamped(&cluster).into_iter().map(|row| row.3).collect();
        assert_eq!(texts, ["a", "b"]);
    }
}

#[test]
fn a_twin_learns_that_its_name_is_closed() {
    let mut cluster = Cluster::new(3, |_| {});
    let (left, right) = (cluster.add_publisher(plain), cluster.add_publisher(plain));
    let id = cluster.open(left, "twins", A);
    cluster.open(right, "twins", A);
    cluster.publishers[left].publisher.core.try_close(id, b"").unwrap();
    cluster.run(50);
    let closed = PublisherEvent::Closed { publisher: id, publisher_seq: 1 };
    assert_eq!(cluster.publishers[right].events.last(), Some(&closed));
}

#[test]
fn fates_come_before_the_end_of_their_publisher_however_few_are_told_at_once() {
    let mut cluster = Cluster::new(3, |_| {});
    let (old, new) = (cluster.add_publisher(plain), cluster.add_publisher(plain));
    let id = cluster.open(old, "orders", A);
    cluster.limit = 0;
    cluster.publishers[old].publish(id, &["a", "b", "c", "d", "e"]);
    cluster.run(50);
    cluster.publishers[new].publisher.core.open("orders", B);
    cluster.run(500);
    assert!(matches!(cluster.publishers[new].events.last(), Some(PublisherEvent::Opened { .. })));
    assert!(cluster.publishers[old].committed().is_empty());
    cluster.limit = 1;
    cluster.run(50);
    assert_eq!(cluster.publishers[old].committed().len(), 5);
    let fenced = PublisherEvent::Fenced { publisher: id, publisher_seq: 6 };
    assert_eq!(cluster.publishers[old].events.last(), Some(&fenced));
}

#[test]
fn a_turn_that_reports_outcomes_is_no_idle_one_though_nothing_arrives() {
    let mut cluster = Cluster::new(3, |_| {});
    let publisher = cluster.add_publisher(plain);
    let id = cluster.open(publisher, "orders", A);
    cluster.limit = 0;
    cluster.publishers[publisher].publish(id, &["a", "b", "c", "d", "e"]);
    cluster.run(50);
    let now = cluster.now;
    for expected in [2, 2, 1] {
        let mut reported = 0;
        let engine = &mut cluster.publishers[publisher].publisher;
        let work = engine.poll(now, Wall(now), 2, |event| {
            reported += usize::from(matches!(event, PublisherEvent::Committed { .. }));
        });
        assert_eq!((reported, work >= reported), (expected, true), "{work}");
    }
}

#[test]
fn a_lost_submission_is_sent_again_and_stamped_once() {
    let mut cluster = Cluster::new(3, |_| {});
    let publisher = cluster.add_publisher(plain);
    let id = cluster.open(publisher, "orders", A);
    cluster.lost = |from, to, _| from == 101 && to == 1;
    cluster.publishers[publisher].publish(id, &["a", "b"]);
    cluster.run(20);
    assert!(stamped(&cluster).is_empty());
    cluster.lost = |_, _, _| false;
    cluster.drain(publisher);
    assert_eq!(stamped(&cluster).len(), 2);
    assert!(cluster.publishers[publisher].publisher.core.counters.get(Counter::Resends) >= 1);
}

#[test]
fn a_message_too_long_names_limit_and_remedy() {
    let mut cluster = Cluster::new(1, |_| {});
    let publisher = cluster.add_publisher(plain);
    let id = cluster.open(publisher, "orders", A);
    let core = &mut cluster.publishers[publisher].publisher.core;
    // Seven parts, and an eighth datagram for what is open before it.
    let (part, max) = (core.part_len_max(), core.message_len_max());
    assert_eq!((part, max), (1_296, 7 * 1_296));
    let refused = core.try_publish(id, 0, &vec![0; max + 1]).unwrap_err();
    assert_eq!(refused, PublishError::TooLong { len: max + 1, max });
    let text = refused.to_string();
    assert!(text.contains("9073") && text.contains("9072") && text.contains("`publisher.buffer`"), "{text}");
    assert!(matches!(core.try_claim(id, 0, part + 1), Err(PublishError::TooLong { .. })));
    assert_eq!(core.try_publish(id, 0, &vec![7; part]), Ok(1), "what one frame takes is one entry");
    cluster.drain(publisher);
    assert_eq!(stamped(&cluster)[0].3.len(), part);
}

#[test]
fn a_claim_that_nobody_writes_to_is_a_message_of_zeros_and_nothing_of_an_earlier_one() {
    let mut cluster = Cluster::new(1, |_| {});
    let publisher = cluster.add_publisher(|_| {});
    let id = cluster.open(publisher, "orders", A);
    let core = &mut cluster.publishers[publisher].publisher.core;
    while core.try_publish(id, 0, &[7; 16]).is_ok() {}
    cluster.drain(publisher);
    let before = stamped(&cluster).len();
    // Where the earlier ones were.
    let core = &mut cluster.publishers[publisher].publisher.core;
    assert!(core.try_claim(id, 0, 16).is_ok());
    cluster.drain(publisher);
    let entries = stamped(&cluster);
    assert_eq!(entries.len(), before + 1);
    assert_eq!(entries[before].3.bytes().filter(|byte| *byte != 0).count(), 0, "{:?}", entries[before].3);
}

#[test]
fn a_name_that_ends_early_in_c_is_refused() {
    let mut cluster = Cluster::new(1, |_| {});
    let publisher = cluster.add_publisher(|_| {});
    let core = &mut cluster.publishers[publisher].publisher.core;
    assert_eq!(core.open("orders\0of-others", A), None);
    assert!(core.open("orders", A).is_some());
}

#[test]
fn a_channel_that_takes_less_refuses_what_is_longer_whole_or_in_parts_and_names_its_limit() {
    let mut cluster = Cluster::new(1, |_| {});
    let (large, small) = (CHANNELS + 7, CHANNELS);
    let publisher = cluster.add_publisher(|limits| {
        limits.message_len_max_of = BTreeMap::from([(large, 1_450), (small, 100)]);
    });
    let id = cluster.open(publisher, "orders", A);
    let core = &mut cluster.publishers[publisher].publisher.core;
    assert_eq!(core.message_len_max_for(large), 1_450);
    assert_eq!(core.message_len_max_for(0), core.message_len_max());
    for (destination, max) in [(large, 1_450), (small, 100)] {
        let refused = PublishError::TooLongFor { destination, len: max + 1, max };
        assert_eq!(core.try_publish(id, destination, &vec![0; max + 1]), Err(refused));
        // Longer than any message: the channel's limit is the one that helps.
        let longest = core.try_publish(id, destination, &vec![0; 20_000]);
        assert_eq!(longest, Err(PublishError::TooLongFor { destination, len: 20_000, max }));
    }
    assert_eq!(
        core.try_claim(id, small, 101).map(|_| ()),
        Err(PublishError::TooLongFor { destination: small, len: 101, max: 100 })
    );
    let text = PublishError::TooLongFor { destination: large, len: 1_451, max: 1_450 }.to_string();
    assert!(text.contains("1451") && text.contains("channel 7, the limit is 1450"), "{text}");
    assert!(text.contains("`channels.*.message_len_max`"), "{text}");
    // Two parts of one length, whose whole is within the limit; and what is within it, or for somebody else.
    assert_eq!(core.try_publish(id, large, &[7; 1_450]), Ok(2));
    assert_eq!(core.try_publish(id, small, &[7; 100]), Ok(3));
    assert_eq!(core.try_publish(id, 0, &[7; 1_000]), Ok(4));
    cluster.drain(publisher);
    let lengths: Vec<_> = stamped(&cluster).iter().map(|(.., text)| text.len()).collect();
    assert_eq!(lengths, [725, 725, 100, 1_000], "nothing of what was refused is in the stream");
}

#[test]
fn a_full_window_is_backpressure_and_nothing_is_lost() {
    let mut cluster = Cluster::new(3, |_| {});
    let publisher = cluster.add_publisher(|limits| limits.window_entries = 4);
    let id = cluster.open(publisher, "orders", A);
    cluster.lost = |from, _, _| from == 101;
    cluster.publishers[publisher].publish(id, &["a", "b", "c", "d"]);
    let core = &mut cluster.publishers[publisher].publisher.core;
    assert_eq!(core.try_publish(id, 0, b"e"), Err(PublishError::Backpressure));
    cluster.run(10);
    let core = &mut cluster.publishers[publisher].publisher.core;
    assert_eq!(core.try_publish(id, 0, b"e"), Err(PublishError::Backpressure));
    cluster.lost = |_, _, _| false;
    cluster.drain(publisher);
    assert_eq!(cluster.publishers[publisher].publisher.core.try_publish(id, 0, b"e"), Ok(5));
}

#[test]
fn what_is_not_open_cannot_be_published_under() {
    let mut cluster = Cluster::new(1, |_| {});
    let publisher = cluster.add_publisher(|limits| limits.names_max = 2);
    let core = &mut cluster.publishers[publisher].publisher.core;
    assert_eq!(core.try_publish(1, 0, b"x"), Err(PublishError::NotOpen));
    assert_eq!(core.open("", A), None);
    assert_eq!(core.open(&"x".repeat(NAME_LEN_MAX + 1), A), None);
    assert_eq!((core.open("a", A), core.open("b", A), core.open("c", A)), (Some(0), Some(1), None));
    assert_eq!(core.try_publish(1, 0, b"x"), Err(PublishError::NotOpen), "not yet");
}

/// A publisher that has heard the log's start and heartbeat.
pub fn connected(log: &mut Log) -> (PublisherEngine<SimNet>, Vec<PublisherEvent>) {
    let limits = PublisherLimits {
        window_entries: 4,
        window_datagrams: 4,
        flight_datagrams: 4,
        names_max: 1,
        ..publisher_limits(Identity { replica: 1_000, incarnation: 1 }, 3)
    };
    let mut publisher = PublisherEngine::new(SimNet::default(), limits);
    publisher.net_mut().groups.extend([log.frames[1].clone(), log.heartbeat()]);
    let mut events = Vec::new();
    publisher.poll(1_000_000, Wall(1), 9, |event| events.push(event));
    assert!(publisher.core.is_connected());
    (publisher, events)
}

#[test]
fn a_publisher_is_told_once_that_the_cluster_takes_no_more() {
    let mut log = Log::begun(3);
    let (mut publisher, mut events) = connected(&mut log);
    for credit in [0, 0, 5, 0] {
        let heartbeat = log.heartbeat_with(|_, body| body.credit_entries = credit);
        publisher.net_mut().groups.push_back(heartbeat);
        publisher.poll(1_100_000, Wall(1), 9, |event| events.push(event));
    }
    use PublisherEvent::{Throttled, Unthrottled};
    assert_eq!(events, [Throttled, Unthrottled, Throttled]);
}

#[test]
fn a_handle_that_no_replica_can_bring_up_to_date_is_told_that_it_is_lost() {
    let mut log = Log::begun(3);
    let (mut publisher, mut events) = connected(&mut log);
    log.push(&["gone"]);
    publisher.net_mut().groups.push_back(log.heartbeat());
    let mut now = 1_000_000;
    for _ in 0..100 {
        now += 50_000;
        publisher.poll(now, Wall(1), 9, |event| events.push(event));
        for request in requests_in(&sent(publisher.net_mut())) {
            let from = request.to.ip().octets()[3];
            let answer = log.answer(u32::from(from), request.token, RepairReject::TooOld, 40);
            publisher.net_mut().unicast.push_back((answer, Some(request.to)));
        }
    }
    assert_eq!(events, [PublisherEvent::OutcomesUnknown]);
    assert!(publisher.core.outcomes().are_all_committed(), "it had nothing under way");
}

#[test]
fn a_node_of_another_history_tells_a_publisher_nothing() {
    let (mut log, other) = (Log::begun(3), Log::of_history(3, 0xbad));
    let (mut publisher, mut events) = connected(&mut log);
    publisher.core.open("orders", A);
    let reply = |log: &Log| {
        let header = Header { commit_next: log.end.next, ..log.header(Kind::QueryReply, identity(2)) };
        let mut body: QueryReplyBody = bytemuck::Zeroable::zeroed();
        (body.token, body.query_kind, body.publisher, body.incarnation) =
            (1, QueryKind::Publisher as u32, 3, 1);
        (body.nonce, body.publisher_seq) = (A, 9);
        written(|out| write_reply(out, &Keyring::none(CLUSTER), header, body))
    };
    for bytes in [reply(&other), reply(&log)] {
        publisher.net_mut().unicast.push_back((bytes, Some(address(2))));
        publisher.poll(1_200_000, Wall(1), 9, |event| events.push(event));
        if events.is_empty() {
            assert_eq!(publisher.core.counters.get(Counter::RejectedHistory), 1);
        }
    }
    log.commit_next = log.end.next;
    publisher.net_mut().groups.push_back(log.heartbeat());
    publisher.poll(1_300_000, Wall(1), 9, |event| events.push(event));
    assert_eq!(events, [PublisherEvent::Opened { ticket: 0, publisher: 3, publisher_seq: 10, last: 9 }]);
    assert_eq!(publisher.core.counters.get(Counter::RejectedHistory), 1);
}
