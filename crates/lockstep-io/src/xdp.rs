//! # xdp: a card's queues as a [`Net`], past the kernel's network stack
//!
//! The datagrams are the same as with [`super::udp`], so a cluster may mix both node by node. A program of
//! some thirty instructions on the card sends the datagrams for this node to a socket of its own kind
//! (AF_XDP), whose rings and memory are ours: a receive polls a ring, without a system call, and a datagram
//! is lent from where the card put it.
//!
//! ```text
//!  card ─▶ program ─ ours ─▶ received ring ─▶ lent by index ─▶ fill ring        (no system call)
//!             └──── else ─▶ kernel, as ever                                    (its sockets see all else)
//!  bursts ─▶ frames with headers ─▶ send ring ─▶ one call, if the card wants one
//! ```
//!
//! An ordinary [`Udp`] stands behind it. It joins the groups, because the kernel answers for membership and
//! the card filters by it. It receives the datagrams that do not come by the card: those of this host's own
//! processes. And it sends unicast to destinations whose card address is not known yet.
//!
//! A datagram that is sent here is not received on this host, and no other process of this host gets the
//! datagrams that arrive here: a card has one owner. With shared memory the owner relays the datagrams that
//! it receives to the others ([`super::shm::Relay`]).

mod card;
mod counts;
mod frame;
mod neighbours;
mod opening;
mod program;
mod ring;
mod side;
mod socket;

use super::links::{self, Followed};
use super::shm::{Relay, RelaySettings};
use super::udp::{Interface, Udp, UdpCounts, UdpSettings, interface};
use super::{Effective, IoError};
pub use counts::XdpCounts;
use lockstep_core::engine::ports::{Burst, Group, Net};

use card::{Claim, Owner, Port};
use frame::Template;
use opening::{OpenedCard, best, busy_poll_report, check, mode_report, queue_numbers};
use program::{AttachMode, Attached, Match};
use side::XdpSideThread;
use socket::{Queue, QueueSettings, WakeOutcome, XdpFrame};
use std::fmt;
use std::net::SocketAddrV4;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;

/// Why xdp cannot serve these settings on any card, with the remedy; `None` if it can.
pub fn refusal(udp: &UdpSettings) -> Option<IoError> {
    check(udp).err()
}

/// The most frames that one receive takes from a queue, and from all of them.
const FRAMES_PER_QUEUE: usize = 64;
const FRAMES_PER_RECEIVE: usize = 256;
/// The most datagrams of one kind that wait while only the other kind is received; more are dropped.
const WAITING_MAX: usize = 4 * FRAMES_PER_RECEIVE;

/// The mode in which a card is used, best first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// The card reads and writes our memory, if its driver supports that.
    ZeroCopy,
    /// The driver runs the program, and frames are copied once.
    Native,
    /// The kernel runs the program behind the driver: works on every card.
    Generic,
}

impl Mode {
    const ALL: [Self; 3] = [Self::ZeroCopy, Self::Native, Self::Generic];

    /// The number under which it is exported.
    fn number(self) -> u64 {
        match self {
            Self::ZeroCopy => 3,
            Self::Native => 2,
            Self::Generic => 1,
        }
    }

    fn place(self) -> AttachMode {
        match self {
            Self::ZeroCopy | Self::Native => AttachMode::Native,
            Self::Generic => AttachMode::Generic,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZeroCopy => "zero-copy",
            Self::Native => "native",
            Self::Generic => "generic",
        })
    }
}

/// The settings of an [`Xdp`] beside those of the sockets.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct XdpSettings {
    /// The demanded mode; `None`: the best available one.
    pub mode: Option<Mode>,
    /// The only queue in use; `None`: all queues.
    pub queue: Option<u32>,
}

/// One queue in use.
struct Used {
    number: u32,
    queue: Queue,
    datagrams_in: u64,
}

/// A received datagram that waits or is lent.
#[derive(Clone, Copy)]
struct Taken {
    /// The index in the list of queues.
    queue: usize,
    /// The datagram in the queue's memory.
    bytes: XdpFrame,
    from: SocketAddrV4,
}

/// Received datagrams of one kind: the lent ones come first.
struct Inbox {
    taken: Vec<Taken>,
    lent: usize,
    /// The number of datagrams that the ordinary socket lends after those.
    by_kernel: usize,
}

impl Inbox {
    fn new() -> Self {
        Self { taken: Vec::with_capacity(WAITING_MAX), lent: 0, by_kernel: 0 }
    }

    /// Returns the lent frames.
    fn release(&mut self, queues: &mut [Used]) {
        for taken in self.taken.drain(..self.lent) {
            queues[taken.queue].queue.give_back(taken.bytes.at);
        }
        (self.lent, self.by_kernel) = (0, 0);
    }

    /// Lends all waiting datagrams. Returns their bytes.
    fn lend(&mut self) -> u64 {
        self.lent = self.taken.len();
        self.taken.iter().map(|taken| u64::from(taken.bytes.len)).sum()
    }
}

/// A card's queues, and the sockets behind them.
pub struct Xdp {
    udp: Udp,
    queues: Vec<Used>,
    /// The queue that was last polled first.
    first: usize,
    groups: Inbox,
    unicast: Inbox,
    targets: [SocketAddrV4; 3],
    joined: [bool; 3],
    /// Whether the last poll took everything from the queues.
    drained: bool,
    vlan: Option<u16>,
    to_groups: [Template; 3],
    to_nodes: Template,
    datagram_len_max: usize,
    /// Whether frames were put that no call has taken yet.
    unsent: bool,
    counts: UdpCounts,
    own: XdpCounts,
    effective: Vec<Effective>,
    side: XdpSideThread,
    attached: Attached,
    /// Whether the program sends us our datagrams. Before the first receive it takes nothing away from other
    /// processes: the process that opens a card may have to read a journal first.
    is_taking: bool,
    /// The ring in which the other processes of this host read the card's datagrams.
    relay: Option<Relay>,
    _owner: Owner,
    _followed: Option<Followed>,
}

/// The result of a request for a card that processes may share.
pub enum CardSharing {
    /// The card is ours.
    Own(Box<Xdp>),
    /// The process of this number has it, and relays the datagrams that it receives.
    Served(u32),
}

/// The index of an interface on which xdp is possible, because it is an Ethernet card's; `None` for any
/// other, such as the loopback.
///
/// # Errors
/// There is no such interface.
pub(super) fn card_index(interface: &Interface) -> Result<Option<u32>, IoError> {
    let card = interface::find(interface)?;
    Ok(card::is_ethernet(&card).then_some(card.index))
}

impl Xdp {
    /// Opens the sockets, takes the card, and attaches the program in the best available mode.
    ///
    /// # Errors
    /// As [`Udp::open`]; and what xdp lacks (rights, an Ethernet card, memory, a demanded mode), or which
    /// process has the card.
    pub fn open(udp: UdpSettings, settings: XdpSettings) -> Result<Self, IoError> {
        let port = Port::under(&interface::find(&udp.interface)?)?;
        match Owner::of(&port, || None)? {
            Claim::Own(owner) => Self::with(udp, settings, port, None, owner),
            Claim::Served(_) => unreachable!("no process was asked to serve this one"),
        }
    }

    /// As [`open`](Self::open), where the processes of a host share memory: the owner makes the ring of
    /// `relay`, and a process that finds the card taken by such an owner is served, whatever its rights are.
    ///
    /// # Errors
    /// As [`Xdp::open`], and those of the ring; or the owner does not relay the datagrams of this cluster.
    pub fn open_shared(
        udp: UdpSettings,
        settings: XdpSettings,
        relay: &RelaySettings,
    ) -> Result<CardSharing, IoError> {
        let port = Port::under(&interface::find(&udp.interface)?)?;
        match Owner::of(&port, || relay.owner())? {
            // At once, because another process that asks meanwhile waits for it.
            Claim::Own(owner) => {
                let xdp = Self::with(udp, settings, port, Some(Relay::open(relay)?), owner)?;
                Ok(CardSharing::Own(Box::new(xdp)))
            }
            Claim::Served(pid) => Ok(CardSharing::Served(pid)),
        }
    }

    fn with(
        udp: UdpSettings,
        settings: XdpSettings,
        port: Port,
        relay: Option<Relay>,
        owner: Owner,
    ) -> Result<Self, IoError> {
        let frame_bytes = check(&udp)?;
        card::demand_rights(&port.interface)?;
        let numbers = queue_numbers(&port, settings.queue)?;
        let (busy_poll_us, joins) = (udp.busy_poll_us, udp.joins.clone());
        let followed = links::follow_card(&udp.interface, &interface::find(&udp.interface)?)?;
        // The ordinary sockets receive the rare datagrams. They ask for no bursts: the kernel would gather
        // them in front of a program in generic mode.
        let sockets = Udp::open(UdpSettings { busy_poll_us: None, gro: false, ..udp.clone() })?;
        let own = sockets.unicast_address();
        let what = Match {
            groups: udp.groups,
            group_port: udp.port,
            unicast: (*own.ip(), own.port()),
            vlan: port.vlan,
        };
        let queue = QueueSettings {
            card: port.index,
            queue: 0,
            frame_bytes,
            receive_bytes: udp.receive_buffer_bytes,
            send_bytes: udp.send_buffer_bytes,
            zero_copy: false,
            busy_poll_us,
        };
        let OpenedCard { mode, attached, queues, worse } =
            best(&what, &port, &numbers, &queue, settings.mode)?;
        let mut effective = sockets.effective().to_vec();
        effective.push(mode_report(settings.mode, mode, &port, &numbers, worse));
        if let Some(us) = busy_poll_us {
            effective.push(busy_poll_report(us, queues.iter().all(|used| used.queue.polls_busily())));
        }
        effective.extend(relay.as_ref().map(|relay| relay.effective().clone()));
        let fds = queues.iter().map(|used| used.queue.socket()).collect();
        let side = XdpSideThread::start(port.interface.clone(), sockets.sockets(), fds)?;
        let targets = udp.groups.map(|group| SocketAddrV4::new(group, udp.port));
        let from = SocketAddrV4::new(*own.ip(), udp.port);
        let template = |mac, from, to, ttl| Template::new((port.mac, mac), port.vlan, from, to, ttl);
        Ok(Self {
            queues,
            first: 0,
            groups: Inbox::new(),
            unicast: Inbox::new(),
            targets,
            joined: Group::ALL.map(|group| joins.contains(&group)),
            drained: true,
            vlan: port.vlan,
            to_groups: targets.map(|to| template(frame::multicast_mac(*to.ip()), from, to, udp.ttl)),
            to_nodes: template([0; 6], own, own, frame::UNICAST_TTL),
            datagram_len_max: udp.datagram_len_max,
            unsent: false,
            counts: UdpCounts::default(),
            own: XdpCounts { mode: mode.number(), queues: numbers.len() as u64, ..XdpCounts::default() },
            effective,
            side,
            udp: sockets,
            attached,
            is_taking: false,
            relay,
            _owner: owner,
            _followed: followed,
        })
    }

    /// Each setting with the value in force.
    pub fn effective(&self) -> &[Effective] {
        &self.effective
    }

    /// The counts so far, of the card and the ordinary sockets together.
    pub fn counts(&self) -> UdpCounts {
        UdpCounts { dropped: self.dropped(), ..self.counts.and(&self.udp.counts()) }
    }

    /// The counts of xdp alone.
    pub fn xdp_counts(&self) -> XdpCounts {
        let busiest = self.queues.iter().max_by_key(|used| used.datagrams_in);
        XdpCounts {
            busiest_queue: busiest.map_or(0, |used| u64::from(used.number)),
            busiest_queue_in: busiest.map_or(0, |used| used.datagrams_in),
            neighbours: self.side.shared.neighbours.known() as u64,
            ..self.own
        }
    }

    /// The address at which other nodes reach this one.
    pub fn unicast_address(&self) -> SocketAddrV4 {
        self.udp.unicast_address()
    }

    /// The ordinary socket by which unicast leaves.
    pub(super) fn unicast_socket(&self) -> BorrowedFd<'_> {
        self.udp.unicast_socket()
    }

    /// All sockets, for a `Parker` to wait on.
    pub fn sockets(&self) -> Vec<BorrowedFd<'_>> {
        self.queues.iter().map(|used| used.queue.socket()).chain(self.udp.sockets()).collect()
    }

    /// From now on the card's datagrams are ours. A failure is counted, and tried again.
    #[cold]
    fn begin(&mut self) {
        for used in &self.queues {
            if let Err(error) = self.attached.serve(used.number, used.queue.socket()) {
                self.counts.failed_receives += 1;
                self.counts.last_errno = error.source.raw_os_error().unwrap_or(0) as u64;
                return;
            }
        }
        self.is_taking = true;
    }

    /// Takes the frames that have come by the card and sorts them: it polls each queue's ring once, and
    /// begins with another one each time.
    fn take_in(&mut self) {
        if !self.is_taking {
            self.begin();
        }
        self.first = if self.first + 1 < self.queues.len() { self.first + 1 } else { 0 };
        let (before, from_first) = self.queues.split_at_mut(self.first);
        let mut left = FRAMES_PER_RECEIVE;
        self.drained = true;
        let order = (self.first..).zip(from_first).chain(before.iter_mut().enumerate());
        for (place, used) in order {
            let most = FRAMES_PER_QUEUE.min(left);
            let mut taken = 0;
            while taken < most {
                let Some(frame) = used.queue.take() else { break };
                taken += 1;
                let bytes = used.queue.bytes(frame);
                let parsed = frame::parse(bytes, self.vlan);
                let inbox = match parsed {
                    Some(datagram) if datagram.to.ip().is_multicast() => {
                        let to = self.targets.iter().position(|target| *target == datagram.to);
                        if let (Some(relay), Some(group)) = (&mut self.relay, to)
                            && datagram.len <= self.datagram_len_max
                        {
                            relay.push(Group::ALL[group], &bytes[datagram.at..][..datagram.len]);
                            self.own.relayed_out += 1;
                        }
                        to.filter(|group| self.joined[*group]).map(|_| &mut self.groups)
                    }
                    Some(datagram) if datagram.to == self.udp.unicast_address() => Some(&mut self.unicast),
                    _ => None,
                };
                let (Some(datagram), Some(inbox)) = (parsed, inbox) else {
                    self.own.unexpected_in += 1;
                    used.queue.give_back(frame.at);
                    continue;
                };
                if datagram.len > self.datagram_len_max {
                    self.counts.truncated += 1;
                    used.queue.give_back(frame.at);
                    continue;
                }
                if inbox.taken.len() == WAITING_MAX {
                    self.counts.dropped += 1;
                    used.queue.give_back(frame.at);
                    continue;
                }
                used.datagrams_in += 1;
                let bytes = XdpFrame { at: frame.at + datagram.at as u64, len: datagram.len as u32 };
                inbox.taken.push(Taken { queue: place, bytes, from: datagram.from });
            }
            left -= taken;
            self.drained &= taken < most;
            used.queue.tell();
            if taken == 0 && used.queue.polls_busily() {
                used.queue.wake();
            }
        }
    }

    /// Whether the ordinary socket of this kind has a datagram, as far as the side thread knows.
    fn kernel_has(&self, kind: usize) -> bool {
        let flag = &self.side.shared.by_kernel[kind];
        let has = flag.load(Ordering::Acquire);
        if has {
            flag.store(false, Ordering::Release);
        }
        has
    }

    /// Counts the datagrams that the ordinary socket of this kind has received; there may be more.
    fn count_from_kernel(&mut self, kind: usize, count: usize) {
        if count > 0 {
            self.own.kernel_in += count as u64;
            self.side.shared.by_kernel[kind].store(true, Ordering::Release);
        }
    }

    fn count_received(&mut self, datagrams: usize, bytes: u64) {
        self.counts.datagrams_in += datagrams as u64;
        self.counts.bytes_in += bytes;
    }

    /// Sends the frames that were put, and returns the number of calls.
    fn kick(&mut self) -> u64 {
        let Some(used) = self.queues.first_mut() else { return 0 };
        let WakeOutcome { calls, error, waiting } = used.queue.wake_kernel();
        self.unsent = waiting > 0;
        if let Some(error) = error.filter(|_| self.unsent) {
            match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EBUSY | libc::EINTR | libc::ENOBUFS) => self.counts.full_sends += 1,
                errno => {
                    self.counts.refused_sends += 1;
                    self.counts.last_errno = errno.unwrap_or(0) as u64;
                }
            }
        }
        calls
    }
}

impl Net for Xdp {
    fn recv_groups(&mut self) -> usize {
        self.counts.group_receives += 1;
        if self.unsent {
            self.kick();
        }
        self.groups.release(&mut self.queues);
        self.take_in();
        let bytes = self.groups.lend();
        self.count_received(self.groups.lent, bytes);
        if self.kernel_has(0) {
            self.groups.by_kernel = self.udp.recv_groups();
            self.count_from_kernel(0, self.groups.by_kernel);
        }
        let all = self.groups.lent + self.groups.by_kernel;
        self.counts.empty_receives += u64::from(all == 0);
        all
    }

    fn is_drained(&self) -> bool {
        self.drained && (self.groups.by_kernel == 0 || self.udp.is_drained())
    }

    fn group_datagram(&self, index: usize) -> &[u8] {
        match self.groups.taken[..self.groups.lent].get(index) {
            Some(taken) => self.queues[taken.queue].queue.bytes(taken.bytes),
            None => self.udp.group_datagram(index - self.groups.lent),
        }
    }

    fn recv_unicast(&mut self) -> usize {
        self.counts.unicast_receives += 1;
        self.unicast.release(&mut self.queues);
        if self.unicast.taken.is_empty() {
            self.take_in();
        }
        let bytes = self.unicast.lend();
        self.count_received(self.unicast.lent, bytes);
        if self.kernel_has(1) {
            self.unicast.by_kernel = self.udp.recv_unicast();
            self.count_from_kernel(1, self.unicast.by_kernel);
        }
        let all = self.unicast.lent + self.unicast.by_kernel;
        self.counts.empty_receives += u64::from(all == 0);
        all
    }

    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        match self.unicast.taken[..self.unicast.lent].get(index) {
            Some(taken) => (self.queues[taken.queue].queue.bytes(taken.bytes), taken.from),
            None => self.udp.unicast_datagram(index - self.unicast.lent),
        }
    }

    /// An oversized burst ends the send: that burst and all behind it stay with the caller.
    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        let template = &self.to_groups[group as usize];
        let Some(used) = self.queues.first_mut() else { return 0 };
        let (mut sent, mut bytes) = (0, 0);
        'bursts: for burst in bursts.iter().filter(|burst| !burst.bytes.is_empty()) {
            let longest = burst.stride.min(burst.bytes.len());
            if longest == 0 || longest > self.datagram_len_max {
                self.counts.forbidden_sends += 1;
                break;
            }
            for datagram in burst.bytes.chunks(burst.stride) {
                if !used.queue.put(|frame| template.write(frame, [datagram, &[]])) {
                    self.counts.full_sends += 1;
                    break 'bursts;
                }
                sent += 1;
                bytes += datagram.len();
            }
        }
        if sent > 0 || self.unsent {
            self.counts.group_sends += self.kick();
        }
        self.counts.datagrams_out += sent as u64;
        self.counts.bytes_out += bytes as u64;
        sent
    }

    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        let bytes = parts[0].len() + parts[1].len();
        let is_forbidden = bytes > self.datagram_len_max || to.ip().is_multicast();
        let is_remote = to.ip() != self.unicast_address().ip() && !is_forbidden;
        let mac = if is_remote { self.side.shared.neighbours.find(*to.ip()) } else { None };
        // The ordinary socket also handles forbidden sends.
        let Some(mac) = mac.filter(|_| to.port() != self.targets[0].port()) else {
            self.own.kernel_out += 1;
            return self.udp.send_unicast(to, parts);
        };
        let template = self.to_nodes.to(mac, to);
        let Some(used) = self.queues.first_mut() else { return false };
        if !used.queue.put(|frame| template.write(frame, parts)) {
            self.counts.full_sends += 1;
            return false;
        }
        self.counts.unicast_sends += self.kick();
        self.counts.datagrams_out += 1;
        self.counts.bytes_out += bytes as u64;
        true
    }

    fn dropped(&self) -> u64 {
        self.counts.dropped + self.side.shared.dropped.load(Ordering::Relaxed) + self.udp.dropped()
    }

    fn set_joined(&mut self, group: Group, joined: bool) {
        self.joined[group as usize] = joined;
        self.udp.set_joined(group, joined);
    }
}

/// A node is opened by one thread and run by another.
const fn may_move<T: Send>() {}
const _: () = may_move::<Xdp>();
