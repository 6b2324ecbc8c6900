//! The notice between the stamping thread and its watcher.

use super::notices::Notices;
use loom::sync::Arc;
use loom::thread;

/// Words of a notice here.
const WORDS: usize = 2;

/// While notices are put in force one behind the other, each that is read is one of them, whole, and none is
/// read behind a later one.
pub fn a_notice_is_whole_and_the_last_one() {
    let notices = Arc::new(Notices::<WORDS>::default());
    let theirs = Arc::clone(&notices);
    let watcher = thread::spawn(move || {
        let mut before = 0;
        for _ in 0..2 {
            let mut out = [0; WORDS * 8];
            let len = theirs.get(&mut out);
            assert!(len == 0 || len == out.len(), "of {len} bytes");
            assert!(out[..len].iter().all(|byte| *byte == out[0]), "torn: {out:?}");
            let number = if len == 0 { 0 } else { out[0] };
            assert!(number >= before, "{number} behind {before}");
            before = number;
        }
    });
    for number in 1..=3 {
        notices.set(&[number; WORDS * 8]);
    }
    if watcher.join().is_err() {
        panic!("the watcher ended early");
    }
}
