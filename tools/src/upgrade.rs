//! # upgrade: from one release to the next while orders flow, and back
//!
//! The question: can an operator upgrade node by node, go back node by node, and end the upgrade, while orders
//! flow, without a message lost, doubled or out of order?

use crate::processes::{Cluster, Ground, last_words, memory_folder};
use crate::takeover::{SIZES, Scene, Shown};
use std::path::Path;

/// Takeovers are asked for here, and not tried: a busy machine shall not add its own.
const PATIENT: &str = "\n[timing]\nfailure_timeout = \"500ms\"\nfailure_timeout_max = \"1s\"\n";

/// A cluster of the release before, with orders flowing through programs of that release.
fn scene_of(previous: &Path, ground: Ground) -> Scene {
    let mut cluster = Cluster::within(memory_folder(), ground, &format!("{SIZES}{PATIENT}"));
    cluster.use_program(previous);
    Scene::of(cluster)
}

/// Restarts every replica in `program`, the standbys first, the leader after it has handed over.
fn roll(scene: &mut Scene, program: &Path) {
    scene.cluster.use_program(program);
    let (_, leader) = scene.await_leader();
    let standbys: Vec<_> = (1..=scene.replicas.len()).filter(|id| *id != leader).collect();
    for &id in &standbys {
        restart(scene, id);
    }
    let (round, _) = scene.await_leader();
    let to = standbys[0].to_string();
    let output = scene.cluster.run(&["handover", "--to", &to, "--timeout", "30s"], b"");
    assert_eq!(output.code, Some(0), "{}\n{}", output.err, last_words(&scene.replicas));
    scene.await_round_above(round);
    restart(scene, leader);
}

fn restart(scene: &mut Scene, id: usize) {
    scene.replica(id).signal("TERM");
    scene.replicas[id - 1].wait();
    scene.restart(id);
    scene.await_flow();
}

/// Upgrades every node, goes back, and upgrades again; readers and publishers of both releases take part.
pub fn up_and_down(previous: &Path, current: &Path, ground: Ground) -> Shown {
    let mut scene = scene_of(previous, ground);
    let place = scene.cluster.clients().clone();
    roll(&mut scene, current);
    scene.add_clients(&place, "new");
    scene.await_flow();
    roll(&mut scene, previous);
    scene.await_flow();
    roll(&mut scene, current);
    scene.await_flow();
    scene.end()
}

/// Ends an upgrade: not before every node is of the new release, and once.
pub fn finished(previous: &Path, current: &Path, ground: Ground) -> Shown {
    let mut cluster = Cluster::within(memory_folder(), ground, &format!("{SIZES}{PATIENT}"));
    cluster.use_program(previous);
    let replicas = cluster.found();
    cluster.use_program(current);
    let mut scene = Scene::joined(cluster, replicas);
    let none = scene.cluster.run(&["upgrade", "--finish"], b"").with_code(1);
    none.saying(&["no node speaks a newer one: nothing changes"]);
    let (_, leader) = scene.await_leader();
    restart(&mut scene, 1 + leader % 3);
    let early = scene.cluster.run(&["upgrade", "--finish"], b"").with_code(4);
    early.saying(&["the log stays at version 3", "does not tell its release"]);
    roll(&mut scene, current);
    let ready = scene.cluster.run(&["upgrade"], b"").with_code(0);
    assert!(ready.out.contains("every node speaks version 4"), "{}", ready.out);
    scene.cluster.run(&["upgrade", "--finish"], b"").with_code(0);
    scene.cluster.run(&["upgrade", "--finish"], b"").with_code(1).saying(&["nothing changes"]);
    scene.await_flow();
    let (round, leader) = scene.await_leader();
    scene.kill(leader);
    scene.await_round_above(round);
    scene.await_flow();
    scene.cluster.use_program(previous);
    let refused = scene.cluster.run(&["sequencer", "--replica", &leader.to_string()], b"");
    assert!(refused.code != Some(0) && refused.err.contains("version 4"), "{refused:?}");
    scene.cluster.use_program(current);
    scene.restart(leader);
    scene.await_flow();
    scene.end()
}
