//! Datagrams that were recorded, changed and sealed anew, at every port of a cluster with processes of
//! every role: nothing but counters moves. The first half comes from a stranger, who has keys of its own
//! making; the second one from a reader, whom other readers believe (AUTH-2): then only processes with the
//! replicas' keys run. `LOCKSTEP_MUTATED=N` sends N of them instead of a few.

use super::all_run;
use super::attacker::Attacker;
use super::edge::connect_from;
use lockstep::config::Config;
use lockstep_memory::rng::Rng;
use lockstep_process::cpu::resident_bytes;
use lockstep_testkit::feeds::{self, Listener};
use lockstep_testkit::gateways::{self, add_user};
use lockstep_testkit::lane::amount;
use lockstep_testkit::processes::{Cluster, Process, payloads};
use lockstep_testkit::trader::{Trader, login_of};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};

/// After so many, the attacker waits for a message to be committed: what was sent is then read.
const PIECE: u64 = 5_000;
const ARCHIVER: u32 = 9;
/// The attacker's host, 127.0.0.66: its wrong logins lock users there alone.
const ATTACKER: u8 = 66;
/// Messages that are published before all others.
const FIRST: usize = 200;
/// The longest answer to what is no request: of a replay port, and of a gateway, which says why in words.
const REPLAY_ANSWER_MAX: usize = 128;
const GATEWAY_ANSWER_MAX: usize = 512;

/// Bytes that are no request, at a port of TCP: it answers, or closes, and in time.
fn at_tcp_port(address: SocketAddr, bytes: &[u8], answer_max: usize) {
    let mut stream = connect_from(ATTACKER, address);
    let _sent = stream.write_all(bytes); // it may have closed already
    let _closed = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "{address} neither answers nor closes");
    }
    assert!(answer.len() <= answer_max, "{} bytes of {address} answer what is no request", answer.len());
}

/// The UDP ports of the loopback that a process has, the groups' left out: its own, whoever knows them.
fn own_ports(process: &Process) -> Vec<SocketAddrV4> {
    let folder = std::fs::read_dir(format!("/proc/{}/fd", process.pid())).expect("it runs");
    // A descriptor may be gone by the time that it is read.
    let links = folder.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let inode = |link: std::path::PathBuf| {
        let text = link.to_string_lossy().into_owned();
        Some(text.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    };
    let inodes: BTreeSet<String> = links.filter_map(inode).collect();
    let table = std::fs::read_to_string(format!("/proc/{}/net/udp", process.pid())).expect("it runs");
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (host, port) = words.get(1)?.split_once(':')?;
        let host = Ipv4Addr::from(u32::from_str_radix(host, 16).ok()?.to_le_bytes());
        let is_own = inodes.contains(*words.get(9)?) && !host.is_multicast();
        is_own.then_some(SocketAddrV4::new(Ipv4Addr::LOCALHOST, u16::from_str_radix(port, 16).ok()?))
    };
    table.lines().filter_map(row).collect()
}

/// Changes a datagram at one to sixteen places; a quarter of them are cut.
fn change(rng: &mut Rng, bytes: &mut Vec<u8>) {
    for _ in 0..rng.log_uniform(1, 16) {
        let at = rng.below(bytes.len() as u64) as usize;
        bytes[at] = if rng.below(2) == 0 { bytes[at] ^ 1 << rng.below(8) } else { rng.below(256) as u8 };
    }
    if rng.below(4) == 0 {
        bytes.truncate(rng.below(bytes.len() as u64) as usize);
    }
}

/// The targets: ports of UDP with what true senders send there, and those of TCP.
struct Targets {
    recorded: Vec<(SocketAddrV4, Vec<u8>)>,
    udp: Vec<SocketAddrV4>,
    /// Ports of requests to feeds, which are another protocol's.
    requests: Vec<SocketAddrV4>,
    tcp: Vec<SocketAddr>,
    gateways: Vec<SocketAddr>,
}

impl Targets {
    /// Sends so many datagrams, and after each piece of them something to every port of TCP; then a message
    /// is committed, and `processes` run. Returns how many pieces there were.
    fn attack(
        &self,
        (rng, attacker, cluster): (&mut Rng, &Attacker, &Cluster),
        count: u64,
        processes: &mut [Process],
        mut each: impl FnMut(&[Process]),
    ) -> usize {
        let mut pieces = 0;
        for sent in 0..count {
            let (group, bytes) = &self.recorded[rng.below(self.recorded.len() as u64) as usize];
            let mut bytes = bytes.clone();
            change(rng, &mut bytes);
            let to = if rng.below(3) == 0 { rng.pick(&self.udp) } else { *group };
            attacker.send_mutated(to, &bytes);
            if let Some(port) = self.requests.first().filter(|_| sent % 16 == 0) {
                // Session, first number, count.
                let mut request = [&b"FIRST     "[..], &1u64.to_be_bytes(), &8u16.to_be_bytes()].concat();
                change(rng, &mut request);
                attacker.send_mutated(*port, &request);
            }
            if sent % PIECE == PIECE - 1 {
                bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
                self.tcp.iter().for_each(|port| at_tcp_port(*port, &bytes, REPLAY_ANSWER_MAX));
                for gateway in &self.gateways {
                    let mut login = format!("\0\x2fL{:<6}{:<10}{:<29}1", "alice", "guess", "").into_bytes();
                    change(rng, &mut login);
                    at_tcp_port(*gateway, &login, GATEWAY_ANSWER_MAX);
                }
                cluster.publish("more\n");
                pieces += 1;
                all_run(processes);
                each(processes);
            }
        }
        pieces
    }
}

/// The memory of each process, before and after.
fn assert_bounded(count: u64, processes: &[Process], before: &[u64]) {
    let after: Vec<_> = processes.iter().map(memory_kib).collect();
    let names: Vec<_> = processes.iter().map(Process::name).collect();
    println!("{count} datagrams; memory of {names:?} in KiB before {before:?} and after {after:?}");
    for (before, after) in before.iter().zip(&after) {
        // Five in a hundred, and a MiB for what is first used late.
        assert!(*after <= before + before / 20 + 1_024, "{before} KiB have become {after}");
    }
}

fn memory_kib(process: &Process) -> u64 {
    resident_bytes(process.pid()).expect("it runs") >> 10
}

/// Three replicas of which the third is a witness, and an archiver.
fn start(cluster: &Cluster) -> Vec<Process> {
    cluster.add_archiver(ARCHIVER, "");
    let mut processes = cluster.found();
    let config = Config::load(Some(&cluster.config()), &[]).expect("the cluster's file");
    let its_address = config.replicas[2].unicast.to_string();
    let shown = cluster.run(&["membership", "show", "--json"], b"").with_code(0).out;
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    let mut listed =
        shown["members"].as_array().expect("a list").iter().filter_map(|row| row["identity"].as_str());
    let third = listed.find(|identity| identity.starts_with("3:")).expect("the third member");
    let mut full = processes.pop().expect("three");
    full.signal("KILL");
    full.wait();
    cluster.run(&["membership", "remove", third], b"").with_code(0);
    std::fs::remove_dir_all(cluster.path("journal-3")).expect("a journal");
    std::fs::remove_file(cluster.path("tail-3")).expect("a tail");
    let new = cluster.format(3);
    processes.push(cluster.start_replica(3));
    cluster.run(&["membership", "add", &new, "--address", &its_address, "--witness"], b"").with_code(0);
    processes.push(cluster.start_archiver(ARCHIVER));
    processes
}

/// What processes send while [`FIRST`] messages are published.
fn record(cluster: &Cluster, attacker: &Attacker) -> Vec<(SocketAddrV4, Vec<u8>)> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let recorder = scope.spawn(|| attacker.record(&over, 5_000));
        let lines: String = (0..FIRST).map(|number| format!("{number}\n")).collect();
        cluster.publish(&lines);
        over.store(true, Ordering::Release);
        recorder.join().expect("the recorder")
    })
}

#[test]
fn mutated_datagrams_at_every_port_move_nothing_but_counters() {
    let asked = std::env::var("LOCKSTEP_MUTATED").ok().and_then(|count| count.parse().ok());
    let count = asked.unwrap_or(amount(20_000, 100_000));
    let cluster = Cluster::new(3, "");
    let mut processes = start(&cluster);
    let attacker = Attacker::near(&cluster);
    let recorded = record(&cluster, &attacker);
    let config = Config::load(Some(&cluster.config()), &[]).expect("the cluster's file");
    let nodes: Vec<SocketAddr> = config.replicas.iter().map(|replica| replica.unicast.into()).collect();
    let mut rng = Rng::new(20_261_124);

    // A stranger, while clients are served.
    add_user(&cluster, "alice", "secret", &[]);
    let gateway = gateways::start(&cluster, "1");
    let feed = feeds::start(&cluster, "a", "everybody");
    let mut listener = Listener::new(&feed, "FIRST", usize::MAX);
    listener.until_messages(FIRST);
    let SocketAddr::V4(requests) = feed.requests else { panic!("a feed of IPv4") };
    processes.extend([gateway.process, feed.process]);
    let targets = Targets {
        udp: processes.iter().flat_map(own_ports).filter(|port| port.port() != requests.port()).collect(),
        requests: vec![requests],
        tcp: nodes.clone(),
        gateways: vec![gateway.address],
        recorded,
    };
    assert!(targets.udp.len() >= processes.len(), "ports of all: {:?}", targets.udp);
    let attacker = attacker.with_made_up_keys(&cluster);
    let mut before = Vec::new();
    let first = targets.attack((&mut rng, &attacker, &cluster), count / 2, &mut processes, |processes| {
        if before.is_empty() {
            before = processes.iter().map(memory_kib).collect();
        }
    });
    assert_bounded(count / 2, &processes, &before);
    listener.until_messages(FIRST + first);
    let mut alice =
        Trader::log_in(gateway.address, login_of("alice", "secret", "", 1)).expect("a right login");
    alice.log_out();
    alice.until("the connection to be closed", |alice| alice.ended().is_some());
    for process in processes.split_off(4) {
        assert_eq!(process.terminate(), Some(0));
    }

    // A reader, whom only readers believe.
    let attacker = attacker.with_readers_keys(&cluster);
    let targets = Targets {
        udp: processes.iter().flat_map(own_ports).collect(),
        requests: Vec::new(),
        gateways: Vec::new(),
        ..targets
    };
    let mut before = Vec::new();
    let second = targets.attack((&mut rng, &attacker, &cluster), count / 2, &mut processes, |processes| {
        if before.is_empty() {
            before = processes.iter().map(memory_kib).collect();
        }
    });
    assert_bounded(count / 2, &processes, &before);
    let committed = cluster.read(&["--committed"]);
    assert_eq!(
        payloads(&committed.out).len(),
        FIRST + first + second,
        "what was published, and nothing else"
    );
    assert_eq!(committed.digest(), cluster.read(&["--stamped"]).digest());
    for process in processes {
        assert_eq!(process.terminate(), Some(0));
    }
}
