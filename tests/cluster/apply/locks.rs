//! Locks over a cluster: an election whose leader goes, while the replicas that serve it are killed.

use lockstep_client::{CHANNELS, Delivery, Endpoint, Publisher, Start, Subscriber, SubscriberEvent};
use lockstep_testkit::processes::{Cluster, PATIENCE, Process, free_address};
use std::ops::ControlFlow;
use std::process::Command;
use std::time::{Duration, Instant};

/// A program that takes part in the election: its name, and the answers to it.
struct Member {
    publisher: Publisher,
    id: u32,
    subscriber: Subscriber,
    answers: Vec<String>,
}

impl Member {
    fn join(cluster: &Cluster, name: &str) -> Self {
        let endpoint = Endpoint::from_file(cluster.config()).expect("the cluster's file");
        let subscriber =
            Subscriber::connect(&endpoint, Delivery::Committed, Start::From(1)).expect("a socket");
        let mut publisher = Publisher::connect(&endpoint).expect("a socket");
        let id = publisher.open(name, PATIENCE).expect("a leader");
        Self { publisher, id, subscriber, answers: Vec::new() }
    }

    fn request(&mut self, request: &str) {
        self.publisher.try_publish(self.id, CHANNELS + 9, request.as_bytes()).expect("room");
    }

    fn turn(&mut self) {
        self.publisher.poll(64, |_| {});
        let Self { subscriber, id, answers, .. } = self;
        subscriber.poll(64, |event| {
            if let SubscriberEvent::Message(message) = event
                && message.destination == *id
            {
                answers.push(String::from_utf8_lossy(message.payload).into_owned());
            }
            ControlFlow::Continue(())
        });
    }

    /// Waits for the answer `number` of all, which begins with `words`, and returns what follows.
    fn awaits(&mut self, number: usize, words: &str) -> String {
        let began = Instant::now();
        while self.answers.len() < number {
            self.turn();
            assert!(began.elapsed() < PATIENCE, "{words}: {:?}", self.answers);
            std::thread::sleep(Duration::from_millis(1));
        }
        let answer = &self.answers[number - 1];
        answer.strip_prefix(words).unwrap_or_else(|| panic!("{answer}, wanted {words}")).trim().to_owned()
    }
}

#[test]
fn a_lock_passes_to_the_next_one_with_a_greater_token_whoever_of_its_replicas_is_killed() {
    let Some(program) = super::example("locks") else { return };
    let cluster = Cluster::new(3, "");
    let _replicas = cluster.found();
    let addresses = [free_address(), free_address()];
    let start = |number: usize| -> Process {
        let mut command = Command::new(&program);
        command.current_dir(cluster.path("")).env("LOCKSTEP_CONFIG", cluster.config());
        command.args([number.to_string(), addresses[number - 1].to_string()]);
        cluster.start_command(&format!("locks-{number}"), command)
    };
    let mut replicas = [start(1), start(2)];
    let (mut one, mut two) = (Member::join(&cluster, "one"), Member::join(&cluster, "two"));
    one.request("lock leader");
    let first: u64 = one.awaits(1, "granted leader ").parse().expect("a token");
    two.request("lock leader");
    two.awaits(1, "waits leader 1");

    replicas[0].signal("KILL");
    replicas[0].wait();
    // It goes without a word for its lock, but closes its name.
    one.publisher.try_close(one.id, b"done").expect("room");
    one.turn();
    let second: u64 = two.awaits(2, "granted leader ").parse().expect("a token");
    assert!(second > first, "{second} fences {first}");

    replicas[0] = start(1);
    replicas[1].signal("KILL");
    replicas[1].wait();
    two.request("holder leader");
    let id = two.id;
    two.awaits(3, &format!("holder leader {id} {second}"));
    two.request("unlock leader now");
    two.awaits(4, "refused: ");
    two.request("unlock leader");
    two.awaits(5, "released leader");
}
