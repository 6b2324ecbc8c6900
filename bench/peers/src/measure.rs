//! The same work for every system: one client submits messages of 64 B and waits until it sees them
//! delivered.
//!
//! A message has its number, the time at which it was due, and nothing else of meaning.

use crate::peer::{PAYLOAD_LEN, Payload, Peer};
use lockstep_bench::results::Round;
use lockstep_bench::stats::Latencies;
use lockstep_bench::usage::tree_cpu_ns;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A message that takes longer is lost, and with it the measurement.
const LOST: Duration = Duration::from_secs(5);
/// How long the last messages may take to come.
const DRAIN: Duration = Duration::from_secs(3);
/// Before a message is due, the client looks at the clock for so long instead of sleeping: sleeps end late.
const AWAKE: Duration = Duration::from_micros(60);
/// A sender that sent less than this share of its rate fell behind.
const CARRIED_MIN: f64 = 0.98;
/// Messages under way, of which the best is shown.
pub const WINDOWS: [u64; 3] = [32, 256, 1024];
/// A flood runs for so long before it counts.
const RAMP: Duration = Duration::from_millis(300);
/// Messages that processor time is told for.
const MILLION: f64 = 1e6;
/// A failover that is not over by then never will be.
const FAILOVER: Duration = Duration::from_secs(40);
/// How long the delivery is watched before a kill, and after it has begun again.
const CALM: Duration = Duration::from_secs(1);
/// How long a node may take until it takes part again.
const WHOLE: Duration = Duration::from_secs(60);
/// Between two looks at whether all take part.
const LOOK: Duration = Duration::from_millis(200);

/// What a client noticed of a leader's death.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failover {
    /// Whose.
    pub victim: usize,
    /// The longest time between two deliveries around it.
    pub gap: Duration,
    /// The same in the second before it.
    pub calm: Duration,
    /// Messages of that time that never came.
    pub missing: u64,
    /// Messages that came twice.
    pub twice: u64,
}

/// Which messages are under way.
#[derive(Default)]
struct Underway {
    /// The number of the first in `came`.
    first: u64,
    came: VecDeque<bool>,
    open: u64,
    twice: u64,
    /// Of those below nobody knows any more whether they came.
    forgotten: u64,
}

impl Underway {
    fn next(&self) -> u64 {
        self.first + self.came.len() as u64
    }

    fn submit(&mut self) {
        self.came.push_back(false);
        self.open += 1;
    }

    /// Whether this one had not come before.
    fn deliver(&mut self, number: u64) -> bool {
        let place = number.checked_sub(self.first).and_then(|place| self.came.get_mut(place as usize));
        let is_new = place.is_some_and(|came| !std::mem::replace(came, true));
        if !is_new {
            self.twice += u64::from(number >= self.forgotten);
            return false;
        }
        self.open -= 1;
        while self.came.front() == Some(&true) {
            self.came.pop_front();
            self.first += 1;
        }
        true
    }

    /// Waits for them no longer. Returns how many there were.
    fn forget(&mut self) -> u64 {
        self.first = self.next();
        self.forgotten = self.first;
        self.came.clear();
        std::mem::take(&mut self.open)
    }
}

/// A client at work.
pub struct Session {
    peer: Box<dyn Peer>,
    began: Instant,
    underway: Underway,
    /// Messages that were given up.
    missing: u64,
}

impl Session {
    /// With a system that runs.
    pub fn new(peer: Box<dyn Peer>) -> Self {
        Self { peer, began: Instant::now(), underway: Underway::default(), missing: 0 }
    }

    fn submit(&mut self, due: Instant) -> Result<bool, String> {
        let mut payload: Payload = [0x5a; PAYLOAD_LEN];
        let due = due.saturating_duration_since(self.began).as_nanos() as u64;
        // The numbers begin with 1: what an adapter sends for itself has a 0.
        payload[..8].copy_from_slice(&(self.underway.next() + 1).to_le_bytes());
        payload[8..16].copy_from_slice(&due.to_le_bytes());
        let taken = self.peer.submit(&payload)?;
        if taken {
            self.underway.submit();
        }
        Ok(taken)
    }

    /// One turn; each message that comes for the first time is handed over as the time when it was due.
    fn turn(&mut self, wait: Duration, mut f: impl FnMut(Instant)) -> Result<(), String> {
        let Self { peer, began, underway, .. } = self;
        let mut wrong = None;
        peer.turn(wait, &mut |payload| {
            let word = |at: usize| {
                payload.get(at..at + 8).and_then(|word| word.try_into().ok()).map(u64::from_le_bytes)
            };
            match (word(0), word(8)) {
                (Some(0), Some(_)) => {}
                (Some(number), Some(due)) if payload.len() == PAYLOAD_LEN => {
                    if underway.deliver(number - 1) {
                        f(*began + Duration::from_nanos(due));
                    }
                }
                _ => {
                    wrong = Some(format!("a message of {} bytes came, all have {PAYLOAD_LEN}", payload.len()))
                }
            }
        })?;
        wrong.map_or(Ok(()), Err)
    }

    /// Waits until nothing is under way.
    fn drain(&mut self) -> Result<(), String> {
        let until = Instant::now() + DRAIN;
        while self.underway.open > 0 {
            self.turn(Duration::from_millis(10), |_| {})?;
            if Instant::now() > until {
                return Err(
                    self.complain(&format!("{} messages did not come within {DRAIN:?}", self.underway.open))
                );
            }
        }
        if self.underway.twice > 0 {
            return Err(format!("{} messages came twice", self.underway.twice));
        }
        Ok(())
    }

    fn complain(&mut self, what: &str) -> String {
        let daemons = self.peer.daemons();
        match daemons.check() {
            Err(ended) => format!("{what}; {ended}"),
            Ok(()) => format!("{what}{}", daemons.all_last_words()),
        }
    }

    /// Closed loop: the next message leaves when the last one has come. Nothing counts before `warm_up`.
    ///
    /// # Errors
    /// A message that was lost, or came twice.
    pub fn closed(&mut self, warm_up: Duration, lasts: Duration) -> Result<Round, String> {
        let mut latencies = Latencies::new()?;
        let counts_from = Instant::now() + warm_up;
        let until = counts_from + lasts;
        let mut now = Instant::now();
        while now < until {
            let sent = now;
            while !self.submit(sent)? {
                self.turn(Duration::from_micros(100), |_| {})?;
                if sent.elapsed() > LOST {
                    return Err(self.complain(&format!("no message was taken for {LOST:?}")));
                }
            }
            while self.underway.open > 0 {
                let left = LOST.saturating_sub(sent.elapsed());
                if left.is_zero() {
                    return Err(self.complain(&format!("a message did not come within {LOST:?}")));
                }
                self.turn(left, |_| {})?;
            }
            now = Instant::now();
            if sent >= counts_from {
                latencies.record((now - sent).as_nanos() as u64);
            }
        }
        self.drain()?;
        Ok(Round { seconds: lasts.as_secs_f64(), ..Round::of(&latencies)? })
    }

    /// Open loop: message i is due at t0 + i / rate, and its latency runs from then, however late the client
    /// is.
    ///
    /// # Errors
    /// As [`Session::closed`].
    pub fn paced(&mut self, rate: u64, lasts: Duration) -> Result<Round, String> {
        let mut latencies = Latencies::new()?;
        let began = Instant::now();
        let interval = Duration::from_secs(1) / rate as u32;
        let total = (lasts.as_secs_f64() * rate as f64) as u64;
        let (mut sent, mut came, mut moved) = (0, 0, began);
        let mut last_sent = began;
        while came < total {
            let now = Instant::now();
            let due = began + interval * sent as u32;
            if sent < total && now >= due && self.submit(due)? {
                sent += 1;
                last_sent = now;
            }
            let next = began + interval * sent as u32;
            let wait = if sent < total { next.saturating_duration_since(now) } else { LOST };
            let wait = if wait > AWAKE { (wait - AWAKE).min(LOST) } else { Duration::ZERO };
            let before = came;
            self.turn(wait, |due| {
                latencies.record(due.elapsed().as_nanos() as u64);
                came += 1;
            })?;
            if came > before || self.underway.open == 0 {
                moved = Instant::now();
            } else if moved.elapsed() > LOST {
                return Err(
                    self.complain(&format!("message {came} of {sent} sent did not come within {LOST:?}"))
                );
            }
        }
        self.drain()?;
        let seconds = (last_sent - began).as_secs_f64();
        let achieved = total.saturating_sub(1) as f64 / seconds.max(f64::MIN_POSITIVE);
        let mut round =
            Round { seconds, target: Some(rate as f64), achieved: Some(achieved), ..Round::of(&latencies)? };
        if achieved < rate as f64 * CARRIED_MIN {
            round.marks.push("the sender fell behind its rate".into());
        }
        Ok(round)
    }

    /// As many messages as each window lets through: a round with the rate of the window that delivered most,
    /// and one with the processor time of that window for a million messages, of this process and of all that
    /// it has started. A window in which something got lost does not count, and is told.
    ///
    /// # Errors
    /// Something got lost in every window, or a daemon has ended.
    pub fn flood(&mut self, lasts: Duration) -> Result<[Round; 2], String> {
        let lasts = lasts / WINDOWS.len() as u32;
        let (mut best, mut marks) = (None::<(f64, f64, u64)>, Vec::new());
        for window in WINDOWS {
            match self.flood_by(window, lasts) {
                Ok([rate, cost]) if best.is_none_or(|(most, ..)| rate > most) => {
                    best = Some((rate, cost, window));
                }
                Ok(_) => {}
                Err(why) => {
                    self.peer.daemons().check()?;
                    self.underway.forget();
                    marks.push(format!("{window} under way: {}", why.lines().next().unwrap_or_default()));
                }
            }
        }
        let (rate, cost, window) = best.ok_or_else(|| marks.join("; "))?;
        marks.push(format!("best with {window} under way"));
        let seconds = lasts.as_secs_f64();
        Ok([
            Round { seconds, marks, ..Round::value(rate) },
            Round { seconds, marks: vec![format!("with {window} under way")], ..Round::value(cost) },
        ])
    }

    /// Messages a second, and seconds of processor time for a million.
    fn flood_by(&mut self, window: u64, lasts: Duration) -> Result<[f64; 2], String> {
        let began = Instant::now();
        let (mut came, mut moved) = (0_u64, began);
        let mut start: Option<(Instant, u64, u64)> = None;
        let taken = || tree_cpu_ns(std::process::id());
        loop {
            let now = Instant::now();
            if start.is_none() && now >= began + RAMP {
                start = Some((now, came, taken()));
            }
            if let Some((at, before, taken_before)) = start
                && now >= at + lasts
            {
                let cpu = Duration::from_nanos(taken().saturating_sub(taken_before));
                self.drain()?;
                let messages = (came - before) as f64;
                let cost = cpu.as_secs_f64() * MILLION / messages.max(1.0);
                return Ok([messages / (now - at).as_secs_f64(), cost]);
            }
            while self.underway.open < window && self.submit(now)? {}
            let before = came;
            self.turn(Duration::from_millis(1), |_| came += 1)?;
            if came > before {
                moved = now;
            } else if now > moved + LOST {
                return Err(
                    self.complain(&format!("nothing came for {LOST:?} with {window} messages under way"))
                );
            }
        }
    }

    /// Waits for what is under way, and gives up what does not come.
    fn give_up(&mut self) -> Result<(), String> {
        let until = Instant::now() + DRAIN;
        while self.underway.open > 0 && Instant::now() < until {
            self.turn(Duration::from_millis(10), |_| {})?;
        }
        self.missing += self.underway.forget();
        Ok(())
    }

    /// Waits until every node takes part, under load.
    ///
    /// # Errors
    /// It does not come to that.
    pub fn await_whole(&mut self, rate: u64) -> Result<usize, String> {
        let began = Instant::now();
        loop {
            if let Some(leader) = self.peer.leader()? {
                // What got lost while a leader moved away never comes.
                self.give_up()?;
                return Ok(leader);
            }
            self.peer.daemons().check()?;
            if began.elapsed() > WHOLE {
                return Err(self.complain(&format!("not every node takes part after {WHOLE:?}")));
            }
            let until = Instant::now() + LOOK;
            self.load(rate, Instant::now(), |_, _| Instant::now() >= until)?;
        }
    }

    /// Kills the leader under a paced load, `kills` times, and tells what the client noticed.
    ///
    /// # Errors
    /// A failover that does not end; a node that does not come back.
    pub fn failover(
        &mut self,
        rate: u64,
        kills: usize,
        mut each: impl FnMut(Failover),
    ) -> Result<(), String> {
        for _ in 0..kills {
            let victim = self.await_whole(rate)?;
            let calm_until = Instant::now() + CALM;
            let calm = self.load(rate, Instant::now(), |_, _| Instant::now() >= calm_until)?;
            let twice = self.underway.twice;
            let struck = self.peer.daemons().kill(victim)?;
            let give_up = struck + FAILOVER;
            let mut recovered = None;
            let around = self.load(rate, calm.last, |due, at| {
                if due > struck {
                    recovered.get_or_insert(at);
                }
                recovered.is_some_and(|recovered| Instant::now() > recovered + CALM)
                    || Instant::now() > give_up
            })?;
            if recovered.is_none() {
                return Err(self.complain(&format!(
                    "nothing is delivered {FAILOVER:?} after the kill of node {victim}"
                )));
            }
            self.peer.daemons().start(victim)?;
            let missing = self.missing;
            self.await_whole(rate)?;
            let missing = self.missing - missing;
            each(Failover {
                victim,
                gap: around.gap,
                calm: calm.gap,
                missing,
                twice: self.underway.twice - twice,
            });
        }
        Ok(())
    }

    /// A paced load, until `is_over`, which is asked at every turn about the last delivery: when it was due,
    /// when it came. Gaps count from `since` on. What finds no room is not sent.
    fn load(
        &mut self,
        rate: u64,
        since: Instant,
        mut is_over: impl FnMut(Instant, Instant) -> bool,
    ) -> Result<Loaded, String> {
        let began = Instant::now();
        let interval = Duration::from_secs(1) / rate as u32;
        let mut slot = 0_u32;
        let mut loaded = Loaded { gap: Duration::ZERO, last: since };
        let mut last_due = since;
        while !is_over(last_due, loaded.last) {
            let now = Instant::now();
            let due = began + interval * slot;
            if now >= due {
                // No more than a failover may take: what got lost stays open until it is given up.
                if self.underway.open < rate * FAILOVER.as_secs() {
                    self.submit(due)?;
                }
                slot += 1;
            }
            let wait = (began + interval * slot).saturating_duration_since(now);
            self.turn(wait, |due| {
                let at = Instant::now();
                loaded.gap = loaded.gap.max(at - loaded.last);
                (last_due, loaded.last) = (due, at);
            })?;
        }
        Ok(loaded)
    }
}

/// What a load noticed.
struct Loaded {
    /// The longest time between two deliveries.
    gap: Duration,
    /// When the last one was.
    last: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_counts_once_and_what_is_given_up_counts_neither_then_nor_late() {
        let mut underway = Underway::default();
        (0..4).for_each(|_| underway.submit());
        assert!(underway.deliver(2) && underway.deliver(0));
        assert!(
            !underway.deliver(2) && !underway.deliver(9),
            "the one came before, the other was never sent"
        );
        assert_eq!((underway.open, underway.twice, underway.first), (2, 2, 1));
        assert_eq!((underway.forget(), underway.open, underway.next()), (2, 0, 4));
        assert!(!underway.deliver(1), "it was given up");
        assert_eq!(underway.twice, 2, "and nobody says that it came twice");
    }
}
