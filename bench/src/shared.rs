//! One device for the publisher and the subscriber of a thread: a card that xdp has taken has one owner, and
//! transports are compared with as many sockets on each.
//!
//! What comes is copied once, and both have that copy in their own turns: some nanoseconds for each datagram,
//! which lockstep pays and its floor does not, as that is one engine.

use lockstep_core::engine::ports::{Burst, Group, Net};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;

/// Receives of one that wait for the other: who does not look for so long loses the oldest, and repairs it.
const WAITING_MAX: usize = 64;
/// Copies that are used again.
const SPARE: usize = 4;
/// The sender of a datagram that came by a group: nobody asks.
const NOBODY: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

/// What one receive brought.
#[derive(Default)]
struct Received {
    bytes: Vec<u8>,
    /// Where each datagram ends, and who sent it.
    ends: Vec<(usize, SocketAddrV4)>,
}

impl Received {
    fn push(&mut self, datagram: &[u8], from: SocketAddrV4) {
        self.bytes.extend_from_slice(datagram);
        self.ends.push((self.bytes.len(), from));
    }

    fn datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        let begins = index.checked_sub(1).map_or(0, |before| self.ends[before].0);
        let (ends, from) = self.ends[index];
        (&self.bytes[begins..ends], from)
    }
}

/// Receives of one kind: of groups, or by unicast.
#[derive(Default)]
struct Kind {
    waiting: [VecDeque<Rc<Received>>; 2],
    /// The first side has looked since the second one did.
    polled: bool,
    copies: Vec<Rc<Received>>,
}

impl Kind {
    /// A copy that nobody reads any more, empty.
    fn spare(&mut self) -> Rc<Received> {
        let free = self.copies.iter().position(|copy| Rc::strong_count(copy) == 1);
        let mut copy = free.map_or_else(Rc::default, |at| self.copies.swap_remove(at));
        if let Some(copy) = Rc::get_mut(&mut copy) {
            copy.bytes.clear();
            copy.ends.clear();
        }
        copy
    }

    /// For side `of` what the other one has received, or what `receive` puts into a copy. Where both look in
    /// turns the first one receives: whatever comes is handed to it before the second one works on it.
    fn receive(&mut self, of: usize, receive: impl FnOnce(&mut Received)) -> Option<Rc<Received>> {
        if let Some(waiting) = self.waiting[of].pop_front() {
            return Some(waiting);
        }
        if std::mem::replace(&mut self.polled, of == 0) && of == 1 {
            return None;
        }
        let mut copy = self.spare();
        Rc::get_mut(&mut copy).map(receive);
        let is_empty = copy.ends.is_empty();
        if self.copies.len() < SPARE {
            self.copies.push(Rc::clone(&copy));
        }
        if is_empty {
            return None;
        }
        let others = &mut self.waiting[1 - of];
        if others.len() == WAITING_MAX {
            others.pop_front();
        }
        others.push_back(Rc::clone(&copy));
        Some(copy)
    }
}

struct Common<N> {
    net: N,
    groups: Kind,
    unicast: Kind,
}

/// A side of a device.
pub struct Shared<N> {
    common: Rc<RefCell<Common<N>>>,
    side: usize,
    groups: Option<Rc<Received>>,
    unicast: Option<Rc<Received>>,
}

/// Both sides of `net`.
pub fn share<N>(net: N) -> [Shared<N>; 2] {
    let common = Common { net, groups: Kind::default(), unicast: Kind::default() };
    let common = Rc::new(RefCell::new(common));
    [0, 1].map(|side| Shared { common: Rc::clone(&common), side, groups: None, unicast: None })
}

fn count(received: Option<&Rc<Received>>) -> usize {
    received.map_or(0, |received| received.ends.len())
}

fn datagram(received: Option<&Rc<Received>>, index: usize) -> (&[u8], SocketAddrV4) {
    received.map_or((&[], NOBODY), |received| received.datagram(index))
}

impl<N: Net> Net for Shared<N> {
    fn recv_groups(&mut self) -> usize {
        self.groups = None;
        let Common { net, groups, .. } = &mut *self.common.borrow_mut();
        self.groups = groups.receive(self.side, |copy| {
            (0..net.recv_groups()).for_each(|index| copy.push(net.group_datagram(index), NOBODY));
        });
        count(self.groups.as_ref())
    }

    fn is_drained(&self) -> bool {
        let common = self.common.borrow();
        common.groups.waiting[self.side].is_empty() && common.net.is_drained()
    }

    fn group_datagram(&self, index: usize) -> &[u8] {
        datagram(self.groups.as_ref(), index).0
    }

    fn recv_unicast(&mut self) -> usize {
        self.unicast = None;
        let Common { net, unicast, .. } = &mut *self.common.borrow_mut();
        self.unicast = unicast.receive(self.side, |copy| {
            for index in 0..net.recv_unicast() {
                let (datagram, from) = net.unicast_datagram(index);
                copy.push(datagram, from);
            }
        });
        count(self.unicast.as_ref())
    }

    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        datagram(self.unicast.as_ref(), index)
    }

    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        self.common.borrow_mut().net.send_group(group, bursts)
    }

    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        self.common.borrow_mut().net.send_unicast(to, parts)
    }

    fn dropped(&self) -> u64 {
        self.common.borrow().net.dropped()
    }

    /// Both join the same.
    fn set_joined(&mut self, group: Group, joined: bool) {
        self.common.borrow_mut().net.set_joined(group, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device on which datagrams lie ready, one receive after the other.
    struct Ready(Vec<Vec<&'static [u8]>>, Vec<&'static [u8]>);

    impl Net for Ready {
        fn recv_groups(&mut self) -> usize {
            self.1 = if self.0.is_empty() { Vec::new() } else { self.0.remove(0) };
            self.1.len()
        }
        fn is_drained(&self) -> bool {
            true
        }
        fn group_datagram(&self, index: usize) -> &[u8] {
            self.1[index]
        }
        fn recv_unicast(&mut self) -> usize {
            0
        }
        fn unicast_datagram(&self, _: usize) -> (&[u8], SocketAddrV4) {
            (&[], NOBODY)
        }
        fn send_group(&mut self, _: Group, _: &[Burst<'_>]) -> usize {
            0
        }
        fn send_unicast(&mut self, _: SocketAddrV4, _: [&[u8]; 2]) -> bool {
            false
        }
    }

    fn received(side: &mut Shared<Ready>) -> Vec<Vec<u8>> {
        (0..side.recv_groups()).map(|index| side.group_datagram(index).to_vec()).collect()
    }

    #[test]
    fn both_sides_hear_every_datagram_once_and_in_order_whoever_looks_first() {
        let lies = || vec![vec![&b"a"[..], b"bc"], vec![b"d"], vec![b"e", b""], vec![b"f"]];
        let all: Vec<Vec<u8>> = lies().concat().iter().map(|bytes| bytes.to_vec()).collect();
        for looks in [[0, 1, 0, 1, 0, 1, 0, 1, 0, 1], [1, 1, 1, 0, 0, 0, 1, 0, 1, 0]] {
            let (mut sides, mut had) = (share(Ready(lies(), Vec::new())), [Vec::new(), Vec::new()]);
            for side in looks {
                had[side].extend(received(&mut sides[side]));
            }
            assert_eq!(had, [all.clone(), all.clone()], "{looks:?}");
        }
    }
}
