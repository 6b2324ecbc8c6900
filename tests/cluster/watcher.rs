//! The watcher over real deaths: every end of a stamping thread is announced, and nothing else is.
//!
//! The victim is this test's binary again. It holds the mutex on a thread of its own, prints a line for each
//! watcher that waits, and ends as its stdin tells it to.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use lockstep_core::engine::ports::{Group, Net};
use lockstep_io::capabilities;
use lockstep_io::clock;
use lockstep_io::udp::{Interface, Udp, UdpSettings, free_port};
use lockstep_node::EVENT_KINDS;
use lockstep_process::cpu;
use lockstep_process::events::Recorder;
use lockstep_process::watcher::{DIED, NOTICE_LEN_MAX, STARTED, Watcher, WatcherSettings, forbid_core_dumps};
use lockstep_testkit::child::{CHILD, child_of, is_child_of};
use lockstep_wire::{Datagram, DeathNoticeBody, EventRecord, Header, Keyring, Kind, write_down};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::Builder;
use std::time::{Duration, Instant};

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Names the port and the groups of a victim.
const PLACE: &str = "LOCKSTEP_TEST_PLACE";
/// The test whose body is the victim's.
const VICTIM: &str = "watcher::a_victim_ends_as_it_is_told";
/// Nothing here takes nearly so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// A watcher speaks so often.
const NOTICES_SENT: usize = 5;
const CLUSTER: u64 = 7;

fn notice() -> Vec<u8> {
    let header = Header {
        cluster: CLUSTER,
        epoch: 3 << 8 | 1,
        sender: 1,
        incarnation: 9,
        ..Header::new(Kind::DeathNotice)
    };
    let mut bytes = vec![0; NOTICE_LEN_MAX];
    let len = write_down(&mut bytes, &Keyring::none(CLUSTER), header, DeathNoticeBody { secret: [0xa5; 32] });
    bytes.truncate(len);
    bytes
}

/// Asks until `what` is there.
#[track_caller]
fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waiting for {what} in vain");
        std::thread::sleep(Duration::from_millis(1));
    }
}

// ---------------------------------------------------------------------------- the victim

#[test]
fn a_victim_ends_as_it_is_told() {
    if !is_child_of(VICTIM) {
        return;
    }
    assert_eq!(forbid_core_dumps().note, None);
    let recorder = Recorder::new(EVENT_KINDS, 64);
    let stamping = recorder.clone();
    std::thread::spawn(move || stamp(&stamping));
    let mut seen = 0;
    loop {
        let started: Vec<EventRecord> = recorder
            .recent()
            .into_iter()
            .map(|row| row.record)
            .filter(|event| event.code == STARTED)
            .collect();
        for event in &started[seen..] {
            println!("\nWAITS {}", event.a);
        }
        seen = started.len();
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The stamping thread.
fn stamp(recorder: &Recorder) {
    let mut watcher = Watcher::start(watcher_settings(place()), recorder).unwrap();
    watcher.set_notice(b"of an epoch before");
    watcher.set_notice(&notice());
    let death_notice = watcher.death_notice();
    loop {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        match line.trim() {
            "return" => return,
            "abort" => std::process::abort(),
            "panic" => panic!("told to"),
            "panic and abort" => {
                recorder.abort_on_panic(move || death_notice.toll());
                panic!("told to");
            }
            "overflow" => println!("{}", deeper(1)),
            "exit elsewhere" => drop(std::thread::spawn(|| std::process::exit(0))),
            "execve elsewhere" => {
                std::thread::spawn(|| panic!("{}", Command::new("sleep").arg("60").exec()));
            }
            "panic elsewhere" => {
                recorder.abort_on_panic(move || death_notice.toll());
                let elsewhere = std::thread::spawn(|| panic!("not the one that stamps"));
                assert!(elsewhere.join().is_err());
                println!("\nWENT ON");
            }
            "clear" => {
                watcher.set_notice(&[]);
                println!("\nCLEARED");
            }
            "stop" => return watcher.stop().unwrap(),
            "stop elsewhere" => {
                let refused = std::thread::spawn(|| watcher.stop().is_err()).join().unwrap();
                println!("\n{}", if refused { "REFUSED" } else { "STOPPED" });
                return std::thread::park();
            }
            other => panic!("'{other}' is no way to end"),
        }
    }
}

/// Runs out of stack, which is a fault of the memory.
fn deeper(depth: u64) -> u64 {
    let room = std::hint::black_box([depth; 512]);
    if room[7] == 0 { 0 } else { deeper(depth + 1) + room[depth as usize % 512] }
}

fn place() -> UdpSettings {
    let text = std::env::var(PLACE).expect("a place");
    let mut parts = text.split(' ');
    let port = parts.next().and_then(|port| port.parse().ok()).expect("a port");
    let groups = [(); 3].map(|()| parts.next().and_then(|group| group.parse().ok()).expect("a group"));
    UdpSettings { ttl: 0, ..UdpSettings::new(Interface::Address(LOCALHOST), port, groups) }
}

/// lockstep's own program as the watcher, on the last core.
fn watcher_settings(udp: UdpSettings) -> WatcherSettings {
    let cores = cpu::cores();
    let settings = WatcherSettings::new(&["watch"], udp, &cores, cores.first().copied());
    WatcherSettings { program: env!("CARGO_BIN_EXE_lockstep").into(), ..settings }
}

// ---------------------------------------------------------------------------- its murderer

/// A node's settings on the loopback, with groups and a port that nobody else has.
fn settings() -> UdpSettings {
    let random = clock::random_u64().expect("random bits").to_le_bytes();
    let groups = [1, 2, 3].map(|last| Ipv4Addr::new(239, random[0], random[1], last));
    let port = free_port(LOCALHOST).expect("a free port");
    UdpSettings { ttl: 0, ..UdpSettings::new(Interface::Address(LOCALHOST), port, groups) }
}

fn open(settings: &UdpSettings) -> Udp {
    Udp::open(settings.clone()).expect("a socket on the loopback")
}

/// All group datagrams that wait at `udp`: the loopback delivers within the send.
fn received(udp: &mut Udp) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let count @ 1.. = udp.recv_groups() {
        all.extend((0..count).map(|index| udp.group_datagram(index).to_vec()));
    }
    all
}

struct Victim {
    child: Child,
    out: BufReader<ChildStdout>,
    ears: Udp,
    watcher: u32,
}

impl Victim {
    fn start() -> Self {
        let udp = settings();
        let place = udp.groups.iter().fold(udp.port.to_string(), |text, group| format!("{text} {group}"));
        let ears = open(&UdpSettings { joins: vec![Group::Control], ..udp });
        let mut command = child_of(VICTIM);
        command.env(PLACE, place).env("RUST_BACKTRACE", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A sequencer has no capability when it dies, and what a thread without one starts has none either.
        let start = capabilities::spawn(Builder::new(), move || command.spawn().unwrap());
        let mut child = start.unwrap().join().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut victim = Self { child, out, ears, watcher: 0 };
        victim.await_watcher();
        victim
    }

    fn await_watcher(&mut self) {
        self.watcher = self.await_line("WAITS ").trim().parse().unwrap();
    }

    /// What stands behind `head` on the next line of stdout that begins so.
    fn await_line(&mut self, head: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.out.read_line(&mut line).unwrap() > 0, "it has not said '{head}'");
            if let Some(rest) = line.strip_prefix(head) {
                return rest.to_owned();
            }
        }
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    fn signal(&self, name: &str) {
        kill(name, self.child.id());
    }

    /// What was said until the watcher was gone.
    fn notices(&mut self) -> Vec<Vec<u8>> {
        let watcher = self.watcher;
        wait_for("the end of the watcher", || is_gone(watcher).then_some(()));
        received(&mut self.ears)
    }

    /// Ends it, whatever it does, and returns how it ended and what it said on stderr.
    fn end(mut self) -> (ExitStatus, String) {
        let _ = self.child.kill(); // it may have ended
        let status = self.child.wait().unwrap();
        let mut output = String::new();
        // Its watcher had the same stderr: this waits for its end too.
        self.child.stderr.take().unwrap().read_to_string(&mut output).unwrap();
        (status, output)
    }
}

fn kill(name: &str, process: u32) {
    let status = Command::new("kill").args(["-s", name, &process.to_string()]).status();
    assert!(status.is_ok_and(|status| status.success()), "kill -s {name} {process}");
}

/// Fields of a process from its state on; none once it is gone. One that nobody collects is.
fn stat(process: u32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<String> = text.rsplit(')').next()?.split_whitespace().map(str::to_owned).collect();
    (!matches!(fields.first()?.as_str(), "Z" | "X")).then_some(fields)
}

fn is_gone(process: u32) -> bool {
    stat(process).is_none()
}

#[track_caller]
fn assert_announced(victim: &mut Victim, end: &str) {
    let notices = victim.notices();
    assert_eq!(notices, vec![notice(); NOTICES_SENT], "after {end}");
    assert!(matches!(Datagram::decode(&notices[0], &Keyring::none(CLUSTER)), Ok(Datagram::DeathNotice(..))));
}

#[test]
fn every_end_of_the_stamping_thread_is_announced_and_then_the_watcher_is_gone() {
    for signal in ["KILL", "SEGV", "ABRT", "TERM"] {
        let mut victim = Victim::start();
        victim.signal(signal);
        if signal == "SEGV" {
            // The first one only takes away std's handler, which looks for a stack's end; two at once are
            // one.
            let process = victim.child.id();
            wait_for("the victim's end", || {
                let _ = Command::new("kill").args(["-s", signal, &process.to_string()]).status();
                is_gone(process).then_some(())
            });
        }
        assert_announced(&mut victim, signal);
        victim.end();
    }
    for end in
        ["return", "panic", "panic and abort", "abort", "overflow", "exit elsewhere", "execve elsewhere"]
    {
        let mut victim = Victim::start();
        victim.tell(end);
        assert_announced(&mut victim, end);
        if end == "panic and abort" {
            let process = victim.child.id();
            wait_for("the victim's own end", || is_gone(process).then_some(()));
        }
        let (status, output) = victim.end();
        assert!(output.contains("its 136 bytes of notice were sent 5 times"), "{end}: {output}");
        if end == "panic and abort" {
            assert_eq!(status.signal(), Some(6), "it ended by itself");
            assert!(output.contains("flight recorder") && output.contains("told to"), "{output}");
            assert!(!output.contains("stack backtrace"), "no symbols were looked up: {output}");
        }
    }
}

/// How far a process steps back (field 19 of proc(5)).
fn niceness(process: u32) -> i32 {
    stat(process).unwrap()[16].parse().unwrap()
}

#[test]
fn what_is_left_of_the_dead_steps_back_once_its_death_is_announced() {
    let mut victim = Victim::start();
    let process = victim.child.id();
    let before = niceness(process);
    // Its stamping thread ends; the rest of it lives on, as one does whose memory is torn down.
    victim.tell("return");
    assert_announced(&mut victim, "return");
    // A deadline that was further back already may not be brought forward.
    assert_eq!(niceness(process), before.max(10));
    victim.end();
}

#[test]
fn an_orderly_end_is_silent_and_so_is_that_of_one_with_nothing_to_announce() {
    let mut victim = Victim::start();
    victim.tell("stop");
    assert_eq!(victim.notices(), Vec::<Vec<u8>>::new());
    let (_, output) = victim.end();
    assert!(output.contains("the sequencer stopped in order"), "{output}");

    let mut victim = Victim::start();
    victim.tell("clear");
    victim.await_line("CLEARED");
    victim.signal("KILL");
    assert_eq!(victim.notices(), Vec::<Vec<u8>>::new());
    let (_, output) = victim.end();
    assert!(output.contains("it did not lead"), "{output}");
}

#[test]
fn a_stopped_process_and_a_panic_of_another_thread_are_no_death() {
    let mut victim = Victim::start();
    victim.signal("STOP");
    let process = victim.child.id();
    wait_for("the stop", || (stat(process)?[0] == "T").then_some(()));
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(received(&mut victim.ears), Vec::<Vec<u8>>::new());
    victim.signal("CONT");
    victim.tell("panic elsewhere");
    victim.await_line("WENT ON");
    assert_eq!(received(&mut victim.ears), Vec::<Vec<u8>>::new());
    victim.signal("KILL");
    assert_announced(&mut victim, "all that");
    victim.end();
}

#[test]
fn only_the_thread_that_is_watched_can_end_the_watch_in_order() {
    let mut victim = Victim::start();
    victim.tell("stop elsewhere");
    victim.await_line("REFUSED");
    victim.signal("KILL");
    // Its notice was taken back before it was refused.
    assert_eq!(victim.notices(), Vec::<Vec<u8>>::new());
    victim.end();
}

#[test]
fn a_dead_watcher_is_replaced_and_the_new_one_announces() {
    let mut victim = Victim::start();
    for _ in 0..3 {
        let before = victim.watcher;
        kill("KILL", before);
        victim.await_watcher();
        assert!(before != victim.watcher && is_gone(before));
    }
    assert_eq!(received(&mut victim.ears), Vec::<Vec<u8>>::new(), "nobody died but watchers");
    victim.signal("KILL");
    assert_announced(&mut victim, "three watchers");
    victim.end();
}

#[test]
fn a_watcher_lives_in_a_session_of_its_own_off_the_hot_core_and_deaf_to_signals() {
    let mut victim = Victim::start();
    let fields = stat(victim.watcher).unwrap();
    assert_eq!(fields[3], victim.watcher.to_string(), "its session");
    let status = std::fs::read_to_string(format!("/proc/{}/status", victim.watcher)).unwrap();
    let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
    let (all, hot) = (cpu::cores(), cpu::cores()[0].to_string());
    assert!(all.len() == 1 || (cores != hot && !cores.starts_with(&format!("{hot}-"))), "{cores}");
    for signal in ["TERM", "INT", "HUP", "USR1", "QUIT"] {
        kill(signal, victim.watcher);
    }
    victim.signal("KILL");
    assert_announced(&mut victim, "five signals");
    victim.end();
}

#[test]
fn watchers_that_end_at_once_are_given_up_and_the_sequencer_goes_on() {
    for (program, why) in
        [("false", "exit status: 1"), ("/nonexistent/lockstep", "not started: No such file")]
    {
        let recorder = Recorder::new(EVENT_KINDS, 64);
        let settings = WatcherSettings { program: program.into(), ..watcher_settings(settings()) };
        let mut watcher = Watcher::start(settings, &recorder).unwrap();
        watcher.set_notice(&notice());
        let events = |code| recorder.recent().into_iter().filter(|row| row.record.code == code).count();
        wait_for("the end of patience", || (watcher.abandoned_watchers() == 10).then_some(()));
        let text = recorder.recent_text();
        assert_eq!((events(DIED), watcher.process()), (10, None), "{text}");
        assert!(text.contains(why), "{text}");
        watcher.stop().unwrap();
    }
}

#[test]
fn a_watcher_without_a_sequencer_says_who_starts_it() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_lockstep")).arg("watch").env_remove(CHILD).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("only `lockstep sequencer` starts a watcher"), "{text}");
}
