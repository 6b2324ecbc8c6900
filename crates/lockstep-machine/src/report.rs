//! The reports of a machine's replicas to each other, each under its own name, to
//! [`MACHINES`](lockstep_wire::MACHINES). Earlier releases address them to the machine, as messages.

use crate::digest::StateDigest;
use lockstep_core::engine::saved::{take, take_u32, take_u64};
use lockstep_wire::{Nanos, Seq};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

/// A snapshot of a replica, as it is announced in the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SnapshotNotice {
    /// The exclusive bound of its entries.
    pub next: Seq,
    /// The stream's time at that bound.
    pub time: Nanos,
    /// The digest of the state.
    pub digest: u64,
    /// The version of the machine.
    pub version: u32,
    /// Bytes of its file.
    pub bytes: u64,
    /// The address at which it is served; `None`: nowhere.
    pub address: Option<SocketAddrV4>,
    /// SHA-256 of its file, which identifies a file that a peer serves; `None`: an earlier release announced
    /// it.
    pub file: Option<[u8; 32]>,
}

/// The settings that all copies of a machine share, as a copy reports them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CopySettings {
    /// The digest of the whole text.
    digest: u64,
    /// The beginning of the text.
    text: String,
}

impl CopySettings {
    /// The most bytes of a text that are reported; the digest covers the rest.
    pub const TEXT_MAX: usize = 400;

    /// The settings of this text; `None` if it is empty.
    pub fn of(text: &str) -> Option<Self> {
        let is_cut = |end: &usize| text.is_char_boundary(*end);
        let shown = (0..=text.len().min(Self::TEXT_MAX)).rev().find(is_cut).unwrap_or(0);
        let digest = StateDigest::of(text.as_bytes());
        (!text.is_empty()).then(|| Self { digest, text: text[..shown].to_owned() })
    }
}

impl fmt::Display for CopySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { digest, text } = self;
        if StateDigest::of(text.as_bytes()) == *digest {
            write!(f, "'{text}'")
        } else {
            write!(f, "'{text}…' (digest {digest:016x})")
        }
    }
}

/// A message of a replica.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplicaReport {
    /// It has no content, and is stamped so that the stream's time advances when a timer is due.
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
    /// This version of the machine is in force from here on: its replicas publish, and those of another
    /// version no longer do.
    TakeOver {
        /// The version.
        version: u32,
    },
    /// It begins with these settings.
    Settings {
        /// The version of the machine.
        version: u32,
        /// The settings.
        settings: CopySettings,
    },
}

const TICK: u8 = 1;
const DIGEST: u8 = 2;
const SNAPSHOT: u8 = 3;
const TAKE_OVER: u8 = 4;
/// A snapshot with the digest of its file; earlier releases ignore it.
const SNAPSHOT_FILE: u8 = 5;
/// Earlier releases ignore it.
const SETTINGS: u8 = 6;

impl ReplicaReport {
    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(80);
        match *self {
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
            Self::Settings { version, settings: CopySettings { digest, ref text } } => {
                out.push(SETTINGS);
                out.extend_from_slice(&version.to_le_bytes());
                out.extend_from_slice(&digest.to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }
        }
        out
    }

    /// Parses a report; `None` for other bytes.
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
            SETTINGS => {
                let (version, digest) = (take_u32(rest)?, take_u64(rest)?);
                let text = std::str::from_utf8(std::mem::take(rest)).ok()?;
                let is_text = (1..=CopySettings::TEXT_MAX).contains(&text.len());
                let settings = is_text.then(|| CopySettings { digest, text: text.to_owned() })?;
                Self::Settings { version, settings }
            }
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
            assert_eq!(ReplicaReport::parse(&bytes), Some(report.clone()));
            for end in 0..bytes.len() {
                assert_eq!(ReplicaReport::parse(&bytes[..end]), None, "{report:?} {end}");
            }
        }
    }

    #[test]
    fn settings_are_compared_whole_however_long_their_text_is() {
        assert_eq!(CopySettings::of(""), None);
        let of = |text: &str| CopySettings::of(text).expect("a text");
        let long = "ä".repeat(CopySettings::TEXT_MAX);
        let [short, first, other] = [of("limit 100"), of(&format!("{long}1")), of(&format!("{long}2"))];
        assert!(first != other && first.text == other.text, "by what is not reported, too");
        assert_eq!(short.to_string(), "'limit 100'");
        assert!(first.to_string().contains("…' (digest "), "{first}");
        for settings in [short, first] {
            let report = ReplicaReport::Settings { version: 3, settings };
            assert_eq!(ReplicaReport::parse(&report.to_bytes()), Some(report));
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
