//! # joins: how long a blank node takes to vote in a long stream whose beginning is gone
//!
//! Three replicas on the loopback publish so many bytes, and keep only the newest of them. Then one member is
//! lost, and a blank node takes its place while messages go on.
//!
//! ```text
//!  bytes ────────────────────────────────▶ │ kept │ ──▶ a blank node: tables, what is kept, the vote
//!          removed from every journal
//! ```
//!
//! Retention never removes the newest frame's UTC day, and all of this happens within one. So between two
//! parts of the stream each node in turn is stopped, trimmed by the operator's command, and started again.

use lockstep_client::{EVERYBODY, Endpoint, PublishError, Publisher, PublisherEvent, PublisherId};
use lockstep_testkit::flow::Feed;
use lockstep_testkit::processes::{Cluster, Ground, Process};
use serde_json::Value;
use std::fmt;
use std::time::{Duration, Instant};

/// Replicas of its cluster.
const REPLICAS: u32 = 3;
/// Bytes of a message: what one frame at [`MTU`] holds.
const MESSAGE_LEN: usize = 8_000;
/// Of the loopback, which takes more.
const MTU: &str = "mtu = 9000\n";
/// Journals as by default; a loaded host is no dead leader.
const TABLES: &str = "\n[journal]\ntail_size = \"64MiB\"\nsegment_size = \"64MiB\"\nretention_size = \"RETAINED\"\n\n[stream]\n\
                      window_bytes = \"16MiB\"\n\n[timing]\nheartbeat_interval = \"1ms\"\nfailure_timeout = \"1s\"\nfailure_timeout_max = \"2s\"\n";
/// Lines per second while the node joins.
const PER_SECOND: u64 = 1_000;
/// Longer than any step takes.
const PATIENCE: &str = "30min";
/// Nothing is committed for so long: the cluster is stuck.
const STUCK: Duration = Duration::from_secs(60);

/// What was measured.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Shown {
    /// Bytes of messages that were published.
    pub published: u64,
    /// How long that took, without the trims.
    pub publishing: Duration,
    /// The first seq that any journal still has.
    pub oldest_seq: u64,
    /// Bytes of the journal that the blank node wrote.
    pub joined: u64,
    /// From its start to its vote.
    pub joining: Duration,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { published, publishing, oldest_seq, joined, joining } = *self;
        let gigabytes = |bytes: u64| bytes as f64 / 1e9;
        let rate = |bytes: u64, time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
        write!(
            f,
            "{:.1} GB published at {:.0} MB/s, nothing is kept before seq {oldest_seq}: a blank node voted after {:.1} s, \
             with a journal of {:.2} GB at {:.0} MB/s",
            gigabytes(published),
            rate(published, publishing),
            joining.as_secs_f64(),
            gigabytes(joined),
            rate(joined, joining)
        )
    }
}

/// Publishes `bytes`, of which journals keep some more than the newest `retained`; replaces replica 3 by a
/// blank node.
///
/// # Panics
/// The cluster does not do what it is asked for.
pub fn joins(bytes: u64, retained: u64) -> Shown {
    let cluster =
        Cluster::on(Ground::loopback(REPLICAS), &TABLES.replace("RETAINED", &format!("{retained}B")));
    let text = std::fs::read_to_string(cluster.config()).expect("the configuration");
    let text = text.replacen("ttl = 0\n", &format!("ttl = 0\n{MTU}"), 1);
    std::fs::write(cluster.config(), text).expect("writing the configuration");
    let mut replicas = cluster.found();
    let (mut published, mut publishing) = (0, Duration::ZERO);
    while published < bytes {
        let part = retained.min(bytes - published);
        publishing += Load::connect(&cluster).publish(part);
        published += part;
        trim(&cluster, &mut replicas, published.saturating_sub(retained) / MESSAGE_LEN as u64);
    }
    let oldest = |id: u32| number(&cluster, id, "oldest_seq");
    let oldest_seq = (1..=REPLICAS).map(oldest).min().unwrap_or_default();
    let feed = Feed::start(&cluster, cluster.clients(), "flow", PER_SECOND, "60s");

    let mut lost = replicas.pop().expect("replica 3");
    lost.signal("KILL");
    lost.wait();
    let old = member(&cluster, REPLICAS);
    std::fs::remove_dir_all(cluster.path("journal-3")).expect("a journal");
    std::fs::remove_file(cluster.path("tail-3")).expect("a tail");
    let new = cluster.format(REPLICAS);
    let began = Instant::now();
    replicas.push(cluster.start_replica(REPLICAS));
    cluster.run(&["membership", "replace", &old, &new, "--timeout", PATIENCE], b"").with_code(0);
    let joining = began.elapsed();

    // It votes: without another member nothing is committed but by its acks.
    let joined = number(&cluster, REPLICAS, "bytes");
    let mut other = replicas.remove(0);
    other.signal("KILL");
    other.wait();
    cluster.run(&["wait", "--for", "leader", "--timeout", "60s"], b"").with_code(0);
    let result = feed.finish();
    assert_eq!((result.code, result.published), (Some(0), result.committed), "{}", result.log);
    Shown { published, publishing, oldest_seq, joined, joining }
}

/// A number that `journal info` tells of replica `id`.
fn number(cluster: &Cluster, id: u32, key: &str) -> u64 {
    let info = cluster.run(&["journal", "info", "--replica", &id.to_string(), "--json"], b"").with_code(0);
    let info: Value = serde_json::from_str(&info.out).expect("JSON");
    info[key].as_u64().unwrap_or_else(|| panic!("{key}: {info}"))
}

/// The identity of member `id`.
fn member(cluster: &Cluster, id: u32) -> String {
    let shown = cluster.run(&["membership", "show", "--json"], b"").with_code(0).out;
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let members = shown["members"].as_array().expect("a list");
    let mut identities = members.iter().filter_map(|member| member["identity"].as_str());
    let begins = format!("{id}:");
    identities.find(|identity| identity.starts_with(&begins)).expect("a member").to_owned()
}

/// Removes from each journal what lies before that seq, one node after the other.
fn trim(cluster: &Cluster, replicas: &mut [Process], before: u64) {
    let before = before.to_string();
    for (replica, id) in replicas.iter_mut().zip(1..) {
        cluster.run(&["wait", "--for", "caught-up", "--timeout", PATIENCE], b"").with_code(0);
        replica.signal("TERM");
        assert!(replica.wait().success(), "{}", replica.log());
        let id_text = id.to_string();
        let args = ["journal", "trim", "--replica", &id_text, "--before", &before, "--accept-loss", "--yes"];
        cluster.run(&args, b"").with_code(0);
        *replica = cluster.start_replica(id);
        cluster.run(&["wait", "--for", "caught-up", "--timeout", PATIENCE], b"").with_code(0);
    }
}

/// A publisher that is as fast as the cluster.
struct Load {
    publisher: Publisher,
    id: PublisherId,
}

impl Load {
    fn connect(cluster: &Cluster) -> Self {
        let endpoint = Endpoint::from_file(cluster.config()).unwrap_or_else(|error| panic!("{error}"));
        let mut publisher = Publisher::connect(&endpoint).unwrap_or_else(|error| panic!("{error}"));
        let id = publisher.open("load", Duration::from_secs(60)).unwrap_or_else(|error| panic!("{error}"));
        Self { publisher, id }
    }

    /// Publishes so many bytes, and waits for their commit. Returns how long it took.
    fn publish(mut self, bytes: u64) -> Duration {
        let payload: Vec<u8> = (0..MESSAGE_LEN).map(|at| (at * 31 % 251) as u8).collect();
        let (count, began) = (bytes.div_ceil(MESSAGE_LEN as u64), Instant::now());
        let (mut taken, mut committed, mut moved_at) = (0, 0, Instant::now());
        while committed < count {
            while taken < count {
                match self.publisher.try_publish(self.id, EVERYBODY, &payload) {
                    Ok(_) => taken += 1,
                    Err(PublishError::Backpressure) => break,
                    Err(error) => panic!("{error}"),
                }
            }
            let before = committed;
            let polled = self.publisher.poll(1024, |event| match event {
                PublisherEvent::Committed { .. } => committed += 1,
                PublisherEvent::Fenced { .. } => panic!("another process has the name"),
                _ => {}
            });
            if committed > before {
                moved_at = Instant::now();
            }
            assert!(moved_at.elapsed() < STUCK, "{committed} of {count} messages are committed");
            if polled == 0 {
                self.publisher.wait(Duration::from_millis(1)).unwrap_or_else(|error| panic!("{error}"));
            }
        }
        began.elapsed()
    }
}
