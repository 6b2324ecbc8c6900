//! What a daemon needs of its machine: cores, turns, guards, records of events, and process 1.
//!
//! What ends or endangers a process (a kill, a panic, a system call filter) runs in a child: this program
//! again, as `lockstep_testkit::child` has it.

// Threads belong to io and the command line; here they stand for the latter.
#![allow(clippy::disallowed_methods)]

mod init;
mod machine;
mod records;

use lockstep_io::clock;
use lockstep_io::udp::{Interface, Udp, UdpSettings, free_port};
use lockstep_process::events::EventKind;
use std::net::Ipv4Addr;
use tracing::Level;

const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A node's settings on the loopback, with groups and a port that no other test has.
pub(crate) fn settings() -> UdpSettings {
    let random = clock::random_u64().expect("random bits").to_le_bytes();
    let groups = [1, 2, 3].map(|last| Ipv4Addr::new(239, random[0], random[1], last));
    let port = free_port(LOCALHOST).expect("a free port");
    UdpSettings { ttl: 0, ..UdpSettings::new(Interface::Address(LOCALHOST), port, groups) }
}

pub(crate) fn open(settings: &UdpSettings) -> Udp {
    Udp::open(settings.clone()).expect("a socket on the loopback")
}

/// Datagrams of `stride` bytes one behind the other, each filled with its number, the last one shorter.
pub(crate) fn burst(count: usize, stride: usize) -> Vec<u8> {
    (0..count * stride - stride / 2).map(|at| (at / stride) as u8).collect()
}

/// What the events of these tests mean.
pub(crate) const KINDS: &[EventKind] = &[
    EventKind {
        code: 1001,
        level: Level::INFO,
        format: |event, f| write!(f, "epoch {} by {}", event.a, event.e),
    },
    EventKind { code: 1002, level: Level::ERROR, format: |event, f| write!(f, "lost {}", event.a) },
];
