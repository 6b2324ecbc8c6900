//! The floor: processes with lockstep's sockets, groups, cores and idle strategy that do nothing but
//! receive, write 8 bytes and send. What lockstep takes beyond them is what lockstep costs.
//!
//! ```text
//!   client ─submit─▶ leader: 8 bytes ─data─▶ client (stamped)
//!                                     └────▶ standby: 8 bytes ─control─▶ client (committed)
//! ```
//!
//! A message begins with four words of 8 bytes, whoever carries it: what it is and when the leader had it,
//! the client's number, its intended time, the leader's number. Datagrams of the floor are messages and
//! nothing else; a message that is longer than a datagram of lockstep goes in as many, each of which begins
//! with such words and has a number of the leader's.

use crate::client::Client;
use crate::cluster::MTU;
use crate::transport::Wakes;
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_io::clock::Clock;
use lockstep_wire::{Nanos, frame_len_max};
use std::os::fd::BorrowedFd;

/// What a datagram of the floor is.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A client's.
    Submit = 1,
    /// A leader's.
    Data = 2,
    /// A standby's.
    Ack = 3,
}

/// Where a message's words stand: the kind is the least byte of its word, the leader's time the others.
pub const KIND: usize = 0;
const NUMBER: usize = 8;
const INTENDED: usize = 16;
const STAMP: usize = 24;
/// The shortest message.
pub const MESSAGE_LEN_MIN: usize = 32;
/// Datagrams of a floor's client that may be under way. It has no flow control, so the sockets must hold
/// them.
const WINDOW: u64 = 1024;

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Writes one of a message's words.
pub fn set_word(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// What a datagram is.
pub fn kind(datagram: &[u8]) -> u64 {
    word(datagram, KIND) & 0xff
}

/// When the leader had a datagram, in nanoseconds since the Unix epoch: a word less its kind holds two years
/// of them, the rest is as now.
pub fn stamped_at(datagram: &[u8], wall: Nanos) -> Nanos {
    let age = (wall << 8).wrapping_sub(word(datagram, KIND) & !0xff) >> 8;
    wall.wrapping_sub(age)
}

/// Datagrams of one size, one behind the other, on their way out.
#[derive(Default)]
struct Outgoing {
    bytes: Vec<u8>,
    stride: usize,
}

impl Outgoing {
    /// Adds a datagram of `len` bytes that begins with `content`.
    fn push(&mut self, content: &[u8], len: usize) -> &mut [u8] {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(content);
        self.bytes.resize(at + len, 0);
        self.stride = len;
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

/// A stall that is planted into a forwarder, to see whether the one who measures finds it.
#[derive(Clone, Copy, Debug)]
pub struct Stall {
    /// How long nothing is done.
    pub lasts_ns: Nanos,
    /// From the beginning of one to that of the next.
    pub every_ns: Nanos,
}

/// The forwarder in the leader's place.
pub struct Leader {
    clock: Clock,
    stamped: u64,
    outgoing: Outgoing,
    stall: Option<Stall>,
    stall_at: Nanos,
}

impl Leader {
    /// A forwarder, which stands still now and then if it is to.
    pub fn new(clock: Clock, stall: Option<Stall>) -> Self {
        let stall_at = clock.now() + stall.map_or(0, |stall| stall.every_ns);
        Self { clock, stamped: 0, outgoing: Outgoing::default(), stall, stall_at }
    }

    /// One turn: what was submitted goes to all, with its number.
    pub fn poll(&mut self, net: &mut impl Net) -> usize {
        self.stand_still();
        let count = net.recv_groups();
        let mut time = None;
        for index in 0..count {
            let datagram = net.group_datagram(index);
            if kind(datagram) != Kind::Submit as u64 {
                continue;
            }
            let time = *time.get_or_insert_with(|| self.clock.wall(self.clock.now()));
            self.stamped += 1;
            let out = self.outgoing.push(datagram, datagram.len());
            set_word(out, KIND, Kind::Data as u64 | time << 8);
            set_word(out, STAMP, self.stamped);
        }
        self.outgoing.send(net, Group::Data);
        count
    }

    fn stand_still(&mut self) {
        let Some(Stall { lasts_ns, every_ns }) = self.stall else { return };
        if self.clock.now() >= self.stall_at {
            let ends = self.stall_at + lasts_ns;
            while self.clock.now() < ends {
                std::hint::spin_loop();
            }
            self.stall_at += every_ns;
        }
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
        if let Some(last) = last.into_iter().find(|last| kind(last) == Kind::Data as u64) {
            let stamped = word(last, STAMP);
            let out = self.outgoing.push(&last[..MESSAGE_LEN_MIN], MESSAGE_LEN_MIN);
            set_word(out, KIND, Kind::Ack as u64);
            set_word(out, STAMP, stamped);
            self.outgoing.send(net, Group::Control);
        }
        count
    }
}

/// Publisher and subscriber of the floor in one thread, on one device, as lockstep's participant is.
pub struct FloorClient<N> {
    net: N,
    /// Whether delivery waits for the ack.
    awaits_ack: bool,
    message_len: usize,
    /// Datagrams of a message, and bytes of each.
    parts: u64,
    part_len: usize,
    outgoing: Outgoing,
    clock: Clock,
    /// Messages sent and the number of the next to be delivered, from 1.
    sent: u64,
    deliver_next: u64,
    /// Of datagrams: the leader's number of the next to come, from 1, and of the last that was acknowledged.
    come_next: u64,
    acked: u64,
    /// Datagrams that came and are not delivered, by number: as many slots as there may be under way.
    unacknowledged: Vec<u8>,
}

impl<N: Net> FloorClient<N> {
    /// A client that sends messages of `message_len` bytes.
    pub fn new(net: N, awaits_ack: bool, message_len: usize) -> Self {
        let parts = message_len.div_ceil(frame_len_max(MTU)).max(1);
        let part_len = message_len.div_ceil(parts);
        Self {
            net,
            awaits_ack,
            message_len,
            parts: parts as u64,
            part_len,
            outgoing: Outgoing::default(),
            clock: Clock::start(),
            sent: 0,
            deliver_next: 1,
            come_next: 1,
            acked: 0,
            unacknowledged: vec![0; WINDOW as usize / parts * parts * part_len],
        }
    }

    /// Where in `unacknowledged` datagram `number` of the leader's begins.
    fn slot(&self, number: u64) -> usize {
        (number - 1) as usize % (self.unacknowledged.len() / self.part_len) * self.part_len
    }

    fn deliver(&mut self, f: &mut impl FnMut(&[u8], Nanos)) {
        let wall = self.clock.wall(self.clock.now());
        loop {
            let last = self.deliver_next * self.parts;
            if last >= self.come_next || self.awaits_ack && last > self.acked {
                return;
            }
            // Its datagrams lie one behind the other: there is room for whole messages.
            let at = self.slot(last - self.parts + 1);
            let message = &self.unacknowledged[at..at + self.message_len];
            f(message, stamped_at(message, wall));
            self.deliver_next += 1;
        }
    }
}

impl<N: Net + Wakes> Client for FloorClient<N> {
    fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        self.net.sockets()
    }

    fn publish(&mut self, message: &[u8]) -> bool {
        if self.sent + 1 >= self.deliver_next + WINDOW / self.parts {
            return false;
        }
        for part in message.chunks(self.part_len) {
            let out = self.outgoing.push(part, self.part_len);
            set_word(out, KIND, Kind::Submit as u64);
        }
        self.sent += 1;
        true
    }

    fn flush(&mut self) {
        self.outgoing.send(&mut self.net, Group::Submit);
    }

    fn turn(&mut self, mut f: impl FnMut(&[u8], Nanos)) -> usize {
        let count = self.net.recv_groups();
        for index in 0..count {
            let datagram = self.net.group_datagram(index);
            let stamped = word(datagram, STAMP);
            match kind(datagram) {
                // What does not follow is left out, and the measurement ends for want of it.
                kind if kind == Kind::Data as u64
                    && stamped == self.come_next
                    && datagram.len() == self.part_len =>
                {
                    let at = self.slot(stamped);
                    self.unacknowledged[at..at + self.part_len].copy_from_slice(datagram);
                    self.come_next += 1;
                }
                kind if kind == Kind::Ack as u64 => self.acked = self.acked.max(stamped),
                _ => {}
            }
        }
        self.deliver(&mut f);
        count
    }

    fn datagrams(&self) -> u64 {
        self.come_next - 1
    }
}

/// Whether a datagram of the floor is what the leader sent to all.
pub fn is_data(datagram: &[u8]) -> bool {
    kind(datagram) == Kind::Data as u64
}

/// The client's own number in a message.
pub fn number(message: &[u8]) -> u64 {
    word(message, NUMBER)
}

/// The intended time in a message.
pub fn intended(message: &[u8]) -> Nanos {
    word(message, INTENDED)
}

/// Writes number and intended time to a message, of [`MESSAGE_LEN_MIN`] bytes at least.
pub fn write_message(message: &mut [u8], number: u64, intended: Nanos) {
    set_word(message, NUMBER, number);
    set_word(message, INTENDED, intended);
}
