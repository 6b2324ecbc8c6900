//! The misuses that Rust can express. The status of a failure is what its `status()` says.

use super::Words;
use lockstep_client::{
    Cursor, CursorFile, Delivery, EVERYBODY, Endpoint, IoError, OpenError, Participant, ParticipantEvent,
    PublishError, PublisherEvent, RequestError, Start, Subscriber, SubscriberEvent,
};
use lockstep_streams::{MergedEvent, MergedStart, MergedSubscriber, StreamSet};
use lockstep_testkit::processes::Cluster;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
const OK: &str = "OK";

/// The one rule of Rust: each error of the client has its status.
trait Status {
    fn word(&self) -> &'static str;
}

impl Status for PublishError {
    fn word(&self) -> &'static str {
        self.status()
    }
}

impl Status for OpenError {
    fn word(&self) -> &'static str {
        self.status()
    }
}

impl Status for RequestError {
    fn word(&self) -> &'static str {
        self.status()
    }
}

impl Status for IoError {
    fn word(&self) -> &'static str {
        self.status()
    }
}

fn word<T, E: Status>(result: &Result<T, E>) -> &'static str {
    result.as_ref().err().map_or(OK, Status::word)
}

/// The message `number` of `publisher`, if the event is that, and whether it consists of `content`.
fn is_message(event: &ParticipantEvent<'_>, publisher: u32, number: u64, content: &[u8]) -> Option<bool> {
    match event {
        ParticipantEvent::Subscriber(SubscriberEvent::Message(message))
            if message.publisher == publisher && message.publisher_seq == number =>
        {
            Some(message.payload == content)
        }
        _ => None,
    }
}

fn is_committed(event: &ParticipantEvent<'_>, number: u64) -> bool {
    matches!(event, ParticipantEvent::Publisher(PublisherEvent::Committed { publisher_seq, .. })
        if *publisher_seq == number)
}

/// Polls until a message is delivered and committed, and some times more: whether that is so once.
fn once(participant: &mut Participant, publisher: u32, number: u64, content: &[u8]) -> &'static str {
    let (mut delivered, mut committed, mut more) = (0, 0, 0);
    while more < 20 {
        more += usize::from(delivered > 0 && committed > 0);
        participant.wait(Duration::from_millis(1)).expect("a descriptor");
        participant.poll(64, |event| {
            let is_it = is_message(&event, publisher, number, content);
            delivered += is_it.map_or(0, |is_it| if is_it { 1 } else { 100 });
            committed += usize::from(is_committed(&event, number));
            ControlFlow::Continue(())
        });
    }
    if (delivered, committed) == (1, 1) { OK } else { "NOT_ONCE" }
}

/// Publishes in the callback that a message of ours reaches.
fn publish_in_callback(participant: &mut Participant, publisher: u32) -> &'static str {
    let asked = participant.try_publish(publisher, EVERYBODY, b"ask").expect("room in the window");
    let mut published = None;
    while published.is_none() {
        participant.wait(Duration::from_millis(1)).expect("a descriptor");
        participant.poll_with(64, |event, publishing| {
            if let (Some(_), Some(publishing)) = (is_message(&event, publisher, asked, b"ask"), publishing) {
                published = Some(publishing.try_publish(publisher, EVERYBODY, b"answer"));
            }
            ControlFlow::Continue(())
        });
    }
    match published.expect("it was asked for") {
        Ok(number) => once(participant, publisher, number, b"answer"),
        Err(error) => error.word(),
    }
}

/// The word of a child of this process, which leaves it in a file.
fn in_child(cluster: &Cluster, mut word: impl FnMut() -> String) -> String {
    let path = cluster.path("words-of-a-child");
    let work = || std::fs::write(&path, word());
    let mut child = lockstep_process::fork::fork(work).expect("a child");
    while child.ended().expect("a child").is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::fs::read_to_string(&path).expect("the words of a child")
}

/// The words of calls in a child of this process; most often they are one.
fn in_child_with(cluster: &Cluster, participant: &mut Participant, publisher: u32) -> String {
    in_child(cluster, || {
        let go_on = |_: ParticipantEvent<'_>| ControlFlow::Continue(());
        let mut words = BTreeSet::from([
            word(&participant.try_publish(publisher, EVERYBODY, b"child")),
            word(&participant.try_claim(publisher, EVERYBODY, 8)),
            word(&participant.wait(Duration::ZERO)),
            word(&participant.request(publisher, EVERYBODY, b"child", PATIENCE, |_, _| None::<()>)),
            word(&participant.open("a-childs", PATIENCE, go_on)),
        ]);
        if participant.poll(64, go_on) + participant.flush() > 0 {
            words.insert("WORK");
        }
        words.into_iter().collect::<Vec<_>>().join(" ")
    })
}

/// The words of cursor files.
fn cursor_files(cluster: &Cluster) -> [(&'static str, String); 4] {
    let (path, damaged) = (cluster.path("reader.cursor"), cluster.path("damaged.cursor"));
    std::fs::write(&damaged, "here").expect("a file");
    let mut file = CursorFile::open(&path).expect("a file");
    let cursor = Cursor { history: 1, seq: 1, chain: 0 };
    [
        ("file-in-use", word(&CursorFile::open(&path)).to_owned()),
        ("file-damaged", word(&CursorFile::open(&damaged)).to_owned()),
        ("file-nowhere", word(&file.save(Cursor { seq: 0, ..cursor })).to_owned()),
        ("file-fork", in_child(cluster, || word(&file.save(cursor)).to_owned())),
    ]
}

/// The words of a merged subscriber, over the set of one stream that a file of one cluster is.
fn merged(cluster: &Cluster) -> [(&'static str, String); 1] {
    let set = StreamSet::from_file(cluster.config()).expect("a set");
    let mut merged = MergedSubscriber::connect(set, MergedStart::Beginning, PATIENCE).expect("a subscriber");
    let go_on = |_: MergedEvent<'_>| ControlFlow::Continue(());
    let child = in_child(cluster, || {
        let words = BTreeSet::from([word(&merged.poll(64, go_on)), word(&merged.wait(Duration::ZERO))]);
        words.into_iter().collect::<Vec<_>>().join(" ")
    });
    [("merged-fork", child)]
}

/// The words of requests.
fn requests(endpoint: &Endpoint, participant: &mut Participant, id: u32) -> [(&'static str, String); 3] {
    let go_on = |_: ParticipantEvent<'_>| ControlFlow::Continue(());
    let none = |_: ParticipantEvent<'_>, _| None::<()>;
    let connect = |start| Participant::connect(endpoint, Delivery::Committed, start).expect("a participant");
    let late = participant.request(id, EVERYBODY, b"ask", Duration::from_millis(1), none);
    let (mut first, mut second) = (connect(Start::Live), connect(Start::Live));
    let fenced = first.open("fenced", PATIENCE, go_on).expect("a name");
    second.open("fenced", PATIENCE, go_on).expect("a name");
    let fenced = first.request(fenced, EVERYBODY, b"ask", PATIENCE, none);
    let mut elsewhere = connect(Start::Cursor(Cursor { history: 1, seq: 1, chain: 1 }));
    while !elsewhere.is_ended() {
        elsewhere.wait(Duration::from_millis(1)).expect("a descriptor");
        elsewhere.poll(64, go_on);
    }
    let ended = elsewhere.request(id, EVERYBODY, b"ask", PATIENCE, none);
    [("request-late", late), ("request-fenced", fenced), ("request-ended", ended)]
        .map(|(misuse, answered)| (misuse, word(&answered).to_owned()))
}

/// The words of Rust.
pub(super) fn words(cluster: &Cluster) -> Words {
    let endpoint = Endpoint::from_file(cluster.config()).expect("an endpoint");
    let mut participant =
        Participant::connect(&endpoint, Delivery::Committed, Start::Live).expect("a participant");
    participant.begin(PATIENCE, |_| ControlFlow::Continue(())).expect("a leader");
    let mut open = |name: &str| participant.open(name, PATIENCE, |_| ControlFlow::Continue(()));
    let long = "x".repeat(65);
    let names = [("empty-name", ""), ("long-name", &long), ("zero-in-name", "a\0b")];
    let names = names.map(|(misuse, name)| (misuse, word(&open(name))));
    let id = open("misuses-rust").expect("a name");
    // The parent goes on behind it.
    let fork = [("fork".to_owned(), in_child_with(cluster, &mut participant, id))];
    let starts = [("start-zero", 0), ("start-negative", (-1_i64) as u64)];
    let starts = starts.map(|(name, seq)| {
        (name, word(&Subscriber::connect(&endpoint, Delivery::Committed, Start::From(seq))))
    });
    let too_long = vec![0; participant.message_len_max() + 1];
    let messages = [
        ("unknown-id", word(&participant.try_publish(12_345, EVERYBODY, b"x"))),
        ("too-long", word(&participant.try_publish(id, EVERYBODY, &too_long))),
        ("ahead", word(&participant.try_publish_at(id, 1_000, EVERYBODY, b"x"))),
        ("publish-in-callback", publish_in_callback(&mut participant, id)),
    ];
    let claimed = participant.try_claim(id, EVERYBODY, 8).map(|(number, _)| number);
    let claimed = claimed.map(|number| once(&mut participant, id, number, &[0; 8]));
    let claims = [("unwritten-claim", claimed.unwrap_or_else(|error| error.word()))];
    let all = names.into_iter().chain(starts).chain(messages).chain(claims);
    let all = all.map(|(name, word)| (name, word.to_owned())).chain(cursor_files(cluster));
    let all = all.chain(merged(cluster));
    let all = all.chain(requests(&endpoint, &mut participant, id));
    all.map(|(name, word)| (name.to_owned(), word)).chain(fork).collect()
}
