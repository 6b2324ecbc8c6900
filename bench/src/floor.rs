//! The floor: processes with lockstep's sockets, groups, cores and idle strategy that do nothing but
//! receive, write 8 bytes and send. What lockstep takes beyond them is what lockstep costs.
//!
//! ```text
//!   client ─submit─▶ leader: 8 bytes ─data─▶ client (stamped)
//!                                     └────▶ standby: 8 bytes ─control─▶ client (committed)
//! ```
//!
//! A datagram: kind, the client's number, its intended time, the leader's number, 8 bytes each.

use crate::client::Client;
use crate::cluster::PAYLOAD_LEN;
use lockstep::engine::ports::{Burst, Group, Net};
use lockstep::wire::Nanos;
use std::collections::VecDeque;

/// What a datagram of the floor is.
#[derive(Clone, Copy)]
enum Kind {
    Submit = 1,
    Data = 2,
    Ack = 3,
}

/// Where a datagram's words stand.
const KIND: usize = 0;
const NUMBER: usize = 8;
const STAMP: usize = 24;

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn set_word(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// Datagrams of one size, one behind the other, on their way out.
#[derive(Default)]
struct Outgoing {
    bytes: Vec<u8>,
    stride: usize,
}

impl Outgoing {
    fn push(&mut self, datagram: &[u8]) -> &mut [u8] {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(datagram);
        self.stride = datagram.len();
        &mut self.bytes[at..]
    }

    /// Offers them until the device has taken all: a floor that loses datagrams would have to repair.
    fn send(&mut self, net: &mut impl Net, group: Group) {
        let mut at = 0;
        while at < self.bytes.len() {
            let burst = Burst { bytes: &self.bytes[at..], stride: self.stride };
            at = (at + net.send_group(group, &[burst]) * self.stride).min(self.bytes.len());
        }
        self.bytes.clear();
    }
}

/// The forwarder in the leader's place.
#[derive(Default)]
pub struct Leader {
    stamped: u64,
    outgoing: Outgoing,
}

impl Leader {
    /// One turn: what was submitted goes to all, with its number.
    pub fn poll(&mut self, net: &mut impl Net) -> usize {
        let count = net.recv_groups();
        for index in 0..count {
            let datagram = net.group_datagram(index);
            if word(datagram, KIND) != Kind::Submit as u64 {
                continue;
            }
            self.stamped += 1;
            let out = self.outgoing.push(datagram);
            set_word(out, KIND, Kind::Data as u64);
            set_word(out, STAMP, self.stamped);
        }
        self.outgoing.send(net, Group::Data);
        count
    }
}

/// The forwarder in the standby's place.
#[derive(Default)]
pub struct Standby {
    outgoing: Outgoing,
}

impl Standby {
    /// One turn: the last number of the batch is acknowledged, as a cumulative ack is.
    pub fn poll(&mut self, net: &mut impl Net) -> usize {
        let count = net.recv_groups();
        let last = (0..count).rev().map(|index| net.group_datagram(index));
        if let Some(last) = last.into_iter().find(|last| word(last, KIND) == Kind::Data as u64) {
            let stamped = word(last, STAMP);
            let out = self.outgoing.push(&last[..PAYLOAD_LEN]);
            set_word(out, KIND, Kind::Ack as u64);
            set_word(out, STAMP, stamped);
            self.outgoing.send(net, Group::Control);
        }
        count
    }
}

/// Publisher and subscriber of the floor: two sockets in one thread.
pub struct FloorClient<N> {
    publisher: N,
    subscriber: N,
    /// Whether delivery waits for the ack.
    awaits_ack: bool,
    datagram: Vec<u8>,
    outgoing: Outgoing,
    /// Number of the next datagram to be delivered, and what was acknowledged.
    deliver_next: u64,
    acked: u64,
    held: VecDeque<[u8; PAYLOAD_LEN]>,
}

impl<N: Net> FloorClient<N> {
    /// A client that sends datagrams of `datagram_len` bytes. The subscriber's device was opened first, as
    /// lockstep's is: the kernel serves the sockets of a group one after the other.
    pub fn new(subscriber: N, publisher: N, awaits_ack: bool, datagram_len: usize) -> Self {
        Self {
            publisher,
            subscriber,
            awaits_ack,
            datagram: vec![0; datagram_len],
            outgoing: Outgoing::default(),
            deliver_next: 1,
            acked: 0,
            held: VecDeque::with_capacity(4096),
        }
    }

    fn deliver(&mut self, f: &mut impl FnMut(&[u8])) {
        while let Some(payload) = self.held.front()
            && (!self.awaits_ack || word(payload, STAMP) <= self.acked)
        {
            f(payload);
            self.held.pop_front();
        }
    }
}

impl<N: Net> Client for FloorClient<N> {
    fn publish(&mut self, payload: &[u8; PAYLOAD_LEN]) -> bool {
        self.datagram[..payload.len()].copy_from_slice(payload);
        set_word(&mut self.datagram, KIND, Kind::Submit as u64);
        self.outgoing.push(&self.datagram);
        true
    }

    fn flush(&mut self) {
        self.outgoing.send(&mut self.publisher, Group::Submit);
    }

    fn turn(&mut self, mut f: impl FnMut(&[u8])) -> usize {
        let count = self.subscriber.recv_groups();
        for index in 0..count {
            let datagram = self.subscriber.group_datagram(index);
            let stamped = word(datagram, STAMP);
            match word(datagram, KIND) {
                // What does not follow is left out, and the measurement ends for want of it.
                kind if kind == Kind::Data as u64 && stamped == self.deliver_next => {
                    self.deliver_next += 1;
                    let mut payload = [0; PAYLOAD_LEN];
                    payload.copy_from_slice(&datagram[..PAYLOAD_LEN]);
                    self.held.push_back(payload);
                }
                kind if kind == Kind::Ack as u64 => self.acked = self.acked.max(stamped),
                _ => {}
            }
        }
        self.deliver(&mut f);
        // The publisher's socket hears the same; a floor has no fates to tell.
        count + self.publisher.recv_groups()
    }
}

/// The client's own number in a payload.
pub fn number(payload: &[u8]) -> u64 {
    word(payload, NUMBER)
}

/// The intended time in a payload.
pub fn intended(payload: &[u8]) -> Nanos {
    word(payload, NUMBER + 8)
}

/// A message with a number and the time at which it was to be sent.
pub fn payload(number: u64, intended: Nanos) -> [u8; PAYLOAD_LEN] {
    let mut payload = [0; PAYLOAD_LEN];
    set_word(&mut payload, NUMBER, number);
    set_word(&mut payload, NUMBER + 8, intended);
    payload
}
