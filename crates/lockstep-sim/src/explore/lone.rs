//! A lone message where nothing fails and each datagram takes one unit of time: how many message delays the
//! production engines need, and which datagrams they send.
//!
//! Each machine has a replica, and a reader of the stream beside it. A datagram of a machine to itself takes
//! no time. The publisher's process runs on the second machine, so that it is not beside the leader.

use super::process::{ExploredProcess, Input, address};
use super::system::{open_submission, value_submission};
use crate::net::To;
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

/// A run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LoneRun {
    /// All datagrams that were sent for the message, in order.
    pub datagrams: Vec<LoneDatagram>,
    /// Message delays until the reader of each machine delivers it; `None` if it never does.
    pub delays: Vec<Option<u64>>,
}

/// The processes: the replicas, then the readers.
struct Machines {
    count: usize,
    processes: Vec<ExploredProcess>,
}

/// A datagram on its way to a process.
struct Arrival {
    at: u64,
    to: usize,
    datagram: Rc<Outgoing>,
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

/// Runs one message through `replicas` replicas, with readers of what is stamped or of what is committed.
///
/// # Errors
/// In words, if there cannot be so many replicas or the cluster does not start.
pub fn lone_message(replicas: usize, delivery: Delivery) -> Result<LoneRun, String> {
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
    machines.measure(submit(value_submission(1, 1)))
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

    /// Datagrams arrive in the order of time, and of sending: at once on the same machine, after one unit on
    /// another.
    fn measure(mut self, first: Outgoing) -> Result<LoneRun, String> {
        let mut run = LoneRun { datagrams: Vec::new(), delays: vec![None; self.count] };
        let mut under_way = Vec::new();
        self.send(0, first, &mut run, &mut under_way);
        while let Some(next) = (0..under_way.len()).min_by_key(|index| under_way[*index].at) {
            let Arrival { at, to, datagram } = under_way.remove(next);
            for sent in self.step(to, datagram.input())? {
                self.send(at, sent, &mut run, &mut under_way);
            }
            if !self.processes[to].delivered.is_empty() {
                run.delays[self.machine(to)].get_or_insert(at);
            }
        }
        Ok(run)
    }

    fn send(&self, now: u64, sent: Outgoing, run: &mut LoneRun, under_way: &mut Vec<Arrival>) {
        let (hearers, from) = (self.hearers(&sent), self.machine(sent.from));
        let to: BTreeSet<usize> = hearers.iter().map(|process| self.machine(*process)).collect();
        run.datagrams.push(LoneDatagram {
            kind: kind(&sent.bytes).map_or_else(String::new, |kind| format!("{kind:?}")),
            from,
            to: to.into_iter().filter(|to| *to != from).collect(),
            bytes: sent.bytes.len() as u64,
        });
        let datagram = Rc::new(sent);
        for to in hearers {
            let at = now + u64::from(self.machine(to) != from);
            under_way.push(Arrival { at, to, datagram: Rc::clone(&datagram) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(replicas: usize, delivery: Delivery) -> LoneRun {
        lone_message(replicas, delivery).expect("the cluster starts")
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
