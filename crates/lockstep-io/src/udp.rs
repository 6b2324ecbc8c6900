//! # udp: the kernel's UDP as a [`Net`]
//!
//! One socket receives all groups of a node: one call then serves them all, and one queue keeps their order.
//! A second, unicast socket carries repairs, queries and refusals: a unicast datagram to the shared group
//! port would reach only the process that bound it last.
//!
//! A system call costs more than all that lockstep does with a message. So a receive takes everything that is
//! there (`recvmmsg`; with UDP_GRO the kernel hands over bursts uncut), and a send is one `sendmmsg` of
//! everything, bursts uncut (UDP_SEGMENT). For a single datagram, `sendto` and `recvmsg` cost less. The
//! memory is made once: a received datagram is lent from our buffers, and a sent one is read from the
//! caller's.
//!
//! The size of a datagram is checked here on every send, since the loopback carries 64 KiB and would
//! hide what Ethernet then fragments.

mod free_port;
pub(super) mod inbox;
pub(super) mod interface;
pub(super) mod outbox;
mod socket;
#[cfg(test)]
mod tests;

pub use free_port::free_port;
pub use interface::{Interface, Needed};
pub use outbox::socket_address;
pub(super) use socket::Place;
pub(super) use socket::{Alone, open_alone};
pub use socket::{announcer, never_fragment, take_bursts_whole};

/// The address of an interface.
///
/// # Errors
/// There is no interface of that name, or it carries no multicast.
pub fn address_of(interface: &Interface) -> Result<std::net::Ipv4Addr, super::IoError> {
    interface::find(interface).map(|card| card.address)
}

use crate::links::{self, Followed, Link};
use crate::{Effective, IoError};
use inbox::UdpInbox;
use lockstep_core::engine::counters::counter_group;
use lockstep_core::engine::ports::{Burst, Group, Net};
use outbox::{UdpOutbox, UdpSent};
use socket2::Socket;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Messages of one receive with UDP_GRO: 8 × 64 KiB hold some 370 datagrams.
pub(super) const BURSTS_PER_RECEIVE: usize = 8;
/// A burst that the kernel hands over uncut is one IP packet at most.
pub(super) const BURST_BYTES_MAX: usize = 1 << 16;
/// The most datagrams in one burst: `UDP_MAX_SEGMENTS` of Linux 6.9.
pub(super) const BURST_DATAGRAMS_MAX: usize = 128;
/// Datagrams of one receive without UDP_GRO: a call for 32 carries a fifth more per second than single calls.
pub(super) const DATAGRAMS_PER_RECEIVE: usize = 32;

/// How to open a [`Udp`].
#[derive(Clone, Debug)]
pub struct UdpSettings {
    /// The card that carries the groups; its address is our unicast address.
    pub interface: Interface,
    /// The port of all three groups.
    pub port: u16,
    /// The groups' addresses, in the order of [`Group`].
    pub groups: [Ipv4Addr; 3],
    /// The groups that this node receives at first.
    pub joins: Vec<Group>,
    /// The port of repairs and queries; 0 lets the kernel choose.
    pub unicast_port: u16,
    /// The number of networks that a group may cross: 0 keeps it on this host, 1 on this network.
    pub ttl: u8,
    /// Whether this host's other processes receive datagrams to a group, as they need.
    pub multicast_loop: bool,
    /// Largest datagram in bytes: the MTU less 28.
    pub datagram_len_max: usize,
    /// Bytes that may wait in a socket to be received.
    pub receive_buffer_bytes: usize,
    /// Bytes that may wait in a socket to be sent.
    pub send_buffer_bytes: usize,
    /// Microseconds for which a receive polls the card itself (SO_BUSY_POLL).
    pub busy_poll_us: Option<u32>,
    /// Whether bursts are sent uncut (UDP_SEGMENT) while the kernel takes them.
    pub gso: bool,
    /// Whether bursts are received uncut (UDP_GRO).
    pub gro: bool,
}

impl UdpSettings {
    /// All groups joined, any unicast port, one network, Ethernet's MTU. A buffer of 4 MiB lost nothing in a
    /// flood of which 208 KiB, the usual default, lost a five-hundredth.
    pub fn new(interface: Interface, port: u16, groups: [Ipv4Addr; 3]) -> Self {
        Self {
            interface,
            port,
            groups,
            joins: vec![Group::Submit, Group::Data, Group::Control],
            unicast_port: 0,
            ttl: 1,
            multicast_loop: true,
            datagram_len_max: 1500 - 28,
            receive_buffer_bytes: 4 << 20,
            send_buffer_bytes: 4 << 20,
            busy_poll_us: None,
            gso: true,
            gro: true,
        }
    }
}

counter_group! {
    /// The counts of a [`Udp`] since it was opened.
    pub struct UdpCounts {
        group_receives count "udp_group_receives" "Receive calls on the group socket.",
        unicast_receives count "udp_unicast_receives" "Receive calls on the unicast socket.",
        group_sends count "udp_group_sends" "Send calls to groups.",
        unicast_sends count "udp_unicast_sends" "Send calls to single nodes.",
        datagrams_in count "udp_datagrams_in" "Datagrams received.",
        datagrams_out count "udp_datagrams_out" "Datagrams that the device took.",
        bytes_in count "udp_in_bytes" "Bytes received, headers of IP and UDP not counted.",
        bytes_out count "udp_out_bytes" "Bytes that the device took, likewise.",
        empty_receives count "udp_empty_receives" "Receives that found nothing (EAGAIN).",
        failed_receives count "udp_failed_receives" "Receives that failed for another reason.",
        full_sends count "udp_full_sends" "Sends that the device had no room for (EAGAIN, ENOBUFS).",
        refused_sends count "udp_refused_sends" "Sends that the kernel refused for another reason.",
        forbidden_sends count "udp_forbidden_sends" "Sends that broke a limit and were not made: a bug of the caller.",
        segment_refused count "udp_segment_refused" "Times that UDP_SEGMENT was refused; from then on each datagram goes alone.",
        dropped count "udp_dropped" "Bursts that the kernel dropped because our socket was full.",
        truncated count "udp_truncated" "Datagrams longer than any of ours may be.",
        refused_joins count "udp_refused_joins" "Groups that could not be joined or left.",
        last_errno gauge "udp_last_errno" "The last error of a call; 0 none.",
        interface_moves count "udp_interface_moves" "Times that the sockets were moved to an interface that was there again.",
        interface_away gauge "udp_interface_away" "1 while the interface is gone or down.",
    }
}

impl UdpCounts {
    /// The sum of these counts and those of another device; the last error is our own, if we had one.
    pub fn and(&self, other: &Self) -> Self {
        let last_errno = if self.last_errno == 0 { other.last_errno } else { self.last_errno };
        Self { last_errno, ..self.sum(other) }
    }

    /// Counts the datagrams that the device took.
    pub(super) fn on_sent(&mut self, datagrams: usize, bytes: usize) {
        self.datagrams_out += datagrams as u64;
        self.bytes_out += bytes as u64;
    }

    /// Counts a failed send, by whether another attempt makes sense.
    pub(super) fn on_failed_send(&mut self, error: &std::io::Error) {
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR | libc::ENOBUFS) => self.full_sends += 1,
            errno => {
                self.refused_sends += 1;
                self.last_errno = errno.unwrap_or(0) as u64;
            }
        }
    }
}

/// Whether UDP_SEGMENT works for sends to the groups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Segmenting {
    Untried,
    Works,
    Off,
}

/// Two sockets and their buffers.
pub struct Udp {
    /// Dropped before the sockets.
    _followed: Option<Followed>,
    link: Arc<Link>,
    group: Socket,
    unicast: Socket,
    unicast_address: SocketAddrV4,
    targets: [SocketAddrV4; 3],
    datagram_len_max: usize,
    segmenting: Segmenting,
    group_inbox: UdpInbox,
    unicast_inbox: UdpInbox,
    outbox: UdpOutbox,
    counts: UdpCounts,
    effective: Vec<Effective>,
}

impl Udp {
    /// Opens both sockets and joins the groups. It is no error if the kernel grants less than requested;
    /// [`Udp::effective`] reports it.
    ///
    /// # Errors
    /// The interface is missing, down, without multicast, or of a smaller MTU; another process has the
    /// unicast port; a group cannot be joined.
    pub fn open(settings: UdpSettings) -> Result<Self, IoError> {
        let opened = socket::open(&settings)?;
        let joined =
            [Group::Submit, Group::Data, Group::Control].map(|group| settings.joins.contains(&group));
        let link = Link::new(opened.card.index, joined);
        let mut renewal = socket::Renewal::of(&opened, &settings, link.clone())?;
        let followed =
            links::follow(&settings.interface, &opened.card, link.clone(), move |card, _| renewal.on(card))?;
        let group_inbox = if opened.gro {
            UdpInbox::new(BURSTS_PER_RECEIVE, BURST_BYTES_MAX, BURST_DATAGRAMS_MAX, false)
        } else {
            UdpInbox::new(DATAGRAMS_PER_RECEIVE, settings.datagram_len_max, 1, false)
        };
        Ok(Self {
            _followed: followed,
            link,
            group: opened.group,
            unicast: opened.unicast,
            unicast_address: opened.unicast_address,
            targets: settings.groups.map(|group| SocketAddrV4::new(group, settings.port)),
            datagram_len_max: settings.datagram_len_max,
            segmenting: if settings.gso { Segmenting::Untried } else { Segmenting::Off },
            group_inbox,
            unicast_inbox: UdpInbox::new(DATAGRAMS_PER_RECEIVE, settings.datagram_len_max, 1, true),
            outbox: UdpOutbox::new(),
            counts: UdpCounts::default(),
            effective: opened.effective,
        })
    }

    /// Each setting with the value in force.
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// The counts so far.
    pub fn counts(&self) -> UdpCounts {
        UdpCounts {
            dropped: self.group_inbox.dropped + self.unicast_inbox.dropped,
            truncated: self.group_inbox.truncated + self.unicast_inbox.truncated,
            interface_moves: self.link.moves.load(Ordering::Relaxed),
            interface_away: u64::from(self.link.away.load(Ordering::Relaxed)),
            ..self.counts
        }
    }

    /// The address at which other nodes reach this one.
    pub fn unicast_address(&self) -> SocketAddrV4 {
        self.unicast_address
    }

    /// The socket by which unicast leaves.
    pub(super) fn unicast_socket(&self) -> BorrowedFd<'_> {
        self.unicast.as_fd()
    }

    /// Both sockets, for a `Parker` to wait on.
    pub fn sockets(&self) -> [BorrowedFd<'_>; 2] {
        [self.group.as_fd(), self.unicast.as_fd()]
    }

    /// Whether every datagram of `burst` is within the configured size.
    fn fits(&self, burst: &Burst<'_>) -> bool {
        burst.bytes.is_empty()
            || (burst.stride > 0 && burst.stride.min(burst.bytes.len()) <= self.datagram_len_max)
    }

    /// Adds up one send to a group. Returns whether to continue with the same call: the kernel may have
    /// refused UDP_SEGMENT, which is found out once.
    fn count_group_send(&mut self, sent: &UdpSent) -> bool {
        self.counts.group_sends += 1;
        self.counts.on_sent(sent.datagrams, sent.bytes);
        if sent.segmented && self.segmenting == Segmenting::Untried {
            self.segmenting = Segmenting::Works;
        }
        let Some(at_segmented) = sent.stopped_at_segmented else { return false };
        let Some(error) = &sent.error else {
            // It stopped half-way without an error. Try again if UDP_SEGMENT may be the reason.
            return at_segmented && self.segmenting == Segmenting::Untried;
        };
        let refusal = matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EOPNOTSUPP));
        if at_segmented && refusal {
            self.segmenting = Segmenting::Off;
            self.counts.segment_refused += 1;
            return true;
        }
        self.counts.on_failed_send(error);
        false
    }
}

/// Adds up one receive.
pub(super) fn count_receive(
    counts: &mut UdpCounts,
    inbox: &UdpInbox,
    received: std::io::Result<usize>,
) -> usize {
    match received {
        Ok(count) => {
            counts.datagrams_in += count as u64;
            counts.bytes_in += inbox.received_bytes() as u64;
            count
        }
        Err(error) => {
            match error.kind() {
                ErrorKind::WouldBlock => counts.empty_receives += 1,
                _ => {
                    counts.failed_receives += 1;
                    counts.last_errno = error.raw_os_error().unwrap_or(0) as u64;
                }
            }
            0
        }
    }
}

impl Net for Udp {
    fn recv_groups(&mut self) -> usize {
        self.counts.group_receives += 1;
        let received = self.group_inbox.receive(self.group.as_fd());
        count_receive(&mut self.counts, &self.group_inbox, received)
    }

    fn is_drained(&self) -> bool {
        self.group_inbox.drained
    }

    fn group_datagram(&self, index: usize) -> &[u8] {
        self.group_inbox.datagram(index)
    }

    fn recv_unicast(&mut self) -> usize {
        self.counts.unicast_receives += 1;
        let received = self.unicast_inbox.receive(self.unicast.as_fd());
        count_receive(&mut self.counts, &self.unicast_inbox, received)
    }

    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        (self.unicast_inbox.datagram(index), self.unicast_inbox.sender(index))
    }

    /// An oversized burst ends the send: that burst and all behind it stay with the caller.
    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        let fitting = bursts.iter().position(|burst| !self.fits(burst)).unwrap_or(bursts.len());
        if fitting < bursts.len() {
            self.counts.forbidden_sends += 1;
        }
        let (bursts, to) = (&bursts[..fitting], self.targets[group as usize]);
        let mut taken = 0;
        if bursts.iter().all(|burst| burst.bytes.is_empty()) {
            return taken;
        }
        loop {
            let segmenting = self.segmenting != Segmenting::Off;
            let sent = self.outbox.send(self.group.as_fd(), to, bursts, taken, segmenting);
            taken += sent.datagrams;
            if !self.count_group_send(&sent) {
                return taken;
            }
        }
    }

    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        let bytes = parts[0].len() + parts[1].len();
        if bytes > self.datagram_len_max || to.ip().is_multicast() || to.port() == self.targets[0].port() {
            self.counts.forbidden_sends += 1;
            return false;
        }
        outbox::send_counted(self.unicast.as_fd(), to, parts, &mut self.counts)
    }

    fn dropped(&self) -> u64 {
        self.group_inbox.dropped + self.unicast_inbox.dropped
    }

    /// Makes one system call if something changes, and none otherwise. A refusal of the kernel is counted,
    /// and the next request tries again.
    fn set_joined(&mut self, group: Group, joined: bool) {
        let wish = &self.link.joined[group as usize];
        if wish.load(Ordering::Relaxed) == joined {
            return;
        }
        // The wish is stored first: the thread that moves the sockets meanwhile joins what it finds there, or
        // looks again.
        wish.store(joined, Ordering::SeqCst);
        loop {
            let card = self.link.card.load(Ordering::SeqCst);
            let set = socket::set_membership(&self.group, *self.targets[group as usize].ip(), card, joined);
            let is_moved = self.link.card.load(Ordering::SeqCst) != card;
            match set {
                _ if is_moved => {}
                Ok(()) => return,
                // It is joined when the interface exists.
                Err(_) if self.link.away.load(Ordering::SeqCst) => return,
                Err(error) => {
                    wish.store(!joined, Ordering::SeqCst);
                    self.counts.refused_joins += 1;
                    self.counts.last_errno = error.raw_os_error().unwrap_or(0) as u64;
                    return;
                }
            }
        }
    }
}
