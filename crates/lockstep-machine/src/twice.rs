//! A check of a machine while it runs: every input is applied twice.

use crate::machine::{Input, StateMachine};
use crate::output::{Effect, Output};
use std::io::{self, Read, Write};

/// Inputs between two comparisons of the digests, unless set by [`Twice::every`].
const EVERY: u64 = 64;

/// Bytes of a payload that a difference shows.
const PAYLOAD_SHOWN: usize = 48;

/// A machine and its twin, which apply the same inputs. The twin is restored from a snapshot of the machine
/// now and then. It finds iteration over a hash map, addresses, clocks, randomness, memory that was never
/// written, and fields that a snapshot forgets, at the message from which on outputs or states differ.
///
/// It is for tests and for a replica beside the others: it costs more than twice as much.
///
/// ```
/// # use lockstep_machine::{Input, InputEvent, Output, StateMachine, Twice, EVERYBODY};
/// # use std::io::{self, Read, Write};
/// /// It forgets a field in its snapshot.
/// #[derive(Default)]
/// struct Forgets(u64);
///
/// impl StateMachine for Forgets {
///     const VERSION: u32 = 1;
///     fn apply(&mut self, _: &Input<'_>, output: &mut Output) {
///         self.0 += 1;
///         output.publish(EVERYBODY, &self.0.to_le_bytes());
///     }
///     fn snapshot(&self, _: &mut impl Write) -> io::Result<()> {
///         Ok(())
///     }
///     fn restore(_: &mut impl Read) -> io::Result<Self> {
///         Ok(Self::default())
///     }
/// }
///
/// let mut machine = Twice::<Forgets>::new(Forgets::default).every(10);
/// let inputs = (1..).map(|seq| Input { seq, time: seq, event: InputEvent::Time });
/// let difference = inputs.take(100).find_map(|input| {
///     machine.apply(&input, &mut Output::new(input.time));
///     machine.difference().map(str::to_owned)
/// });
/// assert!(difference.unwrap().contains("seq 11"));
/// ```
#[derive(Debug)]
pub struct Twice<M> {
    one: M,
    other: M,
    every: u64,
    applied: u64,
    output: Output,
    difference: Option<String>,
}

impl<M: StateMachine> Twice<M> {
    /// Two machines, each made by `new`.
    pub fn new(new: impl Fn() -> M) -> Self {
        Self::of(new(), new())
    }

    fn of(one: M, other: M) -> Self {
        Self { one, other, every: EVERY, applied: 0, output: Output::default(), difference: None }
    }

    /// Sets the number of inputs, at least 1, after which digests are compared and the twin is restored from
    /// a snapshot.
    pub fn every(mut self, inputs: u64) -> Self {
        self.every = inputs.max(1);
        self
    }

    /// The first difference, with its input; `None` so far.
    pub fn difference(&self) -> Option<&str> {
        self.difference.as_deref()
    }

    /// The machine itself.
    pub fn machine(&self) -> &M {
        &self.one
    }

    fn compare(&mut self, input: &Input<'_>, output: &Output) {
        if self.difference.is_some() {
            return;
        }
        let at = format!("at the input of seq {}, {:?}", input.seq, input.event);
        if let Some((place, one, other)) = first_difference(output, &self.output) {
            let (one, other) = (words(one), words(other));
            self.difference = Some(format!("{at}: effect {place} is {one}, and {other} the second time"));
        } else if self.applied.is_multiple_of(self.every) {
            let mut saved = Vec::new();
            self.difference = match (self.one.digest(), self.other.digest(), self.one.snapshot(&mut saved)) {
                (_, _, Err(error)) => Some(format!("{at}: the snapshot fails: {error}")),
                (one, other, Ok(())) if one != other => Some(format!(
                    "{at}, or up to {} before it: the states differ, their digests are {one:016x} and {other:016x}",
                    self.every - 1
                )),
                (one, _, Ok(())) => self.restore_other(one, &saved).map(|what| format!("{at}: {what}")),
            };
        }
    }

    fn restore_other(&mut self, digest: u64, saved: &[u8]) -> Option<String> {
        let rest = &mut &saved[..];
        match self.one.restore_another(rest) {
            Err(error) => return Some(format!("the snapshot of this state is not restored: {error}")),
            Ok(_) if !rest.is_empty() => {
                return Some(format!("the machine has not read {} bytes of its snapshot", rest.len()));
            }
            Ok(restored) => self.other = restored,
        }
        (self.other.digest() != digest).then(|| "the restored state differs from the saved one".to_owned())
    }
}

/// The first effect that the other side lacks: its number, from 1, and both effects.
fn first_difference<'a>(
    one: &'a Output,
    other: &'a Output,
) -> Option<(usize, Option<Effect<'a>>, Option<Effect<'a>>)> {
    let (mut ones, mut others) = (one.effects(), other.effects());
    (1..).find_map(|place| match (ones.next(), others.next()) {
        (None, None) => Some(None),
        (one, other) => (one != other).then_some(Some((place, one, other))),
    })?
}

/// An effect in words.
fn words(effect: Option<Effect<'_>>) -> String {
    let text = |payload: &[u8]| payload.get(..PAYLOAD_SHOWN).unwrap_or(payload).escape_ascii().to_string();
    match effect {
        None => "none".to_owned(),
        Some(Effect::Publish { destination, payload }) => format!("\"{}\" to {destination}", text(payload)),
        Some(Effect::Timer { key, due, payload, .. }) => {
            format!("timer {key} due at {due} with \"{}\"", text(payload))
        }
        Some(Effect::Cancel { key }) => format!("timer {key} cancelled"),
    }
}

impl<M: StateMachine> StateMachine for Twice<M> {
    const VERSION: u32 = M::VERSION;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        self.applied += 1;
        self.output.begin(input.time);
        self.one.apply(input, output);
        self.other.apply(input, &mut self.output);
        if self.fault().is_none() {
            self.compare(input, output);
        }
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        self.one.snapshot(out)
    }

    fn restore(from: &mut impl Read) -> io::Result<Self> {
        let mut saved = Vec::new();
        from.read_to_end(&mut saved)?;
        Ok(Self::of(M::restore(&mut &saved[..])?, M::restore(&mut &saved[..])?))
    }

    fn version(&self) -> u32 {
        self.one.version()
    }

    fn restore_another(&self, from: &mut impl Read) -> io::Result<Self> {
        let mut saved = Vec::new();
        from.read_to_end(&mut saved)?;
        let restore = || self.one.restore_another(&mut &saved[..]);
        Ok(Self::of(restore()?, restore()?).every(self.every))
    }

    fn fault(&self) -> Option<&str> {
        self.one.fault().or_else(|| self.other.fault())
    }

    fn digest(&self) -> u64 {
        self.one.digest()
    }

    fn settings(&self) -> String {
        self.one.settings()
    }

    fn state_text(&self) -> Option<String> {
        self.one.state_text()
    }

    fn query(&self, request: &[u8], answer: &mut Vec<u8>) {
        self.one.query(request, answer);
    }
}
