//! The datagrams of a forwarder.

use lockstep_bench::floor::{KIND, Kind, MESSAGE_LEN_MIN, kind, set_word, stamped_at};

#[test]
fn the_leaders_time_is_read_as_it_was_written_whatever_year_it_is() {
    for wall in [1_800_000_000_000_000_000, 1 << 57, (1 << 56) - 3] {
        let mut datagram = [0; MESSAGE_LEN_MIN];
        set_word(&mut datagram, KIND, Kind::Data as u64 | wall << 8);
        assert_eq!(stamped_at(&datagram, wall + 5_000), wall);
        assert_eq!(kind(&datagram), Kind::Data as u64);
    }
}
