//! From the death of a leader to its watcher's `DeathNotice`, heard by a third process.
//!
//! A victim holds a tail of so many MiB, touched, has a watcher, and stamps nothing: it spins as a leader
//! does. It is killed with signal 9; the clock runs from just before the kill until the datagram is here,
//! so it holds the kill's own system call, one loopback delivery and our own wake-up. Where others want the
//! cores too, a dying thread waits for its turn like any other: `--scheduling fifo:2` shows what is left.
//! The floor is as large a victim without a watcher, from the kill until its parent's `wait` returns: how
//! soon any supervisor can know of a death by itself.

use crate::child::{Own, report};
use crate::contestant::Scheduled;
use crate::environment;
use crate::harness::Run;
use crate::results::{Figures, Output, Round, Row, RunResult, Unit, VALUE};
use crate::stats::Latencies;
use clap::Parser;
use lockstep_core::engine::ports::{Group, Net, PARK_NS_MAX};
use lockstep_io::clock::{Clock, random_u64};
use lockstep_io::idle::Parker;
use lockstep_io::udp::{Interface, Udp, UdpSettings, free_port};
use lockstep_node::EVENT_KINDS;
use lockstep_node::io::tail::MappedTail;
use lockstep_process::cpu::{self, SchedulingClass};
use lockstep_process::events::Recorder;
use lockstep_process::watcher::{
    NOTICE_LEN_MAX, STARTED, Watcher, WatcherSettings, forbid_core_dumps, watch,
};
use lockstep_wire::{Datagram, DeathNoticeBody, Header, Keyring, Kind, Nanos, write_down};
use std::io::Read;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// The id in every datagram of these runs.
const CLUSTER: u64 = 1;
/// A notice that has not come by then does not come.
const PATIENCE_NS: Nanos = 10_000_000_000;
/// Events that wait for somebody to read them: nobody does here.
const EVENTS_MAX: usize = 64;

/// How often, and how large.
#[derive(Parser)]
pub struct Arguments {
    /// MiB of journal that the dying process has resident; repeatable.
    #[arg(long, value_name = "MIB", default_values_t = [0, 256, 1024])]
    mib: Vec<u64>,
    /// Deaths per size.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    kills: u32,
    /// The scheduling class of who dies and of who hears it: other, fifo:N (above the watcher's own fifo:1).
    #[arg(long, default_value = "other")]
    scheduling: SchedulingClass,
    #[command(flatten)]
    output: Output,
}

/// What a victim is told.
#[derive(Parser)]
pub struct VictimArguments {
    /// The port of the groups.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The control group.
    #[arg(long, default_value_t = Ipv4Addr::UNSPECIFIED)]
    group: Ipv4Addr,
    /// The core that it spins on.
    #[arg(long)]
    core: usize,
    /// The class of its hot thread.
    #[arg(long)]
    scheduling: SchedulingClass,
    /// The tail's file; it has none without.
    #[arg(long)]
    tail: Option<PathBuf>,
    /// Its MiB.
    #[arg(long, default_value_t = 0)]
    mib: u64,
    /// It has no watcher.
    #[arg(long)]
    alone: bool,
}

/// Measures, and gives out what was found.
///
/// # Errors
/// In words, what did not start, or was not heard.
pub fn run(arguments: &Arguments) -> Result<RunResult, String> {
    let title = "kill -9 of a process to its watcher's Down, over its parent's wait";
    let mut run = Run::begin("down", title, environment::facts());
    let cores = cpu::cores();
    // The victim has a core of its own where there are two; its watcher and we have the rest.
    let hot = cores.first().copied().unwrap_or(0);
    let ours: Vec<usize> = cores.iter().copied().filter(|core| cores.len() == 1 || *core != hot).collect();
    cpu::allow(&ours);
    let class = arguments.scheduling;
    run.tell("clock", "monotonic, of who kills and hears, from just before the kill");
    run.tell("cores", format!("the victim has core {hot}, watcher and hearer have {ours:?}"));
    run.tell("idle", "the victim spins, watcher and hearer park");
    run.tell("loop", "closed: the next death when all is said about the last");
    run.tell("scheduling", class);
    run.tell("warm-up", "none: every victim is new");
    let [mut by_mutex, mut by_process] = [0, 0];
    for number in 1..=arguments.kills {
        for mib in &arguments.mib {
            run.show(&format!("kill {number} of {}, {mib} MiB", arguments.kills));
            let case = format!("down, {mib} MiB of journal");
            let row = |key, words| Row::new(&case, key, words, Unit::Nanos).over([("mib", *mib as f64)]);
            let at_s = run.at_s();
            let round = Round { at_s, ..death_of(waited(*mib, hot, class)?)? };
            run.results.add(row("wait", "kill -9 to parent's wait").as_floor(true), round);
            let at_s = run.at_s();
            let death = death(*mib, hot, class)?;
            run.results.add(row("lockstep", "kill -9 to Down heard"), Round { at_s, ..death_of(death.ns)? });
            *(if death.by_mutex { &mut by_mutex } else { &mut by_process }) += 1;
        }
    }
    run.results.counts.extend([("by_mutex".to_owned(), by_mutex), ("by_process".to_owned(), by_process)]);
    run.results.notes.push("by_mutex, by_process: what a watcher saw of a death first".to_owned());
    let less = "a ratio below 1: the watcher knows of a death before the kernel has taken the process down";
    run.results.notes.push(less.to_owned());
    run.finish(&arguments.output)
}

/// A round is one death.
fn death_of(ns: Nanos) -> Result<Round, String> {
    let mut latencies = Latencies::new()?;
    latencies.record(ns);
    Ok(Round { figures: Figures::from([(VALUE.to_owned(), ns as f64)]), ..Round::of(&latencies)? })
}

/// One death.
struct Death {
    ns: Nanos,
    by_mutex: bool,
}

/// How long a parent waits for a victim that has no watcher, from just before the kill.
fn waited(mib: u64, core: usize, class: SchedulingClass) -> Result<Nanos, String> {
    let (mut victim, _tail) = Victim::start((mib, core, class), &["--alone"])?;
    let _scheduled = Scheduled::new(class)?;
    let clock = Clock::start();
    let killed = clock.now();
    victim.0.child().kill().map_err(|error| format!("killing the victim: {error}"))?;
    victim.0.child().wait().map_err(|error| format!("waiting for the victim: {error}"))?;
    Ok(clock.now() - killed)
}

fn death(mib: u64, core: usize, class: SchedulingClass) -> Result<Death, String> {
    let words = |error: lockstep_io::IoError| error.to_string();
    let random = random_u64().map_err(words)?.to_le_bytes();
    let group = Ipv4Addr::new(239, 64 | random[0] & 0x3f, random[1], 3);
    let port = free_port(Ipv4Addr::LOCALHOST).map_err(words)?;
    let mut ears = Udp::open(device(port, group)).map_err(words)?;
    let place = [format!("--port={port}"), format!("--group={group}")];
    let (mut victim, _tail) = Victim::start((mib, core, class), &place.each_ref().map(String::as_str))?;
    let mut parker = Parker::new(&ears.sockets()).map_err(words)?;
    let scheduled = Scheduled::new(class)?;
    let clock = Clock::start();
    let killed = clock.now();
    victim.0.child().kill().map_err(|error| format!("killing the victim: {error}"))?;
    let received = loop {
        let count = ears.recv_groups();
        let now = clock.now();
        let is_down = |index| {
            matches!(
                Datagram::decode(ears.group_datagram(index), &Keyring::none(CLUSTER)),
                Ok(Datagram::DeathNotice(..))
            )
        };
        if (0..count).any(is_down) {
            break now;
        }
        if now > killed + PATIENCE_NS {
            return Err(format!("no Down came: {}", victim.last_words()));
        }
        parker.park(PARK_NS_MAX);
    };
    drop(scheduled);
    // To the end of what victim and watcher say: the next victim finds an idle machine.
    let last_words = victim.last_words();
    let by_mutex = last_words.contains("seen by: mutex");
    if !by_mutex && !last_words.contains("seen by: process") {
        return Err(format!("the watcher does not say what it saw: {last_words}"));
    }
    Ok(Death { ns: received - killed, by_mutex })
}

fn device(port: u16, group: Ipv4Addr) -> UdpSettings {
    let interface = Interface::Address(Ipv4Addr::LOCALHOST);
    UdpSettings { ttl: 0, joins: vec![Group::Control], ..UdpSettings::new(interface, port, [group; 3]) }
}

/// The victim's process, ended whatever happens.
struct Victim(Own);

impl Victim {
    /// Starts one on a core, in a class, with so many MiB, and waits until it is ready.
    fn start(
        (mib, core, class): (u64, usize, SchedulingClass),
        flags: &[&str],
    ) -> Result<(Self, TempDir), String> {
        let folder = TempDir::with_prefix_in("lockstep-bench-", "/dev/shm");
        let folder = folder.map_err(|error| format!("making a folder in /dev/shm: {error}"))?;
        let mut command = Command::new("/proc/self/exe");
        command.arg("down-victim").args(flags);
        command.args([format!("--core={core}"), format!("--scheduling={class}")]);
        if mib > 0 {
            command.arg(format!("--mib={mib}")).arg("--tail").arg(folder.path().join("tail"));
        }
        command.stderr(Stdio::piped());
        let mut victim = Self(Own::start("the victim", command, Duration::ZERO)?);
        if victim.0.first_line()?.0 != "ready\n" {
            let _ = victim.0.child().kill(); // it may have ended
            return Err(format!("the victim did not start: {}", victim.last_words()));
        }
        Ok((victim, folder))
    }

    /// Its stderr, which is its watcher's too, to the end.
    fn last_words(&mut self) -> String {
        let victim = self.0.child();
        let _ = victim.wait(); // it was killed
        let mut last_words = String::new();
        victim.stderr.take().map(|mut error| error.read_to_string(&mut last_words));
        last_words
    }
}

/// The victim: gets ready, says so, and spins until it is killed or its stdin ends.
///
/// # Errors
/// In words, what did not start.
pub fn victim(arguments: &VictimArguments) -> Result<(), String> {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new()); // an error is an end too
        std::process::exit(1);
    });
    let cores = cpu::cores();
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = if cores.len() == 1 { (0..all).collect() } else { cores };
    forbid_core_dumps();
    let tail = arguments.tail.as_deref().map(|path| MappedTail::create(path, arguments.mib << 20));
    let _tail = tail.transpose().map_err(|error| error.to_string())?;
    cpu::pin(arguments.core);
    let _watcher = if arguments.alone { None } else { Some(watched(arguments, &cores)?) };
    let _scheduled = Scheduled::new(arguments.scheduling)?;
    report("ready")?;
    loop {
        std::hint::spin_loop();
    }
}

/// The watcher of this process, once it watches.
fn watched(arguments: &VictimArguments, cores: &[usize]) -> Result<Watcher, String> {
    let recorder = Recorder::new(EVENT_KINDS, EVENTS_MAX);
    let udp = device(arguments.port, arguments.group);
    let settings = WatcherSettings::new(&["down-watcher"], udp, cores, Some(arguments.core));
    let mut watcher = Watcher::start(settings, &recorder).map_err(|error| error.to_string())?;
    let mut notice = [0; NOTICE_LEN_MAX];
    let header = Header { cluster: CLUSTER, ..Header::new(Kind::DeathNotice) };
    let len = write_down(&mut notice, &Keyring::none(CLUSTER), header, DeathNoticeBody { secret: [1; 32] });
    watcher.set_notice(&notice[..len]);
    while !recorder.recent().iter().any(|row| row.record.code == STARTED) {
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(watcher)
}

/// The victim's watcher; this program is its own.
///
/// # Errors
/// It was started by hand.
pub fn watcher() -> Result<(), String> {
    let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map_err(|error| error.to_string());
    let ended = watch(own(std::io::stdin().as_fd())?, own(std::io::stdout().as_fd())?);
    eprintln!("{}", ended.map_err(|error| error.to_string())?);
    Ok(())
}
