//! A participant on real sockets: it publishes and reads by one descriptor, and its counters are those of a
//! process.

use crate::support::Cluster;
use lockstep_client::{
    Counted, Delivery, Participant, ParticipantEvent, PublisherEvent, Start, SubscriberEvent,
};
use lockstep_io::counters::CountersReader;
use lockstep_node::{EVENT_KINDS, Node};
use lockstep_process::events::Recorder;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const MESSAGES: u64 = 200;

#[test]
fn a_participant_reads_what_it_publishes_before_its_outcome_and_sleeps_in_between() {
    let cluster = Cluster::new(1, super::SMALL);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (settings, stop) = (cluster.node(1), &stop);
        scope.spawn(move || {
            let node = Node::open(&settings).unwrap_or_else(|error| panic!("{error}"));
            let recorder = Recorder::new(EVENT_KINDS, 1024);
            node.run(stop, &recorder).unwrap_or_else(|error| panic!("{error}"));
        });
        let endpoint = cluster.endpoint();
        let mut participant = Participant::connect(&endpoint, Delivery::Committed, Start::Live).unwrap();
        let ignore = |_: ParticipantEvent<'_>| ControlFlow::Continue(());
        participant.begin(Duration::from_secs(20), ignore).unwrap();
        let mut counted =
            Counted::create_participant(&endpoint, "participant", &[], &mut participant).unwrap();
        let orders = participant
            .open("orders", Duration::from_secs(20), ignore)
            .unwrap_or_else(|error| panic!("{error}"));
        let (mut delivered, mut committed, begun) = (Vec::new(), Vec::new(), Instant::now());
        for number in 1..=MESSAGES {
            participant.try_publish(orders, 0, &number.to_le_bytes()).unwrap();
            while committed.len() < number as usize || delivered.len() < number as usize {
                assert!(begun.elapsed() < Duration::from_secs(60), "stuck at {number}");
                let work = participant.poll(64, |event| {
                    match event {
                        ParticipantEvent::Subscriber(SubscriberEvent::Message(message)) => {
                            delivered.push((message.seq, message.publisher_seq));
                        }
                        ParticipantEvent::Publisher(PublisherEvent::Committed {
                            publisher_seq, seq, ..
                        }) => {
                            committed.push((seq, publisher_seq));
                            assert_eq!(delivered.len(), committed.len(), "the message comes first");
                        }
                        _ => {}
                    }
                    ControlFlow::Continue(())
                });
                if work == 0 {
                    participant.wait(Duration::from_millis(10)).unwrap();
                }
            }
        }
        assert_eq!(delivered, committed);
        assert!(participant.is_drained() && !participant.is_ended());
        assert_eq!(participant.cursor().map(|cursor| cursor.seq), Some(participant.deliver_next()));
        counted.publish_participant(participant.now(), &[], &participant);
        let file = CountersReader::open(counted.place().1).unwrap_or_else(|error| panic!("{error}"));
        let value = |name: &str| file.value(name).unwrap_or_else(|| panic!("no counter {name}"));
        let datagrams = value("datagrams_in{handle=\"publisher\"}");
        assert_eq!(value("datagrams_in{handle=\"subscriber\"}"), datagrams, "one socket for both");
        assert_eq!(value("deliver_next{handle=\"subscriber\"}"), participant.deliver_next());
        assert_eq!(value("connected{handle=\"publisher\"}"), 1);
        stop.store(true, Ordering::Relaxed);
    });
}
