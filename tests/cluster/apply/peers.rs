//! A replica without a snapshot, and a peer that has one.

use super::{end_of, page, turn_until};
use lockstep_app::{
    App, AppSettings, Endpoint, Input, InputEvent, MachineCore, MachineSettings, Output, StateMachine, query,
};
use lockstep_process::page::{PageAnswer, PageRequest, PageServer, PageSettings};
use lockstep_testkit::processes::{Cluster, PATIENCE, free_address};
use std::fs;
use std::io::{self, Read, Write};
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Counts messages; its snapshot has several of the pieces that are fetched at once.
#[derive(Default)]
struct Ledger<const V: u32 = 1> {
    count: u64,
}

/// Words of a snapshot.
const WORDS: u64 = 5 << 18;

impl<const V: u32> StateMachine for Ledger<V> {
    const VERSION: u32 = V;

    fn apply(&mut self, input: &Input<'_>, _: &mut Output) {
        self.count += u64::from(matches!(input.event, InputEvent::Message { .. }));
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        (0..WORDS).try_for_each(|word| out.write_all(&(self.count + word).to_le_bytes()))
    }

    fn restore(from: &mut impl Read) -> io::Result<Self> {
        let mut words = Vec::new();
        from.read_to_end(&mut words)?;
        let count = words.first_chunk().copied().map(u64::from_le_bytes);
        Ok(Self { count: count.ok_or(io::ErrorKind::InvalidData)? })
    }

    fn digest(&self) -> u64 {
        self.count
    }
}

struct Peers {
    cluster: Cluster,
    address: SocketAddrV4,
}

impl Peers {
    fn replica(&self, number: u8) -> App<Ledger> {
        self.replica_of(number)
    }

    fn replica_of<const V: u32>(&self, number: u8) -> App<Ledger<V>> {
        let endpoint = Endpoint::from_file(self.cluster.config()).expect("the cluster's file");
        let mut settings = AppSettings::new("ledger", number, self.folder(number));
        settings.snapshot_every = 1_000;
        match number {
            1 => settings.serve = Some(self.address),
            _ => settings.peers = vec![self.address],
        }
        App::connect(&endpoint, settings, Ledger::default).expect("a cluster")
    }

    fn folder(&self, number: u8) -> PathBuf {
        Path::new(&self.cluster.path(&format!("ledger-{number}"))).to_owned()
    }

    /// The files of a replica's folder that end with this.
    fn files(&self, number: u8, suffix: &str) -> Vec<PathBuf> {
        let files = fs::read_dir(self.folder(number)).into_iter().flatten().flatten();
        let mut files: Vec<_> = files.map(|entry| entry.path()).collect();
        files.retain(|path| path.extension().is_some_and(|extension| extension == suffix));
        files.sort();
        files
    }
}

#[test]
fn a_replica_without_a_snapshot_fetches_that_of_a_peer_from_where_it_was_broken_off() {
    let address = free_address().to_string().parse().expect("an IPv4 address");
    let peers = Peers { cluster: Cluster::new(3, ""), address };
    let _replicas = peers.cluster.found();
    let mut one = peers.replica(1);
    peers.cluster.publish(&"line\n".repeat(1_500));
    turn_until(&mut one, "all and a snapshot", |app| {
        app.replica().core.machine().count == 1_500 && !peers.files(1, "snapshot").is_empty()
    });
    let whole = peers.files(1, "snapshot").pop().expect("one");
    let bytes = fs::read(&whole).expect("a file");
    let part = peers.folder(2).join(whole.with_extension("part").file_name().expect("a name"));

    // What an earlier attempt has left is not its beginning: nothing of it is restored, and the stream is
    // read from its beginning.
    fs::create_dir_all(peers.folder(2)).expect("a folder");
    let mut other = bytes[..5 << 20].to_vec();
    other[4 << 20] ^= 1;
    fs::write(&part, &other).expect("a disk");
    let mut two = peers.replica(2);
    assert_eq!((two.replica().next(), peers.files(2, "part").len()), (1, 0));
    turn_until(&mut two, "all messages", |app| app.replica().core.machine().count == 1_500);
    drop(two);

    // It is its beginning: the rest is fetched.
    peers.files(2, "snapshot").iter().for_each(|path| fs::remove_file(path).expect("a disk"));
    fs::write(&part, &bytes[..5 << 20]).expect("a disk");
    let mut two = peers.replica(2);
    let next = two.replica().next();
    assert!(next > 1_000, "it begins at {next}");
    assert_eq!(fs::read(peers.files(2, "snapshot").pop().expect("one")).expect("a file"), bytes);
    turn_until(&mut two, "all messages", |app| app.replica().core.machine().count == 1_500);
    assert!(two.replica().core.inputs() < 1_000, "{} inputs were applied again", two.replica().core.inputs());

    // The page has what every daemon's page has.
    turn_until(&mut one, "ready", |_| page(address, "/readyz").0 == 200);
    assert_eq!(page(address, "/healthz"), (200, "ledger-1 is alive\n".to_owned()));
    let (status, metrics) = page(address, "/metrics");
    assert!(
        status == 200 && metrics.contains("lockstep_app_inputs_total{process=\"ledger-1\"}"),
        "{metrics}"
    );
}

/// What retention does to a journal: only the newest segments stay, and the tables where the oldest begins.
fn keep_newest_segments(journal: &Path, count: usize) {
    let segments = journal.join("segments");
    let files = || fs::read_dir(&segments).expect("segments").flatten().map(|entry| entry.path());
    let mut numbers: Vec<_> =
        files().filter(|path| path.extension().is_some_and(|one| one == "seg")).collect();
    numbers.sort();
    let oldest = numbers[numbers.len() - count].file_stem().expect("a number").to_owned();
    let before = numbers[numbers.len() - count - 1].with_extension("ckp");
    let is_old = |path: &PathBuf| path.file_stem().is_some_and(|stem| stem < &*oldest) && *path != before;
    files().filter(is_old).for_each(|path| fs::remove_file(path).expect("a disk"));
}

#[test]
fn a_replica_that_was_away_for_longer_than_any_journal_reaches_back_goes_on_with_a_peers_snapshot() {
    let address = free_address().to_string().parse().expect("an IPv4 address");
    let small =
        "[journal]\ntail_size = \"1MiB\"\nsegment_size = \"1MiB\"\n[stream]\nwindow_bytes = \"256KiB\"\n";
    let peers = Peers { cluster: Cluster::new(1, small), address };
    let mut replicas = peers.cluster.found();
    let mut one = peers.replica(1);
    let mut two = peers.replica(2);
    peers.cluster.publish(&"line\n".repeat(1_500));
    let has_snapshot = |number| !peers.files(number, "snapshot").is_empty();
    turn_until(&mut two, "all and a snapshot", |app| {
        app.replica().core.machine().count == 1_500 && has_snapshot(2)
    });
    drop(two);
    let long = format!("{}\n", "x".repeat(900));
    peers.cluster.publish(&long.repeat(8_000));
    turn_until(&mut one, "all", |app| {
        app.replica().core.machine().count == 9_500 && app.saved_next() > 9_000
    });
    // Its child may have completed the file before this thread announces it.
    turn_until(&mut one, "a whole snapshot", |app| {
        !app.is_writing_snapshot() && app.is_drained() && peers.files(1, "part").is_empty()
    });

    assert_eq!(replicas.remove(0).terminate(), Some(0));
    keep_newest_segments(&peers.cluster.path("journal-1"), 2);
    replicas.push(peers.cluster.start_replica(1));
    replicas[0].await_log("-> leader");
    let mut two = peers.replica(2);
    assert!(two.replica().next() < 1_600, "it begins with its own snapshot");
    turn_until(&mut two, "all", |app| app.replica().core.machine().count == 9_500);
    assert!(two.replica().core.inputs() < 2_000, "{} inputs were applied", two.replica().core.inputs());
    drop(two);

    // It ends where no peer can help: by the code that units do not restart where nothing changes that, as
    // for a version that no peer has a snapshot of, ...
    let mut newer = peers.replica_of::<2>(3);
    let error = end_of(&mut newer);
    let text = error.to_string();
    assert_eq!(error.exit_code(), 3, "{text}");
    assert!(text.contains("is of version 1 of the machine, and this is version 2"), "{text}");
    assert_eq!(peers.files(3, "snapshot").len(), 0, "and nothing of it is kept");
    // ... and by the other one where a peer is away.
    drop(one);
    let mut alone = peers.replica(4);
    let error = end_of(&mut alone);
    assert_eq!(error.exit_code(), 1);
    assert!(error.to_string().contains("no peer has a snapshot"), "{error}");
}

/// Somebody who sits at a peer's address, and serves what he likes.
fn liar(address: SocketAddrV4, list: String, file: Vec<u8>) -> PageServer {
    let settings = PageSettings { address, key: "a test", thread: "liar", body_max: 0, hosts: Vec::new() };
    let answer = move |request: &PageRequest<'_>| match request.path {
        "/snapshots" => PageAnswer::text("200 OK", list.clone()),
        // Without an end, where nobody says how much there is.
        _ if file.is_empty() => PageAnswer::bytes(vec![0; 1 << 20]),
        _ => {
            let range = request.header("range").and_then(|range| range.strip_prefix("bytes="));
            let from = range.and_then(|range| range.split('-').next()?.parse().ok()).unwrap_or(0);
            PageAnswer::bytes(file[from..file.len().min(from + (4 << 20))].to_vec())
        }
    };
    PageServer::start(settings, answer).expect("a server")
}

fn free() -> SocketAddrV4 {
    free_address().to_string().parse().expect("an IPv4 address")
}

#[test]
fn a_state_that_the_stream_does_not_announce_says_nothing_and_is_given_up() {
    let peers = Peers { cluster: Cluster::new(1, ""), address: free() };
    let _replicas = peers.cluster.found();
    let mut one = peers.replica(1);
    peers.cluster.publish(&"line\n".repeat(1_500));
    turn_until(&mut one, "all and a snapshot", |app| {
        app.replica().core.machine().count == 1_500 && !peers.files(1, "snapshot").is_empty()
    });
    drop(one);
    // Another state with the place of the right one.
    let settings = MachineSettings { name: "ledger".to_owned(), digest_every: 1_000 };
    let right = peers.files(1, "snapshot").pop().expect("one");
    let mut right = fs::File::open(right).expect("a file");
    let (_, cursor) = MachineCore::<Ledger>::restore(settings.clone(), &mut right).expect("a snapshot");
    let mut forged = Vec::new();
    let core = MachineCore::new(settings, Ledger::<1> { count: 1 << 40 });
    core.save(cursor, cursor.seq, &mut forged).expect("memory");
    let (address, own) = (free(), free());
    let _liar = liar(address, format!("1 {}\n", forged.len()), forged);

    let endpoint = Endpoint::from_file(peers.cluster.config()).expect("the cluster's file");
    let mut settings = AppSettings::new("ledger", 2, peers.folder(2));
    (settings.peers, settings.serve) = (vec![address], Some(own));
    settings.proof_wait = Duration::from_millis(500);
    let mut two = App::connect(&endpoint, settings, Ledger::<1>::default).expect("a cluster");
    assert!(two.replica().unproven().is_some(), "nobody vouches for it");
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| query(own, b""));
        while !asking.is_finished() {
            two.turn(|_, _| {}).expect("it goes on");
            two.wait(Duration::from_millis(1)).expect("a descriptor");
        }
        let refused = asking.join().expect("no panic").expect_err("it is not proven").to_string();
        assert!(refused.contains("has not announced"), "{refused}");
    });
    let list = super::page(own, "/snapshots");
    assert_eq!(list, (200, String::new()), "it gives nobody what it does not believe");
    turn_until(&mut two, "the stream's own state", |app| {
        app.replica().unproven().is_none() && app.replica().core.machine().count == 1_500
    });
    assert!(peers.files(2, "snapshot").is_empty() && peers.files(2, "unproven").is_empty());
}

#[test]
fn a_peer_that_claims_more_than_the_stream_says_fills_no_disk() {
    let peers = Peers { cluster: Cluster::new(1, ""), address: free() };
    let _replicas = peers.cluster.found();
    peers.cluster.publish("line\n");
    let _liar = liar(peers.address, format!("1 {}\n", 1_u64 << 60), Vec::new());
    let mut two = peers.replica(2);
    assert_eq!((two.replica().next(), peers.files(2, "part").len()), (1, 0));
    assert!(two.replica().unproven().is_none());
    turn_until(&mut two, "all messages", |app| app.replica().core.machine().count == 1);
}

#[test]
fn a_snapshot_of_a_peer_is_proven_by_the_streams_announcement() {
    let peers = Peers { cluster: Cluster::new(1, ""), address: free() };
    let _replicas = peers.cluster.found();
    let mut one = peers.replica(1);
    peers.cluster.publish(&"line\n".repeat(1_500));
    turn_until(&mut one, "all and a snapshot", |app| {
        app.replica().core.machine().count == 1_500 && !peers.files(1, "snapshot").is_empty()
    });
    let mut two = peers.replica(2);
    assert!(two.replica().next() > 1_000);
    let began = Instant::now();
    while two.replica().unproven().is_some() {
        for app in [&mut one, &mut two] {
            app.turn(|_, _| {}).expect("it goes on");
        }
        two.wait(Duration::from_millis(1)).expect("a descriptor");
        assert!(began.elapsed() < PATIENCE, "it is not proven");
    }
    assert!(peers.files(2, "unproven").is_empty());
    assert_eq!(two.replica().core.machine().count, 1_500);
}
