//! What the hot path must not do: allocate, cause page faults, or make more or other system calls than
//! needed. One thread turns leader, standby, publisher and subscriber here, on real sockets and files, so
//! that each call can be watched separately.

use crate::support::Cluster;
use lockstep_client::{Delivery, Publisher, PublisherEvent, Start, Subscriber, SubscriberEvent};
use lockstep_core::engine::counters::Counter;
use lockstep_io::clock::Clock;
use lockstep_io::event_ring;
use lockstep_io::udp::UdpCounts;
use lockstep_node::{EVENT_KINDS, Node};
use lockstep_process::cpu;
use lockstep_process::events::Recorder;
use lockstep_process::guard;
use lockstep_testkit::child::printed;
use lockstep_testkit::lane::amount;
use lockstep_wire::CHANNELS;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// There is no takeover here, however long the machine keeps a role waiting. Every message is for a channel,
/// whose limit is looked up because another channel has a smaller one.
const SMALL: &str = "[[channels]]\nid = 1\nmessage_len_max = 8\n[[channels]]\nid = 7\nmessage_len_max = 64\n\
    [journal]\ntail_size = \"8MiB\"\nsegment_size = \"16MiB\"\n[stream]\nwindow_bytes = \"1MiB\"\n\
    [timing]\nfailure_timeout = \"30s\"\nfailure_timeout_max = \"30s\"\n";
const WARM_UP: u64 = 5_000;

/// Messages after the warm-up.
fn messages() -> u64 {
    amount(10_000, 100_000)
}

/// The parts of a cluster: two of three nodes, a publisher, a subscriber in each mode.
struct Parts {
    leader: Node,
    standby: Node,
    publisher: Publisher,
    committed: Subscriber,
    stamped: Subscriber,
    recorder: Recorder,
    clock: Clock,
    orders: u32,
}

/// A role that has its turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Leader,
    Standby,
    Publisher,
    Committed,
    Stamped,
}

const ROLES: [Role; 5] = [Role::Leader, Role::Standby, Role::Publisher, Role::Committed, Role::Stamped];

impl Parts {
    fn open(cluster: &Cluster) -> Self {
        let open = |id| Node::open(&cluster.node(id)).unwrap_or_else(|error| panic!("{error}"));
        let endpoint = cluster.endpoint();
        let mut parts = Self {
            leader: open(1),
            standby: open(2),
            publisher: Publisher::connect(&endpoint).unwrap(),
            committed: Subscriber::connect(&endpoint, Delivery::Committed, Start::Live).unwrap(),
            stamped: Subscriber::connect(&endpoint, Delivery::Stamped, Start::Live).unwrap(),
            recorder: Recorder::new(EVENT_KINDS, 1024),
            clock: Clock::start(),
            orders: 0,
        };
        parts.recorder.store_in(&event_ring::beside(&cluster.node(1).counters)).unwrap();
        parts.publisher.begin_open("orders", [1, 2]).expect("a valid name");
        let begun = Instant::now();
        while parts.orders == 0 {
            assert!(begun.elapsed() < Duration::from_secs(30), "nobody opened the publisher");
            for role in ROLES {
                let orders = &mut 0;
                parts.turn(role, &mut 0, orders);
                parts.orders = parts.orders.max(*orders);
            }
        }
        parts
    }

    /// One turn of one role. `done` counts its work; `opened` returns a publisher's id.
    fn turn(&mut self, role: Role, done: &mut u64, opened: &mut u32) {
        let now = self.clock.now();
        match role {
            Role::Leader => {
                self.leader.turn(now, &self.recorder);
                *done = self.leader.replica().core.counters.get(Counter::Stamped);
            }
            Role::Standby => {
                self.standby.turn(now, &self.recorder);
                *done = self.standby.replica().core.counters.get(Counter::AcceptNext);
            }
            Role::Publisher => {
                if self.orders != 0 {
                    for _ in 0..3 {
                        // A full window refuses it.
                        let _ = self.publisher.try_publish(self.orders, CHANNELS + 7, &[7; 64]);
                    }
                }
                self.publisher.poll(usize::MAX, |event| match event {
                    PublisherEvent::Opened { publisher, .. } => *opened = publisher,
                    PublisherEvent::Committed { .. } => *done += 1,
                    _ => {}
                });
            }
            Role::Committed | Role::Stamped => {
                let subscriber =
                    if role == Role::Committed { &mut self.committed } else { &mut self.stamped };
                subscriber.poll(usize::MAX, |event| {
                    if let SubscriberEvent::Message(_) = event {
                        *done += 1;
                    }
                    ControlFlow::Continue(())
                });
            }
        }
    }

    fn calls(&self, role: Role) -> UdpCounts {
        match role {
            Role::Leader => self.leader.replica().net().counts(),
            Role::Standby => self.standby.replica().net().counts(),
            Role::Publisher => self.publisher.net().counts(),
            Role::Committed => self.committed.net().counts(),
            Role::Stamped => self.stamped.net().counts(),
        }
    }
}

/// After warm-up there is not one allocation per hundred thousand messages, in any role; and no turn makes
/// more than one receive and one send call, with a look at the unicast socket in one of eight turns at most.
#[test]
fn no_role_allocates_or_makes_a_call_too_many() {
    let cluster = Cluster::new(3, SMALL);
    let mut parts = Parts::open(&cluster);
    let mut done = [0; ROLES.len()];
    let mut before = None;
    let mut turns = 0u64;
    let mut allocations = [0; ROLES.len()];
    let begun = Instant::now();
    let enough = WARM_UP + messages();
    while done[3] < enough {
        assert!(begun.elapsed() < Duration::from_secs(120), "stuck at {done:?}");
        let warm = done[3] >= WARM_UP;
        if warm && before.is_none() {
            before = Some(ROLES.map(|role| parts.calls(role)));
        }
        turns += u64::from(warm);
        for (index, role) in ROLES.into_iter().enumerate() {
            let calls = parts.calls(role);
            let info = allocation_counter::measure(|| parts.turn(role, &mut done[index], &mut 0));
            if warm {
                allocations[index] += info.count_total;
                let after = parts.calls(role);
                assert!(after.group_receives - calls.group_receives <= 1, "{role:?}: two receives in a turn");
                assert!(after.group_sends - calls.group_sends <= 1, "{role:?}: two sends in a turn");
            }
        }
    }
    let before = before.expect("the warm-up ended");
    for (index, role) in ROLES.into_iter().enumerate() {
        let polls = parts.calls(role).unicast_receives - before[index].unicast_receives;
        println!(
            "{role:?}: {} allocations, {turns} turns, {} receives, {} sends, {polls} looks at unicast",
            allocations[index],
            parts.calls(role).group_receives - before[index].group_receives,
            parts.calls(role).group_sends - before[index].group_sends,
        );
        assert_eq!(allocations[index], 0, "{role:?} allocates");
        // Under pressure a datagram may be lost and requested; then the role looks at each turn.
        let lost = parts.calls(role).dropped > 0;
        assert!(lost || polls <= turns / 8 + 1, "{role:?} looked {polls} times in {turns} turns");
    }
}

/// With locked memory (`mlock = true`) no role causes a page fault once it is warm: every buffer, ring and
/// page of the journal's tail was touched when it was made.
///
/// This runs in a child: locking all memory of a process would disturb other tests.
#[test]
fn no_role_takes_a_page_fault() {
    const LOCKED: &str = "LOCKSTEP_HOT_PATH_LOCKED";
    if std::env::var_os(LOCKED).is_none() {
        let mut child = Command::new(std::env::current_exe().expect("the test's own path"));
        child.args(["hot_path::no_role_takes_a_page_fault", "--exact", "--nocapture"]).env(LOCKED, "1");
        let output = child.output().expect("starting the child");
        let text = printed(&output);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        text.lines().filter(|line| line.contains("SKIPPED")).for_each(|line| println!("{line}"));
        return;
    }
    let counted = Faults::of_this_thread();
    let before = counted.get();
    let mut fresh = memmap2::MmapMut::map_anon(1 << 20).expect("a megabyte");
    fresh[1 << 19] = 1;
    assert!(counted.get() > before, "the first touch of a page counts");

    let locked = cpu::lock_memory();
    if let Some(why) = locked.note {
        println!("SKIPPED: memory cannot be locked here: {why}");
        return;
    }
    let cluster = Cluster::new(3, SMALL);
    let mut parts = Parts::open(&cluster);
    let mut done = [0; ROLES.len()];
    let mut faults = [0; ROLES.len()];
    let begun = Instant::now();
    let enough = WARM_UP + messages();
    while done[3] < enough {
        assert!(begun.elapsed() < Duration::from_secs(120), "stuck at {done:?}");
        for (index, role) in ROLES.into_iter().enumerate() {
            let warm = done[3] >= WARM_UP;
            let before = counted.get();
            parts.turn(role, &mut done[index], &mut 0);
            faults[index] += if warm { counted.get() - before } else { 0 };
        }
    }
    assert_eq!(faults, [0; ROLES.len()], "page faults of {ROLES:?} in {} messages", messages());
}

/// The kernel's count of a thread's page faults.
struct Faults(std::fs::File);

impl Faults {
    fn of_this_thread() -> Self {
        Self(std::fs::File::open("/proc/thread-self/stat").expect("Linux has it"))
    }

    /// Minor and major faults together.
    fn get(&self) -> u64 {
        let mut text = [0; 512];
        let length = self.0.read_at(&mut text, 0).expect("the kernel's own file");
        let text = std::str::from_utf8(&text[..length]).expect("numbers");
        // After the name, which may contain anything: state, six numbers, minflt, cminflt, majflt.
        let (_, numbers) = text.rsplit_once(')').expect("a name in brackets");
        let mut numbers = numbers.split_ascii_whitespace().skip(7);
        let mut next = || numbers.next().and_then(|word| word.parse::<u64>().ok()).expect("a number");
        let minor = next();
        next();
        minor + next()
    }
}

const CHILD: &str = "LOCKSTEP_HOT_PATH_CHILD";

/// The duty cycle of each role runs ten thousand messages (by night a hundred thousand) under a seccomp
/// filter that allows two calls, and `sched_yield`, and reports any other.
#[test]
fn no_role_makes_any_other_system_call() {
    if let Ok(role) = std::env::var(CHILD) {
        guarded(ROLES[role.parse::<usize>().expect("a role's number")]);
    }
    if let Some(why) = guard::unsupported() {
        println!("SKIPPED: no guard here: {why}");
        return;
    }
    // A child that ends under the filter removes nothing.
    let folder = tempfile::TempDir::new().expect("a temporary directory");
    for (index, role) in ROLES.into_iter().enumerate() {
        let output = Command::new(std::env::current_exe().expect("the test's own path"))
            .args(["hot_path::no_role_makes_any_other_system_call", "--exact", "--nocapture"])
            .env(CHILD, index.to_string())
            .env("TMPDIR", folder.path())
            .output()
            .expect("starting the child");
        let text = printed(&output);
        assert!(output.status.success(), "{role:?}: {text}");
        println!("{role:?}: {}", text.lines().rfind(|line| line.contains("under guard")).unwrap_or("?"));
    }
}

/// Runs `role` on its own thread under the filter, and all other roles on another; never returns.
fn guarded(role: Role) -> ! {
    let cluster = Cluster::new(3, SMALL);
    let parts = Parts::open(&cluster);
    let turns = AtomicU64::new(0);
    let progress = AtomicU64::new(0);
    let finished = AtomicBool::new(false);
    let parts = std::sync::Mutex::new(Some(parts));
    std::thread::scope(|scope| {
        // Two threads turn the same parts, each its own roles: the parts are leaked and split by role.
        let all = parts.lock().unwrap().take().expect("put there above");
        let (watched, others) = split(all, role);
        let (turns, progress, finished) = (&turns, &progress, &finished);
        scope.spawn(move || turn_others(others, turns, finished));
        scope.spawn(move || turn_watched(watched, turns, progress, finished));
        let begun = Instant::now();
        loop {
            std::thread::sleep(Duration::from_millis(5));
            if let Some(call) = guard::trapped() {
                eprintln!("{role:?} called {} ({call})", guard::call_name(call).unwrap_or("?"));
                std::process::exit(1);
            }
            if finished.load(Ordering::Acquire) {
                println!("{role:?}: {} messages under guard", progress.load(Ordering::Relaxed));
                std::process::exit(0);
            }
            if begun.elapsed() > Duration::from_secs(100) {
                eprintln!("{role:?} is stuck at {}", progress.load(Ordering::Relaxed));
                std::process::exit(1);
            }
        }
    })
}

/// The turn of one part.
type Turner = Box<dyn FnMut(&mut u64) + Send>;

fn split(parts: Parts, role: Role) -> (Turner, Vec<Turner>) {
    let Parts { mut leader, mut standby, mut publisher, mut committed, mut stamped, recorder, clock, orders } =
        parts;
    let second = recorder.clone();
    let mut turners: Vec<(Role, Turner)> = vec![
        (
            Role::Leader,
            Box::new(move |done| {
                leader.turn(clock.now(), &recorder);
                *done = leader.replica().core.counters.get(Counter::Stamped);
            }),
        ),
        (
            Role::Standby,
            Box::new(move |done| {
                standby.turn(clock.now(), &second);
                *done = standby.replica().core.counters.get(Counter::AcceptNext);
            }),
        ),
        (
            Role::Publisher,
            Box::new(move |done| {
                let _ = publisher.try_publish(orders, CHANNELS + 7, &[7; 64]);
                publisher.poll(usize::MAX, |event| {
                    *done += u64::from(matches!(event, PublisherEvent::Committed { .. }))
                });
            }),
        ),
        (Role::Committed, Box::new(move |done| read(&mut committed, done))),
        (Role::Stamped, Box::new(move |done| read(&mut stamped, done))),
    ];
    let at = turners.iter().position(|(other, _)| *other == role).expect("every role is there");
    let (_, watched) = turners.remove(at);
    (watched, turners.into_iter().map(|(_, turner)| turner).collect())
}

fn read(subscriber: &mut Subscriber, done: &mut u64) {
    subscriber.poll(usize::MAX, |event| {
        *done += u64::from(matches!(event, SubscriberEvent::Message(_)));
        ControlFlow::Continue(())
    });
}

/// The most rounds that the others may be ahead of the watched role. On a busy host it would otherwise fall
/// out of the rings, and correctly read from a journal, with calls of its own.
const AHEAD: u64 = 64;

fn turn_others(mut others: Vec<Turner>, turns: &AtomicU64, finished: &AtomicBool) {
    let mut rounds = 0;
    while !finished.load(Ordering::Acquire) {
        if rounds < turns.load(Ordering::Acquire) + AHEAD {
            rounds = turns.load(Ordering::Acquire).max(rounds + 1);
            for other in &mut others {
                other(&mut 0);
            }
        }
        std::thread::yield_now();
    }
}

fn turn_watched(mut watched: Turner, turns: &AtomicU64, progress: &AtomicU64, finished: &AtomicBool) {
    let mut done = 0;
    while done < WARM_UP {
        watched(&mut done);
        turns.fetch_add(1, Ordering::AcqRel);
        std::thread::yield_now();
    }
    let from = done;
    let enough = from + messages();
    let calls = [&guard::UDP_CALLS[..], &[libc::SYS_sched_yield]].concat();
    guard::engage(&calls).expect("a filter on this thread");
    while done < enough {
        watched(&mut done);
        turns.fetch_add(1, Ordering::AcqRel);
        std::thread::yield_now();
    }
    progress.store(done - from, Ordering::Relaxed);
    finished.store(true, Ordering::Release);
    // The end of a thread makes calls of its own: the main thread ends the process.
    loop {
        std::thread::yield_now();
    }
}
