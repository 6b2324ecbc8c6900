//! The reports of a machine's replicas to each other: each under a name of its own, to
//! [`MACHINES`](lockstep_wire::MACHINES). Earlier releases address them to the machine, as messages.

use lockstep_core::engine::saved::{take, take_u32, take_u64};
use lockstep_wire::{Nanos, Seq};
use std::net::{Ipv4Addr, SocketAddrV4};

/// A snapshot that a replica has, as its catalogue entry in the stream announces it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SnapshotNotice {
    /// Every entry below is in it.
    pub next: Seq,
    /// The stream's time there.
    pub time: Nanos,
    /// The digest of the state.
    pub digest: u64,
    /// The version of the machine.
    pub version: u32,
    /// Bytes of its file.
    pub bytes: u64,
    /// Where it is served; `None`: nowhere.
    pub address: Option<SocketAddrV4>,
    /// SHA-256 of its file, by which a file that somebody serves is known to be this one; `None`: an earlier
    /// release announces it.
    pub file: Option<[u8; 32]>,
}

/// A message of a replica.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReplicaReport {
    /// It says nothing, and is stamped: so that the stream's time moves where a timer is due.
    Tick,
    /// The digest of its state before the entry `at`.
    Digest {
        /// The version of the machine.
        version: u32,
        /// A multiple of the settings' `digest_every`.
        at: Seq,
        /// The digest.
        digest: u64,
    },
    /// It has written a snapshot.
    Snapshot(SnapshotNotice),
    /// This version of the machine is in force from here on: replicas of it publish, and those of another one
    /// do no longer.
    TakeOver {
        /// The version.
        version: u32,
    },
}

const TICK: u8 = 1;
const DIGEST: u8 = 2;
const SNAPSHOT: u8 = 3;
const TAKE_OVER: u8 = 4;
/// A snapshot with the digest of its file; earlier releases pass it over.
const SNAPSHOT_FILE: u8 = 5;

impl ReplicaReport {
    /// Its bytes.
    pub fn to_bytes(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(80);
        match self {
            Self::Tick => out.push(TICK),
            Self::Digest { version, at, digest } => {
                out.push(DIGEST);
                out.extend_from_slice(&version.to_le_bytes());
                [at, digest].iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
            }
            Self::Snapshot(SnapshotNotice { next, time, digest, version, bytes, address, file }) => {
                out.push(if file.is_some() { SNAPSHOT_FILE } else { SNAPSHOT });
                out.extend_from_slice(&version.to_le_bytes());
                [next, time, digest, bytes]
                    .iter()
                    .for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
                let address = address.unwrap_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
                out.extend_from_slice(&address.ip().octets());
                out.extend_from_slice(&address.port().to_le_bytes());
                out.extend(file.into_iter().flatten());
            }
            Self::TakeOver { version } => {
                out.push(TAKE_OVER);
                out.extend_from_slice(&version.to_le_bytes());
            }
        }
        out
    }

    /// The report with these bytes; `None`: they are none.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (kind, mut rest) = bytes.split_first()?;
        let rest = &mut rest;
        let report = match *kind {
            TICK => Self::Tick,
            DIGEST => Self::Digest { version: take_u32(rest)?, at: take_u64(rest)?, digest: take_u64(rest)? },
            SNAPSHOT | SNAPSHOT_FILE => {
                let version = take_u32(rest)?;
                let [next, time, digest, bytes] =
                    [take_u64(rest)?, take_u64(rest)?, take_u64(rest)?, take_u64(rest)?];
                let (ip, port) = (Ipv4Addr::from(take::<4>(rest)?), u16::from_le_bytes(take(rest)?));
                let address = (port != 0).then_some(SocketAddrV4::new(ip, port));
                let file = if *kind == SNAPSHOT_FILE { Some(take(rest)?) } else { None };
                Self::Snapshot(SnapshotNotice { next, time, digest, version, bytes, address, file })
            }
            TAKE_OVER => Self::TakeOver { version: take_u32(rest)? },
            _ => return None,
        };
        rest.is_empty().then_some(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_report_is_read_as_it_was_written_and_none_that_is_cut_short() {
        let address = Some(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7));
        let notice =
            SnapshotNotice { next: 1, time: 2, digest: 3, version: 4, bytes: 5, address, file: None };
        let all = [
            ReplicaReport::Tick,
            ReplicaReport::Digest { version: 1, at: 2, digest: 3 },
            ReplicaReport::Snapshot(notice),
            ReplicaReport::Snapshot(SnapshotNotice { address: None, ..notice }),
            ReplicaReport::Snapshot(SnapshotNotice { file: Some([7; 32]), ..notice }),
            ReplicaReport::TakeOver { version: 7 },
        ];
        for report in all {
            let bytes = report.to_bytes();
            assert_eq!(ReplicaReport::parse(&bytes), Some(report));
            for end in 0..bytes.len() {
                assert_eq!(ReplicaReport::parse(&bytes[..end]), None, "{report:?} {end}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some(report) = ReplicaReport::parse(&bytes) {
                prop_assert_eq!(ReplicaReport::parse(&report.to_bytes()), Some(report));
            }
        }
    }
}
