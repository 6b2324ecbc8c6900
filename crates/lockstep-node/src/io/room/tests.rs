//! A disk that fills is reported in time, and one that does not fill is not reported.

use super::*;

const SECOND: Nanos = 1_000_000_000;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const SEGMENT: u64 = 64 * MIB;
const RETAINED: u64 = 100 * GIB;

fn judge(bytes_max: u64) -> RoomJudge {
    RoomJudge::new(SEGMENT, Retention { bytes_max, age_ns_max: 0 })
}

fn left(free_bytes: u64, sealed_bytes: u64) -> Left {
    Left { free: [free_bytes, 1 << 20, GIB, 1 << 20, 900], descriptors_open: 100, sealed_bytes }
}

/// The judgement at each second, for a journal that grows by `rate` bytes a second, in segments, on a disk of
/// `total` bytes, until retention bounds it.
fn lows(
    judge: &mut RoomJudge,
    seconds: u64,
    total: u64,
    rate: u64,
    retained_max: Option<u64>,
) -> Vec<Option<Low>> {
    let one = |second: u64| {
        let sealed = second * rate / SEGMENT * SEGMENT;
        let sealed = retained_max.map_or(sealed, |most| sealed.min(most / SEGMENT * SEGMENT));
        // The segment being filled, and the next one.
        let free = total.saturating_sub(sealed + 2 * SEGMENT);
        judge.judge(second * SECOND, &left(free, sealed)).1
    };
    (0..seconds).map(one).collect()
}

#[test]
fn a_full_disk_is_said_before_it_is_full() {
    let (total, rate) = (20 * GIB, 10 * MIB);
    let full_at = total / rate;
    let lows = lows(&mut judge(0), full_at, total, rate, None);
    let first = lows.iter().position(Option::is_some).expect("it is said") as u64;
    assert!(first < full_at - 20 * 60, "first at {first} s, full at {full_at} s");
    let first_low = lows[first as usize].expect("low");
    assert_eq!(first_low.resource, 1);
    let really = full_at - first;
    assert!(first_low.left_s.abs_diff(really) < really / 4, "{first_low:?}, and it is full in {really} s");
    assert!(lows[first as usize..].iter().all(Option::is_some), "it comes and goes");
}

#[test]
fn retention_that_holds_the_size_forecasts_no_full_disk_neither_while_it_fills_nor_after() {
    let lows = lows(&mut judge(RETAINED), 4 * 3_600, 110 * GIB, 20 * MIB, Some(RETAINED));
    assert_eq!(lows.iter().flatten().next(), None, "100 GiB are full after 85 min, and stay so");
}

#[test]
fn a_retention_that_does_not_fit_its_disk_holds_nothing() {
    let lows = lows(&mut judge(RETAINED), 85 * 60, 90 * GIB, 20 * MIB, Some(RETAINED));
    assert!(lows.iter().flatten().any(|low| low.resource == 1 && low.left_s > 600), "{:?}", lows.last());
}

#[test]
fn a_journal_that_grows_beyond_its_retention_is_not_held() {
    // The present day stays whole, however large.
    let lows = lows(&mut judge(10 * GIB), 3_600, 80 * GIB, 20 * MIB, None);
    assert!(lows.iter().flatten().any(|low| low.resource == 1 && low.left_s > 600), "{:?}", lows.last());
}

#[test]
fn what_others_take_from_the_disk_of_a_held_journal_is_said() {
    let mut judge = judge(RETAINED);
    let others = |second: u64| second * 5 * MIB;
    let low = (0..1_800)
        .find_map(|second| judge.judge(second * SECOND, &left(RETAINED / 5 - others(second), RETAINED)).1);
    let low = low.expect("it is said");
    assert!(low.resource == 1 && low.left_s > 600, "{low:?}");
}

#[test]
fn few_segments_inodes_or_descriptors_are_low_at_any_rate_and_enough_with_something_to_spare() {
    let plenty = left(GIB, 0);
    for (resource, few, more) in [(0, 255 * MIB, 384 * MIB), (1, 63, 96), (4, 31, 48)] {
        let mut judge = judge(0);
        let mut with = |now: u64, free: u64| {
            let mut left = plenty;
            left.free[resource] = free;
            judge.judge(now * SECOND, &left).1
        };
        let low = Some(Low { resource: resource as u64 + 1, left_s: 0 });
        assert_eq!(with(0, plenty.free[resource]), None);
        assert_eq!(with(1, few), low);
        assert_eq!(with(2, more - 1), low);
        assert_eq!(with(3, more), None);
        assert_eq!(with(4, more - 1), None);
    }
}

#[test]
fn a_tail_that_fills_its_file_system_is_no_shortage() {
    let mut judge = judge(0);
    let mut full = left(GIB, 0);
    (full.free[2], full.free[3]) = (0, 0);
    assert_eq!((0..100).find_map(|second| judge.judge(second * SECOND, &full).1), None);
}

#[test]
fn the_hot_thread_sees_what_was_seen() {
    let seen = RoomSeen::default();
    assert_eq!((seen.values()[0], seen.values()[10], seen.low()), (0, UNSEEN_NS, None));
    let low = Low { resource: 5, left_s: 3_599 };
    seen.store(&std::array::from_fn(|row| row as u64), Some(low));
    assert_eq!((seen.values()[10], seen.low()), (10, Some(low)));
    seen.store(&seen.values(), None);
    assert_eq!(seen.low(), None);
}

#[test]
fn what_is_left_is_read_from_this_host() {
    let folder = std::env::temp_dir();
    let mut watch = RoomWatch::open(&folder, &folder.join("tail"), judge(0)).expect("two folders");
    let (values, _) = watch.look(0, 0).expect("the first look is due");
    assert_eq!(watch.look(LOOK_NS - 1, 0), None);
    let of = |name: &str| values[ROOM_ROWS.iter().position(|row| row.name.starts_with(name)).expect("a row")];
    let open_files: Vec<_> = (0..20).map(|_| File::open("/dev/null").expect("a file")).collect();
    let (later, _) = watch.look(LOOK_NS, 0).expect("due");
    assert_eq!(watch.look(LOOK_NS + 1, 0), None);
    let open_at = ROOM_ROWS.iter().position(|row| row.name == "room_descriptors_open").expect("a row");
    assert!(later[open_at] >= 3 + open_files.len() as u64, "{later:?}");
    assert!(of("room_free_bytes") > 0 && of("room_free_inodes") > 0, "{values:?}");
    assert!(of("room_descriptors_max") > of("room_descriptors_open"), "{values:?}");
    assert_eq!(of("room_left_ns"), UNSEEN_NS);
}
