//! # notary: signed evidence of what a stream was
//!
//! A notary reads the committed stream, and signs (ed25519, RFC 8032) what it saw: the root of a Merkle tree
//! over the frames since its last signature. It publishes this [`Attestation`] into the stream. So each
//! journal contains the evidence of what it was.
//!
//! ```text
//!  frames ─▶ Interval ─ Notary::attest ─▶ Attestation ─▶ the stream
//!                                                           │
//!  frames ─▶ Checker ◀──────────────────────────────────────┘    attested up to here, or Forged
//! ```
//!
//! The key of a datagram shows a reader that a holder of the key sent it. A signature shows more: only the
//! notary can make it, so it convinces also a reader who trusts neither a replica's disk nor other readers.
//!
//! Operators sign their orders with secrets of the same kind ([`operator_key`], [`verify_order`]).

#![forbid(unsafe_code)]

mod attestation;
mod check;
mod order;
#[cfg(feature = "proof")]
mod proof;
pub mod tree;

pub use attestation::{
    ATTESTATION_LEN, Attestation, AttestationBody, ENTRIES_MAX, FRAMES_MAX, Interval, Notary, NotaryKey,
    from_hex, parse_notaries, parse_public_keys, to_hex,
};
pub use check::{Checker, Forged, REMEMBERED_MAX, has_signatures_alone};
pub use order::{operator_key, verify_order};
#[cfg(feature = "proof")]
pub use proof::{Proof, ProofError, ProofSearch, Proven, SCHEMA};

#[cfg(test)]
mod tests {
    use crate::attestation::{Attestation, NotaryKey, parse_notaries};
    use lockstep_wire::{
        Destination, EntryHeader, EntryKind, FrameView, HEADER_LEN, Header, Keyring, Kind, NOTARIES,
        OpenFrame,
    };

    /// A log that grows by frames.
    pub(crate) struct Chained {
        pub history: u64,
        next: u64,
        chain: u64,
    }

    impl Default for Chained {
        fn default() -> Self {
            Self { history: 9, next: 1, chain: 0 }
        }
    }

    impl Chained {
        /// The next frame, with these messages: destination and payload.
        pub(crate) fn push(&mut self, messages: &[(Destination, &[u8])]) -> Vec<u8> {
            let room = messages.iter().map(|(_, payload)| payload.len() + 32).sum::<usize>();
            let (mut memory, mut open) = (vec![0; HEADER_LEN + room], OpenFrame::default());
            for (destination, payload) in messages {
                let header = EntryHeader {
                    kind: EntryKind::Message as u8,
                    flags: 0,
                    length: 0,
                    publisher: 1,
                    publisher_seq: self.next,
                    destination: *destination,
                    time_or_incarnation: 0,
                };
                assert!(open.push(&mut memory, header, payload));
            }
            let header = Header {
                history: self.history,
                first_seq: self.next,
                chain: self.chain,
                epoch: 1 << 36,
                ..Header::new(Kind::Frame)
            };
            let length = open.len();
            open.close(&mut memory, &Keyring::none(7), header, length);
            memory.truncate(length);
            let frame = frame_of(&memory);
            (self.next, self.chain) = (frame.header.next_seq(), frame.chain_after());
            memory
        }
    }

    pub(crate) fn frame_of(bytes: &[u8]) -> FrameView<'_> {
        FrameView::from_prefix(bytes).expect("it is a frame")
    }

    pub(crate) fn attestation_frame(at: &mut Chained, attestation: &Attestation) -> Vec<u8> {
        at.push(&[(NOTARIES, attestation.bytes())])
    }

    #[test]
    fn a_file_of_public_keys_has_one_a_line_and_names_the_line_that_is_none() {
        let key = crate::Notary::new(&[7; 32]).public().to_string();
        let text = format!("# those of desk 4\n\n{key} archive\n  {key} # again\n");
        assert_eq!(parse_notaries(&text).map(|keys| keys.len()), Ok(2));
        let wrong = parse_notaries(&format!("{key}\n{}\n", &key[1..]));
        assert!(wrong.as_ref().is_err_and(|error| error.starts_with("line 2: ")), "{wrong:?}");
        // The neutral element: it would verify messages without a signature.
        let weak = "0100000000000000000000000000000000000000000000000000000000000000";
        assert!(weak.parse::<NotaryKey>().is_err());
    }
}
