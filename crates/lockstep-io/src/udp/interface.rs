//! A network card: found by address or by name, and refused with its name if it lacks a required property.

use crate::IoError;
use std::ffi::CStr;
use std::fmt;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::str::FromStr;

/// `SIOCGIFMTU` of `linux/sockios.h`, the same on every architecture.
const SIOCGIFMTU: libc::c_ulong = 0x8921;

/// How a configuration names the card that carries the groups.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Interface {
    /// By an IPv4 address that it has, e.g. `127.0.0.1`.
    Address(Ipv4Addr),
    /// By its name, e.g. `eth0`: its first IPv4 address is used.
    Name(String),
    /// By its name, with the one of its addresses that is used.
    NameAt(String, Ipv4Addr),
}

impl Interface {
    /// The same interface, with `address` in use if the configuration names none.
    #[must_use]
    pub fn at(self, address: Ipv4Addr) -> Self {
        match self {
            Self::Name(name) => Self::NameAt(name, address),
            other => other,
        }
    }
}

impl FromStr for Interface {
    type Err = std::convert::Infallible;

    /// A text that parses as an IPv4 address is one; any other text is a name.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Address))
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) => name.fmt(f),
            Self::NameAt(name, address) => write!(f, "{name} at {address}"),
        }
    }
}

/// A card as the kernel describes it.
#[derive(Clone, Debug)]
pub(crate) struct Card {
    pub name: String,
    pub index: u32,
    /// The requested address, or the first one.
    pub address: Ipv4Addr,
}

/// One row of `getifaddrs`: a card and one of its addresses.
struct Row {
    name: String,
    flags: u32,
    address: Option<Ipv4Addr>,
}

impl Row {
    fn is_loopback(&self) -> bool {
        self.flags & libc::IFF_LOOPBACK as u32 != 0
    }

    /// Whether this row is the requested card. Every 127/8 address is the loopback's.
    fn answers(&self, asked: &Interface) -> bool {
        match asked {
            Interface::Name(name) | Interface::NameAt(name, _) => self.name == *name,
            Interface::Address(address) if address.is_loopback() => self.is_loopback(),
            Interface::Address(address) => self.address == Some(*address),
        }
    }
}

/// Finds the card, and refuses one that is missing, down, without IPv4 or without multicast. The loopback
/// needs neither the MULTICAST flag nor a route: joining by its index works.
pub(crate) fn find(asked: &Interface) -> Result<Card, IoError> {
    find_interface(asked, true)
}

/// As [`find`], for a process that sends nothing by multicast.
pub(crate) fn find_for_unicast(asked: &Interface) -> Result<Card, IoError> {
    find_interface(asked, false)
}

fn find_interface(asked: &Interface, carries_multicast: bool) -> Result<Card, IoError> {
    let rows = rows()?;
    let doing = |what: &str| format!("use interface {asked}: {what}");
    let Some(first) = rows.iter().find(|row| row.answers(asked)) else {
        let mut have: Vec<String> = rows
            .iter()
            .filter_map(|row| row.address.map(|address| format!("{} ({address})", row.name)))
            .collect();
        have.dedup();
        let doing =
            doing(&format!("this host has no interface of that name or address; it has {}", have.join(", ")));
        return Err(IoError::because(doing, ErrorKind::NotFound, "no such interface"));
    };
    let name = &first.name;
    if carries_multicast && first.flags & libc::IFF_MULTICAST as u32 == 0 && !first.is_loopback() {
        let doing = doing(&format!(
            "{name} has no MULTICAST flag; name another interface, or `ip link set {name} multicast on` \
             if its driver can"
        ));
        return Err(IoError::because(doing, ErrorKind::Unsupported, "interface without multicast"));
    }
    if first.flags & libc::IFF_UP as u32 == 0 {
        let doing = doing(&format!("{name} is down; `ip link set {name} up` first"));
        return Err(IoError::because(doing, ErrorKind::NetworkDown, "interface is down"));
    }
    let addresses = || rows.iter().filter(|row| row.answers(asked)).filter_map(|row| row.address);
    let address = match asked {
        Interface::Address(address) => Some(*address),
        Interface::Name(_) => addresses().next(),
        Interface::NameAt(_, address) if first.is_loopback() && address.is_loopback() => Some(*address),
        Interface::NameAt(_, address) => {
            if !addresses().any(|own| own == *address) {
                let own: Vec<String> = addresses().map(|own| own.to_string()).collect();
                let doing = doing(&format!(
                    "{name} has the addresses [{}]; configure one of them, or add it: `ip address add`",
                    own.join(", ")
                ));
                return Err(IoError::because(doing, ErrorKind::AddrNotAvailable, "not an address of it"));
            }
            Some(*address)
        }
    };
    let Some(address) = address else {
        let doing = doing(&format!("{name} has no IPv4 address; give it one, or name another interface"));
        return Err(IoError::because(doing, ErrorKind::AddrNotAvailable, "no IPv4 address"));
    };
    Ok(Card { name: name.clone(), index: index(name)?, address })
}

/// Whether the card with this index is up and has this address, whatever its name is.
pub(crate) fn has_address(card: u32, address: Ipv4Addr) -> bool {
    let is_up = |row: &Row| row.flags & libc::IFF_UP as u32 != 0;
    let has = |row: &Row| {
        row.address == Some(address) && is_up(row) && index(&row.name).is_ok_and(|index| index == card)
    };
    rows().is_ok_and(|rows| rows.iter().any(has))
}

/// What a process needs on this host before it opens its sockets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Needed {
    /// An interface that is up and has its address; the flag shows whether it must carry multicast.
    Interface(Interface, bool),
    /// An address of this host to listen at.
    Address(Ipv4Addr),
}

impl Needed {
    /// Why it cannot be used yet, although it may come: it is missing, down, or without its address. `None`:
    /// it is there, or it is unusable for a reason that waiting does not remove; opening it reports that.
    ///
    /// # Errors
    /// The kernel does not list its interfaces.
    pub fn lacks(&self) -> Result<Option<IoError>, IoError> {
        let may_come = |error: &IoError| {
            matches!(
                error.source.kind(),
                ErrorKind::NotFound | ErrorKind::NetworkDown | ErrorKind::AddrNotAvailable
            )
        };
        match self {
            Self::Interface(asked, carries_multicast) => {
                Ok(find_interface(asked, *carries_multicast).err().filter(may_come))
            }
            Self::Address(address) if address.is_unspecified() || address.is_loopback() => Ok(None),
            Self::Address(address) if rows()?.iter().any(|row| row.address == Some(*address)) => Ok(None),
            Self::Address(address) => {
                let doing =
                    format!("listen at {address}: this host has no such address; add it: `ip address add`");
                Ok(Some(IoError::because(doing, ErrorKind::AddrNotAvailable, "no address of this host")))
            }
        }
    }
}

/// The index of the card called `name`.
pub(crate) fn index(name: &str) -> Result<u32, IoError> {
    let doing = || format!("look up the index of interface {name}");
    let text = std::ffi::CString::new(name).map_err(|error| IoError::new(doing(), error.into()))?;
    // SAFETY: `text` ends in a zero byte and lives across the call.
    let index = unsafe { libc::if_nametoindex(text.as_ptr()) };
    if index == 0 { Err(IoError::last(doing())) } else { Ok(index) }
}

/// A request about the card of this name, for an `ioctl`.
pub(crate) fn request(name: &str) -> libc::ifreq {
    // SAFETY: `ifreq` is plain integers and a union of such; all zero is a value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(room)) {
        *to = from as libc::c_char;
    }
    request
}

/// Bytes of IP that `card` carries in one packet.
pub(super) fn mtu(socket: BorrowedFd<'_>, card: &Card) -> Result<usize, IoError> {
    let mut request = request(&card.name);
    // SAFETY: SIOCGIFMTU reads the name and writes the MTU inside `request`, which lives across the call.
    let failed = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGIFMTU as _, &raw mut request) } < 0;
    if failed {
        return Err(IoError::last(format!("ask for the MTU of {}", card.name)));
    }
    // SAFETY: the call succeeded, so the kernel has written this member.
    Ok(unsafe { request.ifr_ifru.ifru_mtu }.max(0) as usize)
}

/// All cards with all their addresses; a card without IPv4 has one row without an address.
fn rows() -> Result<Vec<Row>, IoError> {
    let mut list = std::ptr::null_mut();
    // SAFETY: the call writes one pointer to a list, which is freed below and not used after.
    if unsafe { libc::getifaddrs(&raw mut list) } != 0 {
        return Err(IoError::last("list the network interfaces"));
    }
    let mut rows = Vec::new();
    let mut at = list;
    // SAFETY: each node of the list is valid until `freeifaddrs`; `ifa_name` is a C string.
    while let Some(node) = unsafe { at.as_ref() } {
        at = node.ifa_next;
        // SAFETY: as above.
        let name = unsafe { CStr::from_ptr(node.ifa_name) }.to_string_lossy().into_owned();
        let mut address = None;
        if !node.ifa_addr.is_null() {
            // SAFETY: `ifa_addr` is not null, and every socket address begins with its family.
            let family = i32::from(unsafe { (*node.ifa_addr).sa_family });
            if family == libc::AF_INET {
                // SAFETY: an address of this family is a `sockaddr_in`.
                let inet = unsafe { node.ifa_addr.cast::<libc::sockaddr_in>().read_unaligned() };
                address = Some(Ipv4Addr::from(u32::from_be(inet.sin_addr.s_addr)));
            }
        }
        rows.push(Row { name, flags: node.ifa_flags, address });
    }
    // SAFETY: `list` came from `getifaddrs` and nothing borrows from it any more.
    unsafe { libc::freeifaddrs(list) };
    Ok(rows)
}
