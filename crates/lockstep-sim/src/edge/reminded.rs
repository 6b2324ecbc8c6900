//! The machine whose copies run at the edge: it acknowledges orders, those of clients of FIX as a venue of
//! OUCH 5.0, sets timers as it likes, and judges its inputs.

use super::users;
use super::venue::Venue;
use crate::check::Violation;
use lockstep_machine::{Acknowledger, Input, InputEvent, Output, StateDigest, StateMachine};
use lockstep_wire::{Nanos, Seq};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};

/// The longest time until a timer is due.
const AFTER_MAX_NS: Nanos = 8_000_000;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Reminded {
    acknowledger: Acknowledger,
    venue: Venue,
    /// When each timer that is pending is due, and by how much the stream's time was set back since it was
    /// set.
    pending: BTreeMap<u64, (Nanos, Nanos)>,
    /// Seq and time of the last input.
    last: (Seq, Nanos),
    /// Of all inputs, in their order.
    inputs: u64,
    /// Timers that fired.
    fired: u64,
    /// The first rule that was broken.
    broken: Option<Violation>,
}

impl Reminded {
    /// The first rule that was broken, if one was.
    pub(super) fn broken(&self) -> Option<&Violation> {
        self.broken.as_ref()
    }

    /// The first timer that is late at `time`.
    pub(super) fn late(&self, time: Nanos) -> Option<(u64, Nanos)> {
        self.pending.iter().find(|(_, (due, _))| *due < time).map(|(key, (due, _))| (*key, *due))
    }

    fn check(&mut self, input: &Input<'_>) {
        let (seq, time) = self.last;
        let mut broken = Vec::new();
        let mut time = time;
        if let InputEvent::TimeSetBack { before } = input.event {
            // The order's own entry has a lower time, and all timers move with it.
            if before < time || input.time >= before {
                broken.push(format!("time is set back from {before} to {} behind {time}", input.time));
            }
            let by = before.saturating_sub(input.time);
            self.pending.values_mut().for_each(|(due, moved)| (*due, *moved) = (*due - by, *moved + by));
            time = input.time;
        }
        if input.seq < seq || input.time < time {
            broken
                .push(format!("an input of {} at {} follows one of {seq} at {time}", input.seq, input.time));
        }
        if let InputEvent::Timer { key, due, payload } = input.event {
            let pending = self.pending.remove(&key);
            let set_for = pending.map_or(0, |(due, moved)| due + moved).to_le_bytes();
            if pending.map(|(due, _)| due) != Some(due) || due > input.time || payload != set_for {
                broken.push(format!(
                    "timer {key}, due at {due}, fires at {} with {payload:?}; pending was {pending:?}",
                    input.time
                ));
            }
            if let Some((other, (earlier, _))) = self.pending.iter().find(|(_, (other, _))| *other < due) {
                broken.push(format!("timer {key}, due at {due}, fires before {other}, due at {earlier}"));
            }
            self.fired += 1;
        } else if let Some((key, due)) = self.late(input.time + 1) {
            // One that an earlier timer has set at this very entry fires at the next one.
            if (input.seq, due) != (seq, input.time) {
                broken.push(format!(
                    "timer {key}, due at {due}, has not fired before {} at {}",
                    input.seq, input.time
                ));
            }
        }
        self.last = (input.seq, input.time);
        self.broken =
            self.broken.take().or_else(|| broken.into_iter().next().map(|what| format!("MACHINE: {what}")));
    }

    fn set(&mut self, key: u64, after: Nanos, time: Nanos, output: &mut Output) {
        let due = time + after;
        output.timer_after(key, after, &due.to_le_bytes());
        self.pending.insert(key, (due, 0));
    }
}

impl StateMachine for Reminded {
    const VERSION: u32 = 1;

    fn settings(&self) -> String {
        "the same for all copies".to_owned()
    }

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        self.check(input);
        let mut digest = StateDigest::default();
        [self.inputs, input.seq, input.time].iter().for_each(|word| digest.write(&word.to_le_bytes()));
        digest.write(format!("{:?}", input.event).as_bytes());
        self.inputs = digest.value();
        match input.event {
            InputEvent::Message { publisher, user: Some(user), payload, .. } if users::is_fix(user) => {
                self.venue.answer(publisher, payload, &mut |to, answer| output.publish(to, &answer));
            }
            _ => self.acknowledger.apply(input, output),
        }
        let (drawn, after) = (self.inputs >> 32, self.inputs % AFTER_MAX_NS);
        let key = drawn % 16;
        match input.event {
            InputEvent::Message { user: Some(_), .. } if drawn & 0x300 == 0 => {
                self.pending.remove(&key);
                output.cancel(key);
            }
            InputEvent::Message { user: Some(_), .. } => self.set(key, after, input.time, output),
            // Now and then at once, which is the next entry.
            InputEvent::Timer { key, .. } if drawn & 0x300 == 0 => {
                self.set(key, after * u64::from(drawn & 0x400 != 0), input.time, output);
            }
            _ => {}
        }
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        self.acknowledger.snapshot(out)?;
        self.venue.snapshot(out)?;
        let (seq, time) = self.last;
        let words = [seq, time, self.inputs, self.fired, self.pending.len() as u64];
        let pending = self.pending.iter().flat_map(|(key, (due, moved))| [*key, *due, *moved]);
        words.into_iter().chain(pending).try_for_each(|word| out.write_all(&word.to_le_bytes()))
    }

    fn restore(from: &mut impl Read) -> io::Result<Self> {
        let (acknowledger, venue) = (Acknowledger::restore(from)?, Venue::restore(from)?);
        let mut word = || {
            let mut bytes = [0; 8];
            from.read_exact(&mut bytes).map(|()| u64::from_le_bytes(bytes))
        };
        let (last, inputs, fired) = ((word()?, word()?), word()?, word()?);
        let pending = (0..word()?).map(|_| Ok((word()?, (word()?, word()?)))).collect::<io::Result<_>>()?;
        Ok(Self { acknowledger, venue, pending, last, inputs, fired, broken: None })
    }
}
