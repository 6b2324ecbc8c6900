//! The rules as stories: each file of `tests/testdata/rules` drives replicas, a publisher and readers step by
//! step, and holds what is seen after each step. `REWRITE=1 cargo test -p lockstep-replica --test it scripts`
//! writes what is seen into the files; `git diff` then shows what a change of the code changes.
//!
//! ```text
//!   cluster members=3        so many replicas, of which replica 1 leads (names=N: their table takes so many publishers;
//!                            ring=K: their tails hold K KiB)
//!   learner 4                one more, which nobody lists
//!   open NAME                a publisher opens a name (by=PROCESS: another process than `publisher`)
//!   reader NAME of=stamped   a reader joins: stamped or committed (has=N: it has read everything below N)
//!   publish TEXT …           hands in one message each (by=PROCESS)
//!   fill N                   hands in N messages of 1,000 bytes, and 5 ms pass, of which only replicas tell
//!   run TIME                 so much time passes (us or ms)
//!   wait TIME                the same, of which only replicas tell
//!   cut A-B …                nothing passes between two nodes any more, in neither direction; `cut A` is A and all others
//!   mute A>B …               the same in one direction
//!   lose KIND …              no datagram of this kind arrives anywhere
//!   no-groups A …            no multicast group brings A anything any more; unicast does
//!   heal                     everything passes again
//!   echo N                   all that N has said so far arrives at it again
//!   stranger acks N          somebody whom no member list has acknowledges everything below N
//!   disk N stops|goes        nothing more gets from this replica's memory to its files, or all of it again
//!   clock N TIME             this replica's clock of the day is so much ahead (s)
//!   depose N                 N times, one after the other, whoever leads is cut off until another one leads, of which
//!                            nothing is told
//!   crash N …                the process ends; its tail stays
//!   restart N …              it starts on that tail (durability=power: so configured)
//!   replace N as=M           a blank journal for replica N under incarnation M
//!   member add|remove|replace N as=M   an operator submits the change
//!   dead N at=M              an operator tells replica M that N is dead
//!   recover N as=M           what is left of N founds a new history, under incarnation M, and runs
//!   ask N about=NAME         what N answers to whoever looks up a publisher
//!   sleeps N …               whether a replica wants to be called all the time, in the millisecond that passes here
//!   log N …                  the entries of a replica's log
//!   state                    role, epoch, log end, commit and promise of each replica
//!   show KIND …              from here on a step also prints datagrams of these kinds, each text once
//! ```
//!
//! Nodes are numbers (replicas), `publisher` or another process that opened a name, or a reader's name.

mod faults;
mod founding;
mod sentences;

use datadriven::{TestCase, walk};
use lockstep_core::engine::publisher::{PublisherEvent, PublisherLimits};
use lockstep_core::engine::receiver::Start;
use lockstep_core::engine::subscriber::{Delivery, SubscriberEngine, SubscriberLimits};
use lockstep_core::proto::commit::Durability;
use lockstep_memory::cluster::{Cluster, PublisherNode};
use lockstep_memory::net::{SimNet, To};
use lockstep_memory::reader::owned;
use lockstep_memory::world::*;
use lockstep_replica::journal::Tail;
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_replica::replica::ReplicaEngine;
use lockstep_wire::Keyring;
use lockstep_wire::*;
use sentences::{datagram_words, epoch_words, kind, publisher_words, reader_words, words};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::ControlFlow;

const MEMBERS_MAX: u32 = 5;
const RING: usize = 256 << 10;
const PUBLISHER: &str = "publisher";

/// A replica's process, or what is left of it.
enum Node {
    Up(Box<ReplicaEngine<MemoryPorts>>),
    Down(Box<Tail<MemoryTail>>),
    Empty,
}

struct Reading {
    subscriber: SubscriberEngine<SimNet>,
    delivery: Delivery,
}

/// A process that publishes, under the name that it opened last.
struct Publishing {
    node: PublisherNode,
    id: PublisherId,
    /// Where it answers.
    number: u32,
}

#[derive(Default)]
struct Stage {
    now: Nanos,
    members: u32,
    nodes: BTreeMap<u32, Node>,
    /// The incarnation of a replica whose journal was formatted anew.
    incarnations: BTreeMap<u32, u32>,
    publishers: BTreeMap<String, Publishing>,
    /// Opens so far: each has a nonce of its own.
    opens: u64,
    readers: BTreeMap<String, Reading>,
    /// From, to: what does not pass.
    cut: BTreeSet<(String, String)>,
    lost: BTreeSet<u8>,
    /// The replicas to which no group brings anything.
    groupless: BTreeSet<String>,
    /// The replicas with disks that do nothing.
    stopped_disks: BTreeSet<u32>,
    /// The replicas with clocks that are ahead, and by how much.
    ahead: BTreeMap<u32, Nanos>,
    /// The replicas that are not configured with `process`.
    durability: BTreeMap<u32, Durability>,
    /// Names of publishers that each replica takes; 0: as usual.
    names: u32,
    /// Bytes of a tail; 0: as usual.
    ring: usize,
    /// Every datagram so far, and who sent it.
    datagrams: Vec<(String, Vec<u8>)>,
    shown: BTreeSet<u8>,
    printed: BTreeSet<String>,
    out: String,
}

#[test]
fn each_story_of_the_rules_goes_as_it_is_written() {
    stories("");
}

/// The story in this file, or all of them.
pub fn stories(file: &str) {
    walk(&format!("tests/testdata/rules/{file}"), |file| {
        let mut stage = Stage { now: 1_000_000, ..Stage::default() };
        file.run(|case| stage.step(case));
    });
}

impl Stage {
    fn step(&mut self, case: &TestCase) -> String {
        self.out.clear();
        assert_eq!(case.directive, "do", "each step begins with `do`; its orders stand below, one a line");
        for line in case.input.lines() {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            self.order(&words);
        }
        match self.out.as_str() {
            "" => "ok\n".to_owned(),
            out => out.to_owned(),
        }
    }

    fn order(&mut self, words: &[String]) {
        let (verb, rest) = words.split_first().expect("a word");
        let value = |key: &str| {
            let found = rest.iter().find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
            found.map(str::to_owned)
        };
        let number = |key: &str| value(key).map(|text| text.parse::<u32>().expect("a number"));
        let plain: Vec<&str> = rest.iter().filter(|word| !word.contains('=')).map(String::as_str).collect();
        let numbers = || plain.iter().map(|word| word.parse::<u32>().expect("a replica's number"));
        match verb.as_str() {
            "cluster" => {
                self.names = number("names").unwrap_or(0);
                self.ring = number("ring").unwrap_or(0) as usize * 1024;
                self.begin(number("members").expect("members=N"));
            }
            "learner" => numbers().for_each(|number| self.node(number, blank_tail(number, self.ring_len()))),
            "open" => self.open(plain[0], value("by").as_deref().unwrap_or(PUBLISHER)),
            "reader" => {
                self.join(plain[0], &value("of").expect("of=stamped or of=committed"), number("has"));
            }
            "publish" => self.publish(&plain, value("by").as_deref().unwrap_or(PUBLISHER)),
            "fill" => self.fill(plain[0].parse().expect("a number")),
            "run" => self.run(plain[0]),
            "wait" => self.wait(plain[0]),
            "cut" => plain.iter().for_each(|pair| self.part(pair)),
            "mute" => plain.iter().for_each(|pair| {
                let (from, to) = pair.split_once('>').expect("A>B");
                self.cut.insert((from.to_owned(), to.to_owned()));
            }),
            "lose" => self.lost.extend(plain.iter().map(|name| kind(name))),
            "show" => self.shown.extend(plain.iter().map(|name| kind(name))),
            "no-groups" => self.groupless.extend(plain.iter().map(|name| (*name).to_owned())),
            "heal" => {
                self.cut.clear();
                self.lost.clear();
                self.groupless.clear();
            }
            "stranger" => self.hear_outsider(plain[1].parse().expect("a seq")),
            "disk" => self.set_disk(plain[0].parse().expect("a number"), plain[1]),
            "clock" => self.set_clock(plain[0].parse().expect("a number"), plain[1]),
            "depose" => self.depose(plain[0].parse().expect("a number")),
            "echo" => numbers().for_each(|number| {
                let sent = self.datagrams.iter().filter(|(from, _)| *from == number.to_string());
                let sent: Vec<_> = sent.map(|(_, bytes)| bytes.clone()).collect();
                self.up(number).net_mut().groups.extend(sent);
            }),
            "crash" => numbers().for_each(|number| self.crash(number)),
            "restart" => numbers().for_each(|number| {
                if let Some(name) = value("durability") {
                    self.configure(number, &name);
                }
                self.restart(number);
            }),
            "recover" => self.recover(plain[0].parse().expect("a number"), number("as").expect("as=M")),
            "ask" => self.ask(plain[0].parse().expect("a number"), &value("about").expect("about=NAME")),
            "sleeps" => numbers().for_each(|number| self.print_sleep(number)),
            "replace" => self.replace(plain[0].parse().expect("a number"), number("as").expect("as=M")),
            "member" => self.submit(plain[0], plain[1].parse().expect("a number"), number("as")),
            "dead" => self.declare(plain[0].parse().expect("a number"), number("at").expect("at=M")),
            "log" => numbers().for_each(|number| self.print_log(number)),
            "state" => self.print_state(),
            other => panic!("no such order: {other}"),
        }
    }

    fn begin(&mut self, members: u32) {
        assert!((1..=MEMBERS_MAX).contains(&members), "1 to {MEMBERS_MAX} members");
        self.members = members;
        for number in 1..=members {
            let ring = self.ring_len();
            let tail = if number == 1 { born_tail(1, members, ring) } else { blank_tail(number, ring) };
            self.node(number, tail);
        }
    }

    fn ring_len(&self) -> usize {
        if self.ring == 0 { RING } else { self.ring }
    }

    /// A process of replica `number` starts on `tail`.
    fn node(&mut self, number: u32, tail: Tail<MemoryTail>) {
        let mut limits = replica_limits(number, self.members);
        if let Some(incarnation) = self.incarnations.get(&number) {
            limits.receiver.me.incarnation = *incarnation;
        }
        (limits.process_nonce, limits.started_at) = (self.now, self.now);
        limits.durability = self.durability.get(&number).copied().unwrap_or_default();
        if self.names > 0 {
            limits.publishers_max = self.names;
        }
        let replica = start(tail, limits).expect("it may start");
        self.nodes.insert(number, Node::Up(Box::new(replica)));
    }

    fn crash(&mut self, number: u32) {
        match std::mem::replace(self.nodes.get_mut(&number).expect("a replica"), Node::Empty) {
            Node::Up(replica) => _ = self.nodes.insert(number, Node::Down(Box::new(replica.into_tail()))),
            _ => panic!("replica {number} does not run"),
        }
    }

    fn restart(&mut self, number: u32) {
        match std::mem::replace(self.nodes.get_mut(&number).expect("a replica"), Node::Empty) {
            Node::Down(tail) => self.node(number, *tail),
            _ => panic!("replica {number} has no tail to start on"),
        }
    }

    fn replace(&mut self, number: u32, incarnation: u32) {
        let tail = self.blank_life(number, incarnation);
        self.node(number, tail);
    }

    /// A blank tail of replica `number` in the life `incarnation`, which is its own from here on.
    fn blank_life(&mut self, number: u32, incarnation: u32) -> Tail<MemoryTail> {
        self.incarnations.insert(number, incarnation);
        let label = lockstep_replica::journal::TailLabel {
            cluster: CLUSTER,
            identity: Identity { replica: number, incarnation },
            boot: [1, 1],
            generation: 1,
            record_len_max: FRAME_LEN_MAX as u32,
        };
        let tail =
            Tail::blank(MemoryTail::new(self.ring_len()), label, lockstep_core::proto::log::LogEnd::BLANK);
        tail.expect("a ring large enough")
    }

    fn open(&mut self, name: &str, by: &str) {
        if !self.publishers.contains_key(by) {
            let mut cluster = Cluster::new(self.members, |_| {});
            let before = self.publishers.len() as u32;
            let roomy = |limits: &mut PublisherLimits| (limits.names_max, limits.window_datagrams) = (16, 64);
            (0..=before).for_each(|_| _ = cluster.add_publisher(roomy));
            let node = cluster.publishers.remove(before as usize);
            self.publishers.insert(by.to_owned(), Publishing { node, id: 0, number: 101 + before });
        }
        self.opens += 1;
        let process = self.publishers.get_mut(by).expect("a process");
        process.id = 0;
        process.node.publisher.core.open(name, [self.opens; 2]).expect("a name");
        self.run("10ms");
        if self.publishers[by].id == 0 {
            writeln!(self.out, "{by}: {name} is not open").expect("room");
        }
    }

    fn publish(&mut self, texts: &[&str], by: &str) {
        let Publishing { node, id, .. } = self.publishers.get_mut(by).expect("open NAME first");
        node.publish(*id, texts);
    }

    fn join(&mut self, name: &str, delivery: &str, has: Option<u32>) {
        let delivery = match delivery {
            "stamped" => Delivery::Stamped,
            "committed" => Delivery::Committed,
            other => panic!("of={other}: stamped or committed"),
        };
        let me = Identity { replica: 2_000 + self.readers.len() as u32, incarnation: 5 };
        // Only of a cursor that no log reaches the chain is never compared.
        let cursor = |seq| Start::Cursor(Cursor { history: HISTORY, seq: Seq::from(seq), chain: 7 });
        let start = has.map_or(Start::From(1), cursor);
        let limits = SubscriberLimits {
            lag_report_ns: 1_000_000_000,
            ..subscriber_limits(me, self.members, delivery, start)
        };
        let subscriber = SubscriberEngine::new(SimNet::of_client(), limits);
        self.readers.insert(name.to_owned(), Reading { subscriber, delivery });
    }

    fn nodes(&self) -> Vec<String> {
        let replicas = self.nodes.keys().map(u32::to_string);
        let others = self.publishers.keys().chain(self.readers.keys());
        replicas.chain(others.cloned()).collect()
    }

    /// `A-B`, or `A` for A and everybody.
    fn part(&mut self, pair: &str) {
        let others = self.nodes();
        let (one, others) = match pair.split_once('-') {
            Some((one, other)) => (one, vec![other.to_owned()]),
            None => (pair, others),
        };
        for other in others {
            self.cut.insert((one.to_owned(), other.clone()));
            self.cut.insert((other, one.to_owned()));
        }
    }

    fn run(&mut self, time: &str) {
        let ns = match time.strip_suffix("ms") {
            Some(count) => count.parse::<Nanos>().expect("a number") * 1_000_000,
            None => time.strip_suffix("us").expect("us or ms").parse::<Nanos>().expect("a number") * 1_000,
        };
        let until = self.now + ns;
        while self.now < until {
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.now += TURN_NS;
        let wall = self.now + 1_700_000_000_000_000_000;
        let mut datagrams = Vec::new();
        for (number, node) in &mut self.nodes {
            let Node::Up(replica) = node else { continue };
            if !self.stopped_disks.contains(number) {
                flush(replica.tail_mut().memory_mut());
            }
            let ahead = self.ahead.get(number).copied().unwrap_or(0);
            replica.poll(self.now, Wall(wall + ahead));
            while let Some(event) = replica.core.events.pop() {
                if let Some(words) = words(&event) {
                    writeln!(self.out, "{number}: {words}").expect("room");
                }
            }
            datagrams.push((number.to_string(), sent(replica.net_mut())));
        }
        for (name, Publishing { node, id, .. }) in &mut self.publishers {
            let out = &mut self.out;
            node.publisher.poll(self.now, Wall(wall), 100, |event| {
                if let PublisherEvent::Opened { publisher, .. } = &event {
                    *id = *publisher;
                }
                if let Some(words) = publisher_words(&event) {
                    writeln!(out, "{name}: {words}").expect("room");
                }
            });
            datagrams.push((name.clone(), sent(node.publisher.net_mut())));
        }
        for (name, reading) in &mut self.readers {
            let out = &mut self.out;
            reading.subscriber.poll(self.now, 100, |event| {
                if let Some(words) = owned(&event).and_then(|event| reader_words(&event, reading.delivery)) {
                    writeln!(out, "{name}: {words}").expect("room");
                }
                ControlFlow::Continue(())
            });
            datagrams.push((name.clone(), sent(reading.subscriber.net_mut())));
        }
        for (from, datagrams) in datagrams {
            for (to, bytes) in datagrams {
                self.carry(&from, to, &bytes);
                self.datagrams.push((from.clone(), bytes));
            }
        }
    }

    fn carry(&mut self, from: &str, to: To, bytes: &[u8]) {
        if self.shown.contains(&bytes[5]) {
            let words = format!("{from} > {}", datagram_words(bytes));
            if self.printed.insert(words.clone()) {
                writeln!(self.out, "{words}").expect("room");
            }
        }
        if self.lost.contains(&bytes[5]) {
            return;
        }
        let sender = self.address_of(from);
        for name in self.nodes() {
            let for_it = match to {
                To::Group(_) => name != from,
                To::Unicast(to) => to == self.address_of(&name),
            };
            let by_group = matches!(to, To::Group(_));
            let is_cut = self.cut.contains(&(from.to_owned(), name.clone()));
            if !for_it || is_cut || by_group && self.groupless.contains(&name) {
                continue;
            }
            let group = if let To::Group(group) = to { Some(group) } else { None };
            let net = match name.parse::<u32>() {
                Ok(number) => match self.nodes.get_mut(&number) {
                    Some(Node::Up(replica)) => replica.net_mut(),
                    _ => continue,
                },
                Err(_) => match self.publishers.get_mut(&name) {
                    Some(process) => process.node.publisher.net_mut(),
                    None => self.readers.get_mut(&name).expect("a reader").subscriber.net_mut(),
                },
            };
            net.arrive(bytes.to_vec(), Some(sender), group);
        }
    }

    fn address_of(&self, name: &str) -> std::net::SocketAddrV4 {
        let number = match name.parse::<u32>() {
            Ok(number) => number,
            Err(_) => match self.publishers.get(name) {
                Some(process) => process.number,
                None => 110 + self.readers.keys().position(|other| other == name).expect("a node") as u32,
            },
        };
        address(number)
    }

    fn up(&mut self, number: u32) -> &mut ReplicaEngine<MemoryPorts> {
        match self.nodes.get_mut(&number) {
            Some(Node::Up(replica)) => replica,
            _ => panic!("replica {number} does not run"),
        }
    }

    /// A change of the membership after that in force, as an operator's command submits it.
    fn submit(&mut self, change: &str, number: u32, incarnation: Option<u32>) {
        let change = match change {
            "add" => Change::Add,
            "remove" => Change::Remove,
            "replace" => Change::Replace,
            other => panic!("member {other}: add, remove or replace"),
        };
        let incarnation = incarnation.unwrap_or_else(|| identity(number).incarnation);
        let member = MemberBody::full(Identity { replica: number, incarnation }, address(number));
        let after = self.nodes.values().filter_map(|node| match node {
            Node::Up(replica) => Some(membership_seq(replica.tail())),
            _ => None,
        });
        let after = after.max().expect("somebody runs");
        let bytes = submitted_change(99, after, change, member);
        for node in self.nodes.values_mut() {
            if let Node::Up(replica) = node {
                replica.net_mut().groups.push_back(bytes.clone());
            }
        }
    }

    fn declare(&mut self, dead: u32, at: u32) {
        let mut out = vec![0; SMALL_LEN_MAX];
        let tail = self.up(at).tail();
        let (epoch, first_seq) = (tail.end().epoch.0, membership_seq(tail));
        let header = Header { cluster: CLUSTER, sender: 99, epoch, first_seq, ..Header::new(Kind::Query) };
        let name = identity(dead).to_string();
        let length = write_query(&mut out, &Keyring::none(CLUSTER), header, 5, QueryKind::DeclareDead, &name);
        out.truncate(length);
        self.up(at).net_mut().unicast.push_back((out, Some(address(99))));
        let before = self.shown.clone();
        self.shown.insert(Kind::CommandResult as u8);
        self.run("100us");
        self.shown = before;
    }

    fn print_state(&mut self) {
        for (number, node) in &self.nodes {
            let line = match node {
                Node::Up(replica) => {
                    let end = replica.tail().end();
                    let stopped = if replica.core.is_stopped() { "stopped " } else { "" };
                    format!(
                        "{stopped}{} of {}, log ends at {}, commit {}, promised {}",
                        replica.role().name(),
                        epoch_words(end.epoch),
                        end.next,
                        replica.core.commit_next(),
                        epoch_words(replica.tail().promised())
                    )
                }
                Node::Down(tail) => format!("down, log ends at {}", tail.end().next),
                Node::Empty => "down, without a journal".to_owned(),
            };
            writeln!(self.out, "{number}: {line}").expect("room");
        }
    }

    fn print_log(&mut self, number: u32) {
        let tail = match &self.nodes[&number] {
            Node::Up(replica) => replica.tail(),
            Node::Down(tail) => tail,
            Node::Empty => panic!("replica {number} has no journal"),
        };
        let (mut span, mut line) = (tail.find(1), String::new());
        while let Some(found) = span {
            let frame = tail.frame(found).expect("no damage");
            for (seq, entry) in (frame.header.first_seq..).zip(frame.entries()) {
                let what = match entry.kind() {
                    EntryKind::Message => String::from_utf8_lossy(entry.payload).into_owned(),
                    EntryKind::EpochStart => format!("[{} starts]", epoch_words(Epoch(frame.header.epoch))),
                    EntryKind::ChangeCommitted => "[change committed]".to_owned(),
                    kind => format!("[{kind:?}]").to_lowercase(),
                };
                write!(line, " {seq}:{what}").expect("room");
            }
            span = tail.after(found);
        }
        writeln!(self.out, "{number}:{line}").expect("room");
    }
}

/// The seq of the entry that says which membership is in force at the end of this log.
fn membership_seq(tail: &Tail<MemoryTail>) -> Seq {
    let (mut span, mut last) = (tail.find(1), 0);
    while let Some(found) = span {
        let frame = tail.frame(found).expect("no damage");
        for (seq, entry) in (frame.header.first_seq..).zip(frame.entries()) {
            if matches!(entry.kind(), EntryKind::Genesis | EntryKind::EpochStart | EntryKind::Membership) {
                last = seq;
            }
        }
        span = tail.after(found);
    }
    last
}
