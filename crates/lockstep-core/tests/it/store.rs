//! FrameStore against a model that is too simple to be wrong.

use lockstep_core::engine::store::FrameStore;
use lockstep_memory::log::Log;
use lockstep_wire::*;
use proptest::prelude::*;

/// Frames of these numbers of entries, one behind the other.
fn frames(counts: &[usize]) -> Vec<Vec<u8>> {
    let mut log = Log::begun(1);
    for count in counts {
        log.push(&vec!["x"; *count]);
    }
    log.frames
}

fn view(bytes: &[u8]) -> FrameView<'_> {
    FrameView::from_prefix(bytes).unwrap()
}

fn missing(store: &FrameStore, index: usize, from: Seq, to: Seq) -> Vec<(Seq, Seq)> {
    store.missing(index, from, to).map(|range| (range.from, range.to)).collect()
}

#[test]
fn frames_come_out_in_the_order_of_the_stream_however_they_came_in() {
    let frames = frames(&[1, 3, 2, 5]);
    let mut store = FrameStore::new(0, 1424);
    for index in [4, 0, 2, 5, 3, 1] {
        assert!(store.insert(&view(&frames[index]), 0));
        assert!(!store.insert(&view(&frames[index]), 0), "a copy is not new");
    }
    for (index, bytes) in frames.iter().enumerate() {
        assert_eq!(store.get(index).map(|frame| frame.bytes), Some(bytes.as_slice()));
    }
    assert_eq!(store.len(), 6);
}

#[test]
fn a_frame_that_overlaps_another_is_not_new() {
    let long = frames(&[6]);
    let short = frames(&[2, 2, 2]);
    for (index, part) in short.iter().enumerate().skip(2) {
        let mut store = FrameStore::new(0, 1424);
        assert!(store.insert(&view(&long[2]), 0));
        assert!(!store.insert(&view(part), 0), "frame {index} lies within the long one");
        let mut store = FrameStore::new(0, 1424);
        assert!(store.insert(&view(part), 0));
        assert!(!store.insert(&view(&long[2]), 0), "the long one covers frame {index}");
    }
}

#[test]
fn a_full_store_prefers_what_comes_first_and_never_gives_up_what_is_ready() {
    let frames = frames(&[1; 20]);
    let mut store = FrameStore::new(0, 1424);
    for bytes in &frames[4..20] {
        assert!(store.insert(&view(bytes), 0));
    }
    assert!(!store.has_room());
    assert!(!store.insert(&view(&frames[20]), 0), "farther than all that is kept");
    assert!(store.insert(&view(&frames[3]), 0), "nearer: the farthest makes room");
    assert_eq!(store.len(), 16);
    assert_eq!(store.get(15).map(|frame| frame.bytes), Some(frames[18].as_slice()));
    assert!(!store.insert(&view(&frames[2]), 16), "all that is kept is part of the log");
    store.remove(15);
    assert!(store.insert(&view(&frames[2]), 15));
}

#[test]
fn a_frame_longer_than_a_place_is_refused() {
    let frames = frames(&[20]);
    assert!(!FrameStore::new(0, 256).insert(&view(&frames[2]), 0));
}

proptest! {
    #[test]
    fn the_store_keeps_and_misses_what_a_set_of_seqs_would(
        counts in prop::collection::vec(1usize..4, 1..30),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..25),
        from in 1u64..20, length in 0u64..60,
    ) {
        let frames = frames(&counts);
        let mut store = FrameStore::new(64 * 1424, 1424);
        let mut model = std::collections::BTreeSet::new();
        for index in order {
            let frame = view(&frames[index.index(frames.len())]);
            let new = model.insert(frame.header.first_seq);
            prop_assert_eq!(store.insert(&frame, 0), new);
        }
        prop_assert_eq!(store.len(), model.len());
        let seqs: Vec<_> = (0..store.len()).map(|index| store.get(index).unwrap().header.first_seq).collect();
        prop_assert_eq!(&seqs, &model.iter().copied().collect::<Vec<_>>());
        // Seq by seq: missing is what lies in from..to and in no kept frame.
        let stored: std::collections::BTreeSet<Seq> = (0..store.len())
            .flat_map(|index| {
                let header = store.get(index).unwrap().header;
                header.first_seq..header.next_seq()
            })
            .collect();
        let to = from + length;
        let expected: Vec<Seq> = (from..to).filter(|seq| !stored.contains(seq)).collect();
        let ranges = missing(&store, 0, from, to);
        let missing: Vec<Seq> = ranges.iter().flat_map(|(from, to)| *from..*to).collect();
        prop_assert_eq!(missing, expected);
        prop_assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0), "no two ranges touch: {:?}", ranges);
    }
}

#[test]
fn every_missing_range_is_known() {
    let frames = frames(&[1; 90]);
    let mut store = FrameStore::new(128 * 1424, 1424);
    for bytes in frames.iter().skip(3).step_by(2) {
        assert!(store.insert(&view(bytes), 0));
    }
    let ranges = missing(&store, 0, 3, 93);
    assert_eq!(ranges.len(), 45);
    assert_eq!(ranges[..2], [(3, 4), (5, 6)]);
}
