//! Datagrams that were recorded, changed and sealed anew by a reader's keys, at every port of a cluster:
//! nothing but counters moves. `LOCKSTEP_MUTATED=N` sends N of them instead of a few.

use super::all_run;
use super::attacker::Attacker;
use lockstep::config::Config;
use lockstep_process::cpu::resident_bytes;
use lockstep_sim::rng::Rng;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use tools::processes::{Cluster, PATIENCE, Process, payloads};

/// Sent in a run of the tests.
const FEW: u64 = 100_000;
/// After so many, the attacker waits for a message to be committed: what was sent is then read.
const PIECE: u64 = 5_000;

/// Bytes that are no request, at a replay port: it answers, or closes, and in time.
fn at_replay_port(rng: &mut Rng, address: SocketAddr, datagram: &[u8]) {
    let mut stream = TcpStream::connect(address).expect("a replay port");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let length = rng.below(datagram.len() as u64) as usize;
    let _sent = stream.write_all(&datagram[..length]); // it may have closed already
    let _closed = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "it neither answers nor closes");
    }
    assert!(answer.len() <= 128, "{} bytes answer what is no request", answer.len());
}

#[test]
fn mutated_datagrams_at_every_port_move_nothing_but_counters() {
    let count = std::env::var("LOCKSTEP_MUTATED").ok().and_then(|count| count.parse().ok()).unwrap_or(FEW);
    let cluster = Cluster::new(3, "");
    let mut replicas = cluster.found();
    let attacker = Attacker::near(&cluster).with_readers_keys(&cluster);
    let over = AtomicBool::new(false);
    let recorded = std::thread::scope(|scope| {
        let recorder = scope.spawn(|| attacker.record(&over, 5_000));
        let lines: String = (0..200).map(|number| format!("{number}\n")).collect();
        cluster.publish(&lines);
        over.store(true, Ordering::Release);
        recorder.join().expect("the recorder")
    });
    let config = Config::load(Some(&cluster.config()), &[]).expect("the cluster's file");
    let ports: Vec<_> = config.replicas.iter().map(|replica| replica.unicast).collect();
    let memory = |process: &Process| resident_bytes(process.pid()).expect("it runs") >> 10;
    let (mut rng, mut before) = (Rng::new(20_261_124), Vec::new());
    let mut lines = 0;
    for sent in 0..count {
        let (group, bytes) = &recorded[rng.below(recorded.len() as u64) as usize];
        let mut bytes = bytes.clone();
        for _ in 0..rng.log_uniform(1, 16) {
            let at = rng.below(bytes.len() as u64) as usize;
            bytes[at] = if rng.below(2) == 0 { bytes[at] ^ 1 << rng.below(8) } else { rng.below(256) as u8 };
        }
        if rng.below(4) == 0 {
            bytes.truncate(rng.below(bytes.len() as u64) as usize);
        }
        let to = if rng.below(3) == 0 { ports[rng.below(3) as usize] } else { *group };
        attacker.send_mutated(to, &bytes);
        if sent % PIECE == PIECE - 1 {
            let port = ports[rng.below(3) as usize];
            at_replay_port(&mut rng, port.into(), &bytes);
            cluster.publish("more\n");
            lines += 1;
            all_run(&mut replicas);
            if before.is_empty() {
                before = replicas.iter().map(memory).collect();
            }
        }
    }
    let after: Vec<_> = replicas.iter().map(memory).collect();
    println!("{count} datagrams; memory in KiB before {before:?} and after {after:?}");
    for (before, after) in before.iter().zip(&after) {
        // Five in a hundred, and a MiB for what is first used late.
        assert!(*after <= before + before / 20 + 1_024, "{before} KiB have become {after}");
    }
    let committed = cluster.read(&["--committed"]);
    assert_eq!(payloads(&committed.out).len(), 200 + lines, "what was published, and nothing else");
    assert_eq!(committed.digest(), cluster.read(&["--stamped"]).digest());
    for replica in replicas {
        assert_eq!(replica.terminate(), Some(0));
    }
}
