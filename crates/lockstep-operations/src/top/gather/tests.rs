use super::*;
use crate::samples::{active, cluster};
use lockstep_core::engine::counters::CounterRow;
use lockstep_wire::Condition;

const SECOND: Nanos = 1_000_000_000;

/// Samples of one cluster, one after the other.
#[derive(Default)]
struct Looks(Vec<Sample>);

impl Looks {
    /// One more, a second behind the last one.
    fn add(&mut self, asked: Option<Vec<QueryResult>>, processes: Vec<Process>) -> &mut Self {
        let at = (self.0.len() as Nanos + 1) * SECOND;
        let before = self.0.last().and_then(|before| before.answers.as_ref());
        let answer = |node: QueryResult| {
            let before = before.and_then(|all| all.iter().find(|one| one.node.address == node.address));
            Answer::after(before, node, at)
        };
        let answers = asked.map(|asked| asked.into_iter().map(answer).collect());
        let free_bytes = BTreeMap::from([("replica-1".to_owned(), 77)]);
        let cluster = Some("7".to_owned());
        self.0.push(Sample { at, wall: at, answers, processes, free_bytes, cluster, keys_days_left: None });
        self
    }

    /// The snapshot of the last one, with rates since the one before, and times since the first one.
    fn snapshot(&self) -> Snapshot {
        let before = self.0.len().checked_sub(2).map(|place| &self.0[place]);
        let is_local = self.0[0].answers.is_none();
        let source = if is_local { SnapshotSource::Local } else { SnapshotSource::Cluster };
        snapshot(
            source,
            self.0.last().expect("a sample"),
            before,
            self.0.first().filter(|_| before.is_some()),
        )
    }
}

/// A process that has stored these values at a time.
fn process((kind, name): (&str, &str), life: Life, at: Nanos, rows: &[(CounterRow, u64)]) -> Process {
    let process = Process::of_rows((kind, name), life, rows.iter().copied());
    Process { published_at: at, ..process }
}

const ROLE: CounterRow = CounterRow::state("role", "blank|standby|leader|learner", "");
const IN: CounterRow = CounterRow::count("udp_datagrams_in", "");
const BY_MEMORY: CounterRow = CounterRow::count("shm_datagrams_in", "");

/// A replica's file, `turn` times as far as in its first second.
fn replica(name: &str, life: Life, turn: u64) -> Process {
    let rows = [
        (ROLE, 2),
        (CounterRow::gauge("epoch", ""), 3),
        (CounterRow::gauge("leader", ""), 1),
        (IN, 100 * turn),
        (BY_MEMORY, 10 * turn),
        (CounterRow::count("udp_dropped", ""), 2 * turn),
        (CounterRow::count("rejected{reason=\"tag\"}", ""), 3 * turn),
        (CounterRow::count("rejected{reason=\"key\"}", ""), turn),
        (CounterRow::count("turns_working", ""), 30 * turn),
        (CounterRow::count("duty_cycles", ""), 40 * turn),
        (CounterRow::gauge("accept_next", ""), 1_000 * turn),
        (CounterRow::gauge("stamped_next", ""), 1_000 * turn + 5),
        (CounterRow::gauge("commit_next", ""), 999 * turn),
        (CounterRow::gauge("condition{condition=\"disk_full\"}", ""), 1),
    ];
    process(("replica", name), life, turn * SECOND, &rows)
}

/// The answers of a cluster whose log is so much longer.
fn longer(mut asked: Vec<QueryResult>, more: u64) -> Vec<QueryResult> {
    for status in asked.iter_mut().filter_map(|node| node.status.as_mut()) {
        status.accept_next += more;
        status.commit_next += more;
    }
    asked
}

#[test]
fn a_node_that_answers_has_the_figures_of_its_answer_and_one_of_this_host_those_of_its_file_too() {
    let mut looks = Looks::default();
    looks.add(Some(cluster(3, &[])), vec![replica("replica-1", Life::Runs, 1)]);
    looks.add(Some(longer(cluster(3, &[]), 40)), vec![replica("replica-1", Life::Runs, 2)]);
    let snapshot = looks.snapshot();
    assert_eq!((snapshot.cluster.health, snapshot.cluster.round), (Some("healthy"), Some(3)));
    assert_eq!((snapshot.cluster.commit_next, snapshot.cluster.committed_per_second), (Some(90), Some(40.0)));
    assert_eq!(snapshot.rates_over_ns, Some(SECOND));
    let [here, there, _] = &snapshot.nodes[..] else { panic!("{:?}", snapshot.nodes) };
    assert_eq!((here.accept_next, here.entries_per_second, here.lag), (Some(90), Some(40.0), Some(0)));
    assert_eq!(here.in_per_second, Some(110.0), "sockets and memory together");
    assert_eq!((here.dropped, here.dropped_per_second), (Some(12), Some(6.0)));
    let drops: Vec<_> = here.drops.iter().map(|drop| (drop.cause, drop.count)).collect();
    assert_eq!(drops, [("rejected", 8), ("socket full", 4)], "most of them first");
    assert_eq!((here.busy, here.disk_free_bytes), (Some(0.75), Some(77)));
    assert!(here.conditions.is_empty(), "the answer counts, which is newer");
    assert_eq!((there.accept_next, there.entries_per_second), (Some(90), Some(40.0)));
    assert_eq!((there.in_per_second, there.dropped, there.busy), (None, None, None), "no file, no figures");
    assert_eq!(there.role.as_deref(), Some("standby"));
}

#[test]
fn one_lost_answer_is_no_silence_and_a_second_one_is() {
    let mut looks = Looks::default();
    looks.add(Some(cluster(3, &[])), Vec::new());
    let late = looks.add(Some(cluster(3, &[2])), Vec::new()).snapshot();
    let node = &late.nodes[1];
    assert_eq!((node.presence, node.role.as_deref()), (NodePresence::Late, Some("standby")));
    assert_eq!(late.cluster.health, Some("healthy"), "a datagram is lost now and then");
    let silent = looks.add(Some(cluster(3, &[2])), Vec::new()).snapshot();
    let node = &silent.nodes[1];
    assert_eq!((node.presence, node.absent_ns), (NodePresence::Silent, Some(2 * SECOND)));
    assert_eq!((node.accept_next, node.lag), (None, None));
    assert_eq!(node.identity.as_deref(), Some("2:0000102"), "the leader lists it");
    assert_eq!(silent.cluster.health, Some("degraded"));
    let back = looks.add(Some(cluster(3, &[])), Vec::new()).snapshot();
    assert_eq!((back.nodes[1].presence, back.cluster.health), (NodePresence::Runs, Some("healthy")));
}

#[test]
fn the_file_of_a_dead_process_says_more_than_its_silence() {
    let ended = Life::Ended(Duration::from_secs(7));
    let mut looks = Looks::default();
    looks.add(Some(cluster(3, &[1])), vec![replica("replica-1", ended, 2)]);
    let snapshot = looks.add(Some(cluster(3, &[1])), vec![replica("replica-1", ended, 2)]).snapshot();
    let dead = &snapshot.nodes[0];
    assert_eq!((dead.presence, dead.absent_ns), (NodePresence::Ended, Some(7 * SECOND)));
    assert_eq!((dead.accept_next, dead.dropped, dead.in_per_second), (Some(2_000), Some(12), None));
    assert_eq!((snapshot.cluster.leader, snapshot.cluster.health), (None, Some("no_leader")));
    let back = looks.add(Some(cluster(3, &[])), vec![replica("replica-1", Life::Runs, 3)]).snapshot();
    assert_eq!(back.cluster.health, Some("healthy"));
    let again = looks.add(Some(cluster(3, &[1])), vec![replica("replica-1", ended, 3)]).snapshot();
    assert_eq!(again.cluster.health, Some("no_leader"), "its former answer counts no more");
    let hangs = Life::Hangs(Duration::from_secs(3));
    let snapshot = looks.add(Some(cluster(3, &[1])), vec![replica("replica-1", hangs, 2)]).snapshot();
    assert_eq!(snapshot.nodes[0].presence, NodePresence::Hangs);
}

#[test]
fn without_answers_the_files_of_this_host_are_the_cluster() {
    let mut looks = Looks::default();
    let ended = Life::Ended(Duration::from_secs(7));
    let files = |turn| vec![replica("replica-1", Life::Runs, turn), replica("replica-2", ended, 1)];
    looks.add(None, files(1));
    let snapshot = looks.add(None, files(2)).snapshot();
    assert_eq!(
        snapshot.cluster.summary,
        "files of this host: replica-1 leads; 1 processes run, 0 hang, 1 have ended"
    );
    assert_eq!((snapshot.cluster.health, snapshot.cluster.commit_next), (None, Some(1_998)));
    let [here, dead] = &snapshot.nodes[..] else { panic!("{:?}", snapshot.nodes) };
    assert_eq!((here.lag, here.entries_per_second, dead.lag), (Some(5), Some(1_000.0), None));
    assert_eq!(here.conditions[0].code, format!("LS{:04}", Condition::DiskFull as u16));
    assert!(here.conditions[0].advice.contains("lockstep explain LS"));
}

#[test]
fn a_process_that_was_started_anew_has_no_rates_yet() {
    let mut looks = Looks::default();
    looks.add(None, vec![replica("replica-1", Life::Runs, 5)]);
    let anew = Process { pid: 2, ..replica("replica-1", Life::Runs, 6) };
    let snapshot = looks.add(None, vec![anew]).snapshot();
    assert_eq!((snapshot.nodes[0].in_per_second, snapshot.nodes[0].dropped), (None, Some(36)));
}

#[test]
fn gateways_feeds_and_handles_have_lines_of_their_own() {
    let gauge = |name: &'static str| CounterRow::gauge(name, "");
    let count = |name: &'static str| CounterRow::count(name, "");
    let gateway = |turn: u64| {
        let rows = [
            (gauge("gateway_ready"), 1),
            (gauge("gateway_clients"), 4),
            (count("gateway_submitted"), 50 * turn),
            (count("gateway_sent"), 70 * turn),
            (count("gateway_refused"), 2),
            (count("gateway_not_allowed"), 1),
            (gauge("connected{handle=\"publisher\"}"), 1),
            (count("resends{handle=\"publisher\"}"), 8),
            (gauge("epoch{handle=\"subscriber\"}"), 0),
            (gauge("deliver_next{handle=\"subscriber\"}"), 30 * turn),
            (gauge("commit_next{handle=\"subscriber\"}"), 30 * turn + 6),
        ];
        process(("gateway", "gateway-a"), Life::Runs, turn * SECOND, &rows)
    };
    let feed = |turn: u64| {
        let rows = [
            (gauge("feed_ready"), 0),
            (count("feed_messages"), 20 * turn),
            (count("feed_datagrams"), 10 * turn),
        ];
        process(("feed", "feed-b"), Life::Runs, turn * SECOND, &rows)
    };
    let mut looks = Looks::default();
    looks.add(None, vec![gateway(1), feed(1)]);
    let snapshot = looks.add(None, vec![gateway(2), feed(2)]).snapshot();
    let [a, b] = &snapshot.gateways[..] else { panic!("{:?}", snapshot.gateways) };
    assert_eq!((a.is_ready, a.clients, a.refused), (true, Some(4), Some(3)));
    assert_eq!((a.in_per_second, a.out_per_second), (Some(50.0), Some(70.0)));
    assert_eq!(
        (b.is_ready, b.clients, b.in_per_second, b.out_per_second),
        (false, None, Some(20.0), Some(10.0))
    );
    let [publisher, reader] = &snapshot.handles[..] else { panic!("{:?}", snapshot.handles) };
    assert_eq!((publisher.kind, publisher.is_connected, publisher.resends), ("publisher", true, Some(8)));
    assert_eq!((reader.kind, reader.is_connected, reader.lag), ("reader", false, Some(6)));
    assert_eq!((reader.next, reader.entries_per_second), (Some(60), Some(30.0)));
}

#[test]
fn conditions_of_an_answer_have_their_remedies() {
    let mut asked = cluster(3, &[]);
    if let Some(status) = &mut asked[0].status {
        status.conditions = vec![active(Condition::DiskFull, 49, 0)];
    }
    let mut looks = Looks::default();
    let snapshot = looks.add(Some(asked), Vec::new()).snapshot();
    let condition = &snapshot.nodes[0].conditions[0];
    assert!(condition.what.contains("the disk is full") && !condition.advice.is_empty(), "{condition:?}");
}
