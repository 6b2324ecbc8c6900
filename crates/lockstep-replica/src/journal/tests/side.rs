//! The side thread's turns, while an error that may pass blocks them.

use super::*;
use crate::journal::ports::StoreFault;
use crate::journal::side::{Inputs, SideEvent, SideSettings, SideThread};

/// One lack of room is reported once, and its end once, although records are written all the while.
#[test]
fn a_lack_that_stops_a_chore_lasts_until_that_chore_is_done() {
    let Journal { mut store, opened } = Journal::begun();
    let mut tail = opened.tail;
    let mut side = SideThread::new(opened.writer, opened.superblock, SideSettings::new(false));
    let (mut remarks, mut now) = (Vec::new(), 0);
    let mut turns = |side: &mut SideThread, store: &mut MemoryStore, tail: &mut Tail<MemoryTail>| {
        let mut stuck = Vec::new();
        for _ in 0..20 {
            now += 1_000_000;
            let bytes = messages(&tail.end(), 1, 100);
            tail.append(&FrameView::from_prefix(&bytes).unwrap()).unwrap();
            side.turn(store, tail.memory_mut(), &Inputs { now, ..Inputs::default() }, &mut remarks);
            stuck.push(side.stuck());
        }
        (stuck, std::mem::take(&mut remarks))
    };
    store.set_unlisted(true);
    let (stuck, events) = turns(&mut side, &mut store, &mut tail);
    assert_eq!(stuck[2..], [Some(StoreFault::Descriptors); 18]);
    assert!(matches!(events[..], [SideEvent::Stuck(_)]), "{events:?}");
    assert!(side.written_seq() > 15, "records are written: {}", side.written_seq());
    store.set_unlisted(false);
    let (stuck, events) = turns(&mut side, &mut store, &mut tail);
    assert_eq!((stuck[19], events), (None, vec![SideEvent::GoesOn]));
}
