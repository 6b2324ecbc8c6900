//! The card address of a unicast datagram: a cache of the kernel's neighbour table.
//!
//! The kernel finds neighbours (ARP), notices when they move, and lists them in `/proc/net/arp`. This text is
//! sufficient: it needs neither the privilege nor the code of netlink. The side thread reads it once a
//! second, and the pinned thread only looks up. A neighbour that is not found, and every neighbour once in a
//! few seconds, is reached by the ordinary socket, so that the kernel continues to probe it. A destination
//! behind a router has no entry and is always reached by the ordinary socket.

use super::frame::Mac;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// The most neighbours in the table. All others are reached by the ordinary socket.
const NEIGHBOURS_MAX: usize = 64;
/// Rounds of the side thread after which one datagram to a neighbour goes by the ordinary socket.
const CONFIRM_ROUNDS: u32 = 5;
/// Rounds after which a neighbour to which nothing was sent is dropped from the table.
const UNUSED_ROUNDS: u32 = 60;
/// The bit above an address that marks it as known.
const KNOWN: u64 = 1 << 48;

/// One neighbour. Only the side thread writes it, except for the two flags.
#[derive(Default)]
struct Entry {
    /// Its IPv4 address; 0 if the entry is free.
    address: AtomicU32,
    /// Its card's address and [`KNOWN`]; 0 while the kernel does not know it.
    mac: AtomicU64,
    /// Whether something was sent to it since the last round.
    used: AtomicBool,
    /// Whether the next datagram goes by the ordinary socket.
    confirm: AtomicBool,
}

/// The neighbours, shared by the pinned thread and the side thread.
pub(super) struct Neighbours {
    entries: [Entry; NEIGHBOURS_MAX],
    /// A destination that the pinned thread did not find; 0 for none.
    wanted: AtomicU32,
}

impl Default for Neighbours {
    fn default() -> Self {
        Self { entries: std::array::from_fn(|_| Entry::default()), wanted: AtomicU32::new(0) }
    }
}

impl Neighbours {
    /// The card address of `address`; `None`: send by the ordinary socket.
    pub fn find(&self, address: Ipv4Addr) -> Option<Mac> {
        let wanted = u32::from(address);
        let Some(entry) = self.entries.iter().find(|entry| entry.address.load(Ordering::Acquire) == wanted)
        else {
            self.wanted.store(wanted, Ordering::Relaxed);
            return None;
        };
        let mac = entry.mac.load(Ordering::Acquire);
        if !entry.used.load(Ordering::Relaxed) {
            entry.used.store(true, Ordering::Relaxed);
        }
        // The entry may have been given to another neighbour meanwhile.
        if mac & KNOWN == 0 || entry.address.load(Ordering::Acquire) != wanted {
            return None;
        }
        if entry.confirm.load(Ordering::Relaxed) {
            entry.confirm.store(false, Ordering::Relaxed);
            return None;
        }
        let [_, _, mac @ ..] = mac.to_be_bytes();
        Some(mac)
    }

    /// Whether a neighbour was not found since the last round.
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed) != 0
    }

    /// Neighbours whose card address is known.
    pub fn known(&self) -> usize {
        self.entries.iter().filter(|entry| entry.mac.load(Ordering::Relaxed) & KNOWN != 0).count()
    }
}

/// The side thread's view of them.
pub(super) struct NeighbourThread {
    /// Rounds since an entry was confirmed, and since it was used.
    ages: [(u32, u32); NEIGHBOURS_MAX],
}

impl Default for NeighbourThread {
    fn default() -> Self {
        Self { ages: [(0, 0); NEIGHBOURS_MAX] }
    }
}

impl NeighbourThread {
    /// Updates `neighbours` from `table`, the text of `/proc/net/arp`, for the rows of `card`. Returns
    /// whether a wanted neighbour is not known yet.
    pub fn look(&mut self, neighbours: &Neighbours, table: &str, card: &str) -> bool {
        let wanted = neighbours.wanted.swap(0, Ordering::Relaxed);
        let is_there = |entry: &Entry| entry.address.load(Ordering::Relaxed) == wanted;
        if wanted != 0 && !neighbours.entries.iter().any(is_there) {
            let free = |entry: &Entry| entry.address.load(Ordering::Relaxed) == 0;
            if let Some(at) = neighbours.entries.iter().position(free) {
                let entry = &neighbours.entries[at];
                entry.used.store(true, Ordering::Relaxed);
                entry.confirm.store(false, Ordering::Relaxed);
                entry.address.store(wanted, Ordering::Release);
                self.ages[at] = (0, 0);
            }
        }
        let mut waits = false;
        for (entry, (unconfirmed, unused)) in neighbours.entries.iter().zip(&mut self.ages) {
            let address = entry.address.load(Ordering::Relaxed);
            if address == 0 {
                continue;
            }
            *unused = if entry.used.swap(false, Ordering::Relaxed) { 0 } else { *unused + 1 };
            if *unused > UNUSED_ROUNDS {
                entry.mac.store(0, Ordering::Release);
                entry.address.store(0, Ordering::Release);
                continue;
            }
            let mac = mac_of(table, address.into(), card);
            entry.mac.store(mac.map_or(0, packed), Ordering::Release);
            waits |= mac.is_none();
            *unconfirmed += 1;
            if *unconfirmed >= CONFIRM_ROUNDS {
                *unconfirmed = 0;
                entry.confirm.store(true, Ordering::Relaxed);
            }
        }
        waits
    }
}

fn packed(mac: Mac) -> u64 {
    let [a, b, c, d, e, f] = mac;
    u64::from_be_bytes([0, 0, a, b, c, d, e, f]) | KNOWN
}

/// The table's row of a neighbour by this card: address, type, flags, card address, mask, card.
fn mac_of(table: &str, address: Ipv4Addr, card: &str) -> Option<Mac> {
    let text = address.to_string();
    let mut rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.find_map(|row| {
        let [its, kind, flags, mac, _, by] = row[..] else { return None };
        let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok()?;
        // The row must be of Ethernet, and complete.
        let fits = its == text && by == card && kind == "0x1" && flags & 2 != 0;
        fits.then(|| mac_from(mac))?
    })
}

fn mac_from(text: &str) -> Option<Mac> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    (parts.next().is_none() && mac != [0; 6]).then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "IP address       HW type     Flags       HW address            Mask     Device\n";
    const THERE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);

    fn table(flags: &str, mac: &str, card: &str) -> String {
        format!("{HEAD}10.77.0.20 0x1 0x2 02:02:02:02:02:02 * eth0\n{THERE} 0x1 {flags} {mac} * {card}\n")
    }

    #[test]
    fn a_neighbour_is_found_once_the_kernel_knows_it_by_our_card_and_no_sooner() {
        let (neighbours, mut keeper) = (Neighbours::default(), NeighbourThread::default());
        assert_eq!(neighbours.find(THERE), None, "nobody is known at first, and it is wanted");
        for unknown in [
            table("0x0", "00:00:00:00:00:00", "eth0"),
            table("0x2", "00:00:00:00:00:00", "eth0"),
            table("0x2", "0a:0b:0c:0d:0e:0f", "eth1"),
            table("0x2", "0a:0b:0c:0d:0e", "eth0"),
            HEAD.to_owned(),
            String::new(),
        ] {
            assert!(keeper.look(&neighbours, &unknown, "eth0"), "still waited for in {unknown}");
            assert_eq!((neighbours.find(THERE), neighbours.known()), (None, 0), "{unknown}");
        }
        assert!(!keeper.look(&neighbours, &table("0x2", "0a:0b:0c:0d:0e:0f", "eth0"), "eth0"));
        let (neighbours, mut keeper) = (Neighbours::default(), NeighbourThread::default());
        neighbours.find(THERE);
        keeper.look(&neighbours, &table("0x6", "0a:0b:0c:0d:0e:0f", "eth0"), "eth0");
        assert_eq!(neighbours.find(THERE), Some([0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f]));
        assert_eq!(neighbours.known(), 1);
        keeper.look(&neighbours, HEAD, "eth0");
        assert_eq!(neighbours.find(THERE), None, "what the kernel forgets is forgotten");
    }

    #[test]
    fn every_few_rounds_the_kernel_has_a_neighbour_to_itself_once_and_who_is_not_used_makes_room() {
        let (neighbours, mut keeper) = (Neighbours::default(), NeighbourThread::default());
        let known = table("0x2", "0a:0b:0c:0d:0e:0f", "eth0");
        neighbours.find(THERE);
        let mut by_kernel = 0;
        for _ in 0..10 * CONFIRM_ROUNDS {
            keeper.look(&neighbours, &known, "eth0");
            by_kernel += u32::from(neighbours.find(THERE).is_none());
            assert!(neighbours.find(THERE).is_some(), "once and not twice");
        }
        assert_eq!(by_kernel, 10);
        for _ in 0..UNUSED_ROUNDS + 2 {
            keeper.look(&neighbours, &known, "eth0");
        }
        assert_eq!(neighbours.known(), 0);
    }

    #[test]
    fn who_finds_no_room_is_reached_by_the_kernel_and_harms_nobody() {
        let (neighbours, mut keeper) = (Neighbours::default(), NeighbourThread::default());
        let address = |number: usize| Ipv4Addr::new(10, 0, 0, number as u8 + 1);
        let rows = (0..100)
            .map(|number| format!("{} 0x1 0x2 02:00:00:00:00:{number:02x} * eth0\n", address(number)));
        let table = HEAD.to_owned() + &rows.collect::<String>();
        for number in 0..100 {
            (0..=number).for_each(|number| _ = neighbours.find(address(number)));
            keeper.look(&neighbours, &table, "eth0");
        }
        assert_eq!(neighbours.known(), NEIGHBOURS_MAX);
        assert_eq!(neighbours.find(address(99)), None);
        let found = neighbours.find(address(7)).or_else(|| neighbours.find(address(7)));
        assert_eq!(found.map(|mac| mac[5]), Some(7));
    }
}
