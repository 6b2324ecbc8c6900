//! # debug: a machine that is stepped along a recorded stream, forward and back
//!
//! A step is an entry of the stream that brings inputs: a message, for example, and the timers that fire
//! before it. A step back restores the nearest snapshot before, and applies the inputs behind it again, so
//! the state is the same as it was there.
//!
//! ```text
//!   recording ─▶ event ─▶ MachineCore ─▶ DebugStep: inputs, effects
//!       ▲                     │ at intervals of steps
//!       └── cursor ◀── snapshots, in bounded memory
//! ```
//! Nothing is published. Outputs are compared with those in the stream under the machine's name, and states
//! with the digests that replicas of this version reported.

#[cfg(test)]
mod tests;
mod words;

use crate::core::{MachineCore, MachineFault, MachineNotice, MachineSettings};
use crate::machine::{Input, StateMachine};
use crate::output::Output;
use lockstep_core::engine::outputs::Divergence;
use lockstep_core::engine::subscriber::{Message, SubscriberEvent};
use lockstep_wire::{Cursor, Nanos, Seq};
use words::InputWords;

/// Steps between two snapshots at first; it doubles whenever there are too many snapshots.
const EVERY: u64 = 64;
/// The most stored snapshots.
const SNAPSHOTS_MAX: usize = 64;
/// The most bytes of all stored snapshots, unless a single one has more.
const SNAPSHOT_BYTES_MAX: usize = 256 << 20;

/// A committed stream that can be read again from any position.
pub trait Recording {
    /// Begins again at this cursor, or at the stream's beginning.
    ///
    /// # Errors
    /// The stream cannot be read from there.
    fn begin(&mut self, from: Option<&Cursor>) -> Result<(), MachineFault>;

    /// Passes the next entry's event to `show`, and before it events that belong to no entry. Returns false
    /// at the recording's end; it may have more later.
    ///
    /// # Errors
    /// The stream cannot be read further.
    fn next(&mut self, show: &mut dyn FnMut(&SubscriberEvent<'_>)) -> Result<bool, MachineFault>;

    /// The cursor behind the last event, and the exclusive bound of the seqs so far; `None`: there is no
    /// cursor here.
    fn place(&self) -> Option<(Cursor, Seq)>;
}

/// An applied input, and its effects.
#[derive(Clone, Debug)]
pub struct AppliedInput {
    /// The input in words, with the publisher's name.
    pub input: String,
    /// Its effects in words, in order.
    pub effects: Vec<String>,
    /// Its effects.
    pub output: Output,
}

/// An entry of the stream that brought inputs.
#[derive(Clone, Debug)]
pub struct DebugStep {
    /// Its number, from 1.
    pub number: u64,
    /// The seq of the entry.
    pub seq: Seq,
    /// The stream's time there, in nanoseconds since the Unix epoch.
    pub time: Nanos,
    /// Its inputs: timers that fired, in order, and then those of the entry itself.
    pub applied: Vec<AppliedInput>,
}

/// The stream differs from this machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DebugDifference {
    /// The entry at which the difference shows.
    pub seq: Seq,
    /// The entry whose input led to this machine's output, if known.
    pub of: Option<Seq>,
    /// Both sides in words.
    pub text: String,
}

/// A snapshot after a step.
struct Saved {
    number: u64,
    seq: Seq,
    bytes: Vec<u8>,
}

/// The debugger: see the module.
pub struct Debugger<M, R> {
    settings: MachineSettings,
    new: Box<dyn Fn() -> M>,
    recording: R,
    core: MachineCore<M>,
    names: InputWords,
    /// The number of applied steps.
    number: u64,
    /// The last step; `None` at the stream's beginning.
    step: Option<DebugStep>,
    /// Oldest first.
    snapshots: Vec<Saved>,
    every: u64,
    /// The first position at which the stream's outputs and this machine's differ, as far as it was read: the
    /// outputs behind it are shifted, and are not compared.
    outputs_part_at: Seq,
    differences: Vec<DebugDifference>,
    snapshot_error: Option<String>,
}

impl<M: StateMachine, R: Recording> Debugger<M, R> {
    /// A debugger at the stream's beginning, with the machine that `new` makes.
    ///
    /// # Errors
    /// The stream cannot be read from its beginning.
    pub fn new(
        settings: MachineSettings,
        mut recording: R,
        new: impl Fn() -> M + 'static,
    ) -> Result<Self, MachineFault> {
        recording.begin(None)?;
        Ok(Self {
            core: MachineCore::new(settings.clone(), new()),
            settings,
            new: Box::new(new),
            recording,
            names: InputWords::default(),
            number: 0,
            step: None,
            snapshots: Vec::new(),
            every: EVERY,
            outputs_part_at: Seq::MAX,
            differences: Vec::new(),
            snapshot_error: None,
        })
    }

    /// Sets the number of steps between snapshots, at least 1, until there are too many. The default is 64.
    pub fn every(mut self, steps: u64) -> Self {
        self.every = steps.max(1);
        self
    }

    /// The machine, after the last step.
    pub fn machine(&self) -> &M {
        self.core.machine()
    }

    /// The last step; `None` at the stream's beginning.
    pub fn step(&self) -> Option<&DebugStep> {
        self.step.as_ref()
    }

    /// The digest of the machine, its timers, and the number of its outputs.
    pub fn digest(&self) -> u64 {
        self.core.digest()
    }

    /// Pending timers: the key and the time of each, by the stream's time, the next one first.
    pub fn timers(&self) -> Vec<(u64, Nanos)> {
        self.core.pending_timers()
    }

    /// Why snapshots are not used, if they are not: one could not be restored or written.
    pub fn snapshot_error(&self) -> Option<&str> {
        self.snapshot_error.as_deref()
    }

    /// The first output of this machine that the stream does not have yet: the entry from which it follows,
    /// and the output.
    pub fn not_in_stream(&self) -> Option<(Seq, String)> {
        let output = self.core.outputs.awaited();
        output.map(|(of, destination, payload)| (of, self.names.published(destination, payload)))
    }

    /// Steps forward. Returns false, and does not move, at the recording's end.
    ///
    /// # Errors
    /// The stream cannot be read further, or the machine fails.
    pub fn forward(&mut self) -> Result<bool, MachineFault> {
        let number = self.number;
        while self.number == number {
            if !self.advance()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Steps forward until `is_wanted` returns true for a step. Returns whether there is one before the end.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_until(
        &mut self,
        mut wanted: impl FnMut(&DebugStep) -> bool,
    ) -> Result<bool, MachineFault> {
        while self.forward()? {
            if self.step.as_ref().is_some_and(&mut wanted) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Steps forward until the stream has another output than this machine, or a replica of this version
    /// reported another digest there. `None`: there is no difference up to the end.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn forward_to_difference(&mut self) -> Result<Option<DebugDifference>, MachineFault> {
        self.differences.clear();
        loop {
            let goes_on = self.advance()?;
            match self.take_difference() {
                None if goes_on => {}
                found => return Ok(found),
            }
        }
    }

    /// Takes the oldest difference that was found on steps forward.
    pub fn take_difference(&mut self) -> Option<DebugDifference> {
        (!self.differences.is_empty()).then(|| self.differences.remove(0))
    }

    /// Goes back by this number of steps, at most to the stream's beginning.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn back(&mut self, steps: u64) -> Result<(), MachineFault> {
        let target = self.number.saturating_sub(steps);
        if target == self.number {
            return Ok(());
        }
        // The step itself is applied again, so that it can be shown.
        self.restore(|saved| saved.number < target)?;
        while self.number < target && self.forward()? {}
        Ok(())
    }

    /// Goes forward or back to the first step whose entry is at or behind `seq`. Returns false if the
    /// recording ends before.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn go_to(&mut self, seq: Seq) -> Result<bool, MachineFault> {
        if self.step.as_ref().is_some_and(|step| step.seq > seq) {
            self.restore(|saved| saved.seq < seq)?;
        }
        let is_there = |step: &DebugStep| step.seq >= seq;
        Ok(self.step.as_ref().is_some_and(is_there) || self.forward_until(is_there)?)
    }

    /// Continues behind the newest snapshot for which `wanted` returns true, or at the stream's beginning.
    fn restore(&mut self, wanted: impl Fn(&Saved) -> bool) -> Result<(), MachineFault> {
        self.differences.clear();
        self.step = None;
        let found = self.snapshots.iter().rev().find(|saved| wanted(saved));
        let blank = (self.new)();
        let restored = found.map(|saved| {
            let core = MachineCore::restore_another(self.settings.clone(), &blank, &mut &saved.bytes[..]);
            core.map(|(core, cursor)| (core, cursor, saved.number)).map_err(|error| error.to_string())
        });
        match restored {
            Some(Ok((core, cursor, number))) => {
                self.recording.begin(Some(&cursor))?;
                (self.core, self.number) = (core, number);
                return Ok(());
            }
            Some(Err(error)) => self.give_up_snapshots(error),
            None => {}
        }
        self.recording.begin(None)?;
        (self.core, self.number) = (MachineCore::new(self.settings.clone(), blank), 0);
        Ok(())
    }

    fn give_up_snapshots(&mut self, why: String) {
        self.snapshots.clear();
        self.snapshot_error = Some(why);
    }

    /// Applies the next entry of the stream, which may bring a step. Returns false at the end.
    fn advance(&mut self) -> Result<bool, MachineFault> {
        let Self { core, recording, names, differences, outputs_part_at, .. } = self;
        let (mut applied, mut place) = (Vec::new(), (0, 0));
        let goes_on = recording.next(&mut |event| {
            names.on_event(event);
            let mut observe = |input: &Input<'_>, output: &Output| {
                place = (input.seq, input.time);
                let effects = output.effects().map(|effect| names.effect(effect)).collect();
                applied.push(AppliedInput { input: names.input(input), effects, output: output.clone() });
            };
            if let Err(Divergence { seq, output, .. }) = core.on_event(event, &mut observe)
                && seq <= *outputs_part_at
                && let SubscriberEvent::Message(message) = event
            {
                *outputs_part_at = seq;
                differences.push(of_outputs(names, message, output, core.outputs.awaited()));
            }
        })?;
        while let Some(notice) = core.next_notice() {
            if let MachineNotice::Parting(parting) = notice {
                let (seq, text) = (parting.at, parting.to_string());
                differences.push(DebugDifference { seq, of: None, text });
            }
        }
        if let Some(why) = core.machine().fault() {
            return Err(MachineFault::Machine(why.to_owned()));
        }
        if !applied.is_empty() {
            self.number += 1;
            self.step = Some(DebugStep { number: self.number, seq: place.0, time: place.1, applied });
            self.save(place.0);
        }
        Ok(goes_on)
    }

    /// Makes a snapshot if one is due.
    fn save(&mut self, seq: Seq) {
        let newest = self.snapshots.last().map_or(0, |saved| saved.number);
        if !self.number.is_multiple_of(self.every) || self.number <= newest || self.snapshot_error.is_some() {
            return;
        }
        let Some((cursor, deliver_next)) = self.recording.place() else { return };
        let mut bytes = Vec::new();
        if let Err(error) = self.core.save(cursor, deliver_next, &mut bytes) {
            return self.give_up_snapshots(format!("the snapshot fails: {error}"));
        }
        self.snapshots.push(Saved { number: self.number, seq, bytes });
        let is_too_much = |snapshots: &[Saved]| {
            let bytes: usize = snapshots.iter().map(|saved| saved.bytes.len()).sum();
            snapshots.len() > SNAPSHOTS_MAX || (bytes > SNAPSHOT_BYTES_MAX && snapshots.len() > 1)
        };
        while is_too_much(&self.snapshots) {
            self.every = self.every.saturating_mul(2);
            let every = self.every;
            self.snapshots.retain(|saved| saved.number.is_multiple_of(every));
        }
    }
}

/// The stream's output and this machine's, in words.
fn of_outputs(
    names: &InputWords,
    message: &Message<'_>,
    output: u64,
    own: Option<(Seq, lockstep_wire::Destination, &[u8])>,
) -> DebugDifference {
    let Message { seq, destination, payload, .. } = *message;
    let stream = names.published(destination, payload);
    let here = match own {
        Some((of, destination, payload)) => {
            format!("this machine has {}, of the input of seq {of}", names.published(destination, payload))
        }
        None => "this machine has none".to_owned(),
    };
    let text = format!("output {output} is {stream} in the stream at seq {seq}, and {here}");
    DebugDifference { seq, of: own.map(|(of, ..)| of), text }
}
