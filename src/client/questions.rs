//! Questions to nodes: who are you, and where do you stand? For commands that run once.

use super::endpoint::{Endpoint, draw_handle};
use crate::engine::event::Role;
use crate::engine::ports::Net;
use crate::io::IoError;
use crate::io::clock::Clock;
use crate::io::udp::Udp;
use crate::wire::{Datagram, Epoch, Header, Identity, Kind, SMALL_LEN_MAX, Seq, Topic, write_question};
use std::net::SocketAddrV4;
use std::time::Duration;

/// What a node said of itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct NodeState {
    /// Where it answered from.
    pub address: SocketAddrV4,
    /// Who it is.
    pub identity: Identity,
    /// The history of its log; 0 if it is blank.
    pub history: u64,
    /// The epoch of its log.
    pub accepted: Epoch,
    /// Where its log ends.
    pub accept_next: Seq,
    /// How far it knows it committed.
    pub commit_next: Seq,
    /// What it does.
    pub role: Role,
}

/// Asks nodes. It hears no group.
pub struct Questioner {
    net: Udp,
    endpoint: Endpoint,
    clock: Clock,
    me: Identity,
    number: u64,
}

/// A question is repeated this often until it is answered.
const AGAIN_NS: u64 = 20_000_000;

impl Questioner {
    /// Opens a device.
    ///
    /// # Errors
    /// As for every handle.
    pub fn open(endpoint: &Endpoint) -> Result<Self, IoError> {
        let me = draw_handle()?;
        Ok(Self {
            net: endpoint.open(&[])?,
            endpoint: endpoint.clone(),
            clock: Clock::start(),
            me,
            number: 0,
        })
    }

    /// Asks the nodes at `addresses` until all have answered or `timeout` is over. Returns the answers by
    /// address, in the order asked.
    pub fn nodes(&mut self, addresses: &[SocketAddrV4], timeout: Duration) -> Vec<Option<NodeState>> {
        let mut found = vec![None; addresses.len()];
        let deadline = self.clock.now() + timeout.as_nanos() as u64;
        let mut asked_at = 0;
        while found.iter().any(Option::is_none) && self.clock.now() < deadline {
            let now = self.clock.now();
            if now >= asked_at + AGAIN_NS {
                asked_at = now;
                for (index, &address) in addresses.iter().enumerate() {
                    if found[index].is_none() {
                        self.ask(address, index as u64 + 1);
                    }
                }
            }
            for index in 0..self.net.recv_unicast() {
                let (bytes, from) = self.net.unicast_datagram(index);
                if let Some((place, state)) = read_reply(bytes, from, self.endpoint.cluster)
                    && let Some(slot) = found.get_mut(place)
                {
                    *slot = Some(state);
                }
            }
            std::thread::yield_now();
        }
        found
    }

    fn ask(&mut self, to: SocketAddrV4, token: u64) {
        self.number += 1;
        let header = Header {
            cluster: self.endpoint.cluster,
            sender: self.me.replica,
            incarnation: self.me.incarnation,
            number: self.number,
            ..Header::new(Kind::Question)
        };
        let mut out = [0; SMALL_LEN_MAX];
        let length = write_question(&mut out, header, token, Topic::Node, "");
        self.net.send_unicast(to, [&out[..length], &[]]);
    }
}

fn read_reply(bytes: &[u8], from: SocketAddrV4, cluster: u64) -> Option<(usize, NodeState)> {
    let Ok(Datagram::Reply(header, body)) = Datagram::decode(bytes, cluster) else { return None };
    let place = (body.token as usize).checked_sub(1)?;
    let state = NodeState {
        address: from,
        identity: header.identity(),
        history: header.history,
        accepted: header.epoch(),
        accept_next: header.first_seq,
        commit_next: header.commit_next,
        role: Role::from_u32(body.role)?,
    };
    Some((place, state))
}
