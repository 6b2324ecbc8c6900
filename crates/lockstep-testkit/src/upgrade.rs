//! # upgrade: from one release to the next while orders flow, and back
//!
//! The question: can an operator upgrade node by node, go back node by node, and end the upgrade, while
//! orders flow, without a message lost, doubled or out of order?

use crate::processes::{Cluster, Ground, last_words, memory_folder};
use crate::takeover::{SIZES, Scene, Shown};
use std::path::Path;
use std::time::Duration;

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
    let (leader, standbys) = restart_standbys(scene, program);
    hand_over(scene, standbys[0]);
    restart(scene, leader);
}

/// Restarts the standbys in `program`. Returns the leader and them.
fn restart_standbys(scene: &mut Scene, program: &Path) -> (usize, Vec<usize>) {
    scene.cluster.use_program(program);
    let (_, leader) = scene.await_leader();
    let standbys: Vec<_> = (1..=scene.replicas.len()).filter(|id| *id != leader).collect();
    for &id in &standbys {
        restart(scene, id);
    }
    (leader, standbys)
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
    early.saying(&["the log stays at version 3", "does not report its release"]);
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

/// The longest pauses of a reader of what is committed, by what was done.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Pauses {
    /// While nothing was done.
    pub calm: Duration,
    /// While standbys were restarted in the other release.
    pub standbys: Duration,
    /// While the leadership went from one release to the other.
    pub upgraded: Duration,
    /// While it went from one replica to another of the same release.
    pub handover: Duration,
}

/// Upgrades every node and goes back, so many times, at so many messages a second in all. What the
/// leadership's way from one release to the other costs is compared with a handover within one release, in
/// the same run.
pub fn measured(
    previous: &Path,
    current: &Path,
    ground: Ground,
    (times, per_second): (u32, u64),
) -> (Shown, Pauses) {
    let mut cluster = Cluster::within(memory_folder(), ground, &format!("{SIZES}{PATIENT}"));
    cluster.use_program(previous);
    let replicas = cluster.found();
    let mut scene = Scene::joined_at(cluster, replicas, per_second / 2);
    let mut pauses = Pauses::default();
    for _ in 0..times {
        for program in [current, previous] {
            measure(&mut scene, program, &mut pauses);
        }
    }
    (scene.end(), pauses)
}

/// [`roll`], and behind it a handover within the release, each with its pause.
fn measure(scene: &mut Scene, program: &Path, pauses: &mut Pauses) {
    let keep = |scene: &Scene, longest: &mut Duration| *longest = (*longest).max(scene.longest_pause());
    scene.longest_pause();
    std::thread::sleep(Duration::from_secs(1));
    keep(scene, &mut pauses.calm);
    let (leader, standbys) = restart_standbys(scene, program);
    scene.cluster.run(&["wait", "--for", "caught-up", "--timeout", "30s"], b"");
    keep(scene, &mut pauses.standbys);
    hand_over(scene, standbys[0]);
    scene.await_flow();
    keep(scene, &mut pauses.upgraded);
    restart(scene, leader);
    scene.cluster.run(&["wait", "--for", "caught-up", "--timeout", "30s"], b"");
    scene.longest_pause();
    hand_over(scene, standbys[1]);
    scene.await_flow();
    keep(scene, &mut pauses.handover);
}

#[track_caller]
fn hand_over(scene: &mut Scene, to: usize) {
    let (round, _) = scene.await_leader();
    let output = scene.cluster.run(&["handover", "--to", &to.to_string(), "--timeout", "30s"], b"");
    assert_eq!(output.code, Some(0), "{}\n{}", output.err, last_words(&scene.replicas));
    scene.await_round_above(round);
}
