//! Requests of every language beside an application that answers them, while leaders are killed.

use super::{while_leaders_are_killed, with_cluster};
use lockstep_client::{Delivery, EVERYBODY, Endpoint, Participant, ParticipantEvent, Start, SubscriberEvent};
use lockstep_testkit::processes::{Cluster, PATIENCE, run};
use std::ops::ControlFlow;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// An application that answers each message to everybody to its publisher: `answer to NUMBER`, and then
/// `more`. It answers one that consists of `later` when the next one comes.
struct Application {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Application {
    fn start(cluster: &Cluster) -> Self {
        let endpoint = Endpoint::from_file(cluster.config()).expect("an endpoint");
        let ignore = |_: ParticipantEvent<'_>| ControlFlow::Continue(());
        let mut participant =
            Participant::connect(&endpoint, Delivery::Committed, Start::Live).expect("a participant");
        participant.begin(PATIENCE, ignore).expect("a leader");
        let id = participant.open("application", PATIENCE, ignore).expect("a name");
        let is_over = Arc::new(AtomicBool::new(false));
        let is_over_here = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            let (mut due, mut is_silent) = (Vec::new(), false);
            while !is_over_here.load(Ordering::Relaxed) {
                participant.poll(64, |event| {
                    if let ParticipantEvent::Subscriber(SubscriberEvent::Message(message)) = event
                        && message.destination == EVERYBODY
                    {
                        is_silent = message.payload == b"later";
                        let answer = format!("answer to {}", message.publisher_seq);
                        due.extend([(message.publisher, answer), (message.publisher, "more".to_owned())]);
                    }
                    ControlFlow::Continue(())
                });
                if !is_silent {
                    due.retain(|(to, text)| participant.try_publish(id, *to, text.as_bytes()).is_err());
                }
                participant.wait(Duration::from_millis(1)).expect("a descriptor");
            }
        });
        Self { is_over, thread: Some(thread) }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || ended.is_some_and(|ended| ended.is_ok()));
    }
}

/// Runs a program of another language that makes requests until it has seen takeovers, beside a cluster whose
/// leaders are killed.
pub(super) fn answered_while_leaders_are_killed(command: Command) {
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    let _application = Application::start(&cluster);
    let out = while_leaders_are_killed(&cluster, &mut replicas, command).out;
    println!("{}", out.trim_end());
    assert!(out.contains("requests, each with its answer"), "{out}");
}

/// Runs a program of another language one of whose requests is not answered in its time, beside one process.
pub(super) fn answered_late(command: Command) {
    let cluster = Cluster::new(1, "");
    let _replicas = cluster.found();
    let _application = Application::start(&cluster);
    let out = run(with_cluster(command, &cluster), b"").with_code(0).out;
    assert!(out.contains("answered later"), "{out}");
}
