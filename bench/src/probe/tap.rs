//! When the kernel had what the client was told: a socket beside the client's own that hears the stream, on
//! which the kernel notes the time of each datagram as it comes in. It splits a latency into the way there,
//! the wire and the leader included, and the way from the kernel through us to the application.
//!
//! It is one more member of the group, for every contestant alike, and costs the sender as much as any.

use crate::client::Ground;
use crate::contestant::Contestant;
use crate::floor;
use crate::stats::Latencies;
use crate::taps::Tap;
use lockstep::config::KeyUse;
use lockstep_core::engine::ports::Group;
use lockstep_io::udp::address_of;
use lockstep_wire::{Datagram, EntryKind, Keys, Nanos, PublisherId};
use std::collections::VecDeque;
use std::net::SocketAddrV4;

/// Notes and deliveries that wait for their counterpart: as many messages as may be under way.
const WAITING_MAX: usize = 1 << 16;

/// A message that was delivered.
struct Delivery {
    number: u64,
    due: Nanos,
    at: Nanos,
}

/// See the module.
pub struct KernelTimes {
    tap: Tap,
    /// Of lockstep's frames; the floor's datagrams are the messages themselves.
    keys: Option<Keys>,
    notes: VecDeque<(u64, Nanos)>,
    delivered: VecDeque<Delivery>,
    /// From the intended time to the kernel's note, and from there to the delivery.
    pub ways: [Latencies; 2],
}

impl KernelTimes {
    /// Hears what `contestant` sends to all.
    ///
    /// # Errors
    /// In words, what the kernel refused.
    pub fn open(ground: Ground<'_>, contestant: Contestant) -> Result<Self, String> {
        let lockstep = contestant == Contestant::Lockstep;
        let udp = if lockstep { ground.config.udp() } else { ground.floor(&[]) };
        let group = SocketAddrV4::new(udp.groups[Group::Data as usize], udp.port);
        let address = address_of(&udp.interface).map_err(|error| error.to_string())?;
        Ok(Self {
            tap: Tap::group_at(group, address)?,
            keys: lockstep
                .then(|| ground.config.keys(KeyUse::Handle))
                .transpose()
                .map_err(|error| error.to_string())?,
            notes: VecDeque::new(),
            delivered: VecDeque::new(),
            ways: [Latencies::new()?, Latencies::new()?],
        })
    }

    /// A message that counts was delivered at the wall time `at`; it was due at `due`.
    pub fn delivered(&mut self, number: u64, due: Nanos, at: Nanos) {
        if self.delivered.len() < WAITING_MAX {
            self.delivered.push_back(Delivery { number, due, at });
        }
    }

    /// Takes the kernel's notes, and what they tell of the messages that were delivered: those of
    /// `publisher`.
    ///
    /// # Errors
    /// The socket failed.
    pub fn turn(&mut self, publisher: Option<PublisherId>) -> Result<(), String> {
        let Self { tap, keys, notes, .. } = self;
        tap.hear_datagrams(|datagram, at| {
            let mut note = |message: &[u8]| {
                if notes.len() < WAITING_MAX {
                    notes.push_back((floor::number(message), at));
                }
            };
            match keys {
                None if floor::is_data(datagram) => note(datagram),
                None => {}
                Some(keys) => {
                    if let Ok(Datagram::Frame(frame, _)) = Datagram::decode(datagram, keys) {
                        let ours = frame.entries().filter(|entry| {
                            entry.header.kind == EntryKind::Message as u8
                                && Some(entry.header.publisher) == publisher
                        });
                        ours.for_each(|entry| note(entry.payload));
                    }
                }
            }
        })?;
        while let (Some(Delivery { number, due, at }), Some((noted, kernel))) =
            (self.delivered.front(), self.notes.front())
        {
            if noted == number {
                self.ways[0].record(kernel.saturating_sub(*due));
                self.ways[1].record(at.saturating_sub(*kernel));
                self.delivered.pop_front();
            } else if noted > number {
                // Its datagram was lost to the tap.
                self.delivered.pop_front();
                continue;
            }
            self.notes.pop_front();
        }
        Ok(())
    }
}
