//! Marks in a stream of bytes.

use lockstep_bench::taps::{read_marks, write_mark};

#[test]
fn a_mark_is_found_wherever_it_stands_and_its_beginning_is_kept() {
    let mut bytes = vec![7; 100];
    write_mark(&mut bytes[3..], 5);
    write_mark(&mut bytes[50..], 6);
    let mut seen = Vec::new();
    assert_eq!(read_marks(&bytes, |number| seen.push(number)), 85);
    assert_eq!(seen, [5, 6]);
    for cut in 50..66 {
        let mut seen = Vec::new();
        let done = read_marks(&bytes[..cut], |number| seen.push(number));
        read_marks(&bytes[done..], |number| seen.push(number));
        assert_eq!(seen, [5, 6], "cut at {cut}");
    }
}
