//! A hot thread: its core, its memory, its turns, and the guard over its system calls.

use crate::{KINDS, burst, open, settings};
use lockstep_core::engine::counters::Described;
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_io::Effective;
use lockstep_io::clock::Clock;
use lockstep_io::counters::CountersFile;
use lockstep_io::idle::{Idle, PARK_NS_MIN};
use lockstep_io::udp::UdpCounts;
use lockstep_process::events::Recorder;
use lockstep_process::{cpu, duty, guard};
use lockstep_testkit::child::{child_of, is_child_of, printed};
use lockstep_wire::EventRecord;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[test]
fn a_duty_cycle_takes_one_now_per_turn_and_ends_when_told_under_every_idle_strategy() {
    let clock = Clock::start();
    for text in ["spin", "yield", "park", "adapt"] {
        let idle: Idle = text.parse().unwrap();
        assert_eq!(idle.to_string(), text);
        let udp = open(&settings());
        let mut waiter = idle.waiter(&udp.sockets()).unwrap();
        let (stop, mut times) = (AtomicBool::new(false), Vec::new());
        let turns = duty::run(
            &mut |now| {
                times.push(now);
                stop.store(times.len() == 20, Ordering::Release);
                duty::Turn { work: times.len() % 2, next_deadline: Some(now + PARK_NS_MIN), progress: None }
            },
            &clock,
            &mut waiter,
            &stop,
        );
        assert_eq!((turns, times.len()), (20, 20));
        assert!(times.is_sorted() && times[0] > 0 && times[19] <= clock.now());
    }
    assert!("sleep".parse::<Idle>().is_err());
    assert_eq!((Idle::for_machine(2, 2), Idle::for_machine(3, 2)), (Idle::Spin, Idle::Yield));
}

#[test]
fn a_core_is_pinned_and_read_back_and_a_missing_one_is_told() {
    let apart = std::thread::spawn(|| {
        // Field 19 of proc(5).
        let niceness = || {
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            stat.rsplit(')').next().unwrap().split_whitespace().nth(16).unwrap().parse::<i32>().unwrap()
        };
        let before = niceness();
        let core = *cpu::cores().last().unwrap();
        let missing = cpu::pin(1_000_000);
        assert!(missing.note.unwrap().contains("choose one of them"));
        assert_eq!(cpu::pin(core), Effective::granted("core", core));
        assert_eq!(cpu::cores(), [core]);
        assert_eq!(cpu::schedule(cpu::SchedulingClass::Other).note, None);
        assert_eq!(cpu::timer_slack(1).got, "1");
        let slice = cpu::short_slice();
        assert!(slice.got == slice.requested || slice.got == "the kernel's own", "{slice}");
        // Its share is what it was.
        assert_eq!(niceness(), before);
    });
    apart.join().unwrap();
    assert_eq!("fifo:20".parse(), Ok(cpu::SchedulingClass::Fifo(20)));
    assert!("fifo:100".parse::<cpu::SchedulingClass>().unwrap_err().contains("fifo:1 to fifo:99"));
}

#[test]
fn resident_memory_grows_by_what_is_touched() {
    let before = cpu::resident_bytes(std::process::id()).unwrap();
    let touched = vec![1_u8; 64 << 20];
    let after = cpu::resident_bytes(std::process::id()).unwrap();
    assert!(after > before + (48 << 20), "{before} {after} {}", touched[before as usize % touched.len()]);
    assert_eq!(cpu::resident_bytes(u32::MAX), None);
}

#[test]
fn each_setting_of_the_machine_answers_with_what_is_in_force() {
    const TEST: &str = "machine::each_setting_of_the_machine_answers_with_what_is_in_force";
    if !is_child_of(TEST) {
        // In a child: locked memory and real time are no company for other tests.
        let output = child_of(TEST).output().unwrap();
        assert!(output.status.success(), "{}", printed(&output));
        return;
    }
    let number = |path: &str| std::fs::read_to_string(path).unwrap().trim().parse::<i64>().unwrap();
    let fifo = cpu::schedule(cpu::SchedulingClass::Fifo(1));
    let note = fifo.note.unwrap_or_default();
    if fifo.got == "fifo:1" {
        let runtime_us = number("/proc/sys/kernel/sched_rt_runtime_us");
        let throttled = runtime_us >= 0 && runtime_us < number("/proc/sys/kernel/sched_rt_period_us");
        assert_eq!(note.contains("sched_rt_runtime_us=-1"), throttled, "{note}");
        assert_eq!(cpu::schedule(cpu::SchedulingClass::Other).got, "other");
    } else {
        assert!(fifo.got == "other" && note.contains("CAP_SYS_NICE"), "{note}");
    }
    let mlock = cpu::lock_memory();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
    assert_eq!(mlock.got == "on", locked.trim() != "0 kB", "{mlock}; the kernel says {locked}");
    assert!(mlock.got == "on" || mlock.note.unwrap().contains("ulimit -l"));
}

#[test]
fn a_guarded_duty_cycle_runs_on_two_calls_and_a_yield_and_the_first_other_call_is_named() {
    const TEST: &str =
        "machine::a_guarded_duty_cycle_runs_on_two_calls_and_a_yield_and_the_first_other_call_is_named";
    if let Some(reason) = guard::unsupported() {
        println!("SKIPPED: {reason}");
        return;
    }
    if is_child_of(TEST) {
        guarded_child();
    }
    // A child that ends under its guard removes nothing.
    let folder = tempfile::tempdir().expect("a folder");
    for (call, turns) in [("getpid", 10_000), ("write", 10_000)] {
        let mut child = child_of(TEST);
        child.env("LOCKSTEP_TEST_CALL", call).env("TMPDIR", folder.path());
        let output = child.output().unwrap();
        let text = printed(&output);
        assert!(output.status.success(), "{text}");
        assert!(text.contains(&format!("trapped {call} after {turns} turns")), "{text}");
    }
}

/// Runs a duty cycle under a guard, then makes the call that is asked for, and says what was trapped.
fn guarded_child() -> ! {
    static TURNS: AtomicU64 = AtomicU64::new(0);
    let call = std::env::var("LOCKSTEP_TEST_CALL").expect("the call to make");
    let folder = tempfile::tempdir().expect("a folder");
    let counters = folder.path().join("counters");
    std::thread::spawn(move || {
        let (mut udp, recorder) = (open(&settings()), Recorder::new(KINDS, 16));
        let mut counters = CountersFile::create(
            &counters,
            &[],
            &UdpCounts::ROWS.iter().map(|row| Described::from(*row)).collect::<Vec<_>>(),
        )
        .expect("a file");
        let (clock, stop, bytes) = (Clock::start(), AtomicBool::new(false), burst(5, 1000));
        let mut waiter = Idle::Yield.waiter(&[]).expect("a waiter");
        let to = udp.unicast_address();
        let mut turn = |now| {
            udp.send_group(Group::Data, &[Burst { bytes: &bytes, stride: 1000 }]);
            udp.send_unicast(to, [&bytes[..8], &bytes[8..16]]);
            let arrived = udp.recv_groups() + udp.recv_unicast();
            recorder.record(EventRecord { at: now, a: arrived as u64, code: 1001, ..EventRecord::default() });
            counters.publish(now, &udp.counts().values());
            stop.store(TURNS.fetch_add(1, Ordering::Relaxed) == 9_999, Ordering::Release);
            arrived % 2 // idle now and then, so that the waiter is guarded too
        };
        let calls = [&guard::UDP_CALLS[..], &[libc::SYS_sched_yield]].concat();
        guard::engage(&calls).expect("a filter");
        duty::run(&mut turn, &clock, &mut waiter, &stop);
        match call.as_str() {
            "write" => std::io::stderr().write_all(b"this never appears\n").expect("trapped before"),
            _ => assert_ne!(std::process::id(), 0),
        }
    });
    // This thread has no filter. `is_child_of` ends the process if nothing is ever trapped.
    let number = loop {
        match guard::trapped() {
            Some(number) => break number,
            None => std::thread::yield_now(),
        }
    };
    let name = guard::call_name(number).unwrap_or("an unknown call");
    println!("trapped {name} after {} turns", TURNS.load(Ordering::Relaxed));
    std::process::exit(0);
}

#[test]
fn sending_and_receiving_allocate_nothing_after_the_first_turns() {
    let (mut udp, recorder) = (open(&settings()), Recorder::new(KINDS, 64));
    let (to, bytes) = (udp.unicast_address(), burst(40, 1400));
    let mut arrived = 0;
    let mut turn = |now| {
        udp.send_group(Group::Data, &[Burst { bytes: &bytes, stride: 1400 }]);
        assert!(udp.send_unicast(to, [&bytes[..100], &bytes[..50]]));
        for index in 0..udp.recv_groups() {
            arrived += udp.group_datagram(index).len();
        }
        for index in 0..udp.recv_unicast() {
            arrived += udp.unicast_datagram(index).0.len();
        }
        recorder.record(EventRecord { at: now, code: 1001, ..EventRecord::default() });
    };
    let clock = Clock::start();
    (0..10).for_each(|_| turn(clock.now()));
    let allocated = allocation_counter::measure(|| (0..1000).for_each(|_| turn(clock.now())));
    assert_eq!((allocated.count_total, allocated.bytes_total), (0, 0));
    assert_eq!(arrived, 1010 * (bytes.len() + 150), "all of it arrived");
}
