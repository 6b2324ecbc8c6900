//! # auto: the best transport that works here, and unicast from nodes whose multicast does not arrive
//!
//! The question: how does a node choose a transport on which all must agree? It does not have to. All nodes
//! multicast, past the kernel where that works, and all listen. A node that does not receive another one by
//! multicast requests a lease from it (`io/fanout`), and returns the lease when multicast arrives. So each
//! pair settles it alone: a wrong guess costs copies that are dropped, and never a datagram.
//!
//! ```text
//!   received by multicast within 1 second ──▶ nothing to do
//!   silent there, answers a join ────────▶ sends to us by unicast as well, until multicast arrives
//! ```
//!
//! A handle that receives a replica by lease alone also submits to it by unicast: multicast that fails in
//! one direction may fail in the other.

#[cfg(test)]
mod tests;

use super::clock::Clock;
use super::fanout::aside::Aside;
use super::fanout::leasing::{Leasing, Reply};
use super::fanout::outbox::FanoutOutbox;
use super::fanout::{
    CLOCK_MASK, Fanout, FanoutCounts, FanoutSettings, GROUPS_ASIDE, SendPath, UNICAST_ASIDE, way,
};
use super::shm::RelaySettings;
use super::transport::{Transport, TransportSettings};
use super::udp::{UdpCounts, UdpSettings, address_of, socket_address};
use super::xdp::{Mode, XdpSettings};
use super::{Effective, IoError};
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_wire::{Header, Kind, Nanos, REPLICA_MAX};
use std::net::SocketAddrV4;
use std::os::fd::BorrowedFd;

/// A node from which nothing was received for so long counts as not received: replicas send every few
/// milliseconds.
const SILENT_NS: Nanos = 1_000_000_000;

/// How to open an [`Auto`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AutoSettings {
    /// Asks nodes for leases, and grants them.
    pub fanout: FanoutSettings,
    /// The only queue of the card that xdp uses; `None`: all queues.
    pub queue: Option<u32>,
}

/// A line that multicasts, and requests and grants leases beside that.
pub struct Auto {
    line: Transport,
    leasing: Leasing,
    outbox: FanoutOutbox,
    segmenting: bool,
    /// When each replica number was last received by multicast.
    last_received: Box<[Nanos; REPLICA_MAX as usize + 1]>,
    /// The unicast datagrams that are lent in place, after the buffered ones.
    unicast: Vec<u16>,
    unicast_aside: Aside,
    groups_aside: Aside,
    /// The nodes that send copies to us.
    repairers: Vec<libc::sockaddr_in>,
    has_received: bool,
    /// The result of the last receive on the socket that leases arrive on.
    by_lease: usize,
    turns: u32,
    clock: Clock,
    now: Nanos,
    counts: UdpCounts,
    effective: Vec<Effective>,
}

/// Opens the best transport of xdp, udp and unicast that works, and reports why it is no better one. With a
/// `relay`, the process that owns the card passes the datagrams that it receives to the others.
///
/// # Errors
/// Those of the last transport that it tried.
pub fn open(
    udp: UdpSettings,
    settings: &AutoSettings,
    relay: Option<&RelaySettings>,
) -> Result<Transport, IoError> {
    let mut why = Vec::new();
    let line = match xdp(&udp, settings.queue, relay, &mut why) {
        Some(line) => line,
        None => match Transport::open_with(udp.clone(), TransportSettings::Udp, relay) {
            Ok(line) => line,
            Err(error) => {
                why.push(format!("udp: {error}"));
                let mut fanout = Fanout::open(udp, &settings.fanout)?;
                fanout.tell(chosen("unicast", why));
                return Ok(Transport::Unicast(Box::new(fanout)));
            }
        },
    };
    let what = match &line {
        Transport::Xdp(_) => "xdp; by lease from nodes whose multicast does not arrive",
        Transport::Relayed(_) => {
            "udp, and datagrams that the owner of the card forwards; by lease from nodes that neither \
             receives"
        }
        _ => "udp; by lease from nodes whose multicast does not arrive",
    };
    let mut effective = line.effective().to_vec();
    effective.push(chosen(what, why));
    let own = line.unicast_address();
    let skipped = (!udp.multicast_loop).then_some(*own.ip());
    let leasing = Leasing::beside_multicast(&settings.fanout, own, &udp.joins, skipped)?;
    Ok(Transport::Auto(Box::new(Auto {
        line,
        outbox: FanoutOutbox::new(),
        segmenting: udp.gso,
        last_received: Box::new([0; REPLICA_MAX as usize + 1]),
        unicast: Vec::with_capacity(UNICAST_ASIDE.1),
        unicast_aside: Aside::new(UNICAST_ASIDE.0, UNICAST_ASIDE.1),
        groups_aside: Aside::new(GROUPS_ASIDE.0, GROUPS_ASIDE.1),
        repairers: Vec::with_capacity(settings.fanout.nodes.len()),
        leasing,
        has_received: false,
        by_lease: 0,
        turns: 0,
        clock: Clock::start(),
        now: 0,
        counts: UdpCounts::default(),
        effective,
    })))
}

/// The card, if it takes a program. In the kernel's generic mode xdp is no better than udp, and loses
/// datagrams that senders of this host hand over uncut.
fn xdp(
    udp: &UdpSettings,
    queue: Option<u32>,
    relay: Option<&RelaySettings>,
    why: &mut Vec<String>,
) -> Option<Transport> {
    if address_of(&udp.interface).is_ok_and(|address| address.is_loopback()) {
        why.push("xdp: the loopback has no card".to_owned());
        return None;
    }
    let mut refused = String::new();
    for mode in [Mode::ZeroCopy, Mode::Native] {
        let settings = TransportSettings::Xdp(XdpSettings { mode: Some(mode), queue });
        match Transport::open_with(udp.clone(), settings, relay) {
            Ok(line) => {
                why.extend((!refused.is_empty()).then_some(refused));
                return Some(line);
            }
            Err(error) => refused = format!("xdp {mode}: {error}"),
        }
    }
    why.push(refused);
    None
}

fn chosen(got: &str, why: Vec<String>) -> Effective {
    let note = (!why.is_empty()).then(|| why.join("; "));
    Effective { what: "transport", requested: "auto".to_owned(), got: got.to_owned(), note }
}

impl Auto {
    /// Each setting with the value in force, and the transport in use.
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// The line that multicasts.
    pub fn line(&self) -> &Transport {
        &self.line
    }

    /// The counts so far, including copies by lease.
    pub fn counts(&self) -> UdpCounts {
        UdpCounts { dropped: self.dropped(), ..self.counts.and(&self.line.counts()) }
    }

    /// The counts of leases alone.
    pub fn fanout_counts(&self) -> FanoutCounts {
        self.leasing.counts()
    }

    /// The address at which other nodes reach this one.
    pub fn unicast_address(&self) -> SocketAddrV4 {
        self.line.unicast_address()
    }

    /// All sockets, for a `Parker` to wait on.
    pub fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        self.line.sockets()
    }

    /// Notes the sender of this datagram. The sender of a repaired frame is not the replica that its header
    /// names.
    #[inline]
    fn note_speaker(&mut self, index: usize) {
        const LENGTH: usize = std::mem::offset_of!(Header, length);
        const SENDER: usize = std::mem::offset_of!(Header, sender);
        let datagram = self.line.group_datagram(index);
        let word = |at: usize| {
            let bytes = datagram.get(at..at + 4)?;
            Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        };
        let (Some(length), Some(sender)) = (word(LENGTH), word(SENDER)) else { return };
        let is_first_hand = length as usize == datagram.len() && datagram[5] != Kind::Submission as u8;
        if let Some(last_received) = self.last_received.get_mut(sender as usize)
            && is_first_hand
        {
            *last_received = self.now;
        }
    }

    /// Requests leases, and returns them.
    fn look(&mut self) {
        self.now = self.clock.now();
        let Self { leasing, last_received, now, line, repairers, .. } = self;
        let is_received = |id: u32| {
            let at = last_received.get(id as usize).copied().unwrap_or(0);
            at > 0 && *now < at + SILENT_NS
        };
        while let Some(reply) = leasing.poll(*now, is_received) {
            say(line, &reply);
        }
        repairers.clear();
        repairers.extend(leasing.granted().take(repairers.capacity()).map(socket_address));
    }

    /// Takes the datagrams that came by unicast, while some of them may be copies of group datagrams.
    fn pump(&mut self) -> usize {
        let count = self.line.recv_unicast();
        for index in 0..count {
            let (datagram, from) = self.line.unicast_datagram(index);
            match way(datagram) {
                SendPath::Control => {
                    if let Some(reply) = self.leasing.on_datagram(self.now, datagram, from) {
                        say(&mut self.line, &reply);
                    }
                }
                SendPath::Group if self.leasing.is_granted_by(from) => self.groups_aside.push(datagram, from),
                _ => self.unicast_aside.push(datagram, from),
            }
        }
        count
    }

    /// Sends copies to `targets`, and cuts bursts itself if the kernel does not.
    fn send_copies(&mut self, to: CopySource, bursts: &[Burst<'_>]) {
        loop {
            let targets = match to {
                CopySource::Members(group) => self.leasing.members.targets(group as usize),
                CopySource::Lessors => &self.repairers,
            };
            let Some(socket) = self.line.unicast_socket() else { return };
            let sent = self.outbox.send(socket, targets, bursts, self.segmenting);
            if sent.segment_refused {
                self.segmenting = false;
                self.counts.segment_refused += 1;
                continue;
            }
            self.counts.on_sent(sent.deliveries, sent.delivered_bytes);
            self.counts.refused_sends += sent.refusals as u64;
            // A datagram of which no copy was taken lacks all copies.
            let all: usize = bursts.iter().map(Burst::count).sum();
            let unsent = sent.unsent + (all - sent.datagrams) * targets.len();
            self.leasing.count_unsent(unsent);
            return;
        }
    }
}

/// The destinations of copies.
#[derive(Clone, Copy)]
enum CopySource {
    /// Members of this group, by lease.
    Members(Group),
    /// The nodes from which we receive by lease.
    Lessors,
}

/// Sends a join or a lease. A lost one is requested again.
fn say(line: &mut Transport, reply: &Reply) {
    line.send_unicast(reply.to, [&reply.bytes, &[]]);
}

impl Net for Auto {
    fn recv_groups(&mut self) -> usize {
        self.by_lease = if self.repairers.is_empty() { 0 } else { self.pump() };
        let lent = self.groups_aside.lend();
        let count = self.line.recv_groups();
        for index in 0..count {
            self.note_speaker(index);
        }
        self.has_received = true;
        self.turns = self.turns.wrapping_add(1);
        if count == 0 || self.turns & CLOCK_MASK == 0 {
            self.look();
        }
        lent + count
    }

    /// More may wait behind the datagrams that came by lease.
    #[inline]
    fn is_drained(&self) -> bool {
        self.by_lease == 0 && self.line.is_drained()
    }

    #[inline]
    fn group_datagram(&self, index: usize) -> &[u8] {
        match index.checked_sub(self.groups_aside.len()) {
            None => self.groups_aside.datagram(index).0,
            Some(index) => self.line.group_datagram(index),
        }
    }

    fn recv_unicast(&mut self) -> usize {
        self.unicast.clear();
        if !self.repairers.is_empty() {
            if !std::mem::take(&mut self.has_received) {
                let _pumped = self.pump();
                self.look();
            }
            return self.unicast_aside.lend();
        }
        let lent = self.unicast_aside.lend();
        for index in 0..self.line.recv_unicast() {
            let (datagram, from) = self.line.unicast_datagram(index);
            if way(datagram) == SendPath::Control {
                if let Some(reply) = self.leasing.on_datagram(self.now, datagram, from) {
                    say(&mut self.line, &reply);
                }
            } else if self.unicast.len() < self.unicast.capacity() {
                self.unicast.push(index as u16);
            }
        }
        lent + self.unicast.len()
    }

    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        let in_place = index.checked_sub(self.unicast_aside.len()).and_then(|index| self.unicast.get(index));
        match in_place {
            Some(place) => self.line.unicast_datagram(usize::from(*place)),
            None => self.unicast_aside.datagram(index),
        }
    }

    /// Sends by multicast, and by unicast to the nodes that multicast does not reach. A datagram that
    /// multicast took counts as sent.
    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        let taken = self.line.send_group(group, bursts);
        let has_members = !self.leasing.members.targets(group as usize).is_empty();
        let by_lease = group == Group::Submit && !self.repairers.is_empty();
        if taken > 0 && (has_members || by_lease) {
            let mut own = [Burst { bytes: &[], stride: 1 }; SENT_BURSTS_MAX];
            let used = taken_of(bursts, taken, &mut own);
            if has_members {
                self.send_copies(CopySource::Members(group), &own[..used]);
            }
            if by_lease {
                self.send_copies(CopySource::Lessors, &own[..used]);
            }
        }
        taken
    }

    #[inline]
    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        self.line.send_unicast(to, parts)
    }

    fn dropped(&self) -> u64 {
        self.line.dropped() + self.unicast_aside.dropped + self.groups_aside.dropped
    }

    fn set_joined(&mut self, group: Group, joined: bool) {
        self.line.set_joined(group, joined);
        self.leasing.set_joined(group, joined);
    }
}

/// The most bursts of a send that are copied; members request the rest.
const SENT_BURSTS_MAX: usize = 64;

/// The first `taken` datagrams of `bursts`. Returns the number of bursts.
fn taken_of<'a>(bursts: &[Burst<'a>], taken: usize, out: &mut [Burst<'a>; SENT_BURSTS_MAX]) -> usize {
    let (mut left, mut used) = (taken, 0);
    for burst in bursts.iter().filter(|burst| !burst.bytes.is_empty()) {
        if left == 0 || used == out.len() {
            break;
        }
        let count = burst.count().min(left);
        let end = (count * burst.stride).min(burst.bytes.len());
        out[used] = Burst { bytes: &burst.bytes[..end], stride: burst.stride };
        (left, used) = (left - count, used + 1);
    }
    used
}

/// Notifies the nodes that send copies to us that we leave.
impl Drop for Auto {
    fn drop(&mut self) {
        for reply in self.leasing.leave() {
            say(&mut self.line, &reply);
        }
    }
}

/// A node is opened by one thread and run by another.
const fn may_move<T: Send>() {}
const _: () = may_move::<Auto>();
