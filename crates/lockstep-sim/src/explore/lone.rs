//! A lone message where nothing fails: how long the production engines need for it on a network, and which
//! datagrams they send. Where each datagram takes one unit of time, the time is a number of message delays.
//!
//! Each machine has a replica, and a reader of the stream beside it. A datagram of a machine to itself takes
//! no time. The publisher's process runs on the second machine, so that it is not beside the leader.

use super::process::{ExploredProcess, Input, address};
use super::system::watched::WatchedMessage;
use super::system::{open_submission, value_submission};
use crate::coverage::Coverage;
use crate::net::To;
use crate::rng::Rng;
use crate::wire::{NetworkModel, Route, SimNetwork, SimPacket};
use lockstep_core::engine::ports::Group;
use lockstep_core::engine::subscriber::Delivery;
use lockstep_wire::{Header, Kind, MEMBERS_MAX};
use std::collections::BTreeSet;
use std::rc::Rc;

/// The machine of the publisher.
const PUBLISHER: usize = 1;
/// Rounds of heartbeats before the message: everybody has the publisher's open as committed then.
const ROUNDS: usize = 4;

/// A datagram of the run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoneDatagram {
    /// Its kind, as the wire table names it.
    pub kind: String,
    /// The machine that sent it.
    pub from: usize,
    /// The other machines that receive it.
    pub to: Vec<usize>,
    /// Its length in bytes.
    pub bytes: u64,
}

/// A datagram arrives at a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoneArrival {
    /// When.
    pub at: u64,
    /// The machine.
    pub machine: usize,
    /// The datagram, by its place among those of the run.
    pub datagram: usize,
    /// Whether the reader of the machine delivers the message then, for the first time.
    pub is_delivery: bool,
}

/// A run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LoneRun {
    /// All datagrams that were sent for the message, in order.
    pub datagrams: Vec<LoneDatagram>,
    /// Time until the reader of each machine delivers it; `None` if it never does.
    pub delays: Vec<Option<u64>>,
    /// The messages that the reader of each machine has delivered, in order.
    pub delivered: Vec<Vec<WatchedMessage>>,
    /// All arrivals, in order; of a datagram at the processes of one machine: one.
    pub arrivals: Vec<LoneArrival>,
}

/// The processes: the replicas, then the readers.
struct Machines {
    count: usize,
    processes: Vec<ExploredProcess>,
}

/// A datagram as its process sent it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Outgoing {
    from: usize,
    to: To,
    bytes: Vec<u8>,
}

impl Outgoing {
    fn input(&self) -> Input<'_> {
        Input::Hear(&self.bytes, matches!(self.to, To::Unicast(_)).then_some(self.from))
    }
}

/// When the run of a lone message ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoneEnd {
    /// Nothing is under way any more.
    Quiet,
    /// Each machine has delivered it. The engines' clocks stand still here, so that no guard limits
    /// what is requested again where datagrams overtake each other.
    Delivered,
}

/// Datagrams of a run, at most.
const DATAGRAMS_MAX: usize = 10_000;

/// Runs one message through `replicas` replicas, with readers of what is stamped or of what is committed, on
/// a network between their machines that loses nothing.
///
/// # Errors
/// In words, if there cannot be so many replicas, the cluster does not start, or too much is sent.
pub fn lone_message(
    replicas: usize,
    delivery: Delivery,
    network_model: NetworkModel,
    seed: u64,
    until: LoneEnd,
) -> Result<LoneRun, String> {
    if !(2..=MEMBERS_MAX).contains(&replicas) {
        return Err(format!("{replicas} replicas: take 2 to {MEMBERS_MAX}"));
    }
    let mut processes = Vec::new();
    for node in 0..replicas {
        let mut replica = ExploredProcess::replica(node, replicas, replicas, false)?;
        replica.assume_addresses(2 * replicas);
        processes.push(replica);
    }
    let readers = replicas..2 * replicas;
    processes.extend(readers.map(|node| ExploredProcess::reader(node, replicas, delivery)));
    let mut machines = Machines { count: replicas, processes };
    machines.open()?;
    let mut measured = Measured {
        machines,
        network_model,
        network: SimNetwork::new(Rng::new(seed)),
        coverage: Coverage::default(),
        sent: Vec::new(),
        run: LoneRun { delays: vec![None; replicas], ..LoneRun::default() },
    };
    measured.send(0, submit(value_submission(1, 1)));
    measured.run(until)
}

fn kind(datagram: &[u8]) -> Option<Kind> {
    Header::peek(datagram).and_then(|header| Kind::from_u8(header.kind))
}

fn submit(bytes: Vec<u8>) -> Outgoing {
    Outgoing { from: PUBLISHER, to: To::Group(Group::Submit), bytes }
}

impl Machines {
    fn machine(&self, process: usize) -> usize {
        process % self.count
    }

    /// The processes that hear a datagram.
    fn hearers(&self, sent: &Outgoing) -> Vec<usize> {
        let hears = |process: &usize| match sent.to {
            To::Group(Group::Submit) => *process < self.count,
            To::Group(_) => true,
            To::Unicast(to) => address(*process) == to,
        };
        (0..self.processes.len()).filter(|process| *process != sent.from).filter(hears).collect()
    }

    fn step(&mut self, process: usize, input: Input<'_>) -> Result<Vec<Outgoing>, String> {
        let sent = self.processes[process].step(input, self.count)?;
        Ok(sent.into_iter().map(|(to, bytes)| Outgoing { from: process, to, bytes }).collect())
    }

    /// Opens the publisher. No timer limits repeated requests here, so that each process hears all that was
    /// sent until nothing changes any more.
    fn open(&mut self) -> Result<(), String> {
        let mut bag = BTreeSet::from([Rc::new(submit(open_submission(1)))]);
        for _ in 0..ROUNDS {
            for node in 0..self.count {
                bag.extend(self.step(node, Input::Heartbeat)?.into_iter().map(Rc::new));
            }
            loop {
                let before = (bag.len(), self.digests());
                for sent in bag.clone() {
                    // A process asks one that may not have the answer; here all of them are asked.
                    let hearers = if kind(&sent.bytes) == Some(Kind::Nack) {
                        (0..self.count).filter(|replica| *replica != sent.from).collect()
                    } else {
                        self.hearers(&sent)
                    };
                    for process in hearers {
                        bag.extend(self.step(process, sent.input())?.into_iter().map(Rc::new));
                    }
                }
                if before == (bag.len(), self.digests()) {
                    break;
                }
            }
        }
        Ok(())
    }

    fn digests(&self) -> Vec<u128> {
        self.processes.iter().map(ExploredProcess::digest).collect()
    }
}

/// The run of the message: datagrams arrive in the order of time, and of sending, and at once on the machine
/// that sent them.
struct Measured {
    machines: Machines,
    network_model: NetworkModel,
    network: SimNetwork,
    coverage: Coverage,
    sent: Vec<Rc<Outgoing>>,
    run: LoneRun,
}

impl Measured {
    fn run(mut self, until: LoneEnd) -> Result<LoneRun, String> {
        while let Some(at) = self.network.next_arrival() {
            if until == LoneEnd::Delivered && self.run.delays.iter().all(Option::is_some) {
                break;
            }
            if self.sent.len() > DATAGRAMS_MAX {
                return Err(format!("more than {DATAGRAMS_MAX} datagrams for one message"));
            }
            let Some(packet) = self.network.arrive(at, &mut self.coverage) else { break };
            let number: [u8; 8] = packet.bytes.try_into().map_err(|_| "a packet without a number")?;
            self.arrive(at, u64::from_le_bytes(number) as usize, packet.route.to)?;
        }
        let readers = &self.machines.processes[self.machines.count..];
        let delivered = |reader: &ExploredProcess| {
            reader.delivered.iter().map(|(_, publisher, number)| (*publisher, *number)).collect()
        };
        self.run.delivered = readers.iter().map(delivered).collect();
        Ok(self.run)
    }

    /// A datagram arrives at the processes of a machine that hear it.
    fn arrive(&mut self, at: u64, number: usize, machine: usize) -> Result<(), String> {
        let datagram = Rc::clone(&self.sent[number]);
        let row = self.run.arrivals.len();
        self.run.arrivals.push(LoneArrival { at, machine, datagram: number, is_delivery: false });
        for to in self.machines.hearers(&datagram) {
            if self.machines.machine(to) != machine {
                continue;
            }
            for sent in self.machines.step(to, datagram.input())? {
                self.send(at, sent);
            }
            if !self.machines.processes[to].delivered.is_empty() && self.run.delays[machine].is_none() {
                self.run.delays[machine] = Some(at);
                self.run.arrivals[row].is_delivery = true;
            }
        }
        Ok(())
    }

    fn send(&mut self, now: u64, sent: Outgoing) {
        let from = self.machines.machine(sent.from);
        let hearers = self.machines.hearers(&sent);
        let to: BTreeSet<usize> = hearers.iter().map(|process| self.machines.machine(*process)).collect();
        let number = self.sent.len();
        self.run.datagrams.push(LoneDatagram {
            kind: kind(&sent.bytes).map_or_else(String::new, |kind| format!("{kind:?}")),
            from,
            to: to.iter().copied().filter(|to| *to != from).collect(),
            bytes: sent.bytes.len() as u64,
        });
        self.sent.push(Rc::new(sent));
        self.network.next_number();
        for &to in to.iter().filter(|to| **to != from) {
            let route = Route { from, to, group: None };
            let bytes = (number as u64).to_le_bytes();
            self.network.send(&self.network_model, now, route, &bytes, &mut self.coverage);
        }
        if to.contains(&from) {
            // Behind what arrives at this moment already.
            let route = Route { from, to: from, group: None };
            let bytes = (number as u64).to_le_bytes().to_vec();
            self.network.post(now, SimPacket { route, number: number as u64, sent_at: now, bytes });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(replicas: usize, delivery: Delivery) -> LoneRun {
        let units = NetworkModel { delay_ns: 1, ..NetworkModel::default() };
        lone_message(replicas, delivery, units, 1, LoneEnd::Quiet).expect("the cluster starts")
    }

    #[test]
    fn a_lone_message_is_one_submission_one_frame_and_an_ack_of_each_standby() {
        for replicas in [3, 5, 7] {
            let run = run(replicas, Delivery::Committed);
            let count = |kind: &str| run.datagrams.iter().filter(|sent| sent.kind == kind).count();
            let counts = [count("Submission"), count("Frame"), count("Ack"), run.datagrams.len()];
            assert_eq!(counts, [1, 1, replicas - 1, replicas + 1], "{replicas}");
        }
    }

    #[test]
    fn what_is_stamped_takes_two_delays_and_what_is_committed_three() {
        for replicas in [3, 5, 7] {
            let latest = |delivery| run(replicas, delivery).delays.into_iter().max().flatten();
            assert_eq!(latest(Delivery::Stamped), Some(2), "{replicas}");
            assert_eq!(latest(Delivery::Committed), Some(3), "{replicas}");
            assert!(run(replicas, Delivery::Committed).delays.iter().all(Option::is_some));
        }
        // Beside the leader the stamp is there at once, and beside one of two standbys the quorum is.
        assert_eq!(run(5, Delivery::Stamped).delays[0], Some(1));
        assert_eq!(run(3, Delivery::Committed).delays, [Some(3), Some(2), Some(2)]);
    }
}
