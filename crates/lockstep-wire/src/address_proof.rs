//! The proof that a requester receives at the address that it sends from: a replica answers a request for
//! frames, which are longer than the request, with a number that only a node at that address can know, and
//! the requester returns it.

use bytemuck::{Pod, Zeroable};

/// Flag: the requester returns the proof. Without it the replica demands the proof.
pub const ADDRESS_PROOF_RETURNED: u16 = 1;

/// Follows the header of an address proof, demanded or returned.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct AddressProofBody {
    /// The token of the request, which is not answered without the proof.
    pub token: u64,
    /// The proof. One address has one proof as long as the replica's process lives.
    pub proof: u64,
}

const _: () = assert!(size_of::<AddressProofBody>() == 16);
