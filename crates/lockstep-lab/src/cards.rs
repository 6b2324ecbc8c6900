//! The protocols of the texts, a file each, by family.

pub mod agreement;
pub mod broadcast;
pub mod byzantine;
pub mod causal;
pub mod consensus;
pub mod detectors;
pub mod groups;
pub mod isis;
pub mod links;
pub mod order;
pub mod paxos;
pub mod product;
pub mod registers;
pub mod transactions;
pub mod zab;

use crate::check::Catalogue;

/// All of them, in the order of the tour.
pub static ALL: Catalogue = Catalogue(&[
    links::ENTRIES,
    detectors::ENTRIES,
    broadcast::ENTRIES,
    causal::ENTRIES,
    order::ENTRIES,
    isis::ENTRIES,
    consensus::ENTRIES,
    agreement::ENTRIES,
    groups::ENTRIES,
    registers::ENTRIES,
    byzantine::ENTRIES,
    paxos::ENTRIES,
    zab::ENTRIES,
    transactions::ENTRIES,
    product::ENTRIES,
]);
