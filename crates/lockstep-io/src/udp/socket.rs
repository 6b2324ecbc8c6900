//! Opens the two sockets of a node, option by option, each with its reason.

use super::interface::{self, Card};
use super::{UdpSettings, interface::Interface};
use crate::links::{self, FollowingSocket, Link};
use crate::{Effective, IoError};
use lockstep_core::engine::ports::Group;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The two sockets, and the settings that the kernel granted them.
pub(super) struct OpenedSocket {
    pub group: Socket,
    pub unicast: Socket,
    pub unicast_address: SocketAddrV4,
    pub card: Card,
    pub gro: bool,
    pub effective: Vec<Effective>,
}

/// Checks `settings` for consistency and against the machine, and opens both sockets.
pub(super) fn open(settings: &UdpSettings) -> Result<OpenedSocket, IoError> {
    check(settings)?;
    let card = interface::find(&settings.interface)?;
    let mut effective = vec![effective_interface(&settings.interface, &card)];
    let group = socket("group")?;
    fits_mtu(settings, &card, group.as_fd())?;
    let gro = open_group(&group, settings, &card, &mut effective)?;
    let unicast = socket("unicast")?;
    let unicast_address = open_unicast(&unicast, settings, &card, &mut effective)?;
    Ok(OpenedSocket { group, unicast, unicast_address, card, gro, effective })
}

/// How a node's sockets use their interface when it exists again, or has another address.
pub(super) struct Renewal {
    group: Socket,
    unicast: Place,
    settings: UdpSettings,
    link: Arc<Link>,
    address: Ipv4Addr,
}

impl Renewal {
    /// The renewal of these sockets, which live longer than it is used.
    pub fn of(opened: &OpenedSocket, settings: &UdpSettings, link: Arc<Link>) -> Result<Self, IoError> {
        let fails = |error| IoError::new("duplicate the group socket", error);
        Ok(Self {
            group: opened.group.try_clone().map_err(fails)?,
            unicast: Place::of(&opened.unicast),
            settings: settings.clone(),
            link,
            address: opened.card.address,
        })
    }

    /// Joins the groups on `card` and sends by it. The unicast socket stays as long as its address does.
    ///
    /// # Errors
    /// The kernel refuses; the steps that are done may be repeated.
    pub fn on(&mut self, card: &Card) -> Result<(), IoError> {
        let previous = self.link.card.load(Ordering::SeqCst);
        for group in self.settings.groups {
            // The kernel remembers the groups joined by the index of an interface that is gone, and would
            // refuse to join them again; and it allows a socket at most 20 groups.
            let _ = set_membership(&self.group, group, previous, false);
        }
        sends_multicast_by(&self.group, &self.settings, card)?;
        if card.address != self.address {
            let fresh = socket("unicast")?;
            open_unicast(&fresh, &self.settings, card, &mut Vec::new())?;
            self.unicast.put(&fresh)?;
            self.address = card.address;
        }
        self.link.card.store(card.index, Ordering::SeqCst);
        // After the new index is stored: an earlier wish was carried out with the former index, and must be
        // repeated.
        for (group, wish) in self.settings.groups.iter().zip(&self.link.joined) {
            self.set(*group, card, wish.load(Ordering::SeqCst))?;
        }
        Ok(())
    }

    fn set(&self, group: Ipv4Addr, card: &Card, joined: bool) -> Result<(), IoError> {
        let what = if joined { "join" } else { "leave" };
        set_membership(&self.group, group, card.index, joined)
            .map_err(|error| IoError::new(format!("{what} group {group} on {}", card.name), error))
    }
}

/// The file descriptor of a socket, at which another socket can replace it: its readers and pollers then use
/// that one.
pub(crate) struct Place(RawFd);

impl Place {
    /// The descriptor of a socket that lives longer than this value is used.
    pub fn of(socket: &impl AsRawFd) -> Self {
        Self(socket.as_raw_fd())
    }

    /// Closes the socket at this descriptor and puts `fresh` there, in one step.
    ///
    /// # Errors
    /// The system refuses.
    pub fn put(&self, fresh: &impl AsRawFd) -> Result<(), IoError> {
        // SAFETY: both numbers are open sockets of this process; the owner of the descriptor still owns a
        // socket there.
        if unsafe { libc::dup3(fresh.as_raw_fd(), self.0, libc::O_CLOEXEC) } < 0 {
            return Err(IoError::last("put a new socket in the place of one whose address is gone"));
        }
        Ok(())
    }
}

/// One socket for everything.
pub(crate) struct Alone {
    pub socket: Socket,
    pub address: SocketAddrV4,
    pub gro: bool,
    pub effective: Vec<Effective>,
}

/// The unicast socket alone, which also receives group datagrams: for networks without multicast.
pub(crate) fn open_alone(settings: &UdpSettings) -> Result<Alone, IoError> {
    check(settings)?;
    let card = interface::find_for_unicast(&settings.interface)?;
    let mut effective = vec![effective_interface(&settings.interface, &card)];
    let socket = socket("unicast")?;
    fits_mtu(settings, &card, socket.as_fd())?;
    let address = open_unicast(&socket, settings, &card, &mut effective)?;
    let gro = settings.gro && receives_bursts(&socket, &mut effective);
    Ok(Alone { socket, address, gro, effective })
}

/// Refuses settings that no machine can serve.
fn check(settings: &UdpSettings) -> Result<(), IoError> {
    let wrong = |doing: String| Err(IoError::because(doing, ErrorKind::InvalidInput, "settings cannot work"));
    for group in settings.groups {
        if !group.is_multicast() {
            return wrong(format!("use {group} as a group: it is not within 224.0.0.0 to 239.255.255.255"));
        }
    }
    if settings.port == 0 || settings.port == settings.unicast_port {
        return wrong(format!(
            "use port {} for the groups and {} for unicast: the groups need a port of their own",
            settings.port, settings.unicast_port
        ));
    }
    if settings.datagram_len_max == 0 || settings.datagram_len_max > super::outbox::MESSAGE_BYTES_MAX {
        let max = super::outbox::MESSAGE_BYTES_MAX;
        return wrong(format!(
            "use datagrams of {} bytes: UDP carries 1 to {max}",
            settings.datagram_len_max
        ));
    }
    Ok(())
}

/// A card with a smaller MTU would refuse every full datagram: it is reported here instead of being counted
/// later.
fn fits_mtu(settings: &UdpSettings, card: &Card, socket: BorrowedFd<'_>) -> Result<(), IoError> {
    let (needed, have) = (settings.datagram_len_max + 28, interface::mtu(socket, card)?);
    if have >= needed {
        return Ok(());
    }
    let doing = format!(
        "send datagrams of {} bytes through {}: its MTU is {have}, they need {needed}; configure \
         `mtu = {have}`, or `ip link set {} mtu {needed}` if the network carries it",
        settings.datagram_len_max, card.name, card.name
    );
    Err(IoError::because(doing, ErrorKind::InvalidInput, "the MTU is too small"))
}

fn effective_interface(asked: &Interface, card: &Card) -> Effective {
    let got = format!("{} {}", card.name, card.address);
    Effective { what: "interface", requested: asked.to_string(), got, note: None }
}

pub(super) fn socket(which: &str) -> Result<Socket, IoError> {
    Socket::new(Domain::IPV4, Type::DGRAM.nonblocking(), Some(Protocol::UDP))
        .map_err(|error| IoError::new(format!("open the {which} socket"), error))
}

/// Opens the socket of the groups. Returns whether receives come in bursts (UDP_GRO).
fn open_group(
    socket: &Socket,
    settings: &UdpSettings,
    card: &Card,
    effective: &mut Vec<Effective>,
) -> Result<bool, IoError> {
    let doing = |what: &str| format!("{what} of the group socket on {}", card.name);
    let fails = |what: &'static str| move |error| IoError::new(doing(what), error);
    // Several nodes may run on one host, and each receives every datagram of its groups.
    socket.set_reuse_address(true).map_err(fails("set SO_REUSEADDR"))?;
    // Without this a node also receives groups that only other processes have joined.
    socket.set_multicast_all_v4(false).map_err(fails("clear IP_MULTICAST_ALL"))?;
    let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, settings.port);
    socket.bind(&any.into()).map_err(|error| {
        let remedy = match error.kind() {
            ErrorKind::AddrInUse => {
                ": a program that does not share it has it; end it or configure another port"
            }
            _ => "",
        };
        IoError::new(format!("bind the group port {any}{remedy}"), error)
    })?;
    for group in &settings.joins {
        let address = settings.groups[*group as usize];
        set_membership(socket, address, card.index, true).map_err(|error| {
            IoError::new(format!("join group {address} ({group:?}) on {}", card.name), error)
        })?;
    }
    sends_multicast_by(socket, settings, card)?;
    effective.push(Effective::granted("ttl", settings.ttl));
    common(socket, settings, "group", card, effective)?;
    count_drops(socket)?;
    Ok(settings.gro && receives_bursts(socket, effective))
}

/// Asks for uncut bursts (UDP_GRO). Returns whether the kernel delivers them.
fn receives_bursts(socket: &Socket, effective: &mut Vec<Effective>) -> bool {
    let asked = take_bursts_whole(socket.as_fd());
    effective.push(match &asked {
        Ok(()) => Effective::granted("gro", "on"),
        Err(error) => Effective::short("gro", "on", "off", format!("{error}: bursts arrive one by one")),
    });
    asked.is_ok()
}

/// Joins a group on the card with this index, or leaves it. A setting that holds already is no error.
pub(super) fn set_membership(
    socket: &Socket,
    group: Ipv4Addr,
    card: u32,
    joined: bool,
) -> Result<(), std::io::Error> {
    let by = InterfaceIndexOrAddress::Index(card);
    let (done, already) = if joined {
        (socket.join_multicast_v4_n(&group, &by), libc::EADDRINUSE)
    } else {
        (socket.leave_multicast_v4_n(&group, &by), libc::EADDRNOTAVAIL)
    };
    done.or_else(|error| if error.raw_os_error() == Some(already) { Ok(()) } else { Err(error) })
}

/// A socket that only sends, and only to `group` if one is given: for a process that sends in place of a
/// node.
///
/// # Errors
/// As [`super::Udp::open`], of which it is a part.
pub fn announcer(settings: &UdpSettings, group: Option<Group>) -> Result<FollowingSocket, IoError> {
    check(settings)?;
    let card = match group {
        Some(_) => interface::find(&settings.interface)?,
        None => interface::find_for_unicast(&settings.interface)?,
    };
    let socket = socket("announcing")?;
    let fails = |what: &str| {
        let doing = format!("{what} of the announcing socket on {}", card.name);
        move |error| IoError::new(doing, error)
    };
    let from = SocketAddrV4::new(card.address, 0);
    socket.bind(&from.into()).map_err(fails("bind the port"))?;
    let Some(group) = group else { return Ok(FollowingSocket::new(None, socket.into())) };
    let to = SocketAddrV4::new(settings.groups[group as usize], settings.port).into();
    sends_multicast_by(&socket, settings, &card)?;
    socket.connect(&to).map_err(fails("set the group"))?;
    // A child that has inherited the socket shares its options, so it is not replaced.
    let (link, asked) = (Link::new(card.index, [false; 3]), settings.interface.clone());
    let (shared, settings) = (socket.try_clone().map_err(fails("duplicate"))?, settings.clone());
    let followed = links::follow(&asked, &card, link.clone(), move |card, _| {
        sends_multicast_by(&shared, &settings, card)?;
        shared.connect(&to).map_err(|error| IoError::new("set the group of the announcing socket", error))?;
        link.card.store(card.index, Ordering::SeqCst);
        Ok(())
    })?;
    Ok(FollowingSocket::new(followed, socket.into()))
}

/// Sets how multicast leaves: by the configured card alone, across `ttl` networks, and to this host if
/// configured.
fn sends_multicast_by(socket: &Socket, settings: &UdpSettings, card: &Card) -> Result<(), IoError> {
    let fails = |what: &'static str| {
        move |error| IoError::new(format!("{what} of the group socket on {}", card.name), error)
    };
    // Never trust the route: with a default route and without IP_MULTICAST_IF the groups of the loopback
    // silently leave by another card.
    let request = libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: 0 },
        imr_address: libc::in_addr { s_addr: u32::from(card.address).to_be() },
        imr_ifindex: card.index as i32,
    };
    // SAFETY: the request lives across the call, and its size is stated.
    let failed = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_MULTICAST_IF,
            (&raw const request).cast(),
            size_of::<libc::ip_mreqn>() as libc::socklen_t,
        )
    } != 0;
    if failed {
        return Err(fails("set IP_MULTICAST_IF")(std::io::Error::last_os_error()));
    }
    socket.set_multicast_ttl_v4(u32::from(settings.ttl)).map_err(fails("set IP_MULTICAST_TTL"))?;
    // Switching it off hides our datagrams from *every* process of this host; our own are dropped by sender.
    socket.set_multicast_loop_v4(settings.multicast_loop).map_err(fails("set IP_MULTICAST_LOOP"))
}

/// Opens the socket of repairs and queries. Returns the address at which others reach it.
fn open_unicast(
    socket: &Socket,
    settings: &UdpSettings,
    card: &Card,
    effective: &mut Vec<Effective>,
) -> Result<SocketAddrV4, IoError> {
    let wanted = SocketAddrV4::new(card.address, settings.unicast_port);
    // No SO_REUSEADDR: with it, the process that binds last would take the datagrams of the former one.
    socket.bind(&wanted.into()).map_err(|error| {
        let remedy = match error.kind() {
            ErrorKind::AddrInUse => {
                ": another process has it; is this node running already? Stop it, or configure another port"
            }
            _ => "",
        };
        IoError::new(format!("bind the unicast port {wanted}{remedy}"), error)
    })?;
    common(socket, settings, "unicast", card, effective)?;
    count_drops(socket)?;
    let address = socket.local_addr().map_err(|error| IoError::new("ask for our unicast address", error))?;
    Ok(address.as_socket_ipv4().unwrap_or(wanted))
}

/// Asks for uncut bursts, several datagrams in one receive, where the kernel has them (UDP_GRO).
///
/// # Errors
/// The kernel does not know the option.
pub fn take_bursts_whole(socket: BorrowedFd<'_>) -> Result<(), IoError> {
    set_option(socket, libc::SOL_UDP, libc::UDP_GRO, 1, "set UDP_GRO")
}

/// The settings of both sockets: no fragments, deep buffers, busy polling if configured.
fn common(
    socket: &Socket,
    settings: &UdpSettings,
    which: &'static str,
    card: &Card,
    effective: &mut Vec<Effective>,
) -> Result<(), IoError> {
    never_fragment(socket.as_fd(), &format!("set IP_MTU_DISCOVER of the {which} socket on {}", card.name))?;
    effective.push(receive_buffer(socket, settings.receive_buffer_bytes, which)?);
    effective.push(send_buffer(socket, settings.send_buffer_bytes, which)?);
    if let Some(us) = settings.busy_poll_us {
        let value = us.min(i32::MAX as u32) as i32;
        let set = set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_BUSY_POLL, value, "set SO_BUSY_POLL");
        effective.push(match set {
            Ok(()) => Effective::granted("busy_poll_us", us),
            Err(error) => Effective::short(
                "busy_poll_us",
                us,
                "off",
                format!("{error}: needs CAP_NET_ADMIN and a kernel with it"),
            ),
        });
    }
    Ok(())
}

fn receive_buffer(socket: &Socket, asked: usize, which: &'static str) -> Result<Effective, IoError> {
    let what = if which == "group" { "group receive_buffer" } else { "unicast receive_buffer" };
    let set = socket.set_recv_buffer_size(asked.min(BUFFER_MAX)).and_then(|()| socket.recv_buffer_size());
    buffer(what, "net.core.rmem_max", asked, set)
}

fn send_buffer(socket: &Socket, asked: usize, which: &'static str) -> Result<Effective, IoError> {
    let what = if which == "group" { "group send_buffer" } else { "unicast send_buffer" };
    let set = socket.set_send_buffer_size(asked.min(BUFFER_MAX)).and_then(|()| socket.send_buffer_size());
    buffer(what, "net.core.wmem_max", asked, set)
}

/// Largest buffer that the option's `int` can request and return, doubled.
const BUFFER_MAX: usize = i32::MAX as usize / 2;

/// The kernel doubles what it grants, for its own book-keeping: half of the value that it returns is usable.
fn buffer(
    what: &'static str,
    sysctl: &str,
    asked: usize,
    answer: std::io::Result<usize>,
) -> Result<Effective, IoError> {
    let got = answer.map_err(|error| IoError::new(format!("set the {what} to {asked} bytes"), error))? / 2;
    let (asked_bytes, got_bytes) = (format!("{asked} B"), format!("{got} B"));
    if got >= asked {
        return Ok(Effective { what, requested: asked_bytes, got: got_bytes, note: None });
    }
    let note = format!("the kernel grants no more; `sysctl -w {sysctl}={asked}`, or ask for {got} bytes");
    Ok(Effective::short(what, asked_bytes, got_bytes, note))
}

/// Each datagram then carries the number of those that were dropped before it because the socket was full.
fn count_drops(socket: &Socket) -> Result<(), IoError> {
    set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1, "set SO_RXQ_OVFL")
}

/// A datagram of this socket that is larger than the path allows is lost, and not fragmented; `doing` states
/// the purpose.
///
/// # Errors
/// The system does not set the option.
pub fn never_fragment(socket: BorrowedFd<'_>, doing: &str) -> Result<(), IoError> {
    // PROBE sets "don't fragment" as DO does, and ignores a forged ICMP that claims a smaller path MTU.
    set_option(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE, doing)
}

/// Sets an integer option of a socket; `doing` states the purpose.
fn set_option(
    socket: BorrowedFd<'_>,
    level: i32,
    option: i32,
    value: i32,
    doing: &str,
) -> Result<(), IoError> {
    let bytes = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the value is an `int` that lives across the call, and its size is stated.
    let failed =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), bytes) } != 0;
    if failed { Err(IoError::last(doing)) } else { Ok(()) }
}
