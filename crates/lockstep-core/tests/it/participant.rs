//! A participant is a publisher and a subscriber on one device, and nothing else: what the two report and
//! send is what two handles do.

use lockstep_core::engine::UNICAST_TURNS;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::participant::ParticipantEngine;
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_core::engine::publisher::{PublishError, PublisherEngine, PublisherEvent};
use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::subscriber::{Delivery, SubscriberEngine};
use lockstep_memory::cluster::{Cluster, ParticipantNode};
use lockstep_memory::log::Log;
use lockstep_memory::net::{SimNet, To};
use lockstep_memory::reader::{News, owned};
use lockstep_memory::rng::Rng;
use lockstep_memory::world::*;
use lockstep_wire::*;
use std::cell::Cell;
use std::collections::VecDeque;
use std::net::SocketAddrV4;
use std::ops::ControlFlow;

const MS: Nanos = 1_000_000;
const PUBLISHER: Identity = Identity { replica: 1_000, incarnation: 1 };
const SUBSCRIBER: Identity = Identity { replica: 2_000, incarnation: 5 };
const NONCE: [u64; 2] = [1, 1];
/// The publisher's id in logs that are made by hand.
const ID: PublisherId = 7;
/// Requests of a participant's subscriber are numbered behind this.
const SUBSCRIBER_TOKENS: u64 = 1 << 63;

fn participant(delivery: Delivery, start: Start) -> ParticipantNode {
    ParticipantNode::new(publisher_limits(PUBLISHER, 3), subscriber_limits(SUBSCRIBER, 3, delivery, start))
}

/// Two handles, each on a device of its own.
struct Handles {
    publisher: PublisherEngine<SimNet>,
    subscriber: SubscriberEngine<SimNet>,
    events: Vec<PublisherEvent>,
    stream: Vec<News>,
}

impl Handles {
    fn new(delivery: Delivery, start: Start) -> Self {
        Self {
            publisher: PublisherEngine::new(SimNet::default(), publisher_limits(PUBLISHER, 3)),
            subscriber: SubscriberEngine::new(
                SimNet::default(),
                subscriber_limits(SUBSCRIBER, 3, delivery, start),
            ),
            events: Vec::new(),
            stream: Vec::new(),
        }
    }

    fn poll(&mut self, now: Nanos, wall: Wall) {
        self.subscriber.poll(now, 100, |event| {
            self.stream.extend(owned(&event));
            ControlFlow::Continue(())
        });
        self.publisher.poll(now, wall, 100, |event| self.events.push(event));
    }
}

/// A frame of `log` as replica 2 repairs it.
fn repaired(log: &Log, token: u64, frame: &[u8]) -> Vec<u8> {
    let repairer = (identity(2), HISTORY);
    let trailer = repair_trailer(&Keyring::none(CLUSTER), repairer, log.epoch, log.commit_next, token, frame);
    [frame, &trailer].concat()
}

/// A participant and two handles, on the same datagrams at the same times.
struct Both {
    node: ParticipantNode,
    handles: Handles,
    now: Nanos,
    turns: u64,
    log: Log,
    /// Repairs under way, with the tokens of their requests.
    repairs: VecDeque<(u64, Vec<u8>)>,
    /// The last message that was handed in, and the last that was stamped.
    handed_in: PublisherSeq,
    stamped: PublisherSeq,
}

impl Both {
    fn new(delivery: Delivery) -> Self {
        let start = Start::From(1);
        let mut both = Self {
            node: participant(delivery, start),
            handles: Handles::new(delivery, start),
            now: MS,
            turns: 0,
            log: Log::begun(3),
            repairs: VecDeque::new(),
            handed_in: 0,
            stamped: 0,
        };
        for core in [&mut both.node.participant.publisher, &mut both.handles.publisher.core] {
            core.open("orders", NONCE);
        }
        both
    }

    /// A datagram of a group comes to all.
    fn hear(&mut self, bytes: &[u8]) {
        let Self { node, handles, .. } = self;
        for net in [node.participant.net_mut(), handles.publisher.net_mut(), handles.subscriber.net_mut()] {
            net.groups.push_back(bytes.to_vec());
        }
    }

    /// Repairs arrive, in a turn in which everybody polls its unicast socket, and no more than it takes. The
    /// handle that did not ask receives a repair under a token that it never had.
    fn receive_repairs(&mut self) {
        let Self { node, handles, log, repairs, .. } = self;
        for (token, frame) in repairs.drain(..repairs.len().min(16)) {
            let own = token & !SUBSCRIBER_TOKENS;
            let is_publishers = token == own;
            let [of_publisher, of_subscriber] =
                if is_publishers { [own, own | SUBSCRIBER_TOKENS] } else { [token, own] };
            let copy = |token| (repaired(log, token, &frame), Some(address(2)));
            node.participant.net_mut().unicast.push_back(copy(token));
            handles.publisher.net_mut().unicast.push_back(copy(of_publisher));
            handles.subscriber.net_mut().unicast.push_back(copy(of_subscriber));
        }
    }

    /// Both publish the next message, if the name is open.
    fn publish(&mut self) {
        let text = format!("{} stamped in epoch {}", self.handed_in + 1, self.log.epoch.round());
        let cores = [&mut self.node.participant.publisher, &mut self.handles.publisher.core];
        let [one, other] = cores.map(|core| core.try_publish(ID, 0, text.as_bytes()));
        assert_eq!(one, other);
        match one {
            Ok(number) => self.handed_in = number,
            Err(PublishError::NotOpen | PublishError::Backpressure) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// A turn of all, after which they have reported and sent the same. Returns the requests for repair, with
    /// the tokens that the participant gave them.
    fn turn(&mut self) -> Vec<Request> {
        self.turns += 1;
        if self.turns.is_multiple_of(UNICAST_TURNS) {
            self.receive_repairs();
        }
        self.now += 50_000;
        let (now, wall) = (self.now, Wall(self.now + 1_700_000_000_000_000_000));
        self.node.poll(now, wall, 100);
        self.handles.poll(now, wall);
        assert_eq!(self.node.stream, self.handles.stream);
        assert_eq!(self.node.events, self.handles.events);
        let together = sent(self.node.participant.net_mut());
        let mut apart = sent(self.handles.subscriber.net_mut());
        apart.extend(sent(self.handles.publisher.net_mut()));
        let (asked, wanted) = (requests_in(&together), requests_in(&apart));
        let place = |request: &Request, token| {
            (request.to, request.header.identity(), request.header.number, token, request.ranges.clone())
        };
        let in_common = |request: &Request| place(request, request.token & !SUBSCRIBER_TOKENS);
        assert_eq!(
            asked.iter().map(in_common).collect::<Vec<_>>(),
            wanted.iter().map(|request| place(request, request.token)).collect::<Vec<_>>()
        );
        let others = |sent: Vec<(To, Vec<u8>)>| {
            sent.into_iter().filter(|(_, bytes)| bytes[5] != Kind::Nack as u8).collect::<Vec<_>>()
        };
        assert_eq!(others(together), others(apart));
        asked
    }

    /// Something happens in the cluster. Returns its datagram, if it has one.
    fn event(&mut self, rng: &mut Rng) -> Option<Vec<u8>> {
        let next = self.log.end.next;
        match rng.below(8) {
            0 | 1 => {
                self.publish();
                None
            }
            2 if self.handed_in > self.stamped => {
                let numbers: Vec<_> = (self.stamped + 1..=self.handed_in).collect();
                self.stamped = self.handed_in;
                Some(self.log.push_of(ID, &numbers))
            }
            2 | 3 => Some(self.log.push(&["of another publisher"])),
            4 => Some(self.log.ack(2 + rng.below(2) as u32, next)),
            5 => {
                self.log.commit_next = next;
                Some(self.log.heartbeat())
            }
            6 if rng.below(6) == 0 => {
                let round = self.log.epoch.round() + 1;
                self.log.commit_next = next;
                Some(self.log.begin(epoch(round, 1 + round % 3), &member_list(3)))
            }
            _ => {
                let mut bytes = self.log.heartbeat();
                bytes[20] ^= 1;
                Some(bytes)
            }
        }
    }
}

#[test]
fn a_participant_reports_and_sends_what_two_handles_on_the_same_datagrams_do() {
    let (mut messages, mut committed, mut asked) = (0, 0, 0);
    for seed in 0..60_u64 {
        let rng = &mut Rng::new(seed);
        let mut both =
            Both::new(if seed.is_multiple_of(2) { Delivery::Committed } else { Delivery::Stamped });
        for frame in both.log.frames.clone() {
            both.hear(&frame);
        }
        let begun = both.log.heartbeat();
        both.hear(&begun);
        let open = both.log.push_open("orders", (ID, NONCE), 1, 0);
        both.hear(&open);
        for _ in 0..300 {
            if let Some(bytes) = both.event(rng) {
                for _ in 0..rng.pick(&[0, 1, 1, 1, 1, 2]) {
                    both.hear(&bytes);
                }
            }
            for request in both.turn() {
                asked += 1;
                for (from, to) in request.ranges {
                    for index in 0..both.log.frames.len() {
                        let header = Header::peek(&both.log.frames[index]).expect("a frame");
                        let overlaps = header.first_seq < to && header.next_seq() > from;
                        if overlaps && rng.below(4) > 0 {
                            both.repairs.push_back((request.token, both.log.frames[index].clone()));
                        }
                    }
                }
            }
        }
        let halves = &both.node.participant;
        let counts =
            |counter| (halves.publisher.counters.get(counter), halves.subscriber.counters.get(counter));
        let handles = &both.handles;
        let of_handles = |counter| {
            (handles.publisher.core.counters.get(counter), handles.subscriber.core.counters.get(counter))
        };
        for counter in [Counter::DatagramsIn, Counter::FramesAccepted, Counter::Resends, Counter::NacksOut] {
            assert_eq!(counts(counter), of_handles(counter), "{counter:?}");
        }
        messages += both.node.stream.iter().filter(|event| matches!(event, News::Message(..))).count();
        let is_committed = |event: &&PublisherEvent| matches!(event, PublisherEvent::Committed { .. });
        committed += both.node.events.iter().filter(is_committed).count();
    }
    assert!(messages > 1_000 && committed > 500 && asked > 200, "{messages} {committed} {asked}");
}

/// A device that counts how often each datagram is taken out of it.
struct CountingNet {
    net: SimNet,
    taken: Cell<u64>,
}

impl Net for CountingNet {
    fn recv_groups(&mut self) -> usize {
        self.net.recv_groups()
    }
    fn is_drained(&self) -> bool {
        self.net.is_drained()
    }
    fn group_datagram(&self, index: usize) -> &[u8] {
        self.taken.set(self.taken.get() + 1);
        self.net.group_datagram(index)
    }
    fn recv_unicast(&mut self) -> usize {
        self.net.recv_unicast()
    }
    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        self.taken.set(self.taken.get() + 1);
        self.net.unicast_datagram(index)
    }
    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        self.net.send_group(group, bursts)
    }
    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        self.net.send_unicast(to, parts)
    }
}

#[test]
fn each_datagram_is_taken_out_of_the_device_once_and_counted_by_both_halves() {
    let mut log = Log::begun(3);
    let net = CountingNet { net: SimNet::default(), taken: Cell::new(0) };
    let publisher = publisher_limits(PUBLISHER, 3);
    let subscriber = subscriber_limits(SUBSCRIBER, 3, Delivery::Stamped, Start::From(1));
    let mut participant = ParticipantEngine::new(net, publisher, subscriber);
    let mut garbled = log.heartbeat();
    garbled[20] ^= 1;
    let frames = log.frames.clone();
    let group = [frames[0].clone(), frames[1].clone(), garbled, log.push(&["a"])];
    let datagrams = group.len() as u64 + 1;
    participant.net_mut().net.groups.extend(group);
    participant.net_mut().net.unicast.push_back((log.repair(2, 2, 4), Some(address(2))));
    for turn in 1..=8 {
        participant.poll(MS * turn, Wall(MS * turn), 100, |_| ControlFlow::Continue(()));
    }
    assert_eq!(participant.net().taken.get(), datagrams);
    for counters in [&participant.publisher.counters, &participant.subscriber.counters] {
        assert_eq!(counters.get(Counter::DatagramsIn), datagrams);
        let rejects = &counters.values()[Counter::RejectedShort as usize..][..Reject::NAMES.len()];
        assert_eq!(rejects.iter().sum::<u64>(), 1);
    }
}

#[test]
fn a_publisher_in_a_participant_resends_after_loss() {
    let mut cluster = Cluster::new(3, |_| {});
    let id = cluster.add_participant(Delivery::Committed, "orders", NONCE);
    cluster.lost = |from, _, bytes| from == 201 && bytes[5] == Kind::Submission as u8;
    let core = &mut cluster.participants[0].participant.publisher;
    let numbers = ["a", "b"].map(|text| core.try_publish(id, 0, text.as_bytes()).expect("room"));
    cluster.run(100);
    let messages = |cluster: &Cluster| {
        let stream = cluster.participants[0].stream.iter();
        let texts = stream.filter_map(|event| match event {
            News::Message(_, text) => Some(text.clone()),
            _ => None,
        });
        texts.collect::<Vec<_>>()
    };
    assert!(messages(&cluster).is_empty());
    cluster.lost = |_, _, _| false;
    let drained = cluster.run_until(|cluster| cluster.participants[0].participant.publisher.is_drained());
    assert!(drained, "{:?}", cluster.participants[0].events);
    assert_eq!(messages(&cluster), ["a", "b"]);
    let node = &cluster.participants[0];
    let committed = node.events.iter().filter_map(|event| match event {
        PublisherEvent::Committed { publisher_seq, .. } => Some(*publisher_seq),
        _ => None,
    });
    assert_eq!(committed.collect::<Vec<_>>(), numbers);
    assert!(node.participant.publisher.counters.get(Counter::Resends) > 0);
}

#[test]
fn what_follows_from_a_message_is_published_in_the_callback_that_delivers_it() {
    let mut cluster = Cluster::new(3, |_| {});
    let id = cluster.add_participant(Delivery::Committed, "orders", NONCE);
    cluster.participants[0].answers_as = Some(id);
    let core = &mut cluster.participants[0].participant.publisher;
    for _ in 0..3 {
        core.try_publish(id, 0, b"ask").expect("room");
    }
    let outcomes = |cluster: &Cluster| cluster.participants[0].participant.publisher.outcomes();
    assert!(cluster.run_until(|cluster| outcomes(cluster).committed == 6), "{}", outcomes(&cluster));
    cluster.run(20);
    let texts = cluster.participants[0].stream.iter().filter_map(|event| match event {
        News::Message(_, text) => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(texts.collect::<Vec<_>>(), ["ask", "ask", "ask", "answer", "answer", "answer"]);
}

#[test]
fn an_application_that_stops_the_stream_holds_up_no_outcome_and_loses_nothing() {
    let mut cluster = Cluster::new(3, |_| {});
    let id = cluster.add_participant(Delivery::Stamped, "orders", NONCE);
    cluster.participants[0].stops = true;
    let stream = |cluster: &Cluster| {
        let events = cluster.participants[0].stream.iter();
        events.filter(|event| matches!(event, News::Message(..))).count()
    };
    for _ in 0..40 {
        let core = &mut cluster.participants[0].participant.publisher;
        core.try_publish(id, 0, b"order").expect("room");
    }
    let drained = cluster.run_until(|cluster| cluster.participants[0].participant.publisher.is_drained());
    assert!(drained, "{:?}", cluster.participants[0].events);
    assert!(stream(&cluster) < 30, "one message a turn: {}", stream(&cluster));
    assert!(cluster.run_until(|cluster| stream(cluster) == 40), "{}", stream(&cluster));
}

#[test]
fn a_refused_subscription_leaves_the_publisher_of_its_participant_alone() {
    let mut log = Log::begun(3);
    let cursor = Cursor { history: HISTORY, seq: 2, chain: 0xbad };
    let mut node = participant(Delivery::Committed, Start::Cursor(cursor));
    node.participant.publisher.open("orders", NONCE);
    let at_begin = log.heartbeat();
    let open = log.push_open("orders", (ID, NONCE), 1, 0);
    log.commit_next = log.end.next;
    let begun = [log.frames[1].clone(), at_begin, open, log.heartbeat()];
    node.participant.net_mut().groups.extend(begun);
    node.poll(MS, Wall(MS), 100);
    assert!(node.participant.subscriber.is_ended(), "{:?}", node.stream);
    let (reported, stream) = (node.stream.len(), node.stream.clone());
    assert!(matches!(stream.last(), Some(News::Refused(Some(ReplayEndReason::ChainMismatch)))), "{stream:?}");
    let number = node.participant.publisher.try_publish(ID, 0, b"1 stamped in epoch 1").expect("it is open");
    let frame = log.push_of(ID, &[number]);
    log.commit_next = log.end.next;
    node.participant.net_mut().groups.extend([frame, log.heartbeat()]);
    node.poll(2 * MS, Wall(2 * MS), 100);
    let outcome = PublisherEvent::Committed { publisher: ID, publisher_seq: number, seq: 4 };
    assert_eq!(node.events.last(), Some(&outcome));
    assert_eq!(node.stream.len(), reported, "nothing more of the stream: {:?}", node.stream);
}

#[test]
fn a_publisher_that_is_lost_leaves_the_subscription_of_its_participant_alone() {
    let mut log = Log::begun(3);
    // What the publisher misses lies before the place where the subscription begins.
    let mut node = participant(Delivery::Stamped, Start::From(4));
    node.participant.net_mut().groups.extend([log.frames[1].clone(), log.heartbeat()]);
    node.poll(MS, Wall(MS), 100);
    log.push(&["gone"]);
    let frame = log.push(&["read"]);
    node.participant.net_mut().groups.push_back(frame);
    let mut now = MS;
    for _ in 0..100 {
        now += 50_000;
        node.poll(now, Wall(now), 100);
        for request in requests_in(&sent(node.participant.net_mut())) {
            assert!(request.token < SUBSCRIBER_TOKENS, "the subscription misses nothing: {request:?}");
            let from = u32::from(request.to.ip().octets()[3]);
            let answer = log.answer(from, request.token, RepairReject::TooOld, 40);
            node.participant.net_mut().unicast.push_back((answer, Some(request.to)));
        }
    }
    assert_eq!(node.events, [PublisherEvent::OutcomesUnknown]);
    assert!(node.participant.publisher.is_lost());
    assert_eq!(node.participant.subscriber.counters.get(Counter::RefusalsIn), 0, "another half's answers");
    let frame = log.push(&["later"]);
    node.participant.net_mut().groups.push_back(frame);
    node.poll(now + MS, Wall(now + MS), 100);
    let messages: Vec<_> = node.stream.iter().filter(|event| matches!(event, News::Message(..))).collect();
    assert_eq!(messages, [&News::Message(4, "read".into()), &News::Message(5, "later".into())]);
}

#[test]
fn a_participant_of_which_both_halves_have_ended_receives_nothing_and_has_nothing_due() {
    let mut log = Log::begun(3);
    let cursor = Cursor { history: HISTORY, seq: 2, chain: 0xbad };
    let mut node = participant(Delivery::Committed, Start::Cursor(cursor));
    node.participant.net_mut().groups.extend([log.frames[1].clone(), log.heartbeat()]);
    node.poll(MS, Wall(MS), 100);
    log.push(&["gone"]);
    node.participant.net_mut().groups.push_back(log.heartbeat());
    let mut now = MS;
    while !node.participant.publisher.is_lost() {
        assert!(now < 1_000 * MS, "{:?}", node.events);
        assert!(node.participant.next_deadline() < Nanos::MAX, "the publisher asks");
        now += 50_000;
        node.poll(now, Wall(now), 100);
        for request in requests_in(&sent(node.participant.net_mut())) {
            let from = u32::from(request.to.ip().octets()[3]);
            let answer = log.answer(from, request.token, RepairReject::TooOld, 40);
            node.participant.net_mut().unicast.push_back((answer, Some(request.to)));
        }
    }
    node.participant.net_mut().groups.push_back(log.heartbeat());
    let waiting = node.participant.net().groups.len();
    node.poll(now + MS, Wall(now + MS), 100);
    assert_eq!(node.participant.net().groups.len(), waiting);
    assert_eq!(node.participant.next_deadline(), Nanos::MAX);
}
