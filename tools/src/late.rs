//! # late: readers that begin somewhere, at some time
//!
//! Orders flow over a network that loses, doubles and reorders, and now and then the leader is killed and
//! started again. Meanwhile a reader begins at a random place of the stream, follows it to its commit of that
//! moment and ends. The tails are small: for most places it needs a replay, which it has to join with what is
//! live. Each reader's messages must be the very ones that all journals hold in the end.

use lockstep_memory::rng::Rng;
use lockstep_testkit::flow::{Feed, Stream};
use lockstep_testkit::processes::{Cluster, Ground, PRODUCT_TIMING};
use std::fmt;
use std::time::Duration;

/// Replicas of its cluster.
pub const REPLICAS: u32 = 3;
/// The publishers.
const NAMES: [&str; 2] = ["a", "b"];
/// Lines per second of each.
const PER_SECOND: u64 = 1_000;
/// Tails of some seconds, and what every process does to what it receives.
const MORE: &str = "\n[journal]\ntail_size = \"1MiB\"\nsegment_size = \"1MiB\"\n\n[stream]\nwindow_bytes = \"256KiB\"\n\n\
                    [fault_injection]\nloss = \"1%\"\nduplication = \"1%\"\nreordering = \"5%\"\n";
/// Between two readers, at most.
const PAUSE_MS: u64 = 300;
/// After so many readers the leader is killed.
const KILL_EVERY: u32 = 20;

/// What was shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shown {
    /// Readers that began, each somewhere else.
    pub readers: u32,
    /// Messages that they were given.
    pub delivered: u64,
    /// Messages of the stream.
    pub messages: u64,
    /// Leaders killed meanwhile.
    pub killed: u32,
    /// Replays that they needed, of those that the logs still tell of.
    pub replays: usize,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { readers, delivered, messages, killed, replays } = self;
        write!(
            f,
            "{readers} readers began somewhere and were given {delivered} messages, the very ones that all journals hold \
             ({messages} in all, {killed} leaders killed meanwhile, {replays} replays and more)"
        )
    }
}

/// Lets `times` readers begin, in a cluster on `ground`.
///
/// # Panics
/// A reader that was given something else than the journals hold, or nothing.
pub fn joiners(rng: &mut Rng, ground: Ground, times: u32) -> Shown {
    let cluster = Cluster::on(ground, &format!("{MORE}{PRODUCT_TIMING}"));
    let mut replicas = cluster.found();
    let feeds = NAMES.map(|name| Feed::start(&cluster, cluster.clients(), name, PER_SECOND, "50s"));
    let (mut reads, mut next, mut killed) = (Vec::new(), 1, 0);
    for number in 1..=times {
        std::thread::sleep(Duration::from_millis(rng.below(PAUSE_MS)));
        if number % KILL_EVERY == 0 {
            let leader =
                replicas.iter().position(|replica| lockstep_testkit::takeover::leads(&replica.log()));
            let index = leader.expect("one that says that it leads");
            replicas[index].signal("KILL");
            replicas[index].wait();
            replicas[index] = cluster.start_replica(index as u32 + 1);
            killed += 1;
        }
        let from = 1 + rng.below(next);
        let outcome =
            cluster.run(&["subscribe", "--until-end", "--from", &from.to_string()], b"").with_code(0);
        let read = Stream::of_text(&outcome.out);
        next = read.messages.last().map_or(next, |last| next.max(last.seq + 1));
        reads.push((from, read));
    }
    let results = feeds.map(Feed::finish);
    for result in &results {
        assert_eq!((result.code, result.published), (Some(0), result.committed), "{}", result.log);
    }
    let replays = replicas.iter().map(|replica| replica.log().matches("replay begins").count()).sum();
    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
    let journals = [1, 2, 3].map(|id| Stream::of_journal(&cluster.path(&format!("journal-{id}"))));
    for journal in &journals {
        journal.judge().unwrap_or_else(|why| panic!("{why}"));
        journal.agrees_with(&journals[0]).unwrap_or_else(|why| panic!("{why}"));
    }
    let longest = journals.iter().max_by_key(|journal| journal.messages.len()).expect("three of them");
    let mut delivered = 0;
    for (from, read) in &reads {
        let begin = longest.messages.partition_point(|message| message.seq < *from);
        let expected = &longest.messages[begin..];
        assert!(
            read.messages.len() <= expected.len() && read.messages == expected[..read.messages.len()],
            "a reader from seq {from} on was given something else"
        );
        delivered += read.messages.len() as u64;
    }
    let messages = results.iter().map(|result| result.committed).sum();
    assert_eq!(longest.messages.len() as u64, messages, "what was committed is in a journal");
    Shown { readers: times, delivered, messages, killed, replays }
}
