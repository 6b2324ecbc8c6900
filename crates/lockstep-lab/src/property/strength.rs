//! Which property implies which other one.

use super::{
    AGREEMENT, CAUSAL_ORDER, CONSENSUS_AGREEMENT, EVENTUAL_ACCURACY, FIFO_ORDER, GAPLESS_TOTAL_ORDER,
    LINEARIZABLE, PAIRWISE_TOTAL_ORDER, Property, REGULAR, STRONG_ACCURACY, TOTAL_ORDER, UNIFORM_AGREEMENT,
    UNIFORM_CONSENSUS, UNIFORM_TOTAL_ORDER, UNIFORM_VIEW_AGREEMENT, VIEW_AGREEMENT,
};

/// The first implies the second.
static IMPLIED: &[(&Property, &Property)] = &[
    (&UNIFORM_AGREEMENT, &AGREEMENT),
    (&CAUSAL_ORDER, &FIFO_ORDER),
    (&UNIFORM_TOTAL_ORDER, &TOTAL_ORDER),
    (&UNIFORM_TOTAL_ORDER, &GAPLESS_TOTAL_ORDER),
    (&GAPLESS_TOTAL_ORDER, &PAIRWISE_TOTAL_ORDER),
    (&UNIFORM_CONSENSUS, &CONSENSUS_AGREEMENT),
    (&STRONG_ACCURACY, &EVENTUAL_ACCURACY),
    (&UNIFORM_VIEW_AGREEMENT, &VIEW_AGREEMENT),
    (&LINEARIZABLE, &REGULAR),
];

/// `property`, and all that it implies.
pub fn with_implied(property: &'static Property) -> Vec<&'static Property> {
    let mut all = vec![property];
    let mut at = 0;
    while at < all.len() {
        let stronger = all[at];
        all.extend(IMPLIED.iter().filter(|(one, _)| std::ptr::eq(*one, stronger)).map(|(_, weaker)| *weaker));
        at += 1;
    }
    all
}
