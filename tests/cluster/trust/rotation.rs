//! Keys change while the stream runs: three generations, and nothing is lost or refused on the way.
//! `LOCKSTEP_ROTATION=100000x60` offers so many messages a second for so many seconds, and prints what was
//! published and committed of it.

use super::{WITHOUT_KEYS, refused};
use lockstep_testkit::processes::{Cluster, PATIENCE, Process, await_change, payloads, signal_all};
use std::fmt::Write as _;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Messages a second, and the least time of the whole rotation.
fn load_of_environment() -> (u64, Duration) {
    let text = std::env::var("LOCKSTEP_ROTATION").unwrap_or_else(|_| "50000x0".to_owned());
    let numbers =
        text.split_once('x').and_then(|(rate, seconds)| Some((rate.parse().ok()?, seconds.parse().ok()?)));
    let (rate, seconds) = numbers.expect("LOCKSTEP_ROTATION is RATExSECONDS");
    (rate, Duration::from_secs(seconds))
}

/// Writes lines with a rising number to `to`, `rate` a second, until `stop`. Returns the last number.
fn offer(mut to: impl Write, rate: u64, stop: &AtomicBool) -> u64 {
    let (began, mut number, mut lines) = (Instant::now(), 0, String::new());
    while !stop.load(Ordering::Relaxed) {
        let due = (began.elapsed().as_micros() as u64).saturating_mul(rate) / 1_000_000;
        lines.clear();
        for next in number + 1..=due {
            let _infallible = writeln!(lines, "{next}");
        }
        to.write_all(lines.as_bytes()).expect("the publisher reads");
        number = due.max(number);
        std::thread::sleep(Duration::from_millis(1));
    }
    number
}

/// Ends the load when it is dropped.
struct EndsLoad<'a>(&'a AtomicBool);

impl Drop for EndsLoad<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whether a process catches SIGHUP: one that has just begun does not yet, and would end by it or miss it.
fn catches_hangup(process: &Process) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 != 0)
}

/// Waits for something of a process, which must not end meanwhile.
fn await_of(process: &mut Process, is_so: impl Fn(&Process) -> bool) {
    let began = Instant::now();
    while !is_so(process) {
        let is_late = process.ended().is_some() || began.elapsed() > PATIENCE;
        assert!(!is_late, "{} has ended, or does not do what it is told:\n{}", process.name(), process.log());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Tells all processes to read their key files again, and waits until each has.
pub fn reload(processes: &mut [Process], times: &mut usize) {
    *times += 1;
    processes.iter_mut().for_each(|process| await_of(process, catches_hangup));
    signal_all("HUP", processes.iter());
    for process in processes {
        await_of(process, |process| process.log().matches("was read again").count() >= *times);
    }
}

#[test]
fn three_generations_under_load_lose_nothing_and_a_file_that_was_not_changed_is_a_strangers() {
    let cluster = Cluster::new(3, "");
    let old = cluster.path("old-publisher.keys");
    std::fs::copy(cluster.path("keys/publisher.keys"), &old).expect("a copy");
    let mut processes = cluster.found();
    processes.push(cluster.start("reader", &["subscribe", "--committed"]));
    let mut publisher = cluster.start("publisher", &["publish", "--name", "orders"]);
    let lines = publisher.stdin().take().expect("its input");
    processes.push(publisher);
    let ((rate, lasting), began) = (load_of_environment(), Instant::now());
    let stop = AtomicBool::new(false);
    let published = std::thread::scope(|scope| {
        let load = scope.spawn(|| offer(lines, rate, &stop));
        let ends = EndsLoad(&stop); // also where a step fails
        let keys = |args: &[&str]| cluster.run(&[&["keys"], args].concat(), b"").with_code(0);
        let mut times = 0;
        for generation in 1..=3u8 {
            let (new, before) = (generation.to_string(), (generation - 1).to_string());
            assert_eq!(keys(&["rotate"]).out.trim(), new);
            reload(&mut processes, &mut times);
            keys(&["seal", &new]);
            reload(&mut processes, &mut times);
            let status = cluster.run(&["status"], b"").with_code(0).out;
            assert!(status.contains(&format!("keys     generation {new}, fingerprint ")), "{status}");
            keys(&["retire", &before]);
            reload(&mut processes, &mut times);
            std::thread::sleep((lasting * generation.into() / 3).saturating_sub(began.elapsed()));
        }
        drop(ends);
        load.join().expect("the load")
    });
    let mut publisher = processes.pop().expect("the publisher");
    assert_eq!(publisher.wait().code(), Some(0), "{}", publisher.log());
    let seconds = began.elapsed().as_secs_f64();
    println!("{published} messages offered in {seconds:.1} s, all committed, with three rotations");
    let expected: Vec<String> = (1..=published).map(|number| number.to_string()).collect();
    // A reader with the present file reads it all, and a replay opens what each retired generation sealed.
    assert!(payloads(&cluster.read(&["--committed"]).out) == expected, "{published} messages, each once");
    let reasons = [
        "rejected{reason=\"key\"}",
        "rejected{reason=\"unkeyed\"}",
        "rejected{reason=\"rights\"}",
        "rejected{reason=\"tag\"}",
        "rejected{reason=\"generation\"}",
    ];
    assert_eq!(refused(&cluster, &reasons), 0, "no step refused what a process sent");

    // The reader that was there all the time has read what was there, and is stopped by its full output.
    let mut reader = processes.pop().expect("the reader");
    reader.signal("TERM");
    let text = reader.read_all();
    let read = payloads(&text);
    assert!(!read.is_empty() && expected[..read.len()] == read, "{} of {published} messages", read.len());
    reader.wait();

    // A program that still has the first file.
    std::fs::rename(&old, cluster.path("keys/publisher.keys")).expect("the old file");
    let late = cluster.run(&["publish", "--name", "late", "--timeout", "1s"], b"late\n");
    assert_ne!(late.code, Some(0), "{}", late.err);
    assert!(refused(&cluster, &["rejected{reason=\"generation\"}"]) > 0);
    for process in processes {
        assert_eq!(process.terminate(), Some(0));
    }
}

/// A process without keys ignores the signal, which ends others.
#[test]
fn a_process_without_keys_goes_on_after_the_signal() {
    let cluster = Cluster::new(1, WITHOUT_KEYS);
    let mut replicas = cluster.found();
    signal_all("HUP", replicas.iter());
    cluster.publish("after\n");
    super::all_run(&mut replicas);
}

/// The day is a reminder: a cluster whose keys are too old goes on.
#[test]
fn keys_whose_day_is_over_are_an_alarm_and_end_nothing() {
    let cluster = Cluster::new(1, "");
    let mut replicas = cluster.found();
    let expire = |day: &str| cluster.run(&["keys", "expire", "0", day], b"");
    let wrong = expire("2027-02-29").with_code(2).err;
    assert!(wrong.contains("write a day like 2027-03-31, or never"), "{wrong}");
    assert!(cluster.run(&["status"], b"").with_code(0).out.contains("keys     generation 0, fingerprint "));

    expire("2020-01-01").with_code(0);
    reload(&mut replicas, &mut 0);
    let what = "the keys of generation 0 were to be replaced by 2020-01-01";
    await_of(&mut replicas[0], |replica| replica.log().contains(what));
    let status = cluster.run(&["status"], b"").with_code(6).out;
    assert!(status.contains(", until 2020-01-01\n") && status.contains(what), "{status}");
    let json = cluster.run(&["status", "--json"], b"").with_code(6).out;
    assert!(
        json.contains("\"keys_until\":\"2020-01-01\"") && json.contains("\"keys_days_left\":-"),
        "{json}"
    );
    cluster.publish("after\n");

    expire("never").with_code(0);
    assert!(cluster.run(&["status"], b"").with_code(0).out.contains("keys     generation 0, fingerprint "));
    super::all_run(&mut replicas);
}

/// A publisher that has not read its new file is a stranger once the old generation is retired: whoever
/// rotates sees it before.
#[test]
fn a_publisher_that_seals_with_an_older_generation_is_named_and_nothing_is_retired() {
    let cluster = Cluster::new(3, "");
    let (mut replicas, mut times) = (cluster.found(), 0);
    let mut publisher = cluster.start("publisher", &["publish", "--name", "orders"]);
    let lines = publisher.stdin().take().expect("its input");
    let stop = AtomicBool::new(false);
    let keys = |args: &[&str]| cluster.run(&[&["keys"], args].concat(), b"").with_code(0);
    std::thread::scope(|scope| {
        scope.spawn(|| offer(lines, 100, &stop));
        let _ends = EndsLoad(&stop); // also where a step fails
        keys(&["rotate"]);
        reload(&mut replicas, &mut times);
        reload(std::slice::from_mut(&mut publisher), &mut 0);
        keys(&["seal", "1"]);
        reload(&mut replicas, &mut times);

        let status = await_change(0, 6, || cluster.run(&["status"], b"")).out;
        let first = status.lines().next().expect("a verdict");
        assert!(
            first.contains("publisher key 0 ") && first.contains(" still seals with generation 0"),
            "{status}"
        );
        let why = cluster.run(&["why"], b"").out;
        assert!(why.contains("lockstep keys show"), "{why}");
        // A rotation on all hosts goes no further.
        let hosts = ["--hosts", "1=a,2=b,3=c", "--reach-with", "sh -c {command}", "--reload", "true"];
        let import = format!(
            "{} keys import --config {}",
            env!("CARGO_BIN_EXE_lockstep"),
            cluster.path("cluster.toml").display()
        );
        let retire = ["rolling", "keys", "--until", "retired", "--import", &import];
        let refused = cluster.run(&[&retire[..], &hosts].concat(), b"").with_code(4);
        assert!(refused.err.contains("nothing is retired: publisher key 0 "), "{refused:?}");
    });
    assert_eq!(publisher.wait().code(), Some(0), "{}", publisher.log());
    super::all_run(&mut replicas);
}
