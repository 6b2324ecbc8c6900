//! A user's machine in a trial: a twin applies its inputs too, what happens is counted, and when the run is
//! over time leaps to each timer that is still pending.
//!
//! ```text
//!  the world ─▶ inputs ─▶ machine ─▶ outputs, states ─▶ the world's judges, and the user's invariant
//!                    └─▶ its twin, restored from a snapshot now and then ─▶ are both the same?
//!  the end ─▶ the pending timers, in their order ─▶ both
//! ```

use crate::edge::JudgeOf;
use lockstep_machine::{Effect, Input, InputEvent, Output, StateMachine, Twice};
use lockstep_wire::{Nanos, Seq};
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::rc::Rc;

/// The world's clients number some of their messages in the first bytes; the machine gets what stands behind
/// them.
const NUMBER_LEN: usize = 8;
/// The twin is restored after so many inputs: a copy of a short run is restored as well.
const RESTORED_EVERY: u64 = 16;
/// Timers to which time leaps for one copy: a machine that sets the next one in each has no last one.
const LEAPS_MAX: usize = 64;

/// How much of a machine a trial has run: inputs and effects of all copies, in all seeds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub struct TrialCoverage {
    /// Messages.
    pub messages: u64,
    /// Clients that logged in, and that went.
    pub sessions: u64,
    /// Names that were opened or closed.
    pub names: u64,
    /// Trading days that began or ended.
    pub days: u64,
    /// Messages that were published.
    pub outputs: u64,
    /// Timers that were set, and those among them that took the place of a pending one.
    pub timers_set: u64,
    /// Timers that were cancelled while they were pending.
    pub timers_cancelled: u64,
    /// Timers that fired, those included to which time leapt.
    pub timers_fired: u64,
    /// Snapshots that copies wrote to their disks.
    pub snapshots: u64,
    /// States that were restored from a snapshot, by copies that came back and by twins.
    pub restored: u64,
    /// Leaders that were replaced meanwhile.
    pub takeovers: u64,
}

impl TrialCoverage {
    pub(super) fn add(&mut self, other: &Self) {
        let Self { messages, sessions, names, days, outputs, .. } = other;
        self.messages += messages;
        self.sessions += sessions;
        self.names += names;
        self.days += days;
        self.outputs += outputs;
        self.timers_set += other.timers_set;
        self.timers_cancelled += other.timers_cancelled;
        self.timers_fired += other.timers_fired;
        self.snapshots += other.snapshots;
        self.restored += other.restored;
        self.takeovers += other.takeovers;
    }
}

/// In one line: `1166 messages, 60 sessions, …`.
impl fmt::Display for TrialCoverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, sessions, names, days, outputs, timers_set, timers_cancelled, .. } = self;
        let Self { timers_fired, snapshots, restored, takeovers, .. } = self;
        write!(
            f,
            "{messages} messages, {sessions} sessions, {names} names, {days} days; {outputs} outputs; {timers_set} timers set, \
             {timers_fired} fired, {timers_cancelled} cancelled; {snapshots} snapshots, {restored} restored; {takeovers} \
             takeovers"
        )
    }
}

/// What the copies of one run have in common.
#[derive(Default)]
pub(super) struct Seen {
    pub coverage: Cell<TrialCoverage>,
    /// The first difference between a machine and its twin, or what the invariant says of a leap.
    pub found: RefCell<Option<String>>,
}

impl Seen {
    fn count(&self, count: impl FnOnce(&mut TrialCoverage)) {
        let mut coverage = self.coverage.get();
        count(&mut coverage);
        self.coverage.set(coverage);
    }

    pub fn find(&self, what: String) {
        self.found.borrow_mut().get_or_insert(what);
    }
}

thread_local! {
    /// Of the run of this thread: a machine is restored without anything else at hand.
    static SEEN: RefCell<Rc<Seen>> = RefCell::default();
}

/// A run begins in this thread.
pub(super) fn begin() -> Rc<Seen> {
    let seen = Rc::new(Seen::default());
    SEEN.with_borrow_mut(|current| *current = Rc::clone(&seen));
    seen
}

/// See the module.
pub(super) struct Watched<M: StateMachine> {
    both: Twice<M>,
    seen: Rc<Seen>,
    /// Set with the first state that is judged.
    invariant: OnceCell<JudgeOf<M>>,
    /// Timers that this copy has set: when each is due, and what comes back.
    pending: BTreeMap<u64, (Nanos, Vec<u8>)>,
    last: (Seq, Nanos),
    applied: u64,
    /// The twin is restored after so many inputs.
    every: u64,
    /// The world's clients have sent the messages, and have numbered them.
    is_numbered: bool,
}

impl<M: StateMachine> Watched<M> {
    pub fn new(new: &dyn Fn() -> M) -> Self {
        Self::of(Twice::new(new))
    }

    fn of(both: Twice<M>) -> Self {
        Self::with(both, RESTORED_EVERY, true)
    }

    fn with(both: Twice<M>, every: u64, is_numbered: bool) -> Self {
        let (both, seen) = (both.every(every), SEEN.with_borrow(Rc::clone));
        let (invariant, pending) = (OnceCell::new(), BTreeMap::new());
        Self { both, seen, invariant, pending, last: (0, 0), applied: 0, every, is_numbered }
    }

    /// Of a machine without a world around it: its messages are as they are, and the twin is restored after
    /// so many inputs.
    pub fn alone(new: &dyn Fn() -> M, every: u64) -> Self {
        Self::with(Twice::new(new), every.max(1), false)
    }

    /// Applies an input behind the timers that are due before it.
    pub fn apply_next(&mut self, input: &Input<'_>, invariant: &JudgeOf<M>) -> Result<(), String> {
        self.fire_until(input.time, invariant);
        if self.seen.found.borrow().is_none() {
            self.apply(input, &mut Output::new(input.time));
        }
        match self.both.fault() {
            Some(why) => {
                Err(format!("MACHINE: at the input of seq {}, the machine has failed: {why}", input.seq))
            }
            None => self.judge(invariant),
        }
    }

    /// The user's invariant, and what the twin has shown.
    pub fn judge(&self, invariant: &JudgeOf<M>) -> Result<(), String> {
        self.invariant.get_or_init(|| Rc::clone(invariant));
        invariant(self.both.machine())?;
        self.both.difference().map_or(Ok(()), |difference| Err(different(difference)))
    }

    /// Counts an input and its effects, and keeps the timers.
    fn note(&mut self, input: &Input<'_>, output: &Output) {
        let pending = &mut self.pending;
        (self.last, self.applied) = ((input.seq, input.time), self.applied + 1);
        let is_restored = self.applied.is_multiple_of(self.every);
        self.seen.count(|coverage| {
            coverage.restored += u64::from(is_restored);
            match input.event {
                InputEvent::Message { .. } => coverage.messages += 1,
                InputEvent::Connected { .. } | InputEvent::Disconnected { .. } => coverage.sessions += 1,
                InputEvent::Opened { .. } | InputEvent::Closed { .. } => coverage.names += 1,
                InputEvent::DayStart { .. } | InputEvent::DayEnd => coverage.days += 1,
                InputEvent::Timer { key, .. } => {
                    coverage.timers_fired += 1;
                    pending.remove(&key);
                }
                _ => {}
            }
            for effect in output.effects() {
                match effect {
                    Effect::Publish { .. } => coverage.outputs += 1,
                    Effect::Timer { key, due, payload, .. } => {
                        coverage.timers_set += 1;
                        pending.insert(key, (due, payload.to_vec()));
                    }
                    Effect::Cancel { key } => {
                        coverage.timers_cancelled += u64::from(pending.remove(&key).is_some());
                    }
                }
            }
        });
    }

    /// Time leaps to each timer that is pending, in their order.
    fn leap(&mut self, invariant: &JudgeOf<M>) {
        self.fire_until(Nanos::MAX, invariant);
    }

    /// The timers fire that are due until then, in their order, at their times.
    fn fire_until(&mut self, until: Nanos, invariant: &JudgeOf<M>) {
        let mut output = Output::default();
        if self.both.fault().is_some() {
            return; // the run has failed by it
        }
        for _ in 0..LEAPS_MAX {
            let first = self.pending.iter().min_by_key(|(key, (due, _))| (*due, **key));
            let Some((&key, (due, _))) = first.filter(|(_, (due, _))| *due <= until) else { return };
            let (seq, time) = (self.last.0 + 1, self.last.1.max(*due));
            let (due, payload) = self.pending.remove(&key).expect("it is the first one");
            let input = Input { seq, time, event: InputEvent::Timer { key, due, payload: &payload } };
            output.begin(time);
            self.both.apply(&input, &mut output);
            if let Some(why) = self.both.fault() {
                let what =
                    format!("MACHINE: at timer {key}, to which time leapt, the machine has failed: {why}");
                return self.seen.find(what);
            }
            self.note(&input, &output);
            if let Some(difference) = self.both.difference() {
                return self.seen.find(different(difference));
            }
            if let Err(broken) = invariant(self.both.machine()) {
                return self.seen.find(format!("MACHINE: behind timer {key}, to which time leapt: {broken}"));
            }
        }
    }
}

/// The violation where a machine and its twin differ.
fn different(difference: &str) -> String {
    format!(
        "MACHINE: a machine and its twin, which is restored from its snapshot now and then, are not the same: {difference}"
    )
}

impl<M: StateMachine> Drop for Watched<M> {
    /// The copy's run is over: it was killed, or the world has ended.
    fn drop(&mut self) {
        let invariant = self.invariant.take().filter(|_| !std::thread::panicking());
        if let Some(invariant) = invariant.filter(|_| self.seen.found.borrow().is_none()) {
            self.leap(&invariant);
        }
    }
}

impl<M: StateMachine> StateMachine for Watched<M> {
    const VERSION: u32 = M::VERSION;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        let mut input = *input;
        if let InputEvent::Message { user: Some(_), payload, .. } = &mut input.event
            && self.is_numbered
        {
            *payload = payload.get(NUMBER_LEN..).unwrap_or_default();
        }
        self.both.apply(&input, output);
        if self.both.fault().is_none() {
            self.note(&input, output);
        }
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        self.both.snapshot(out)
    }

    fn restore(from: &mut impl Read) -> io::Result<Self> {
        let watched = Self::of(Twice::restore(from)?);
        watched.seen.count(|coverage| coverage.restored += 1);
        Ok(watched)
    }

    fn version(&self) -> u32 {
        self.both.version()
    }

    fn restore_another(&self, from: &mut impl Read) -> io::Result<Self> {
        let watched = Self::of(self.both.restore_another(from)?);
        watched.seen.count(|coverage| coverage.restored += 1);
        Ok(watched)
    }

    fn fault(&self) -> Option<&str> {
        self.both.fault()
    }

    fn digest(&self) -> u64 {
        self.both.digest()
    }
}
