//! What a program of a language reports.

use lockstep_bench::cluster::MESSAGE_LEN;
use lockstep_bench::languages::program::Received;

#[test]
fn what_a_reader_reports_is_believed_only_if_its_bytes_are_those_of_its_messages() {
    let line = format!("3 {} 1500000000\n", 3 * MESSAGE_LEN);
    assert_eq!(Received::parse(&line).map(Received::rate), Ok(2.0));
    for wrong in ["", "3 192", "3 191 1500000000", "3 192 0", "three 192 5"] {
        assert!(Received::parse(wrong).is_err(), "{wrong}");
    }
}
