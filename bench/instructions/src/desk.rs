//! A device that is a desk: what a role receives lies ready, what it sends is taken and forgotten. It costs
//! a role nothing that a real one would not.

use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_node::io::tail::MappedTail;
use lockstep_replica::ports::Ports;
use std::hint::black_box;
use std::net::SocketAddrV4;

/// Memory for the datagrams of a device.
#[derive(Clone, Default)]
pub struct Desk {
    datagrams: Vec<Vec<u8>>,
    ready: usize,
    /// Unicast datagrams that lie ready, and who sent them.
    pub unicast: Vec<(Vec<u8>, SocketAddrV4)>,
    unicast_lent: Vec<(Vec<u8>, SocketAddrV4)>,
    /// While the nodes find each other, what they send is carried; later the driver lays things out.
    carries: bool,
    /// What was sent while it is carried: to whom, or to which group.
    pub sent: Vec<(Option<SocketAddrV4>, Group, Vec<u8>)>,
    taken: usize,
}

impl Desk {
    /// An empty desk whose role's datagrams are carried.
    pub fn carrying() -> Self {
        Self { carries: true, ..Self::default() }
    }

    /// From now on what is sent is forgotten, and nothing lies ready.
    pub fn stop_carrying(&mut self) {
        self.carries = false;
        self.ready = 0;
    }

    /// Datagrams that the role sent, all in all.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Lays out one more datagram for the next receive; `write` fills it and says how long it is.
    pub fn lay(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.ready == self.datagrams.len() {
            self.datagrams.push(Vec::new());
        }
        write(&mut self.datagrams[self.ready]);
        self.ready += 1;
    }

    /// The same, copied.
    pub fn lay_copy(&mut self, bytes: &[u8]) {
        self.lay(|out| {
            out.clear();
            out.extend_from_slice(bytes);
        });
    }
}

impl Net for Desk {
    fn recv_groups(&mut self) -> usize {
        std::mem::take(&mut self.ready)
    }

    fn is_drained(&self) -> bool {
        true
    }

    fn group_datagram(&self, index: usize) -> &[u8] {
        &self.datagrams[index]
    }

    fn recv_unicast(&mut self) -> usize {
        self.unicast_lent = std::mem::take(&mut self.unicast);
        self.unicast_lent.len()
    }

    fn unicast_datagram(&self, index: usize) -> (&[u8], SocketAddrV4) {
        let (bytes, from) = &self.unicast_lent[index];
        (bytes, *from)
    }

    fn send_group(&mut self, group: Group, bursts: &[Burst<'_>]) -> usize {
        let count = bursts.iter().map(Burst::count).sum();
        self.taken += count;
        if self.carries {
            let datagrams = bursts.iter().flat_map(|burst| burst.bytes.chunks(burst.stride));
            self.sent.extend(datagrams.map(|bytes| (None, group, bytes.to_vec())));
        }
        black_box(bursts);
        count
    }

    fn send_unicast(&mut self, to: SocketAddrV4, parts: [&[u8]; 2]) -> bool {
        self.taken += 1;
        if self.carries {
            self.sent.push((Some(to), Group::Data, parts.concat()));
        }
        true
    }
}

/// A replica's world: the desk, and a tail as in production.
pub struct DeskPorts;

impl Ports for DeskPorts {
    type Net = Desk;
    type Memory = MappedTail;
}
