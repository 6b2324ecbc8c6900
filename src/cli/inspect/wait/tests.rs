use super::*;

#[test]
fn a_day_that_did_not_begin_is_answered_with_the_last_one_that_did() {
    let mut days = Days::default();
    assert_eq!(days.missing(), "nothing of the stream was read");
    let day =
        |seq, is_start, name| SubscriberEvent::Day { seq, timestamp: 0, mark: DayMark { is_start, name } };
    days.on_event(&day(3, true, "20261121"), "20261122");
    days.on_event(&day(7, false, ""), "20261122");
    days.next = 9;
    let missing = days.missing();
    assert!(missing.contains("from seq 3 to 8") && missing.contains("is 20261121, at seq 3"), "{missing}");
    days.on_event(&day(9, true, "20261122"), "20261122");
    assert_eq!(days.begins, Some(9));
}

#[test]
fn a_day_is_looked_for_in_the_newest_part_of_the_stream_first() {
    let starts = |end| day_starts(end).collect::<Vec<_>>();
    assert_eq!(starts(1), [Start::Oldest]);
    assert_eq!(starts(DAY_READ_FIRST + 1), [Start::Oldest]);
    assert_eq!(starts(DAY_READ_FIRST + 2), [Start::From(2), Start::Oldest]);
    let end = 20_000_000;
    let from = |times| Start::From(end - times * DAY_READ_FIRST);
    assert_eq!(starts(end), [from(1), from(16), from(256), Start::Oldest]);
}
