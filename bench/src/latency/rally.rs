//! Messages there and back: one client, one thread, which publishes what is due and reads what comes.

use super::pace::{Pace, Schedule};
use super::recovery::Recovery;
use super::tap::KernelTimes;
use crate::client::{Client, Losses, Measure};
use crate::floor::{MESSAGE_LEN_MIN, intended, number, write_message};
use crate::results::{Round, SENT_SHARE};
use crate::stalls::{STALL_NS, Slow, Stalls, Watch};
use crate::stats::Latencies;
use lockstep_io::clock::Clock;
use lockstep_io::idle::Idle;
use lockstep_wire::Nanos;

/// A message that takes longer is lost, and with it the measurement.
const LOST_NS: Nanos = 5_000_000_000;
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
/// Messages that are due and leave together.
const BATCH_MAX: usize = 64;

/// What is to be done.
pub struct Rally {
    /// When messages leave.
    pub pace: Pace,
    /// Bytes of each.
    pub message_len: usize,
    /// What is due before that is not counted.
    pub warm_up_ns: Nanos,
    /// For how long it is counted.
    pub lasts_ns: Nanos,
    /// Between two turns.
    pub idle: Idle,
    /// What is burnt for each delivered message: planted, to see whether a comparison finds it.
    pub plant_ns: Nanos,
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
            plant_ns: 0,
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
    ways: Option<[Latencies; 2]>,
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

    /// Its parts by what they are called, without what must be said of the whole: on both sides of the leader's
    /// stamp, and of the kernel's note; and behind bursts.
    ///
    /// # Errors
    /// A histogram cannot be written.
    pub fn parts(&self) -> Result<Vec<(&'static str, Round)>, String> {
        let stamp = self.ways.iter().flat_map(|ways| TO_STAMP.into_iter().zip(ways));
        let kernel = self.kernel_ways.iter().flat_map(|ways| TO_KERNEL.into_iter().zip(ways));
        let part = |(name, latencies): (&'static str, &Latencies)| {
            Ok((name, Round { seconds: self.lasted_ns as f64 / 1e9, ..Round::of(latencies)? }))
        };
        let back = self.back.iter().map(|back| (BACK, back));
        stamp.chain(kernel).chain(back).map(part).collect()
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

    fn with(mut self, mut client: impl Client) -> Result<Found, String> {
        let clock = Clock::start();
        let mut waiter = self.idle.waiter(&[]).map_err(|error| error.to_string())?;
        let mut latencies = Latencies::new()?;
        let mut ways = if self.one_way { Some([Latencies::new()?, Latencies::new()?]) } else { None };
        let mut watch = if self.stalls { Some((Watch::begin(None)?, Vec::new())) } else { None };
        let mut message = vec![0; self.message_len.max(MESSAGE_LEN_MIN)];
        let (rate, burst) = match self.pace {
            Pace::Closed => (1, None),
            Pace::Open(rate, burst) => (rate, burst),
        };
        let mut schedule = Schedule::new(rate, burst);
        let recovery = burst.map(|burst| Recovery::new(burst, rate, self.warm_up_ns + self.lasts_ns));
        let mut recovery = recovery.transpose()?;
        let (mut refused, mut is_refused) = (0, false);
        let began = clock.now();
        let counts_from = began + self.warm_up_ns;
        let ends = counts_from + self.lasts_ns;
        let (mut sent, mut came, mut misplaced) = (0, 0, None);
        let (mut counted, mut late, mut latest_ns) = (0, 0, 0);
        let mut moved_at = began;
        let lost_before = client.losses();
        loop {
            let now = clock.now();
            let (before, mut is_over) = (sent, false);
            for _ in 0..BATCH_MAX {
                let due = match self.pace {
                    Pace::Closed if sent == came => now,
                    Pace::Closed => Nanos::MAX,
                    Pace::Open(..) => began + schedule.due(),
                };
                is_over = due.min(now) >= ends;
                if is_over || now < due {
                    break;
                }
                write_message(&mut message, sent, due);
                if !client.publish(&message) {
                    refused += u64::from(!is_refused);
                    is_refused = true;
                    break;
                }
                is_refused = false;
                schedule.pass();
                sent += 1;
                if due >= counts_from {
                    counted += 1;
                    late += u64::from(now - due > LATE_NS);
                    latest_ns = latest_ns.max(now - due);
                }
            }
            let is_sending = sent > before;
            if is_sending {
                client.flush();
            }
            if is_over && came == sent {
                break;
            }
            let before = came;
            let work = client.turn(|message, stamped| {
                if number(message) != came {
                    misplaced.get_or_insert((came, number(message)));
                }
                let due = intended(message);
                if due >= counts_from {
                    burn(&clock, self.plant_ns);
                    let now = clock.now();
                    latencies.record(now.saturating_sub(due));
                    if let Some((_, slow)) = &mut watch
                        && now.saturating_sub(due) >= STALL_NS
                        && slow.len() < SLOW_MAX
                    {
                        slow.push(Slow { due, came: now });
                    }
                    if let Some(recovery) = &mut recovery {
                        recovery.record(due - began, now.saturating_sub(due));
                    }
                    let wall = clock.wall(now);
                    if let Some([out, back]) = &mut ways {
                        out.record(stamped.saturating_sub(clock.wall(due)));
                        back.record(wall.saturating_sub(stamped));
                    }
                    if let Some(kernel) = &mut self.kernel {
                        kernel.delivered(number(message), clock.wall(due), wall);
                    }
                }
                came += 1;
            });
            if let Some((watch, _)) = &mut watch {
                watch.turned(work > 0 || is_sending, 0)?;
            }
            if let Some(kernel) = &mut self.kernel {
                kernel.turn(client.publisher())?;
            }
            if let Some((expected, seen)) = misplaced {
                return Err(format!("message {seen} came where {expected} was to come"));
            }
            if now > ends + OVERTIME_NS {
                return Err(format!(
                    "{came} of {sent} messages came within {} s: other work has the cores",
                    (now - began) / 1_000_000_000
                ));
            }
            if came > before || sent == came {
                moved_at = now;
            } else if now > moved_at + LOST_NS {
                return Err(format!("message {came} of {sent} sent did not come within {LOST_NS} ns"));
            }
            if work == 0 {
                waiter.wait(0);
            }
        }
        let target = match self.pace {
            // What its bursts add is in what it counted.
            Pace::Open(..) => Some(counted as f64 * 1e9 / self.lasts_ns as f64),
            Pace::Closed => None,
        };
        Ok(Found {
            latencies,
            ways,
            kernel_ways: self.kernel.map(|kernel| kernel.ways),
            back: recovery.map(Recovery::times).transpose()?,
            refused,
            counted,
            lasted_ns: moved_at.max(ends) - counts_from,
            target,
            late,
            latest_ns,
            losses: client.losses().since(lost_before),
            watched: watch.map(|(watch, slow)| Watched {
                stalls: watch.end(),
                slow,
                messages: counted,
                counted: [counts_from, moved_at.max(ends)],
            }),
        })
    }
}

fn burn(clock: &Clock, ns: Nanos) {
    if ns > 0 {
        let ends = clock.now() + ns;
        while clock.now() < ends {
            std::hint::spin_loop();
        }
    }
}
