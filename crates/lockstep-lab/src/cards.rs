//! The protocols of the texts, a file each, by family.

pub mod agreement;
pub mod broadcast;
pub mod byzantine;
pub mod causal;
pub mod consensus;
pub mod order;
pub mod paxos;
pub mod registers;
pub mod zab;

use crate::check::Catalogue;

/// All of them, in the order of the tour.
pub static ALL: Catalogue = Catalogue(&[
    broadcast::ENTRIES,
    causal::ENTRIES,
    order::ENTRIES,
    consensus::ENTRIES,
    agreement::ENTRIES,
    registers::ENTRIES,
    byzantine::ENTRIES,
    paxos::ENTRIES,
    zab::ENTRIES,
]);
