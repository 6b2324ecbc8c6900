//! FIX as the simulated client reads and writes it.

use lockstep_sim::edge::fix_wire::{FixText, decimal, utc};

#[test]
fn a_message_in_pieces_is_read_as_it_was_written() {
    let fields = vec![(35, "0".to_owned()), (34, "7".to_owned()), (112, "a=b".to_owned())];
    let message = FixText { begin: "FIX.4.2".to_owned(), fields };
    let bytes = message.encode();
    assert_eq!(FixText::decode(&bytes), Ok(Some((message, bytes.len()))));
    assert!((0..bytes.len()).all(|len| FixText::decode(&bytes[..len]) == Ok(None)));
    let mut wrong = bytes.clone();
    wrong[bytes.len() - 12] ^= 1;
    assert!(FixText::decode(&wrong).is_err(), "a checksum is compared");
}

#[test]
fn times_and_prices_are_written_as_people_write_them() {
    assert_eq!(utc(951_782_399_999_999_999), "20000228-23:59:59.999");
    assert_eq!(utc(1_795_255_205_001_000_000), "20261121-10:00:05.001");
    assert_eq!([100_000, 105_000, 1, 0].map(|price| decimal(price, 4)), ["10", "10.5", "0.0001", "0"]);
}
