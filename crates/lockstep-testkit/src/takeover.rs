//! # takeover: leaders are killed, stopped and cut off while orders flow
//!
//! The question: does anybody ever see anything but one order, with every message in it once? A [`Scene`]
//! is a cluster with orders flowing through it and two subscribers, one for what is stamped and one for
//! what is committed. A scenario does something to its replicas, as often as it likes, and each time
//! [`Scene::await_flow`] waits until orders flow again. [`Scene::end`] judges: every publisher learned
//! that all of its messages are committed; both subscribers have all of them, once, in one order; and so
//! has each journal, as far as it reaches, and a quorum of them to the end.

use crate::flow::{Feed, Stream, View};
use crate::lane::amount;
use crate::netns::{Cut, LINE_A, LINE_B, Network, Place};
use crate::processes::{
    Cluster, Ground, PATIENCE, PRODUCT_TIMING, Process, last_words, memory_folder, signal_all,
};
use lockstep_io::counters::CountersReader;
use lockstep_memory::rng::Rng;
use std::fmt;
use std::time::{Duration, Instant};

/// Replicas, unless a scenario names another number.
const REPLICAS: u32 = 3;
/// Lines per second of each publisher.
const PER_SECOND: u64 = 1_000;
/// The publishers.
const NAMES: [&str; 2] = ["a", "b"];
/// Those that come later.
const NEWCOMERS: [&str; 3] = ["c", "d", "e"];
/// New messages that show that orders flow.
const FLOWING: usize = 50;
/// Between two looks at what the replicas say.
const LOOK: Duration = Duration::from_millis(2);
/// Tails that reach back over the longest pause, so that who slept can still be repaired.
pub const SIZES: &str =
    "\n[journal]\ntail_size = \"32MiB\"\nsegment_size = \"16MiB\"\n\n[stream]\nwindow_bytes = \"4MiB\"\n";
/// Far beyond any stall of this machine: a takeover would be the fault's doing.
const VERY_PATIENT: &str = "\n[timing]\nfailure_timeout = \"500ms\"\nfailure_timeout_max = \"500ms\"\n";
/// In so long, a standby that missed its leader would be elected several times with that timeout.
fn patient_time() -> Duration {
    amount(Duration::from_millis(1_500), Duration::from_secs(3))
}
/// How long a publisher waits for its next commit: no takeover takes nearly so long.
pub const COMMIT_WITHIN: &str = "50s";

/// The newest epoch that a log tells of: its round, and the replica that leads it.
fn newest_epoch(log: &str) -> Option<(u64, usize)> {
    let began = log.lines().filter(|line| line.contains(" begins at seq "));
    let epochs = began.filter_map(|line| {
        let (round, rest) = line.split_once(" epoch ")?.1.split_once('@')?;
        Some((round.parse().ok()?, rest.split_once(':')?.0.parse().ok()?))
    });
    epochs.max()
}

/// The newest epoch that any of these logs tells of: its round, and who leads it.
pub fn newest_of(replicas: &[Process]) -> (u64, usize) {
    replicas.iter().filter_map(|replica| newest_epoch(&replica.log())).max().unwrap_or_default()
}

/// Whether a log says last of its role that it leads.
pub fn leads(log: &str) -> bool {
    let mut roles = log.lines().filter_map(|line| line.split_once(" -> ")?.1.split_once(" in epoch "));
    roles.next_back().is_some_and(|(role, _)| role == "leader")
}

/// What a scene has shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    /// Messages published, committed, and delivered in one order.
    pub messages: u64,
    /// Leaderships that there were.
    pub rounds: u64,
    /// Messages that the `stamped` subscriber was given and had to give back.
    pub retracted: u64,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, rounds, retracted } = self;
        write!(f, "{messages} messages in one order over {rounds} rounds, {retracted} retracted")
    }
}

/// A cluster with orders flowing through it.
pub struct Scene {
    /// The cluster.
    pub cluster: Cluster,
    /// Its replicas, 1 first.
    pub replicas: Vec<Process>,
    feeds: Vec<Feed>,
    committed: View,
    stamped: Vec<View>,
    /// Further readers of what is committed.
    also_committed: Vec<View>,
}

impl Scene {
    /// Founds a cluster on `ground` and waits until orders flow.
    pub fn on(ground: Ground) -> Self {
        Self::with(ground, PRODUCT_TIMING)
    }

    /// The same with more tables in its configuration.
    pub fn with(ground: Ground, more: &str) -> Self {
        Self::of(Cluster::within(memory_folder(), ground, &format!("{SIZES}{more}")))
    }

    /// The same on a cluster that is not formatted yet.
    pub fn of(cluster: Cluster) -> Self {
        let replicas = cluster.found();
        Self::joined(cluster, replicas)
    }

    /// The same on a cluster whose replicas run.
    pub fn joined(cluster: Cluster, replicas: Vec<Process>) -> Self {
        Self::joined_at(cluster, replicas, PER_SECOND)
    }

    /// The same with so many messages a second of each of two publishers.
    pub fn joined_at(cluster: Cluster, replicas: Vec<Process>, per_second: u64) -> Self {
        let place = cluster.clients().clone();
        let committed = View::start(&cluster, &place, "committed", &[]);
        let stamped = vec![View::start(&cluster, &place, "stamped", &["--stamped"])];
        let feeds = NAMES.map(|name| Feed::start(&cluster, &place, name, per_second, COMMIT_WITHIN)).into();
        let mut scene = Self { cluster, replicas, feeds, committed, stamped, also_committed: Vec::new() };
        scene.await_flow();
        scene
    }

    /// The longest time between two committed messages since the last call.
    pub fn longest_pause(&self) -> Duration {
        self.committed.longest_pause()
    }

    /// Adds a publisher of this name and two readers, one for each mode, in `place`, and waits until they
    /// take part.
    pub fn add_clients(&mut self, place: &Place, name: &str) {
        let view = |kind: &str, flags: &[&str]| {
            let mut view = View::start(&self.cluster, place, &format!("{kind}-{name}"), flags);
            view.await_count(self.committed.count());
            view
        };
        self.stamped.push(view("stamped", &["--stamped"]));
        self.also_committed.push(view("committed", &[]));
        self.feeds.push(Feed::start(&self.cluster, place, name, PER_SECOND, COMMIT_WITHIN));
        self.await_that("the new publisher is not heard", |scene| {
            scene.committed.so_far().count_of(name) > 0
        });
    }

    /// Replica `id`.
    pub fn replica(&self, id: usize) -> &Process {
        &self.replicas[id - 1]
    }

    /// What replica `id` has counted under this name.
    pub fn counted(&self, id: usize, name: &str) -> u64 {
        let file = self.cluster.path(&format!("counters-{id}"));
        let file = CountersReader::open(&file).unwrap_or_else(|error| panic!("{error}"));
        file.value(name).unwrap_or_else(|| panic!("no counter {name}"))
    }

    /// The newest epoch of which anybody tells, some milliseconds late: its round, and who leads it.
    pub fn epoch(&self) -> (u64, usize) {
        newest_of(&self.replicas)
    }

    /// Whether replica `id` says that it leads.
    pub fn leads(&self, id: usize) -> bool {
        leads(&self.replica(id).log())
    }

    /// Waits until one leads the newest epoch, and returns its round and who.
    #[track_caller]
    pub fn await_leader(&self) -> (u64, usize) {
        self.await_that("nobody leads", |scene| {
            let (round, leader) = scene.epoch();
            round > 0 && scene.leads(leader)
        });
        self.epoch()
    }

    /// Waits until an epoch above `round` is led.
    #[track_caller]
    pub fn await_round_above(&self, round: u64) -> (u64, usize) {
        self.await_that(&format!("nobody leads above round {round}"), |scene| scene.epoch().0 > round);
        self.await_leader()
    }

    /// Waits for something, and shows all logs if it never comes.
    #[track_caller]
    pub fn await_that(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < PATIENCE, "{what}\n{}", self.logs());
            std::thread::sleep(LOOK);
        }
    }

    pub(crate) fn logs(&self) -> String {
        last_words(&self.replicas)
    }

    /// Waits until orders flow: some more are delivered as committed.
    #[track_caller]
    pub fn await_flow(&mut self) {
        let wanted = self.committed.count() + FLOWING;
        let began = Instant::now();
        while self.committed.count() < wanted {
            let is_late = began.elapsed() > PATIENCE;
            assert!(!is_late, "orders do not flow: {} committed\n{}", self.committed.count(), self.logs());
            std::thread::sleep(LOOK);
        }
    }

    /// Ends replica `id` at once.
    pub fn kill(&mut self, id: usize) {
        let replica = &mut self.replicas[id - 1];
        replica.signal("KILL");
        replica.wait();
    }

    /// Starts replica `id` again, and waits until it has its place.
    #[track_caller]
    pub fn restart(&mut self, id: usize) {
        self.replicas[id - 1] = self.cluster.start_replica(id as u32);
        self.replicas[id - 1].await_log(" -> ");
    }

    /// Ends the flow and everybody, and judges.
    #[track_caller]
    pub fn end(mut self) -> Shown {
        let fails = |who: &str, why: String| panic!("{who}: {why}");
        let mut messages = 0;
        let mut counts = Vec::new();
        for feed in self.feeds {
            let name = feed.name().to_owned();
            let result = feed.finish();
            assert_eq!(
                (result.code, result.committed),
                (Some(0), result.published),
                "'{name}': {}",
                result.log
            );
            messages += result.committed;
            counts.push((name, result.committed));
        }
        let finish = |mut view: View| {
            let name = view.process().name().to_owned();
            view.await_count(messages as usize);
            (name, view.finish())
        };
        let (_, committed) = finish(self.committed);
        let stamped: Vec<_> = self.stamped.into_iter().map(finish).collect();
        let also_committed: Vec<_> = self.also_committed.into_iter().map(finish).collect();
        committed.judge().unwrap_or_else(|why| fails("committed", why));
        for (name, stream) in stamped.iter().chain(&also_committed) {
            stream.judge().unwrap_or_else(|why| fails(name, why));
            stream.agrees_with(&committed).unwrap_or_else(|why| fails(name, why));
        }
        for (name, stream) in &also_committed {
            assert_eq!(stream.retracted, 0, "{name} gave back what was final");
        }
        assert_eq!((committed.retracted, committed.messages.len()), (0, messages as usize));
        for (name, count) in counts {
            assert_eq!(committed.count_of(&name), count, "lines of '{name}'");
        }
        let (rounds, _) = newest_of(&self.replicas);
        signal_all("TERM", &self.replicas);
        for replica in &mut self.replicas {
            replica.wait();
        }
        let mut whole = 0;
        for id in 1..=self.replicas.len() {
            let journal = Stream::of_journal(&self.cluster.path(&format!("journal-{id}")));
            journal.judge().unwrap_or_else(|why| fails(&format!("journal {id}"), why));
            journal.agrees_with(&committed).unwrap_or_else(|why| fails(&format!("journal {id}"), why));
            whole += usize::from(journal.messages.len() == committed.messages.len());
        }
        assert!(whole > self.replicas.len() / 2, "{whole} journals hold all {messages} messages");
        Shown { messages, rounds, retracted: stamped.iter().map(|(_, stream)| stream.retracted).sum() }
    }
}

/// Kills the leader `times` times, each with orders in flight; it comes back each time.
pub fn kill_leader(ground: Ground, times: u32) -> Shown {
    let mut scene = Scene::on(ground);
    for _ in 0..times {
        let (round, leader) = scene.await_leader();
        scene.kill(leader);
        scene.await_round_above(round);
        scene.await_flow();
        scene.restart(leader);
    }
    scene.end()
}

/// Stops the leader for a time between the two, log-uniform, `times` times, and lets it go on. Either
/// nobody noticed, or it finds itself superseded and is a standby by itself.
pub fn stale_leader(rng: &mut Rng, ground: Ground, pause_ms: (f64, f64), times: u32) -> Shown {
    let mut scene = Scene::on(ground);
    for _ in 0..times {
        let (_, stale) = scene.await_leader();
        let share = rng.below(1 << 32) as f64 / (1u64 << 32) as f64;
        let pause = pause_ms.0 * (pause_ms.1 / pause_ms.0).powf(share);
        scene.replica(stale).signal("STOP");
        std::thread::sleep(Duration::from_secs_f64(pause / 1e3));
        scene.replica(stale).signal("CONT");
        scene.await_flow();
        scene.await_that("the stale leader does not see that it was superseded", |scene| {
            scene.leads(stale) == (scene.epoch().1 == stale)
        });
    }
    scene.end()
}

/// Kills two of five, any two, one shortly behind the other, `times` times; both come back each time.
pub fn two_of_five(rng: &mut Rng, ground: Ground, times: u32) -> Shown {
    let mut scene = Scene::on(ground);
    for _ in 0..times {
        let first = 1 + rng.below(5) as usize;
        let second = 1 + (first + rng.below(4) as usize) % 5;
        let (round, leader) = scene.await_leader();
        scene.kill(first);
        std::thread::sleep(Duration::from_micros(rng.below(50_000)));
        scene.kill(second);
        if [first, second].contains(&leader) {
            scene.await_round_above(round);
        }
        scene.await_flow();
        scene.restart(first);
        scene.restart(second);
    }
    scene.end()
}

/// Cuts the paths between the leader's side and everybody else's as `cuts` says, until another one leads
/// and the old one has stopped by itself; then all is whole again. On the leader's side are a publisher and
/// two readers as well: what is stamped for them there, and never committed, is given back and stamped
/// again.
pub fn cut_off(network: &Network, cuts: impl Fn(&[usize], &[usize]) -> Vec<Cut>) -> Shown {
    let patient = "\n[timing]\nfailure_timeout = \"100ms\"\nfailure_timeout_max = \"200ms\"\n";
    let mut scene = Scene::with(network.ground(REPLICAS), patient);
    let (near, client) = (network.len(), network.len() - 1);
    scene.add_clients(network.node(near).place(), "near");
    let (round, leader) = scene.await_leader();
    let standbys = (1..=REPLICAS as usize).filter(|id| *id != leader);
    network.cut(&cuts(&[leader, near], &standbys.chain([client]).collect::<Vec<_>>()));
    scene.await_round_above(round);
    scene.await_flow();
    scene.await_that("who was cut off leads on", |scene| !scene.leads(leader));
    assert!(network.swallowed().iter().all(|packets| *packets > 0), "each cut swallowed something");
    network.cut(&[]);
    scene.await_flow();
    scene.end()
}

/// Cuts what the leader sends to one standby, as `what` says, for a time in which every other standby would
/// have been elected several times: no standby is, and orders flow.
pub fn half_deaf(network: &Network, what: impl Fn(Cut) -> Cut) -> Shown {
    let mut scene = Scene::with(network.ground(REPLICAS), VERY_PATIENT);
    let (round, leader) = scene.await_leader();
    let deaf = (1..=REPLICAS as usize).find(|id| *id != leader).expect("a standby");
    network.cut(&[what(Cut::one_way(&[leader], &[deaf]))]);
    let began = Instant::now();
    while began.elapsed() < patient_time() {
        scene.await_flow();
    }
    assert_eq!(scene.epoch(), (round, leader), "{}", scene.logs());
    assert!(network.swallowed()[0] > 0, "the cut swallowed something");
    network.cut(&[]);
    scene.await_flow();
    scene.end()
}

/// Cuts the multicast of the leader, and nothing else, from everybody: the standbys say so, nobody replaces
/// it, and orders flow, by repair. Then the standbys receive it again and say so.
pub fn multicast_lost(network: &Network) -> Shown {
    let mut scene = Scene::with(network.ground(REPLICAS), VERY_PATIENT);
    let (_, leader) = scene.await_leader();
    let standbys: Vec<usize> = (1..=REPLICAS as usize).filter(|id| *id != leader).collect();
    let others: Vec<usize> = standbys.iter().copied().chain([network.len() - 1]).collect();
    let cut = Cut::one_way(&[leader], &others).of_multicast();
    without_multicast(network, &mut scene, cut, &standbys, |scene| (0..3).for_each(|_| scene.await_flow()));
    scene.end()
}

/// Cuts all multicast, submissions too: every replica and the status say so, no leader is replaced in
/// several times the timeout, and what was published meanwhile is committed when the groups are back.
pub fn multicast_dead(network: &Network) -> Shown {
    let mut scene = Scene::with(network.ground(REPLICAS), VERY_PATIENT);
    let everybody: Vec<usize> = (1..=network.len()).collect();
    let replicas: Vec<usize> = (1..=REPLICAS as usize).collect();
    let cut = Cut::one_way(&everybody, &everybody).of_multicast();
    without_multicast(network, &mut scene, cut, &replicas, |_| std::thread::sleep(patient_time()));
    scene.end()
}

/// These replicas, as the first line of `status` names them.
fn named(deaf: &[usize]) -> String {
    let numbers: Vec<_> = deaf.iter().map(usize::to_string).collect();
    match numbers.as_slice() {
        [one] => format!("replica {one}"),
        [all @ .., last] => format!("replicas {} and {last}", all.join(", ")),
        [] => String::new(),
    }
}

/// Multicast is cut until the logs of `deaf` and the status name each of them, and `meanwhile` is over.
fn without_multicast(
    network: &Network,
    scene: &mut Scene,
    cut: Cut,
    deaf: &[usize],
    meanwhile: impl Fn(&mut Scene),
) {
    let (round, leader) = scene.await_leader();
    let say = |scene: &Scene, what: &str| deaf.iter().all(|id| scene.replica(*id).log().contains(what));
    network.cut(&[cut]);
    let began = Instant::now();
    let lost = "multicast is lost, unicast is not";
    scene.await_that("nobody says that multicast is lost", |scene| say(scene, lost));
    println!("multicast is named as lost by all who lost it after {:.0?}", began.elapsed());
    meanwhile(scene);
    // A replica that finds no core for a moment does not answer in time: the operator asks again.
    scene.await_that("the status does not name each of them", |scene| {
        let status = scene.cluster.run(&["status"], b"");
        let health = status.out.lines().next().unwrap_or_default();
        health.starts_with(&format!("degraded: {}: {lost}", named(deaf))) && status.code == Some(6)
    });
    assert_eq!(scene.epoch(), (round, leader), "{}", scene.logs());
    assert!(network.swallowed()[0] > 0, "the cut swallowed something");
    network.cut(&[]);
    scene.await_that("the groups are not heard again", |scene| say(scene, "over: multicast is lost"));
    scene.await_flow();
    assert_eq!(scene.epoch(), (round, leader), "{}", scene.logs());
}

/// Takes a whole line away, first one and then the other, and then a single cable of the leader: every
/// replica that lacks a line says so, and nothing else happens. A publisher and readers that come meanwhile
/// take part.
pub fn line_lost(network: &Network) -> Shown {
    let mut scene = Scene::with(network.ground(REPLICAS), VERY_PATIENT);
    let (round, leader) = scene.await_leader();
    let everybody: Vec<usize> = (1..=network.len()).collect();
    let replicas: Vec<usize> = (1..=REPLICAS as usize).collect();
    let pulled = [(LINE_B, 2, &everybody[..]), (LINE_A, 1, &everybody), (LINE_A, 1, &[leader])];
    for (time, (line, number, nodes)) in pulled.into_iter().enumerate() {
        let who = || replicas.iter().filter(|id| nodes.contains(id));
        let count_of = |scene: &Scene, id: &usize, what: &str| scene.replica(*id).log().matches(what).count();
        let lost = format!("line {number} delivers nothing, and the other works; ");
        let back = format!("over: line {number} delivers nothing");
        let before: Vec<_> =
            who().map(|id| [count_of(&scene, id, &lost), count_of(&scene, id, &back)]).collect();
        network.plug(line, nodes, false);
        scene.await_that("nobody says that a line is lost", |scene| {
            who().zip(&before).all(|(id, before)| count_of(scene, id, &lost) > before[0])
        });
        (0..3).for_each(|_| scene.await_flow());
        // Both ask by unicast where the stream stands.
        scene.add_clients(network.node(network.len()).place(), NEWCOMERS[time]);
        network.plug(line, nodes, true);
        scene.await_that("the line is not back", |scene| {
            who().zip(&before).all(|(id, before)| count_of(scene, id, &back) > before[1])
        });
        scene.await_flow();
        assert_eq!(scene.epoch(), (round, leader), "time {time}: {}", scene.logs());
    }
    for id in &replicas {
        let counted = |name: &str| scene.counted(*id, name);
        let names = ["suspicions", "candidacies", "multicast_lost"];
        assert_eq!(names.map(counted), [0; 3], "replica {id}: {}", scene.logs());
        // A machine that stalls between the two lines' queues may ask for a frame that waits in one of them.
        // A stream that had one line only would have lost nearly all of them.
        let missed = counted("loss_gaps") - counted("loss_came_late");
        println!("replica {id} asked for {missed} gaps before seq {}", counted("commit_next"));
        let losses = || scene.cluster.run(&["losses"], b"").out;
        assert!(missed * 100 < counted("commit_next"), "replica {id}: {}", losses());
    }
    scene.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_log_says_of_leaders_is_understood() {
        let log = "T INFO blank -> standby in epoch 0@0:0 at seq 2 after 1ms code=LS1001\n\
                   T INFO epoch 1@1:c3bbc27 begins at seq 2 code=LS1003\n\
                   T INFO standby -> leader in epoch 1@1:c3bbc27 at seq 9 after 2ms code=LS1001\n\
                   T INFO epoch 11@3:3387336 begins at seq 9 code=LS1003\n";
        assert_eq!((newest_epoch(log), leads(log)), (Some((11, 3)), true));
        let later = format!("{log}T INFO leader -> standby in epoch 11@3:3387336 at seq 20 after 3ms\n");
        assert_eq!((newest_epoch(&later), leads(&later)), (Some((11, 3)), false));
        assert_eq!((newest_epoch(""), leads("")), (None, false));
    }
}
