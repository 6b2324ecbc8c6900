//! Frames as a leader makes them.

use lockstep_core::proto::log::LogEnd;
use lockstep_instructions::frames::Frames;
use lockstep_wire::FrameView;

#[test]
fn each_frame_follows_the_one_before_and_has_as_many_messages_as_were_asked_for() {
    for (frames, count) in [(Frames::of(LogEnd::BLANK, 64, 3), 3), (Frames::full(LogEnd::BLANK, 64), 15)] {
        let (mut frames, mut end) = (frames, LogEnd::BLANK);
        for _ in 0..3 {
            let frame = frames.next_frame().unwrap();
            let view = FrameView::from_prefix(&frame.bytes).unwrap();
            assert_eq!(view.entries().len(), count);
            end = end.follow(&view).unwrap();
        }
        assert_eq!(end.next, 1 + 3 * count as u64);
    }
}

#[test]
fn what_fits_no_frame_is_refused_with_its_size() {
    for mut frames in [Frames::of(LogEnd::BLANK, 64, 16), Frames::full(LogEnd::BLANK, 2000)] {
        assert!(frames.next_frame().is_err_and(|why| why.contains("fit no frame of 1424")));
    }
}
