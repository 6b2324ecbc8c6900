//! Commands that read the files of a journal beside the node that writes them.

use crate::cli::streams::{SMALL, json, lines};
use lockstep_testkit::lane::amount;
use lockstep_testkit::processes::{Cluster, Outcome, PATIENCE, await_code, busy, run};
use lockstep_wire::Header;
use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What an operator's cron jobs and hands ask of a journal.
const COMMANDS: [&[&str]; 6] = [
    &["journal", "verify"],
    &["journal", "info"],
    &["journal", "ls"],
    &["journal", "grep", "order"],
    &["journal", "dump"],
    &["backup"],
];

const NODES: [[&str; 2]; 4] =
    [["--replica", "1"], ["--replica", "2"], ["--replica", "3"], ["--archiver", "101"]];

/// Runs a command beside a node; a backup goes on in the folder of that node.
fn ask(cluster: &Cluster, command: &[&str], node: [&str; 2]) -> Outcome {
    let backup = cluster.path(&format!("backup-{}", node[1])).display().to_string();
    let mut args = [command, &node].concat();
    if command == ["backup"] {
        args.extend(["--to", &backup, "--segment-size", "1MiB"]);
    }
    cluster.run(&args, b"")
}

/// Each command beside each node of a cluster, one after the other. A night does it twenty times.
#[test]
fn a_journal_that_is_being_written_is_whole_to_each_command_that_reads_it() {
    let cluster = Cluster::new(3, SMALL);
    cluster.add_archiver(101, "compression = \"lz4\"\n");
    let _replicas = cluster.found();
    let _archiver = cluster.start_archiver(101);
    let (stop, published, asked) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                // So much for each command: the stream does not grow with the time that they take.
                if published.load(Ordering::Relaxed) > 40 * asked.load(Ordering::Relaxed) {
                    sleep(Duration::from_millis(1));
                    continue;
                }
                let from = published.load(Ordering::Relaxed);
                let orders = lines(from, from + 40);
                // A busy machine may be too slow for one: the next one goes on.
                let outcome = cluster.run(&["publish", "--name", "orders"], orders.as_bytes());
                published.fetch_add(40 * usize::from(outcome.code == Some(0)), Ordering::Relaxed);
            }
        });
        // The publisher ends with this thread, however that ends.
        let ends = Ends(&stop);
        for round in 0..amount(1, 20) {
            for node in NODES {
                for command in COMMANDS {
                    asked.fetch_add(1, Ordering::Relaxed);
                    let outcome = ask(&cluster, command, node);
                    let case = format!("round {round}, {command:?} {node:?}");
                    assert_eq!(outcome.code, Some(0), "{case}: {}", outcome.err);
                    assert!(!outcome.err.contains("damage"), "{case}: {}", outcome.err);
                }
            }
        }
        drop(ends);
    });
    assert!(published.load(Ordering::Relaxed) >= 40, "it was written meanwhile");
}

/// Tells the publisher to end.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

// ---------------------------------------------------------------------------- beside a compiler

/// Each node is asked these in turn.
const ROUND: [&[&str]; 3] = [&["journal", "verify"], &["backup"], &["journal", "dump"]];
/// From the begin of one command to that of the next one at the same node, where it has ended by then.
const PERIOD: Duration = Duration::from_millis(100);

/// A steady stream of orders, some hundred a second, until `stop`. Returns how many were published.
fn publish_steadily(cluster: &Cluster, stop: &AtomicBool) -> usize {
    let mut published = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut publisher = cluster.start("publish", &["publish", "--name", "orders"]);
        let mut stdin = publisher.stdin().take().expect("piped");
        // A machine that is too busy for a publisher ends it: the next one goes on.
        while !stop.load(Ordering::Relaxed)
            && stdin.write_all(lines(published, published + 3).as_bytes()).is_ok()
        {
            published += 3;
            sleep(Duration::from_millis(5));
        }
        drop(stdin);
        publisher.wait();
    }
    published
}

/// Keeps the cores busy until `stop`: a compiler on each one, or a loop where no compiler may be started.
fn compile_on_each_core(folder: &Path, stop: &AtomicBool) {
    let function = |number| {
        format!(
            "pub fn f{number}(words: &[&str]) -> Vec<(String, u64)> {{ let mut found = std::collections::BTreeMap::new(); \
             for word in words {{ *found.entry(format!(\"{{word}}-{number}\")).or_insert({number}u64) += 1; }} \
             found.into_iter().collect() }}\n"
        )
    };
    let source = folder.join("busy.rs");
    fs::write(&source, (0..40).map(function).collect::<String>()).expect("a source");
    let compile = |core: usize| {
        let mut compiler = Command::new("nice");
        // By day other tests run beside this one, and have their time.
        compiler.args(["-n", amount("10", "0"), "rustc"]);
        compiler.args(["--edition", "2024", "--crate-type", "lib", "-O", "--emit", "obj"]);
        compiler.arg("-o").arg(folder.join(format!("busy-{core}.o"))).arg(&source);
        run(compiler, b"").with_code(0);
    };
    let has_compiler =
        Command::new("rustc").arg("--version").output().is_ok_and(|version| version.status.success());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for core in 0..cores {
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if has_compiler { compile(core) } else { std::hint::spin_loop() }
                }
            });
        }
    });
}

/// Three replicas and an archiver under load on busy cores, while `check` runs. Returns the processes' logs.
fn on_busy_cores(check: impl FnOnce(&Cluster)) -> String {
    let _place = busy();
    let cluster = Cluster::new(3, SMALL);
    cluster.add_archiver(101, "compression = \"lz4\"\n");
    let replicas = cluster.found();
    let archiver = cluster.start_archiver(101);
    cluster.publish("begins\n");
    for node in NODES {
        await_code(0, || ask(&cluster, &["backup"], node));
    }
    let stop = AtomicBool::new(false);
    let published = std::thread::scope(|scope| {
        let publisher = scope.spawn(|| publish_steadily(&cluster, &stop));
        scope.spawn(|| compile_on_each_core(&cluster.path(""), &stop));
        // All end with this thread, however that ends.
        let ends = Ends(&stop);
        check(&cluster);
        drop(ends);
        publisher.join().expect("it ends")
    });
    assert!(published > 100, "it was written meanwhile: {published}");
    replicas.iter().chain([&archiver]).map(|node| format!("{}:\n{}", node.name(), node.log())).collect()
}

/// A night does it for a minute.
#[test]
fn no_command_beside_busy_nodes_has_a_word_of_damage_where_there_is_none() {
    let logs = on_busy_cores(|cluster| {
        let began = Instant::now();
        let asked: Vec<usize> = std::thread::scope(|scope| {
            let asking = NODES.map(|node| {
                scope.spawn(move || {
                    let (mut asked, mut dumped) = (0, 0);
                    while began.elapsed() < Duration::from_secs(amount(7, 60)) {
                        let begun = Instant::now();
                        let command = ROUND[asked % ROUND.len()];
                        let outcome = ask(cluster, command, node);
                        let case = format!("{command:?} {node:?}, asked {asked} times before");
                        assert_eq!(outcome.code, Some(0), "{case}: {}", outcome.err);
                        assert!(!outcome.err.contains("damage"), "{case}: {}", outcome.err);
                        if command == ["journal", "dump"] {
                            let entries = outcome.out.lines().count();
                            assert!(entries >= dumped, "{case}: {entries} entries, and {dumped} before");
                            dumped = entries;
                        }
                        asked += 1;
                        sleep(PERIOD.saturating_sub(begun.elapsed()));
                    }
                    asked
                })
            });
            asking.map(|asking| asking.join().expect("no word of damage")).into()
        });
        println!("commands at each node: {asked:?}");
        assert!(asked.iter().all(|asked| *asked >= ROUND.len()), "{asked:?}");
    });
    assert!(!logs.contains("damage"), "{logs}");
}

/// Judges what `journal verify --json` says of damage: nothing, or the one record with byte `at`. Returns its
/// place, as all commands spell it.
fn place_of(verified: &Outcome, whole: &[u8], at: u64) -> Option<String> {
    let report = json(&verified.out);
    let damage = report["damage"].as_array().expect("a list");
    let Some(first) = damage.first() else {
        assert_eq!(verified.code, Some(0), "{}", verified.err);
        return None;
    };
    assert_eq!((damage.len(), verified.code), (1, Some(3)), "one byte was changed: {report}");
    let number = |key: &str| first[key].as_u64().unwrap_or_else(|| panic!("{key}: {report}"));
    let (byte, seq) = (number("byte"), number("seq"));
    let record = Header::peek(&whole[byte as usize..]).expect("a record begins there");
    assert_eq!((&first["file"], seq), (&SEGMENT.into(), record.first_seq), "{report}");
    let until = byte + u64::from(record.length);
    assert!((byte..until).contains(&at), "byte {at} is in another record: {report}");
    Some(format!("{SEGMENT} is damaged at byte {byte} (seq {seq})"))
}

/// The segment whose byte changes.
const SEGMENT: &str = "segments/0000000001.seg";

/// Where the scrub has mended the byte before a command came to it, it is changed once more.
#[test]
fn a_byte_that_changes_beside_busy_nodes_is_named_by_file_byte_and_seq_and_no_other_one_is() {
    let mut place = String::new();
    let logs = on_busy_cores(|cluster| {
        let began = Instant::now();
        while !cluster.path("journal-3/segments/0000000002.seg").exists() {
            assert!(began.elapsed() < PATIENCE, "the first segment is not sealed");
            sleep(PERIOD);
        }
        let path = cluster.path("journal-3").join(SEGMENT);
        let whole = fs::read(&path).expect("a segment");
        let at = whole.len() as u64 / 2;
        let change = || {
            // A mended segment is another file.
            let segment = fs::OpenOptions::new().write(true).open(&path).expect("a segment");
            segment.write_all_at(&[whole[at as usize] ^ 0x20], at).expect("writing");
        };
        let mut named = 0;
        while named < 3 || began.elapsed() < amount(Duration::ZERO, PATIENCE) {
            assert!(began.elapsed() < PATIENCE * 3, "it is named {named} times");
            for node in NODES {
                change();
                let verified = ask(cluster, &["journal", "verify", "--json"], node);
                let Some(found) = place_of(&verified, &whole, at) else { continue };
                assert_eq!(node, NODES[2], "it is whole: {found}");
                verified.saying(&[&found]);
                (place, named) = (found, named + 1);
            }
            if place.is_empty() {
                continue;
            }
            for (node, command) in NODES.into_iter().flat_map(|node| [(node, ROUND[1]), (node, ROUND[2])]) {
                change();
                let outcome = ask(cluster, command, node);
                let words = outcome.err.lines().filter(|line| line.contains("damage")).collect::<Vec<_>>();
                let is_it = node == NODES[2] && words.iter().all(|line| line.contains(&place));
                let code = if words.is_empty() { 0 } else { 3 };
                assert!(words.is_empty() || is_it, "{command:?} {node:?}: {}", outcome.err);
                assert_eq!(outcome.code, Some(code), "{command:?} {node:?}: {}", outcome.err);
                named += words.len();
            }
        }
    });
    let words: Vec<_> = logs.lines().filter(|line| line.contains("damaged at byte")).collect();
    assert!(words.iter().all(|line| line.contains(&place)), "{place}: {words:?}");
    let other = logs.split("replica-3:\n").next().expect("the logs before it");
    assert!(!other.contains("damage"), "{other}");
}
