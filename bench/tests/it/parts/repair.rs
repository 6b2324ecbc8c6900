//! Losses and the windows that they fall into.

use lockstep_bench::repair::{SIZE_MIN, per_million, window_of, write_window};

#[test]
fn a_share_is_read_in_a_million_and_nonsense_refused() {
    assert_eq!(per_million("0.01%"), Ok(100));
    assert_eq!(per_million("50%"), Ok(500_000));
    assert!(["1", "0%", "100%", "x%"].iter().all(|text| per_million(text).is_err()));
}

#[test]
fn a_message_says_which_window_it_belongs_to() {
    let mut payload = [0; SIZE_MIN];
    write_window(&mut payload, 63);
    assert_eq!((window_of(&payload), window_of(&payload[..17])), (63, 0));
}
