//! What the port [`Net`] promises, held by the simulator's network: `docs/PORTS.md` has it in words, and the
//! tests of `lockstep-io` hold the other transports to it.

#![allow(clippy::disallowed_methods, reason = "the promises wait by a clock for what real networks bring")]

#[path = "../../../lockstep-io/tests/it/conformance/promises.rs"]
#[allow(dead_code, reason = "others open as many nodes as there may be")]
mod promises;

use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_sim::net::{SimNet, To};
use promises::{Ether, LEN_MAX, keeps_its_promises};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::rc::Rc;

/// A packet on its way to a seat of the simulator's network.
type Letters = VecDeque<(Option<Group>, SocketAddrV4, Vec<u8>)>;

/// The simulator's devices, with nothing between them.
#[derive(Default)]
pub struct SimEther(Rc<RefCell<Vec<(SocketAddrV4, Letters)>>>);

/// One of them: what it sends goes to all others, and what has come to it arrives when it looks.
pub struct SimNode {
    net: SimNet,
    address: SocketAddrV4,
    wire: Rc<RefCell<Vec<(SocketAddrV4, Letters)>>>,
}

impl SimNode {
    fn arrive(&mut self) {
        let mut wire = self.wire.borrow_mut();
        let own = wire.iter_mut().find(|(address, _)| *address == self.address).expect("an open device");
        for (group, from, bytes) in own.1.drain(..) {
            self.net.arrive(bytes, Some(from), group);
        }
    }

    fn leave(&mut self) {
        for (to, bytes) in self.net.sent.drain(..) {
            for (address, letters) in
                self.wire.borrow_mut().iter_mut().filter(|(address, _)| *address != self.address)
            {
                match to {
                    To::Group(group) => letters.push_back((Some(group), self.address, bytes.clone())),
                    To::Unicast(to) if to == *address => {
                        letters.push_back((None, self.address, bytes.clone()))
                    }
                    To::Unicast(_) => {}
                }
            }
        }
    }
}

impl Drop for SimNode {
    fn drop(&mut self) {
        self.wire.borrow_mut().retain(|(address, _)| *address != self.address);
    }
}

impl Net for SimNode {
    fn recv_groups(&mut self) -> usize {
        self.arrive();
        self.net.recv_groups()
    }

    fn is_drained(&self) -> bool {
        self.net.is_drained()
    }

    fn group_datagram(&self, index: usize) -> &[u8] {
        self.net.group_datagram(index)
    }

    fn recv_unicast(&mut self) -> usize {
        self.arrive();
        self.net.recv_unicast()
    }

    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        self.net.unicast_datagram(index)
    }

    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        let sent = self.net.send_group(group, bursts);
        self.leave();
        sent
    }

    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        let sent = self.net.send_unicast(to, parts);
        self.leave();
        sent
    }

    fn dropped(&self) -> u64 {
        self.net.dropped()
    }

    fn set_joined(&mut self, group: Group, joined: bool) {
        // What came before was for the groups of then.
        self.arrive();
        self.net.set_joined(group, joined);
    }
}

impl Ether for SimEther {
    type Net = SimNode;
    /// The simulator counts losses where it makes them.
    const COUNTS_LOSSES: bool = false;

    fn open(&mut self, node: usize) -> SimNode {
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1 + node as u16);
        self.0.borrow_mut().push((address, Letters::new()));
        SimNode { net: SimNet::carrying(LEN_MAX), address, wire: self.0.clone() }
    }

    fn address(&self, net: &SimNode) -> SocketAddrV4 {
        net.address
    }

    fn outsider_says(&mut self, bytes: &[u8]) {
        let nobody = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        for (_, letters) in self.0.borrow_mut().iter_mut().filter(|_| bytes.len() <= LEN_MAX) {
            letters.push_back((Some(Group::Data), nobody, bytes.to_vec()));
        }
    }
}

keeps_its_promises!(simulated, Some(SimEther::default()));
