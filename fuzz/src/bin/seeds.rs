//! Writes the first inputs of the targets of engines, from what a cluster in memory sends: `seeds FOLDER`. Each
//! target's are in a folder of its name.

use lockstep_core::engine::ports::Group;
use lockstep_sim::mutated::Mutated;
use lockstep_sim::mutated::scenario::{Arrival, Recorded};
use std::path::Path;

/// Datagrams of one input.
const STEPS: usize = 4;
/// The replicas that the target has: by the first byte.
const ROLES: usize = 5;

/// One step, as `fuzz_targets/shared.rs` reads it: a replica's seal, the way, 2^12 ns, the length in words of 8.
fn step(Recorded { route, bytes }: &Recorded) -> Vec<u8> {
    let way = match route {
        Arrival::Group(Group::Submit) => 0,
        Arrival::Group(Group::Data) => 1,
        Arrival::Group(Group::Control) => 2,
        Arrival::Unicast(_) => 3,
    };
    let words = (bytes.len() / 8).min(255);
    let mut step = vec![way << 3, 12, words as u8];
    step.extend_from_slice(&bytes[..8 * words]);
    step
}

fn write(folder: &Path, number: usize, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join(format!("seed-{number:04}")), bytes)
}

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).expect("usage: seeds FOLDER");
    let folder = Path::new(&folder);
    let mutated = Mutated::default();
    for (number, recorded) in mutated.recorded().iter().enumerate() {
        write(&folder.join("datagram"), number, &recorded.bytes)?;
    }
    // Neighbours are of one kind; those at a distance are not.
    let all = mutated.recorded();
    for number in 0..all.len() {
        let steps: Vec<u8> =
            (0..STEPS).flat_map(|at| step(&all[(number + at * all.len() / STEPS) % all.len()])).collect();
        write(&folder.join("publisher"), number, &steps)?;
        write(&folder.join("replica"), number, &[&[(number % ROLES) as u8], &steps[..]].concat())?;
    }
    Ok(())
}
