//! # address_proof: an answer goes where the request came from
//!
//! The question: a request for frames is shorter than the frames, and who sends it may write any address as its
//! own. Does the requester receive at that address? A replica that does not know it sends a number there that
//! depends on the address and on a secret of its process. A requester that returns the number receives there,
//! and from then on its requests are answered.
//!
//! ```text
//!   requester                                     replica
//!     │ ── nack ───────────────────────────────▶ │  PROOF-1: no frame goes to an address without proof
//!     │ ◀──────────── address proof, demanded ── │  shorter than the nack
//!     │ ── address proof, returned ────────────▶ │
//!     │ ── nack, once more ────────────────────▶ │
//!     │ ◀──────────────────────────── frames ─── │
//! ```
//! The secret, and with it all proofs, ends with the process.

use super::planted::{Mutation, planted};
use sha2::{Digest, Sha256};
use std::net::SocketAddrV4;

/// Addresses that are remembered as proved. A further one replaces the oldest, which proves itself again.
pub const PROVED_MAX: usize = 512;

/// The addresses that have proved themselves to one process of a replica.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct AddressProofs {
    secret_seed: [u8; 32],
    /// A ring.
    proved: Vec<SocketAddrV4>,
    /// The place in the ring of the next one.
    place: usize,
}

impl AddressProofs {
    /// None yet. `secret_seed` is drawn at each start of the process.
    pub fn new(secret_seed: [u8; 32]) -> Self {
        Self { secret_seed, proved: Vec::with_capacity(PROVED_MAX), place: 0 }
    }

    /// Holds always. Panics with the rule that is broken.
    pub fn invariants(&self) {
        let count = self.proved.len();
        assert!(count <= PROVED_MAX, "PROOF-1: {count} addresses are remembered, at most {PROVED_MAX}");
        let twice = (1..count).any(|at| self.proved[..at].contains(&self.proved[at]));
        assert!(!twice, "PROOF-1: each address is remembered once");
    }

    /// The number that only a node at `address` can know.
    pub fn proof(&self, address: SocketAddrV4) -> u64 {
        let hash = Sha256::new()
            .chain_update(self.secret_seed)
            .chain_update(b"address")
            .chain_update(address.ip().octets())
            .chain_update(address.port().to_le_bytes())
            .finalize();
        u64::from_le_bytes(std::array::from_fn(|at| hash[at]))
    }

    /// PROOF-1 (no amplification): whether frames may be sent to `address`, as it has returned its proof.
    pub fn is_proved(&self, address: SocketAddrV4) -> bool {
        self.proved.contains(&address) || planted(Mutation::AnyAddressProved)
    }

    /// `address` returns `proof`. Returns whether it is the right one.
    pub fn on_returned(&mut self, address: SocketAddrV4, proof: u64) -> bool {
        if proof != self.proof(address) {
            return false;
        }
        if !self.proved.contains(&address) {
            match self.proved.get_mut(self.place) {
                Some(oldest) => *oldest = address,
                None => self.proved.push(address),
            }
            self.place = (self.place + 1) % PROVED_MAX;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn address(port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), port)
    }

    #[test]
    fn proof_1_an_address_is_proved_by_its_own_number_alone() {
        let mut proofs = AddressProofs::new([7; 32]);
        assert!(!proofs.is_proved(address(1)));
        assert!(!proofs.on_returned(address(1), proofs.proof(address(2))));
        assert!(!proofs.on_returned(address(1), AddressProofs::new([8; 32]).proof(address(1))));
        assert!(!proofs.is_proved(address(1)));
        assert!(proofs.on_returned(address(1), proofs.proof(address(1))));
        assert!(proofs.is_proved(address(1)) && !proofs.is_proved(address(2)));
    }

    #[test]
    fn proof_1_the_table_is_bounded_and_the_oldest_address_proves_itself_again() {
        let mut proofs = AddressProofs::new([7; 32]);
        for port in 0..=PROVED_MAX as u16 {
            let proof = proofs.proof(address(port));
            assert!(proofs.on_returned(address(port), proof) && proofs.on_returned(address(port), proof));
            proofs.invariants();
        }
        assert!(!proofs.is_proved(address(0)) && proofs.is_proved(address(1)));
        assert!(proofs.is_proved(address(PROVED_MAX as u16)));
    }
}
