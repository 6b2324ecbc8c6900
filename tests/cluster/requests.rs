//! A request that a participant publishes, and the answer that an application publishes to it.

use lockstep_client::{
    Cursor, Delivery, EVERYBODY, Endpoint, Participant, ParticipantEvent, PublishError, PublisherEvent,
    RequestError, Seq, Start, SubscriberEvent,
};
use lockstep_testkit::processes::{Cluster, PATIENCE};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the application is silent.
const SILENCE: Duration = Duration::from_millis(300);
const REQUESTS: u64 = 60;
/// Messages of one: it, its answer, and one more that the application publishes with that.
const MESSAGES: usize = 3;

fn ignore(_: ParticipantEvent<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A participant with an open name.
fn participant(cluster: &Cluster, name: &str) -> (Participant, u32) {
    let endpoint = Endpoint::from_file(cluster.config()).expect("an endpoint");
    let mut participant =
        Participant::connect(&endpoint, Delivery::Committed, Start::Live).expect("a participant");
    participant.begin(PATIENCE, ignore).expect("a leader");
    let id = participant.open(name, PATIENCE, ignore).expect("a name");
    (participant, id)
}

/// An application that answers each message to everybody by two messages.
struct Application {
    is_over: Arc<AtomicBool>,
    is_silent: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Application {
    fn start(cluster: &Cluster, is_silent: bool) -> Self {
        let (mut participant, id) = participant(cluster, "application");
        let [is_over, is_silent] = [false, is_silent].map(|flag| Arc::new(AtomicBool::new(flag)));
        let flags = [Arc::clone(&is_over), Arc::clone(&is_silent)];
        let thread = std::thread::spawn(move || {
            let mut due = Vec::new();
            while !flags[0].load(Ordering::Relaxed) {
                participant.poll(64, |event| {
                    if let ParticipantEvent::Subscriber(SubscriberEvent::Message(message)) = event
                        && message.destination == EVERYBODY
                    {
                        let answer = format!("answer to {}", message.publisher_seq);
                        due.extend([(message.publisher, answer), (message.publisher, "more".to_owned())]);
                    }
                    ControlFlow::Continue(())
                });
                if !flags[1].load(Ordering::Relaxed) {
                    due.retain(|(to, text)| participant.try_publish(id, *to, text.as_bytes()).is_err());
                }
                participant.wait(Duration::from_millis(1)).expect("a descriptor");
            }
        });
        Self { is_over, is_silent, thread: Some(thread) }
    }

    fn go_on(&self) {
        self.is_silent.store(false, Ordering::Relaxed);
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()));
    }
}

/// The seq of the answer to `number`, if the event is that.
fn answer_to(event: &ParticipantEvent<'_>, to: u32, number: u64) -> Option<Seq> {
    match event {
        ParticipantEvent::Subscriber(SubscriberEvent::Message(message))
            if message.destination == to && message.payload == format!("answer to {number}").as_bytes() =>
        {
            Some(message.seq)
        }
        _ => None,
    }
}

/// What a program has received.
#[derive(Default)]
struct Seen {
    /// Places of messages.
    seqs: Vec<Seq>,
    /// Numbers of messages of its own.
    committed: Vec<u64>,
}

impl Seen {
    fn on(&mut self, event: &ParticipantEvent<'_>) {
        match event {
            ParticipantEvent::Subscriber(SubscriberEvent::Message(message)) => self.seqs.push(message.seq),
            ParticipantEvent::Publisher(PublisherEvent::Committed { publisher_seq, .. }) => {
                self.committed.push(*publisher_seq);
            }
            _ => {}
        }
    }
}

#[test]
fn each_request_has_its_answer_and_each_event_is_delivered_once_although_leaders_die() {
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    let _application = Application::start(&cluster, false);
    let (mut participant, id) = participant(&cluster, "requests");
    let (mut seen, mut answered) = (Seen::default(), Vec::new());
    for request in 1..=REQUESTS {
        if request % 20 == 0 {
            let leader = cluster.leader();
            let replica = &mut replicas[leader as usize - 1];
            replica.signal("KILL");
            replica.wait();
            *replica = cluster.start_replica(leader);
        }
        let asked = participant.request(id, EVERYBODY, b"ask", PATIENCE, |event, number| {
            seen.on(&event);
            answer_to(&event, id, number).map(|seq| (number, seq))
        });
        let (number, seq) = asked.expect("an answer");
        assert_eq!(seen.seqs.last(), Some(&seq), "what is behind the answer is left for the next poll");
        answered.push(number);
    }
    let all = MESSAGES * REQUESTS as usize;
    while !participant.is_drained() || seen.seqs.len() < all {
        participant.poll(64, |event| {
            seen.on(&event);
            ControlFlow::Continue(())
        });
        participant.wait(Duration::from_millis(1)).expect("a descriptor");
    }
    let numbers: Vec<_> = (1..=REQUESTS).collect();
    assert_eq!((&answered, &seen.committed), (&numbers, &numbers), "one answer and one outcome for each");
    assert_eq!(seen.seqs.len(), all, "each message once: {:?}", seen.seqs);
    assert!(seen.seqs.is_sorted_by(|one, next| one < next), "in the order of the stream: {:?}", seen.seqs);
}

#[test]
fn a_request_that_is_not_answered_in_time_says_so_and_its_answer_is_an_event_of_a_later_poll() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let application = Application::start(&cluster, true);
    let (mut participant, id) = participant(&cluster, "requests");
    let begun = Instant::now();
    let asked =
        participant.request(id, EVERYBODY, b"ask", SILENCE, |event, number| answer_to(&event, id, number));
    let error = asked.expect_err("the application is silent");
    assert!(begun.elapsed() >= SILENCE && error.status() == "TIMED_OUT", "{error}");
    assert!(matches!(error, RequestError::TimedOut { publisher_seq: 1, seq: Some(_), .. }), "{error}");
    assert!(error.to_string().contains("may be answered later"), "{error}");
    application.go_on();
    let mut late = None;
    while late.is_none() {
        participant.poll(64, |event| {
            late = late.or(answer_to(&event, id, 1));
            ControlFlow::Continue(())
        });
        participant.wait(Duration::from_millis(1)).expect("a descriptor");
    }
    let second = participant
        .request(id, EVERYBODY, b"ask", PATIENCE, |event, number| answer_to(&event, id, number))
        .expect("an answer");
    assert!(Some(second) > late);
}

#[test]
fn a_request_that_will_never_be_in_the_stream_is_refused_at_once_by_its_reason() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let (mut first, id) = participant(&cluster, "requests");
    let no_answer = |_: ParticipantEvent<'_>, _| None::<()>;
    let unknown = first.request(id + 1, EVERYBODY, b"ask", PATIENCE, no_answer).expect_err("no such id");
    assert!(matches!(unknown, RequestError::Publish(PublishError::NotOpen)), "{unknown}");
    // A newer process opens the name: the first one has not heard of it.
    let (_second, _) = participant(&cluster, "requests");
    let begun = Instant::now();
    let mut fenced = Vec::new();
    let asked = first.request(id, EVERYBODY, b"ask", PATIENCE, |event, number| {
        if let ParticipantEvent::Publisher(PublisherEvent::Fenced { publisher_seq, .. }) = event {
            fenced.push((publisher_seq, number));
        }
        None::<()>
    });
    let error = asked.expect_err("it is fenced");
    assert_eq!((error.status(), fenced.as_slice()), ("FENCED", &[(1, 1)][..]), "{error}");
    assert!(begun.elapsed() < PATIENCE / 2, "at once, and not when the time is over");
    let again = first.request(id, EVERYBODY, b"ask", PATIENCE, no_answer).expect_err("it is fenced");
    assert!(matches!(again, RequestError::Publish(PublishError::Fenced)), "{again}");
}

#[test]
fn a_request_is_not_published_where_no_answer_would_be_read() {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let endpoint = Endpoint::from_file(cluster.config()).expect("an endpoint");
    let elsewhere = Start::Cursor(Cursor { history: 1, seq: 1, chain: 1 });
    let mut participant =
        Participant::connect(&endpoint, Delivery::Committed, elsewhere).expect("a participant");
    let id = participant.open("requests", PATIENCE, ignore).expect("a name");
    while !participant.is_ended() {
        participant.poll(64, ignore);
        participant.wait(Duration::from_millis(1)).expect("a descriptor");
    }
    let error = participant
        .request(id, EVERYBODY, b"ask", PATIENCE, |_, _| None::<()>)
        .expect_err("the subscription has ended");
    assert!(matches!(error, RequestError::Ended { publisher_seq: 0 }), "{error}");
    assert_eq!((error.status(), participant.outcomes().open), ("UNANSWERED", 0));
}
