//! # fanout: groups by unicast, for networks without multicast
//!
//! The question: how does one datagram reach many nodes where no switch copies it, as in clouds and overlays?
//! The sender copies it: a datagram for a group is sent to each address of a list. Replicas and archivers of
//! the file are always in the list. All other processes are in it by lease: they send a join each second, to
//! every node, and the lease expires three seconds after the last one.
//!
//! ```text
//!   engine ── send_group ──▶ list of the group ──▶ one call: each message to each member (UDP_SEGMENT)
//!   one socket ─▶ by kind: ── frames, heartbeats, acks … ─▶ recv_groups, lent in place
//!                          ├─ requests, answers … ──▶ recv_unicast, copied aside
//!                          └─ joins, leases ────────▶ here, no engine sees them
//! ```
//!
//! A node has one socket and one port. So a firewall needs the same rules as for repairs, and the answer to a
//! join takes the path that the stream will take. A datagram does not carry its group: its kind determines
//! it.

pub(super) mod aside;
mod counts;
mod joiner;
pub(super) mod leasing;
mod members;
pub(super) mod outbox;
#[cfg(test)]
mod tests;

pub use counts::FanoutCounts;
pub use leasing::bit;
pub use members::{FanoutNode, LEASE_NS};

use super::clock::Clock;
use super::udp::inbox::UdpInbox;
use super::udp::outbox::send_counted;
use super::udp::{
    Alone, BURST_BYTES_MAX, BURST_DATAGRAMS_MAX, BURSTS_PER_RECEIVE, DATAGRAMS_PER_RECEIVE, UdpCounts,
    UdpSettings, count_receive, open_alone,
};
use super::{Effective, IoError};
use aside::Aside;
use leasing::{Leasing, Reply};
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_wire::{Header, Keys, Kind, Nanos, is_repair_for_one};
use outbox::FanoutOutbox;
use socket2::Socket;
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, BorrowedFd};

/// Room for unicast datagrams until they are received, which is every few turns. Datagrams that do not fit
/// are requested again.
pub(super) const UNICAST_ASIDE: (usize, usize) = (1 << 20, 2048);
/// Room for group datagrams while only unicast is received.
pub(super) const GROUPS_ASIDE: (usize, usize) = (256 << 10, 1024);
/// The number of receives (minus one) between two readings of the clock by a busy receiver.
pub(super) const CLOCK_MASK: u32 = 63;

/// How to open a [`Fanout`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FanoutSettings {
    /// The keys of this process, and the cluster whose joins and leases count.
    pub keys: Keys,
    /// The nodes of the file. They receive copies without a join, and this device sends joins to them. Its
    /// own address may be among them.
    pub nodes: Vec<FanoutNode>,
    /// The most leases.
    pub members_max: usize,
    /// Whether leases are granted: by a node, and not by a handle.
    pub grants_leases: bool,
}

/// The use of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SendPath {
    Group,
    Unicast,
    Control,
}

/// The path for each kind; the engine refuses unknown kinds.
const WAYS: [SendPath; 256] = {
    let mut ways = [SendPath::Unicast; 256];
    let groups = [
        Kind::Frame,
        Kind::Heartbeat,
        Kind::Submission,
        Kind::Ack,
        Kind::Prepare,
        Kind::Promise,
        Kind::Refuse,
        Kind::PreVote,
        Kind::Grant,
        Kind::DeathNotice,
        Kind::StepDown,
        Kind::PublisherNotice,
        Kind::IdentityProbe,
    ];
    let mut index = 0;
    while index < groups.len() {
        ways[groups[index] as usize] = SendPath::Group;
        index += 1;
    }
    ways[Kind::Join as usize] = SendPath::Control;
    ways[Kind::Lease as usize] = SendPath::Control;
    ways
};

/// The offset of the kind in a datagram.
const KIND_AT: usize = std::mem::offset_of!(Header, kind);

#[inline]
pub(super) fn way(datagram: &[u8]) -> SendPath {
    let Some(&kind) = datagram.get(KIND_AT) else { return SendPath::Unicast };
    match WAYS[kind as usize] {
        // A repair goes to the reader that requested it, or to all.
        SendPath::Group if kind == Kind::Frame as u8 && is_repair_for_one(datagram) => SendPath::Unicast,
        way => way,
    }
}

/// One socket, a list, and the datagrams that arrived for the other receive.
pub struct Fanout {
    socket: Socket,
    address: SocketAddrV4,
    datagram_len_max: usize,
    segmenting: bool,
    outbox: FanoutOutbox,
    leasing: Leasing,
    /// The inbox of [`Net::recv_groups`]; `lent` selects its datagrams, after the buffered ones.
    groups_inbox: UdpInbox,
    groups: Vec<u16>,
    groups_aside: Aside,
    /// The inbox of a [`Net::recv_unicast`] without a preceding receive of the groups.
    unicast_inbox: UdpInbox,
    unicast: Vec<u16>,
    unicast_aside: Aside,
    /// Whether a receive of the groups has brought the pending unicast datagrams.
    has_received: bool,
    turns: u32,
    clock: Clock,
    counts: UdpCounts,
    effective: Vec<Effective>,
}

impl Fanout {
    /// Opens the socket. Nothing is sent before the first receive.
    ///
    /// # Errors
    /// As [`super::udp::Udp::open`], except for multicast.
    pub fn open(udp: UdpSettings, settings: &FanoutSettings) -> Result<Self, IoError> {
        let Alone { socket, address, gro, mut effective } = open_alone(&udp)?;
        // Where memory carries the datagrams for this host, no copy is sent to its processes.
        let skipped = (!udp.multicast_loop).then_some(*address.ip());
        let leasing = Leasing::new(settings, address, &udp.joins, skipped)?;
        let inbox = || {
            if gro {
                UdpInbox::new(BURSTS_PER_RECEIVE, BURST_BYTES_MAX, BURST_DATAGRAMS_MAX, true)
            } else {
                UdpInbox::new(DATAGRAMS_PER_RECEIVE, udp.datagram_len_max, 1, true)
            }
        };
        let lent = || Vec::with_capacity(BURSTS_PER_RECEIVE * BURST_DATAGRAMS_MAX);
        let (nodes, leases) = (leasing.members.len(), leasing.members.leases_max());
        let granted = match leases {
            0 => format!("unicast at {address}: leases of {nodes} nodes"),
            most => format!("unicast at {address}: to {nodes} nodes, and {most} leases at most"),
        };
        effective.push(Effective::granted("transport", granted));
        Ok(Self {
            address,
            datagram_len_max: udp.datagram_len_max,
            segmenting: udp.gso,
            outbox: FanoutOutbox::new(),
            leasing,
            groups_inbox: inbox(),
            groups: lent(),
            groups_aside: Aside::new(GROUPS_ASIDE.0, GROUPS_ASIDE.1),
            unicast_inbox: inbox(),
            unicast: lent(),
            unicast_aside: Aside::new(UNICAST_ASIDE.0, UNICAST_ASIDE.1),
            has_received: false,
            turns: 0,
            clock: Clock::start(),
            counts: UdpCounts::default(),
            effective,
            socket,
        })
    }

    /// Each setting with the value in force.
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// Adds a setting of the caller that opened the device.
    pub(super) fn tell(&mut self, effective: Effective) {
        self.effective.push(effective);
    }

    /// The counts so far.
    pub fn counts(&self) -> UdpCounts {
        let truncated = self.groups_inbox.truncated + self.unicast_inbox.truncated;
        UdpCounts { dropped: self.dropped(), truncated, ..self.counts }
    }

    /// The counts of a fan-out alone.
    pub fn fanout_counts(&self) -> FanoutCounts {
        self.leasing.counts()
    }

    /// The address at which other nodes reach this one.
    pub fn unicast_address(&self) -> SocketAddrV4 {
        self.address
    }

    /// The socket, for a `Parker` to wait on.
    pub fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        vec![self.socket.as_fd()]
    }

    /// Sends the joins and leases that are due.
    fn turn(&mut self, now: Nanos) {
        while let Some(reply) = self.leasing.poll(now, |_| false) {
            say(&self.socket, &reply, &mut self.counts);
        }
    }

    /// Whether every datagram of `burst` is within the configured size.
    fn fits(&self, burst: &Burst<'_>) -> bool {
        burst.bytes.is_empty()
            || (burst.stride > 0 && burst.stride.min(burst.bytes.len()) <= self.datagram_len_max)
    }
}

/// Sends a join or a lease. A lost one is requested again.
fn say(socket: &Socket, reply: &Reply, counts: &mut UdpCounts) {
    let _lost_or_not = send_counted(socket.as_fd(), reply.to, [&reply.bytes, &[]], counts);
}

impl Net for Fanout {
    fn recv_groups(&mut self) -> usize {
        let Self { groups_inbox: inbox, groups, groups_aside, unicast_aside, leasing, counts, .. } = self;
        counts.group_receives += 1;
        groups.clear();
        let lent = groups_aside.lend();
        let received = inbox.receive(self.socket.as_fd());
        let count = count_receive(counts, inbox, received);
        let mut has_news = count == 0;
        for index in 0..count {
            let datagram = inbox.datagram(index);
            match way(datagram) {
                SendPath::Group => groups.push(index as u16),
                SendPath::Unicast => unicast_aside.push(datagram, inbox.sender(index)),
                SendPath::Control => {
                    has_news = true;
                    let now = self.clock.now();
                    if let Some(reply) = leasing.on_datagram(now, datagram, inbox.sender(index)) {
                        say(&self.socket, &reply, counts);
                    }
                }
            }
        }
        self.has_received = true;
        self.turns = self.turns.wrapping_add(1);
        let all = lent + self.groups.len();
        if has_news || self.turns & CLOCK_MASK == 0 {
            self.turn(self.clock.now());
        }
        all
    }

    fn is_drained(&self) -> bool {
        self.groups_inbox.drained
    }

    fn group_datagram(&self, index: usize) -> &[u8] {
        match index.checked_sub(self.groups_aside.len()) {
            None => self.groups_aside.datagram(index).0,
            Some(index) => {
                self.groups.get(index).map_or(&[], |place| self.groups_inbox.datagram(usize::from(*place)))
            }
        }
    }

    /// Makes a system call only if no receive of the groups preceded: that one has brought everything.
    fn recv_unicast(&mut self) -> usize {
        self.unicast.clear();
        let lent = self.unicast_aside.lend();
        if std::mem::take(&mut self.has_received) || lent > 0 {
            return lent;
        }
        let Self { unicast_inbox: inbox, unicast, groups_aside, leasing, counts, .. } = self;
        counts.unicast_receives += 1;
        let received = inbox.receive(self.socket.as_fd());
        let count = count_receive(counts, inbox, received);
        let now = self.clock.now();
        for index in 0..count {
            let (datagram, from) = (inbox.datagram(index), inbox.sender(index));
            match way(datagram) {
                SendPath::Group => groups_aside.push(datagram, from),
                SendPath::Unicast => unicast.push(index as u16),
                SendPath::Control => {
                    if let Some(reply) = leasing.on_datagram(now, datagram, from) {
                        say(&self.socket, &reply, counts);
                    }
                }
            }
        }
        self.turn(now);
        self.unicast.len()
    }

    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        match self.unicast.get(index) {
            Some(place) => {
                let place = usize::from(*place);
                (self.unicast_inbox.datagram(place), self.unicast_inbox.sender(place))
            }
            None => self.unicast_aside.datagram(index),
        }
    }

    /// An oversized burst ends the send: that burst and all behind it stay with the caller. A datagram that
    /// has reached one member counts as sent; a member that it did not reach requests it.
    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        let fitting = bursts.iter().position(|burst| !self.fits(burst)).unwrap_or(bursts.len());
        if fitting < bursts.len() {
            self.counts.forbidden_sends += 1;
        }
        let bursts = &bursts[..fitting];
        loop {
            let targets = self.leasing.members.targets(group as usize);
            let sent = self.outbox.send(self.socket.as_fd(), targets, bursts, self.segmenting);
            self.counts.group_sends += sent.calls as u64;
            if sent.segment_refused {
                self.segmenting = false;
                self.counts.segment_refused += 1;
                continue;
            }
            self.counts.on_sent(sent.deliveries, sent.delivered_bytes);
            self.counts.full_sends += u64::from(sent.is_full);
            self.counts.refused_sends += sent.refusals as u64;
            if let Some(error) = &sent.refused {
                self.counts.last_errno = error.raw_os_error().unwrap_or(0) as u64;
            }
            if sent.unsent > 0 {
                self.leasing.count_unsent(sent.unsent);
            }
            return sent.datagrams;
        }
    }

    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        let bytes = parts[0].len() + parts[1].len();
        if bytes > self.datagram_len_max || to.ip().is_multicast() {
            self.counts.forbidden_sends += 1;
            return false;
        }
        send_counted(self.socket.as_fd(), to, parts, &mut self.counts)
    }

    /// The kernel counts for the whole socket, and each inbox reads the count with the datagrams that it
    /// receives.
    fn dropped(&self) -> u64 {
        let by_kernel = self.groups_inbox.dropped.max(self.unicast_inbox.dropped);
        by_kernel + self.groups_aside.dropped + self.unicast_aside.dropped
    }

    /// Notifies the nodes by a join at the next receive. A datagram that is under way is still lent.
    fn set_joined(&mut self, group: Group, joined: bool) {
        self.leasing.set_joined(group, joined);
    }
}

/// Notifies the nodes that send copies to us that we leave.
impl Drop for Fanout {
    fn drop(&mut self) {
        for reply in self.leasing.leave() {
            say(&self.socket, &reply, &mut self.counts);
        }
    }
}

/// A node is opened by one thread and run by another.
const fn may_move<T: Send>() {}
const _: () = may_move::<Fanout>();
