//! The tail's ring between the hot thread and the side thread.

use super::claims::{Claims, free, judge_read, load, store};
use crate::sync::AtomicU64;
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

/// Places of the ring; each record takes one.
const RING: u64 = 2;

struct Ring {
    published: AtomicU64,
    written: AtomicU64,
    written_seq: AtomicU64,
    places: Vec<UnsafeCell<u64>>,
}

impl Ring {
    fn place(&self, pos: u64) -> &UnsafeCell<u64> {
        &self.places[(pos % RING) as usize]
    }
}

/// The hot thread writes five records into a ring for two, as far as it is freed, and the side thread reads
/// what is published: never both at one place, each record once and as it was written, and the seq is not
/// behind its position.
pub fn the_ring_is_never_written_and_read_at_once() {
    let ring = Arc::new(Ring {
        published: AtomicU64::new(0),
        written: AtomicU64::new(0),
        written_seq: AtomicU64::new(1),
        places: (0..RING).map(|_| UnsafeCell::new(u64::MAX)).collect(),
    });
    let theirs = Arc::clone(&ring);
    let side = thread::spawn(move || {
        for _ in 0..3 {
            let (written, published) = (load(&theirs.written), load(&theirs.published));
            for pos in written..published {
                judge_read(&theirs.written, &theirs.published, pos, 1);
                // Loom ends the run where somebody may write there now.
                theirs.place(pos).with(|_| ());
            }
            store(&theirs.written_seq, published + 1);
            free(&theirs.written, published);
        }
    });
    let mut claims = Claims::new(RING, &ring.published, &ring.written);
    for pos in 0..5 {
        if pos >= load(&ring.written) + RING {
            break;
        }
        claims.judge(&ring.written, pos, 1);
        ring.place(pos).with_mut(|_| ());
        claims.publish(&ring.published, pos + 1);
        let written = load(&ring.written);
        assert!(load(&ring.written_seq) > written, "a position without its seq");
    }
    if side.join().is_err() {
        panic!("the side thread ended early");
    }
}
