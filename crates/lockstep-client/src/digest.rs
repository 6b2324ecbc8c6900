//! The digest of a delivered stream: equal digests mean equal streams, whichever reader delivered them and
//! however they were cut into frames.

use lockstep_core::engine::subscriber::Message;
use lockstep_wire::{Destination, PublisherId, PublisherSeq, Seq};
use sha2::{Digest, Sha256};

/// SHA-256 over (seq, publisher, publisher_seq, destination, length, payload) of each message of the
/// stream. Equal digests mean equal streams, whichever reader delivered them. It is not the chain, which
/// covers frames and epochs too.
#[derive(Clone, Default)]
pub struct StreamDigest {
    hasher: Sha256,
    messages: u64,
}

impl StreamDigest {
    /// The digest of no message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next message of the stream.
    pub fn add(&mut self, message: &Message<'_>) {
        self.add_parts(
            message.seq,
            message.publisher,
            message.publisher_seq,
            message.destination,
            message.payload,
        );
    }

    /// Adds the next message by its parts, for example from the program's own store.
    pub fn add_parts(
        &mut self,
        seq: Seq,
        publisher: PublisherId,
        publisher_seq: PublisherSeq,
        destination: Destination,
        payload: &[u8],
    ) {
        let mut head = [0; 32];
        head[..8].copy_from_slice(&seq.to_le_bytes());
        head[8..12].copy_from_slice(&publisher.to_le_bytes());
        head[12..20].copy_from_slice(&publisher_seq.to_le_bytes());
        head[20..24].copy_from_slice(&destination.to_le_bytes());
        head[24..].copy_from_slice(&(payload.len() as u64).to_le_bytes());
        self.hasher.update(head);
        self.hasher.update(payload);
        self.messages += 1;
    }

    /// The number of messages added.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// The digest so far, 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.hasher.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl std::fmt::Debug for StreamDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} over {} messages", self.hex(), self.messages)
    }
}
