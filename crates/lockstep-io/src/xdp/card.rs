//! The card under an interface: its address, queues, VLAN and owner, and our rights to it.

use super::frame::Mac;
use super::socket::BUSY_PATIENCE;
use crate::IoError;
use crate::ethtool::{queues, requester};
use crate::udp::interface::{self, Card, request};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

/// More queues would cost too much memory, an XDP socket each, and no card of one flow needs them.
const QUEUES_MAX: u32 = 64;
/// Interval between two checks whether a predecessor has ended.
const PAUSE: Duration = Duration::from_millis(5);
/// A killed process has lost its locks after this time; until then it is not taken for an owner that serves
/// us.
const DEATH: Duration = Duration::from_millis(50);
/// The most processes that may ask an owner for its number: each leaves an entry in its queue, which it never
/// reads.
const ASKERS_MAX: i32 = 4096;

/// The card by which frames come and leave: the interface, or the one below it if the interface is a VLAN.
#[derive(Clone, Debug)]
pub(super) struct Port {
    /// The name of the interface.
    pub interface: String,
    /// The name of the card.
    pub name: String,
    pub index: u32,
    /// The address of the interface itself.
    pub mac: Mac,
    pub vlan: Option<u16>,
    /// The number of receive queues.
    pub queues: u32,
}

impl Port {
    /// The card under `card`.
    ///
    /// # Errors
    /// It is no Ethernet card, such as the loopback, or has too many queues.
    pub fn under(card: &Card) -> Result<Self, IoError> {
        let mac = mac(card)?;
        let folder = format!("/proc/thread-self/net/vlan/{}", card.name);
        let below = std::fs::read_to_string(folder).ok().and_then(|text| vlan(&text));
        let (name, vlan) = match below {
            Some((name, vlan)) => (name, Some(vlan)),
            None => (card.name.clone(), None),
        };
        let index = if name == card.name { card.index } else { interface::index(&name)? };
        let queues = queues(&name)?;
        if queues > QUEUES_MAX {
            let doing = format!(
                "use transport xdp on {name}: it receives by {queues} queues, and at most {QUEUES_MAX} are served; \
                 `ethtool -L {name} combined 1`, or configure `xdp_queue`"
            );
            return Err(IoError::because(doing, ErrorKind::Unsupported, "too many queues"));
        }
        Ok(Self { interface: card.name.clone(), name, index, mac, vlan, queues })
    }
}

/// Reads the kernel's description of a VLAN: the card below it and its number.
fn vlan(text: &str) -> Option<(String, u16)> {
    let vlan = text.split("VID:").nth(1)?.split_whitespace().next()?.parse().ok()?;
    let below = text.lines().find_map(|line| line.strip_prefix("Device:"))?;
    Some((below.trim().to_owned(), vlan))
}

/// Whether it is an Ethernet card.
pub(super) fn is_ethernet(card: &Card) -> bool {
    mac(card).is_ok()
}

fn mac(card: &Card) -> Result<Mac, IoError> {
    let (socket, mut request) = (requester()?, request(&card.name));
    // SAFETY: SIOCGIFHWADDR reads the name and writes the address inside `request`, which lives across the
    // call.
    let failed = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCGIFHWADDR as _, &raw mut request) } < 0;
    if failed {
        return Err(IoError::last(format!("ask for the hardware address of {}", card.name)));
    }
    // SAFETY: the call succeeded, so the kernel has written this member.
    let address = unsafe { request.ifr_ifru.ifru_hwaddr };
    if address.sa_family != libc::ARPHRD_ETHER {
        let doing = format!(
            "use transport xdp on {}: it is no Ethernet card, and xdp is for those; configure `transport = \"udp\"`",
            card.name
        );
        return Err(IoError::because(doing, ErrorKind::Unsupported, "not an Ethernet card"));
    }
    let mut mac = [0; 6];
    for (to, from) in mac.iter_mut().zip(address.sa_data) {
        *to = from as u8;
    }
    Ok(mac)
}

/// The lock on a card: the process whose program is on it takes datagrams away from all others on this host.
///
/// It is the name of a socket in the kernel's memory, valid for the network namespace of the card. It is
/// released when the process ends, for whatever reason.
#[derive(Debug)]
pub(super) struct Owner {
    _name: Socket,
}

/// The result of a request for the lock.
pub(super) enum Claim {
    Own(Owner),
    /// The process of this number has it, and serves us.
    Served(u32),
}

impl Owner {
    /// Takes the lock. It waits for a predecessor that has just been killed; one that runs may serve us, as
    /// `served_by` reports.
    ///
    /// # Errors
    /// Another process has it, and does not serve us: the error names it and the remedy.
    pub fn of(port: &Port, served_by: impl Fn() -> Option<u32>) -> Result<Claim, IoError> {
        let doing = |what: &str| format!("{what} the lock of {}", port.name);
        let socket = || Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None);
        let address = SockAddr::unix(format!("\0lockstep-xdp-{}", port.index))
            .map_err(|error| IoError::new(doing("name"), error))?;
        let name = socket().map_err(|error| IoError::new(doing("make"), error))?;
        let begun = Instant::now();
        loop {
            match name.bind(&address).and_then(|()| name.listen(ASKERS_MAX)) {
                Ok(()) => return Ok(Claim::Own(Self { _name: name })),
                Err(error) if error.kind() != ErrorKind::AddrInUse => {
                    return Err(IoError::new(doing("take"), error));
                }
                Err(_) if begun.elapsed() > BUSY_PATIENCE => break,
                Err(_) => {}
            }
            if begun.elapsed() > DEATH
                && let Some(pid) = served_by()
            {
                return Ok(Claim::Served(pid));
            }
            std::thread::sleep(PAUSE);
        }
        let owner = socket().and_then(|asker| {
            asker.connect(&address)?;
            peer(&asker)
        });
        let owner = owner.map_or_else(|_| "another process".to_owned(), |pid| format!("process {pid}"));
        let doing = format!(
            "use transport xdp on {}: {owner} of lockstep uses it already, and takes all arriving datagrams \
             from the other programs of this host; end it, give this one another interface, or set \
             `network.shm = true` for both, if they are of one cluster: then it forwards what it receives",
            port.name
        );
        Err(IoError::because(doing, ErrorKind::AddrInUse, "the interface has an owner"))
    }
}

/// The process at the other end.
fn peer(socket: &Socket) -> std::io::Result<i32> {
    let mut peer = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut bytes = size_of::<libc::ucred>() as libc::socklen_t;
    let to = (&raw mut peer).cast();
    // SAFETY: the value lives across the call, and its size is stated.
    let failed = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, to, &raw mut bytes)
    } != 0;
    if failed { Err(std::io::Error::last_os_error()) } else { Ok(peer.pid) }
}

/// Capabilities that xdp needs: their names and numbers.
const RIGHTS: [(&str, u32); 3] = [("CAP_NET_ADMIN", 12), ("CAP_NET_RAW", 13), ("CAP_BPF", BPF)];
const BPF: u32 = 39;
/// The older right that contains CAP_BPF.
const SYS_ADMIN: u32 = 21;

/// Refuses if this process lacks a capability, and names it.
pub(super) fn demand_rights(card: &str) -> Result<(), IoError> {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    // If the capabilities cannot be read, the kernel judges.
    let Some(capabilities) =
        capabilities.and_then(|capabilities| u64::from_str_radix(capabilities.trim(), 16).ok())
    else {
        return Ok(());
    };
    let missing = missing(capabilities);
    if missing.is_empty() {
        return Ok(());
    }
    let doing = format!(
        "use transport xdp on {card}: this process lacks {}; give it to the program (`setcap \
         cap_net_admin,cap_net_raw,cap_bpf+ep /path/to/lockstep`), to its unit (AmbientCapabilities=), or configure \
         `transport = \"udp\"`",
        missing.join(" and ")
    );
    Err(IoError::because(doing, ErrorKind::PermissionDenied, "rights are missing"))
}

fn missing(capabilities: u64) -> Vec<&'static str> {
    let has = |right: u32| capabilities & 1 << right != 0;
    let lacks = |(_, right): &&(&str, u32)| !(has(*right) || *right == BPF && has(SYS_ADMIN));
    RIGHTS.iter().filter(lacks).map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_right_is_named_and_the_older_one_stands_for_bpf() {
        let all = RIGHTS.iter().fold(0, |capabilities, (_, right)| capabilities | 1 << right);
        assert!(missing(all).is_empty() && missing(u64::MAX).is_empty());
        assert_eq!(missing(0), ["CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF"]);
        assert_eq!(missing(1 << BPF | 1 << 12), ["CAP_NET_RAW"]);
        assert_eq!(missing(1 << SYS_ADMIN), ["CAP_NET_ADMIN", "CAP_NET_RAW"]);
    }

    #[test]
    fn what_the_kernel_says_of_a_vlan_tells_the_card_below_it_and_the_tag() {
        let text = "eth0.100  VID: 100\t REORDER_HDR: 1  dev->priv_flags: 1021\n         total frames received   \
                    0\nDevice: eth0\nINGRESS priority mappings: 0:0\n";
        assert_eq!(vlan(text), Some(("eth0".into(), 100)));
        assert_eq!(vlan("eth0.100 VID: many\nDevice: eth0"), None);
        assert_eq!(vlan(""), None);
    }
}
