//! The kernel as we found it: sockets, files, signals and filters behind the ports, on the loopback.
//!
//! What ends or endangers a process (a kill, a panic, a system call filter) runs in a child: the test
//! binary again, with [`CHILD`] naming the test whose body is to be the child's.

// Threads and sleeps belong to io and the command line; here they stand for the latter.
#![allow(clippy::disallowed_methods)]

mod beside;
mod machine;
mod records;
mod relay;
mod shm;
mod udp;
mod watcher;
mod xdp;

use lockstep_core::engine::ports::{Burst, Net};
use lockstep_io::clock;
use lockstep_io::udp::{Interface, Udp, UdpSettings, free_port};
use lockstep_process::events::EventKind;
use std::net::Ipv4Addr;
use std::process::{Command, Output};
use std::time::Duration;
use tracing::Level;

pub(crate) const LOCALHOST: Ipv4Addr = Ipv4Addr::LOCALHOST;
/// Names the test whose child this process is.
pub(crate) const CHILD: &str = "LOCKSTEP_TEST_CHILD";

/// A node's settings on the loopback, with groups and a port that nobody else has.
pub(crate) fn settings() -> UdpSettings {
    let random = clock::random_u64().expect("random bits").to_le_bytes();
    let groups = [1, 2, 3].map(|last| Ipv4Addr::new(239, random[0], random[1], last));
    let port = free_port(LOCALHOST).expect("a free port");
    UdpSettings { ttl: 0, ..UdpSettings::new(Interface::Address(LOCALHOST), port, groups) }
}

pub(crate) fn open(settings: &UdpSettings) -> Udp {
    Udp::open(settings.clone()).expect("a socket on the loopback")
}

/// All group datagrams that wait at `udp`: the loopback delivers within the send.
pub(crate) fn received(udp: &mut Udp) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let count @ 1.. = udp.recv_groups() {
        all.extend((0..count).map(|index| udp.group_datagram(index).to_vec()));
    }
    all
}

pub(crate) fn single(bytes: &[u8]) -> [Burst<'_>; 1] {
    [Burst { bytes, stride: bytes.len() }]
}

/// Datagrams of `stride` bytes one behind the other, each filled with its number, the last one shorter.
pub(crate) fn burst(count: usize, stride: usize) -> Vec<u8> {
    (0..count * stride - stride / 2).map(|at| (at / stride) as u8).collect()
}

/// This test's binary again, as the child of `test` (with its module's name in front).
pub(crate) fn child_of(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("our own path"));
    command.args(["--exact", test, "--nocapture"]).env(CHILD, test);
    command
}

/// Whether this process is the child of `test`. It then ends by itself if it hangs.
pub(crate) fn is_child_of(test: &str) -> bool {
    let is = std::env::var(CHILD).as_deref() == Ok(test);
    if is {
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_secs(60));
            std::process::exit(99);
        });
    }
    is
}

pub(crate) fn printed(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
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
