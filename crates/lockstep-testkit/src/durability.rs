//! # durability: it is changed while orders flow
//!
//! The question: can a running cluster be brought from `process` to `power` and back, as CHANGE says,
//! with replicas that die in between, and is what a replica may have forgotten judged rightly at each place?
//! First the standbys are restarted with the new configuration, one by one; then one of them is handed the
//! leadership, and from its epoch on acks mean the new one; then the former leader is restarted.

use crate::processes::{Ground, last_words, signal_all};
use crate::takeover::{Scene, Shown};
use std::fs;

/// Ample for flushes on a busy machine: takeovers are asked for here, and not tried.
const PATIENT: &str = "\n[timing]\nfailure_timeout = \"500ms\"\nfailure_timeout_max = \"1s\"\n";
/// What a replica says whose configuration is not its leader's.
const MIXED: &str = "this replica is configured with durability";

/// Changes the durability of a cluster to `power` and back, with replicas that are killed at each step.
pub fn changed(ground: Ground) -> Shown {
    let mut scene = Scene::with(ground, &format!("durability = \"process\"\n{PATIENT}"));
    change(&mut scene, "process", "power");
    // All machines lose their memory at once.
    let (round, _) = scene.await_leader();
    signal_all("KILL", &scene.replicas);
    for replica in &mut scene.replicas {
        replica.wait();
    }
    for id in 1..=scene.replicas.len() {
        fs::remove_file(scene.cluster.path(&format!("tail-{id}"))).expect("a tail");
    }
    for id in 1..=scene.replicas.len() {
        scene.restart(id);
    }
    scene.await_round_above(round);
    scene.await_flow();

    change(&mut scene, "power", "process");
    // One of them loses its memory: it knows that it may have forgotten something, and says so.
    let (_, leader) = scene.await_leader();
    let standby = standbys(&scene, leader)[0];
    scene.kill(standby);
    let (tail, moved) =
        (scene.cluster.path(&format!("tail-{standby}")), scene.cluster.path("the-tail-is-kept"));
    fs::rename(&tail, &moved).expect("a tail");
    let refused = scene.cluster.run(&["sequencer", "--replica", &standby.to_string()], b"").with_code(3);
    refused.saying(&["the tail is gone", "must not vote under its old identity"]);
    fs::rename(&moved, &tail).expect("a tail");
    scene.restart(standby);
    scene.await_flow();
    scene.end()
}

fn standbys(scene: &Scene, leader: usize) -> Vec<usize> {
    (1..=scene.replicas.len()).filter(|id| *id != leader).collect()
}

/// The steps of `docs/CHANGE.md`.
fn change(scene: &mut Scene, from: &str, to: &str) {
    let line = |durability: &str| format!("durability = \"{durability}\"");
    let text = fs::read_to_string(scene.cluster.config()).expect("the configuration");
    assert_eq!(text.matches(&line(from)).count(), 1, "{text}");
    fs::write(scene.cluster.config(), text.replace(&line(from), &line(to))).expect("the configuration");

    let (_, previous) = scene.await_leader();
    let standbys = standbys(scene, previous);
    for (place, &id) in standbys.iter().enumerate() {
        // One is stopped in order, and one is killed.
        scene.replica(id).signal(["TERM", "KILL"][place % 2]);
        scene.replicas[id - 1].wait();
        scene.restart(id);
        scene.await_that("a standby of another durability does not say so", |scene| {
            scene.replica(id).log().contains(MIXED)
        });
        scene.await_flow();
        // And dies while it is one.
        scene.kill(id);
        scene.restart(id);
        scene.await_flow();
    }
    scene.await_that("status does not say that durabilities differ", |scene| {
        let status = scene.cluster.run(&["status"], b"");
        status.code == Some(6) && status.out.contains(MIXED)
    });

    let (round, leader) = scene.await_leader();
    let successor = *standbys.iter().find(|id| **id != leader).expect("a standby");
    let output = scene.cluster.run(&["handover", "--to", &successor.to_string(), "--timeout", "30s"], b"");
    assert_eq!(output.code, Some(0), "{}\n{}", output.err, last_words(&scene.replicas));
    let (_, leads) = scene.await_round_above(round);
    assert_ne!(leads, leader, "{}", last_words(&scene.replicas));
    scene.await_flow();
    scene.await_that("the former leader does not say that it is configured otherwise", |scene| {
        scene.replica(previous).log().contains(MIXED)
    });
    // It is killed in between as well, and comes back with the new configuration.
    scene.kill(previous);
    scene.restart(previous);
    scene.await_flow();
    let over = format!("over: {MIXED}");
    scene.await_that("who is configured as the leader is does not say so", |scene| {
        let log = |id: &usize| scene.replica(*id).log();
        standbys.iter().all(|id| log(id).contains(&over)) && !log(&previous).contains(MIXED)
    });
    let status = scene.cluster.run(&["status"], b"");
    assert!(!status.out.contains(MIXED), "{}\n{}", status.out, status.err);
}
