//! # probe: what is recorded of messages there and back
//!
//! One client, one thread, which publishes what is due and reads what comes: latencies from when a message
//! was due, split at the leader's stamp or at the kernel's note if that is asked for, what bursts leave
//! behind, and what kept the thread.

pub mod recovery;
mod tap;

pub use tap::KernelTimes;

use crate::client::{Client, Losses, Measure};
use crate::floor::{intended, number};
use crate::load::{BATCH_MAX, Drive, Pace, Paced, Probe};
use crate::results::{Round, SENT_SHARE};
use crate::stalls::{STALL_NS, Slow, Stalls, Watch};
use crate::stats::Latencies;
use lockstep_io::clock::Clock;
use lockstep_io::idle::Idle;
use lockstep_wire::Nanos;
use recovery::Recovery;

/// A round that takes so much longer than it should is ended: the machine is too busy to say anything.
const OVERTIME_NS: Nanos = 60_000_000_000;
/// A message that left later than that after its time was late.
const LATE_NS: Nanos = 100_000;
/// A sender of which a greater share was late fell behind.
const LATE_SHARE: f64 = 0.01;
/// The parts of a latency at the leader's stamp.
const TO_STAMP: [&str; 2] = ["to the stamp", "from the stamp"];
/// And at the kernel's note of its coming to the client's host.
const TO_KERNEL: [&str; 2] = ["to the kernel", "from the kernel"];
/// How long after a burst the latency is back.
const BACK: &str = "after a burst, back at the p99 of the calm";

/// The work to do.
pub struct Rally {
    /// When messages leave.
    pub pace: Pace,
    /// Bytes of each.
    pub message_len: usize,
    /// A message due before that is not counted.
    pub warm_up_ns: Nanos,
    /// For how long it is counted.
    pub lasts_ns: Nanos,
    /// Between two turns.
    pub idle: Idle,
    /// Whether latencies are split at the leader's stamp.
    pub one_way: bool,
    /// When the kernel had what was delivered, if that is asked for.
    pub kernel: Option<KernelTimes>,
    /// Whether it is told what kept the client's thread, and which messages were slow.
    pub stalls: bool,
}

impl Rally {
    /// A closed loop without warm-up: whether anybody answers.
    pub fn probe(message_len: usize, lasts_ns: Nanos, idle: Idle) -> Self {
        Self {
            pace: Pace::Closed,
            message_len,
            warm_up_ns: 0,
            lasts_ns,
            idle,
            one_way: false,
            kernel: None,
            stalls: false,
        }
    }
}

/// What the client's thread went through while it counted.
pub struct Watched {
    /// Its stalls.
    pub stalls: Stalls,
    /// Messages that took as long as a stall.
    pub slow: Vec<Slow>,
    /// How many there were of all kinds.
    pub messages: u64,
    /// From when until when it was counted.
    pub counted: [Nanos; 2],
}

/// More slow messages are not kept.
const SLOW_MAX: usize = 1 << 20;

/// What was found.
pub struct Found {
    /// From when a message was due until it was delivered.
    pub latencies: Latencies,
    /// From when it was due until the leader stamped it, and from there: by two clocks.
    pub ways: Option<[Latencies; 2]>,
    /// The same two of the kernel's note of its coming.
    kernel_ways: Option<[Latencies; 2]>,
    /// For each burst, how long after it they took no longer than before.
    back: Option<Latencies>,
    /// Messages that the window did not take at once.
    refused: u64,
    /// Messages that count.
    counted: u64,
    /// From the first one due to the last one delivered.
    lasted_ns: Nanos,
    target: Option<f64>,
    late: u64,
    latest_ns: Nanos,
    losses: Losses,
    /// Of a rally that was to be watched.
    pub watched: Option<Watched>,
}

impl Found {
    /// Messages delivered a second.
    pub fn achieved(&self) -> f64 {
        self.counted as f64 * 1e9 / self.lasted_ns.max(1) as f64
    }

    /// Messages a second that were due, in an open loop.
    pub fn target(&self) -> Option<f64> {
        self.target
    }

    /// The cases that it tells of, `case` itself and its parts: on both sides of the leader's stamp, and of
    /// the kernel's note; and behind bursts. A part is without what must be said of the whole.
    ///
    /// # Errors
    /// A histogram cannot be written.
    pub fn rounds(&self, case: &str) -> Result<Vec<(String, Round)>, String> {
        let stamp = self.ways.iter().flat_map(|ways| TO_STAMP.into_iter().zip(ways));
        let kernel = self.kernel_ways.iter().flat_map(|ways| TO_KERNEL.into_iter().zip(ways));
        let part = |(name, latencies): (&'static str, &Latencies)| {
            Ok((
                format!("{case}, {name}"),
                Round { seconds: self.lasted_ns as f64 / 1e9, ..Round::of(latencies)? },
            ))
        };
        let back = self.back.iter().map(|back| (BACK, back));
        let whole = std::iter::once(self.round().map(|round| (case.to_owned(), round)));
        whole.chain(stamp.chain(kernel).chain(back).map(part)).collect()
    }

    /// As a round.
    ///
    /// # Errors
    /// A histogram cannot be written.
    pub fn round(&self) -> Result<Round, String> {
        let mut marks = Vec::new();
        let late = self.late as f64 / self.counted.max(1) as f64;
        let behind = self.target.is_some_and(|target| self.achieved() < target * SENT_SHARE);
        if self.target.is_some() && (behind || late > LATE_SHARE) {
            marks.push(format!(
                "the sender fell behind: {:.1} % of the messages left more than {} us after their time, at most {:.1} \
                 ms",
                late * 100.0,
                LATE_NS / 1_000,
                self.latest_ns as f64 / 1e6
            ));
        }
        if self.refused > 0 {
            marks.push(format!("the window was full, and said so, for {} messages", self.refused));
        }
        if self.losses.resends > 0 {
            marks.push(format!("submissions were sent again: {}", self.losses.resends));
        }
        Ok(Round {
            seconds: self.lasted_ns as f64 / 1e9,
            target: self.target,
            achieved: Some(self.achieved()),
            lost: self.losses.gaps,
            repaired: self.losses.repaired,
            marks,
            ..Round::of(&self.latencies)?
        })
    }
}

impl Measure for Rally {
    type Found = Found;

    fn with(self, mut client: impl Client) -> Result<Found, String> {
        self.of(&mut client, 0)
    }
}

impl Rally {
    /// Measures with a client whose next message has the number `first`.
    ///
    /// # Errors
    /// A message that did not come, or came out of order.
    pub fn of(self, client: &mut impl Client, first: u64) -> Result<Found, String> {
        let Self { pace, message_len, warm_up_ns, lasts_ns, idle, .. } = self;
        let clock = Clock::start();
        let began = clock.now();
        let counts_from = began + warm_up_ns;
        let ends = counts_from + lasts_ns;
        let mut timing = Timing::new(self, clock, [began, counts_from, ends])?;
        let drive = Drive {
            clock: &clock,
            idle,
            message_len,
            first,
            batch_max: BATCH_MAX,
            drains: true,
            sleeps: false,
            gives_up: ends + OVERTIME_NS,
        };
        let lost_before = client.losses();
        let ended = drive.run(client, &mut Paced::new(pace, began, ends), &mut timing)?;
        let over = ended.moved_at.max(ends);
        let Timing { counted, late, latest_ns, refused, .. } = timing;
        Ok(Found {
            latencies: timing.latencies,
            ways: timing.ways,
            kernel_ways: timing.kernel.map(|kernel| kernel.ways),
            back: timing.recovery.map(Recovery::times).transpose()?,
            refused,
            counted,
            lasted_ns: over - counts_from,
            // What its bursts add is in what it counted.
            target: (pace != Pace::Closed).then(|| counted as f64 * 1e9 / lasts_ns as f64),
            late,
            latest_ns,
            losses: client.losses().since(lost_before),
            watched: timing.watch.map(|(watch, slow)| Watched {
                stalls: watch.end(),
                slow,
                messages: counted,
                counted: [counts_from, over],
            }),
        })
    }
}

/// The probe while the loop runs.
struct Timing {
    clock: Clock,
    began: Nanos,
    counts_from: Nanos,
    latencies: Latencies,
    ways: Option<[Latencies; 2]>,
    kernel: Option<KernelTimes>,
    recovery: Option<Recovery>,
    watch: Option<(Watch, Vec<Slow>)>,
    refused: u64,
    /// The message that is due was refused before.
    is_refused: bool,
    counted: u64,
    late: u64,
    latest_ns: Nanos,
}

impl Timing {
    fn new(rally: Rally, clock: Clock, [began, counts_from, ends]: [Nanos; 3]) -> Result<Self, String> {
        let recovery = match rally.pace {
            Pace::Open(rate, Some(burst)) => Some(Recovery::new(burst, rate, ends - began)?),
            _ => None,
        };
        Ok(Self {
            clock,
            began,
            counts_from,
            latencies: Latencies::new()?,
            ways: if rally.one_way { Some([Latencies::new()?, Latencies::new()?]) } else { None },
            kernel: rally.kernel,
            recovery,
            watch: if rally.stalls { Some((Watch::begin(None)?, Vec::new())) } else { None },
            refused: 0,
            is_refused: false,
            counted: 0,
            late: 0,
            latest_ns: 0,
        })
    }
}

impl Probe for Timing {
    fn sent(&mut self, now: Nanos, due: Nanos) {
        self.is_refused = false;
        if due >= self.counts_from {
            self.counted += 1;
            self.late += u64::from(now - due > LATE_NS);
            self.latest_ns = self.latest_ns.max(now - due);
        }
    }

    fn refused(&mut self) {
        self.refused += u64::from(!self.is_refused);
        self.is_refused = true;
    }

    fn came(&mut self, message: &[u8], stamped: Nanos) {
        let due = intended(message);
        if due < self.counts_from {
            return;
        }
        let now = self.clock.now();
        let took = now.saturating_sub(due);
        self.latencies.record(took);
        if let Some((_, slow)) = &mut self.watch
            && took >= STALL_NS
            && slow.len() < SLOW_MAX
        {
            slow.push(Slow { due, came: now });
        }
        if let Some(recovery) = &mut self.recovery {
            recovery.record(due - self.began, took);
        }
        let wall = self.clock.wall(now);
        if let Some([out, back]) = &mut self.ways {
            out.record(stamped.saturating_sub(self.clock.wall(due)));
            back.record(wall.saturating_sub(stamped));
        }
        if let Some(kernel) = &mut self.kernel {
            kernel.delivered(number(message), self.clock.wall(due), wall);
        }
    }

    fn end_turn(&mut self, worked: bool, client: &impl Client) -> Result<(), String> {
        if let Some((watch, _)) = &mut self.watch {
            watch.turned(worked, 0)?;
        }
        self.kernel.as_mut().map_or(Ok(()), |kernel| kernel.turn(client.publisher()))
    }
}
