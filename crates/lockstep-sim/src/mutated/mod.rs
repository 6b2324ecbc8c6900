//! # mutated: true datagrams, changed and sealed anew, at the engines of every role
//!
//! A small cluster in memory gets datagrams that were recorded, changed ([`mutation`]), and sealed with
//! keys of every class. A cluster lives for some thousand of them, then another one begins, from one seed:
//! each failure is found again. Two kinds of them take turns:
//!
//! | kind | what is sent | what must hold |
//! |---|---|---|
//! | rightful | anything, under any key, to anybody; what engines send goes to all others | invariants, and the promises of each replica ([`promises`]) |
//! | powerless | what its sealer has no right to | the process does, and becomes, what one does and becomes that gets nothing |

pub mod cluster;
pub mod mutation;
pub mod promises;
pub mod scenario;

use crate::rng::Rng;
use cluster::{NODES, REPLICAS, SmallCluster, address};
use lockstep_core::engine::ports::Group;
use lockstep_wire::Header;
use mutation::{Sealed, mutated};
use scenario::{Arrival, Recorded, record};

/// Inputs of one cluster, about.
pub const WORLD_INPUTS: u64 = 2_048;
/// Inputs of one turn at most.
const BATCH_MAX: u64 = 16;
/// Datagrams of the present cluster that may be changed as well.
const FRESH_MAX: usize = 64;
/// Nobody answers there.
const NOWHERE: usize = 99;

/// What all clusters begin with: a cluster that has begun, and datagrams of every kind.
pub struct Mutated {
    /// The cluster that each of them is a copy of.
    pub begun: SmallCluster,
    recorded: Vec<Recorded>,
}

impl Default for Mutated {
    /// Records.
    fn default() -> Self {
        Self { begun: SmallCluster::begun(), recorded: record() }
    }
}

impl Mutated {
    /// The datagrams that are changed.
    pub fn recorded(&self) -> &[Recorded] {
        &self.recorded
    }

    /// The cluster with this number. Returns how many inputs it took.
    ///
    /// # Panics
    /// If a rule is broken: `number` finds it again.
    pub fn world(&self, number: u64) -> u64 {
        let mut rng = Rng::new(number.wrapping_mul(0x2545_f491_4f6c_dd1d));
        if number.is_multiple_of(4) { self.powerless(&mut rng) } else { self.rightful(&mut rng) }
    }

    fn rightful(&self, rng: &mut Rng) -> u64 {
        let (mut cluster, mut fresh) = (self.begun.clone(), Vec::new());
        let (mut inputs, mut turns) = (0, 0);
        // Replicas are crash-faulty: some clusters get nothing that only a replica can seal.
        let classes = if rng.below(4) == 0 { &Sealed::ALL[1..] } else { &Sealed::ALL[..] };
        while inputs < WORLD_INPUTS {
            let node = rng.below(NODES as u64) as usize;
            for _ in 0..1 + rng.below(BATCH_MAX) {
                let sealed = if rng.below(2) == 0 { classes[0] } else { rng.pick(classes) };
                let (from, other) = (self.any(rng, &fresh), self.any(rng, &fresh));
                let datagram = mutated(rng, from, other, sealed);
                let route = route(rng, from.route);
                inputs += u64::from(cluster.arrive(node, datagram, route));
            }
            turns += 1;
            let mut sink = |node: usize, sent: &_| {
                if fresh.len() < FRESH_MAX {
                    fresh.push(SmallCluster::recorded(sent, node));
                } else if turns % 8 == 0 {
                    fresh[turns / 8 % FRESH_MAX] = SmallCluster::recorded(sent, node);
                }
            };
            cluster.now += rng.log_uniform(1_000, 1 << 21);
            cluster.turn(node, &mut sink);
            if turns % 4 == 0 {
                cluster.publish(&[turns as u8; 60]);
                cluster.turn_all(rng.log_uniform(1_000, 1 << 25), &mut sink);
            }
        }
        inputs
    }

    /// One process gets what it must drop; its copy gets nothing. Both take the same turns.
    fn powerless(&self, rng: &mut Rng) -> u64 {
        let (mut attacked, mut spared) = (self.begun.clone(), self.begun.clone());
        let node = rng.below(NODES as u64) as usize;
        let mut inputs = 0;
        while inputs < WORLD_INPUTS {
            for _ in 0..1 + rng.below(BATCH_MAX) {
                let (from, other) = (self.any(rng, &[]), self.any(rng, &[]));
                let sealed = Sealed::ALL[1 + rng.below(Sealed::ALL.len() as u64 - 1) as usize];
                let datagram = mutated(rng, from, other, sealed);
                let kind = Header::look(&datagram).map_or(0, |header| header.kind);
                if sealed.is_powerless(kind, node < REPLICAS) {
                    let route = route(rng, from.route);
                    inputs += u64::from(attacked.arrive(node, datagram, route));
                }
            }
            let ns = rng.log_uniform(1_000, 1 << 18);
            (attacked.now, spared.now) = (attacked.now + ns, spared.now + ns);
            let (done, expected) = (attacked.turn_alone(node), spared.turn_alone(node));
            assert_eq!(done, expected, "process {node} answers what its sender has no right to");
        }
        let is_same = attacked.digest(node) == spared.digest(node);
        assert!(is_same, "what its senders had no right to has changed process {node}");
        inputs
    }

    /// One that was recorded, or that the present cluster has sent.
    fn any<'a>(&'a self, rng: &mut Rng, fresh: &'a [Recorded]) -> &'a Recorded {
        if !fresh.is_empty() && rng.below(2) == 0 {
            return &fresh[rng.below(fresh.len() as u64) as usize];
        }
        &self.recorded[rng.below(self.recorded.len() as u64) as usize]
    }
}

/// Mostly the way that it took, else any.
fn route(rng: &mut Rng, recorded: Arrival) -> Arrival {
    match rng.below(8) {
        0 => Arrival::Group(rng.pick(&Group::ALL)),
        1 => Arrival::Unicast(address(rng.below(NODES as u64) as usize)),
        2 => Arrival::Unicast(address(NOWHERE)),
        _ => recorded,
    }
}
