//! The cases of what a gateway adds.

use lockstep_bench::gateway::added::{DUE, FEED, IN, OUT, TRIP, WRITE};

#[test]
fn a_word_of_fail_if_selects_one_case() {
    let all = [IN, OUT, FEED, TRIP, WRITE, DUE];
    for (name, of) in ["in", "out", "feed", "trip", "write", "due"].into_iter().zip(&all) {
        for other in &all {
            let mut words = other.case.split(|c: char| !c.is_alphanumeric());
            assert_eq!(words.any(|word| word == name), other.case == of.case, "{name} in {}", other.case);
        }
    }
}
