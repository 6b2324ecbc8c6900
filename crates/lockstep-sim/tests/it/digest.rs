//! Digests of states.

use lockstep_sim::explore::digest::{Digest, Seen};
use std::hash::{Hash, Hasher};

#[test]
fn a_set_of_digests_knows_what_was_added() {
    let mut seen = Seen::default();
    let digest = |value: u64| {
        let mut digest = Digest::default();
        value.hash(&mut digest);
        digest.finish()
    };
    assert!((0..200_000).all(|value| seen.insert(digest(value))));
    assert!((0..200_000).all(|value| !seen.insert(digest(value))));
}

#[test]
fn digests_tell_lengths_and_orders_apart() {
    let digest = |bytes: &[u8]| {
        let mut digest = Digest::default();
        digest.write(bytes);
        digest.both()
    };
    assert_ne!(digest(&[1, 2]), digest(&[2, 1]));
    assert_ne!(digest(&[1]), digest(&[1, 0]));
    assert_eq!(digest(&[7; 21]), digest(&[7; 21]));
}
