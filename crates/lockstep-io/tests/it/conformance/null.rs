//! A transport in the memory of one process, without any system call: the shortest form of a port to another
//! library (DPDK, ef_vi). A packet's buffer has one owner: the queue in which it waits, then the device that
//! lends it, which releases it at the next receive.

use super::promises::{self, BUFFER_BYTES, LEN_MAX};
use lockstep_core::engine::ports::{Burst, Group, Net};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;

/// The most datagrams that one receive lends.
const LENT_MAX: usize = 32;
/// The most datagrams that wait in one queue.
const WAITING_MAX: usize = BUFFER_BYTES / LEN_MAX;

/// A datagram, and its sender.
type Packet = (Vec<u8>, SocketAddrV4);

/// A card: a queue for each kind, and the groups that it lets in.
struct Card {
    address: SocketAddrV4,
    joined: [bool; 3],
    groups: VecDeque<Packet>,
    unicast: VecDeque<Packet>,
    dropped: u64,
}

impl Card {
    fn take(&mut self, group: Option<Group>, packet: Packet) {
        let queue = match group {
            Some(group) if !self.joined[group as usize] => return,
            Some(_) => &mut self.groups,
            None => &mut self.unicast,
        };
        if queue.len() < WAITING_MAX {
            queue.push_back(packet);
        } else {
            self.dropped += 1;
        }
    }
}

type Wire = Rc<RefCell<Vec<Card>>>;

/// A device.
pub struct Null {
    wire: Wire,
    address: SocketAddrV4,
    lent_groups: Vec<Packet>,
    lent_unicast: Vec<Packet>,
}

impl Null {
    fn card<T>(&self, does: impl FnOnce(&mut Card) -> T) -> T {
        let mut cards = self.wire.borrow_mut();
        does(
            cards
                .iter_mut()
                .find(|card| card.address == self.address)
                .expect("a card while the device is open"),
        )
    }
}

impl Drop for Null {
    fn drop(&mut self) {
        self.wire.borrow_mut().retain(|card| card.address != self.address);
    }
}

/// Releases the lent datagrams, and lends the waiting ones.
fn receive(lent: &mut Vec<Packet>, queue: &mut VecDeque<Packet>) -> usize {
    lent.clear();
    lent.extend(queue.drain(..queue.len().min(LENT_MAX)));
    lent.len()
}

impl Net for Null {
    fn recv_groups(&mut self) -> usize {
        let mut lent = std::mem::take(&mut self.lent_groups);
        let count = self.card(|card| receive(&mut lent, &mut card.groups));
        self.lent_groups = lent;
        count
    }

    fn is_drained(&self) -> bool {
        self.lent_groups.len() < LENT_MAX
    }

    fn group_datagram(&self, index: usize) -> &[u8] {
        &self.lent_groups[index].0
    }

    fn recv_unicast(&mut self) -> usize {
        let mut lent = std::mem::take(&mut self.lent_unicast);
        let count = self.card(|card| receive(&mut lent, &mut card.unicast));
        self.lent_unicast = lent;
        count
    }

    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        let (bytes, from) = &self.lent_unicast[index];
        (bytes, *from)
    }

    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        let mut taken = 0;
        for burst in bursts.iter().filter(|burst| !burst.bytes.is_empty()) {
            if burst.stride == 0 || burst.stride.min(burst.bytes.len()) > LEN_MAX {
                break;
            }
            for datagram in burst.bytes.chunks(burst.stride) {
                let mut cards = self.wire.borrow_mut();
                for card in cards.iter_mut().filter(|card| card.address != self.address) {
                    card.take(Some(group), (datagram.to_vec(), self.address));
                }
                taken += 1;
            }
        }
        taken
    }

    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        if parts[0].len() + parts[1].len() > LEN_MAX || to.ip().is_multicast() {
            return false;
        }
        let mut cards = self.wire.borrow_mut();
        if let Some(card) = cards.iter_mut().find(|card| card.address == to) {
            card.take(None, (parts.concat(), self.address));
        }
        true
    }

    fn dropped(&self) -> u64 {
        self.card(|card| card.dropped)
    }

    fn set_joined(&mut self, group: Group, joined: bool) {
        self.card(|card| card.joined[group as usize] = joined);
    }
}

/// The wire between these devices.
#[derive(Default)]
pub struct Ether(Wire);

impl promises::Ether for Ether {
    type Net = Null;

    fn open(&mut self, node: usize) -> Null {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1 + node as u16);
        let (groups, unicast) = Default::default();
        self.0.borrow_mut().push(Card { address, joined: [true; 3], groups, unicast, dropped: 0 });
        Null { wire: self.0.clone(), address, lent_groups: Vec::new(), lent_unicast: Vec::new() }
    }

    fn address(&self, net: &Null) -> SocketAddrV4 {
        net.address
    }

    fn outsider_says(&mut self, bytes: &[u8]) {
        // No card takes more than its buffers hold.
        if bytes.len() <= LEN_MAX {
            let nobody = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
            for card in self.0.borrow_mut().iter_mut() {
                card.take(Some(Group::Data), (bytes.to_vec(), nobody));
            }
        }
    }
}
