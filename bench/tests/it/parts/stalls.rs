//! What has stalled a thread, and which messages it met.

use lockstep_bench::stalls::{Cause, Counted, STALL_NS, Slow, Stall, Stalls, Tally, Watch};
use lockstep_io::clock::Clock;
use std::time::SystemTime;

#[test]
fn a_stall_is_told_by_what_the_kernel_counted_since_the_last_look() {
    let before = Counted::default();
    let cause = |counted: Counted, worked| counted.cause(&before, 100_000, worked);
    let delayed = Counted { run_delay_ns: 90_000, faults: 3, ..before };
    assert_eq!(cause(delayed, true), Cause::Scheduler);
    assert_eq!(cause(Counted { others_ns: 80_000, ..delayed }, true), Cause::SideThread);
    assert_eq!(cause(Counted { run_delay_ns: 10_000, faults: 1, ..before }, false), Cause::PageFault);
    assert_eq!(cause(Counted { begun: Some(SystemTime::UNIX_EPOCH), ..before }, true), Cause::RollOver);
    assert_eq!(cause(Counted { durable: 7, ..before }, true), Cause::Flush);
    assert_eq!((cause(before, false), cause(before, true)), (Cause::Machine, Cause::Ours));
}

#[test]
fn a_thread_that_works_for_long_is_seen_to_have_stalled_by_itself_or_for_want_of_a_core() {
    let mut watch = Watch::begin(None).expect("a kernel that counts");
    let clock = Clock::start();
    let ends = clock.now() + 4 * STALL_NS;
    while clock.now() < ends {}
    watch.turned(true, 0).expect("a look");
    let found = watch.end();
    assert!(found.stalls.len() == 1 && found.stalls[0].lasted_ns >= 4 * STALL_NS, "{found:?}");
    let cause = found.stalls[0].cause;
    assert!(
        matches!(cause, Cause::Ours | Cause::Scheduler | Cause::SideThread | Cause::PageFault),
        "{found:?}"
    );
}

#[test]
fn a_slow_message_is_told_by_the_longest_stall_that_it_met_or_waited_behind() {
    let stall = |began, lasted_ns, cause| Stall { began, lasted_ns, cause };
    let leader = Stalls {
        stalls: vec![stall(1_000, 60_000, Cause::Machine), stall(9_000_000, 300_000, Cause::Scheduler)],
        ..Stalls::default()
    };
    let client = Stalls { stalls: vec![stall(9_050_000, 90_000, Cause::Ours)], ..Stalls::default() };
    let slow = [(30_000, 90_000), (9_100_000, 9_400_000), (9_400_000, 9_460_000), (70_000_000, 70_060_000)];
    let slow = slow.map(|(due, came)| Slow { due, came });
    let mut tally = Tally::default();
    tally.add(&[("leader", leader), ("client", client)], &slow, 1_000, [0, 100_000_000]);
    let late = |process, cause| tally.of.get(&(process, cause)).map_or(0, |of| of[3]);
    assert_eq!(late("leader", Cause::Machine), 1);
    assert_eq!(late("leader", Cause::Scheduler), 2, "also who was due behind its end");
    assert_eq!((late("client", Cause::Ours), tally.unexplained), (0, 1));
}
