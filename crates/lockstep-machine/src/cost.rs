//! The cost of an input in a machine: a loop over a machine core, without a cluster.

use crate::core::{MachineCore, MachineFault, MachineSettings};
use crate::machine::{Input, InputEvent, StateMachine};
use crate::output::Output;
use lockstep_core::engine::subscriber::{Message, SubscriberEvent};
use lockstep_wire::{CHANNELS, EVERYBODY, Nanos, PublisherId};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};

/// The name of the machine, and the ids of the machine and of its client.
const NAME: &str = "cost";
const CLIENT: PublisherId = 7;
const MACHINE: PublisherId = 8;
/// The destination of the machine's output.
const TOTALS: u32 = CHANNELS + 1;

/// Nanoseconds that a machine core takes in all for `messages` messages of 48 bytes to everybody, each
/// followed by the outputs that the machine publishes for it, as in the stream. `now` reads the caller's
/// clock.
///
/// # Errors
/// The machine fails.
pub fn apply_cost<M: StateMachine>(
    machine: M,
    messages: u64,
    now: &mut impl FnMut() -> Nanos,
) -> Result<Nanos, MachineFault> {
    let settings = MachineSettings { name: NAME.to_owned(), digest_every: u64::MAX };
    let mut core = MachineCore::new(settings, machine);
    let opened = SubscriberEvent::Opened {
        seq: 1,
        timestamp: 1,
        publisher: MACHINE,
        incarnation: 1,
        nonce: [1, 2],
        last: 0,
        name: NAME,
    };
    core.on_event(&opened, &mut |_, _| {}).map_err(MachineFault::Output)?;
    let (mut outputs, mut bytes) = (Vec::new(), Vec::new());
    let begun = now();
    for number in 1..=messages {
        let seq = core.next();
        let message = Message {
            seq,
            publisher: CLIENT,
            publisher_seq: number,
            destination: EVERYBODY,
            timestamp: seq,
            payload: &[b'x'; 48],
        };
        outputs.clear();
        bytes.clear();
        let mut observe = |_: &Input<'_>, output: &Output| {
            for (destination, payload) in output.published() {
                bytes.extend_from_slice(payload);
                outputs.push((destination, bytes.len()));
            }
        };
        core.on_event(&SubscriberEvent::Message(message), &mut observe).map_err(MachineFault::Output)?;
        if let Some(why) = core.machine().fault() {
            return Err(MachineFault::Machine(why.to_owned()));
        }
        let mut from = 0;
        for &(destination, to) in &outputs {
            let (seq, publisher_seq) = (core.next(), core.outputs.count() + 1);
            let payload = &bytes[from..to];
            let back = Message { seq, publisher: MACHINE, publisher_seq, destination, payload, ..message };
            core.on_event(&SubscriberEvent::Message(back), &mut |_, _| {}).map_err(MachineFault::Output)?;
            from = to;
        }
    }
    Ok(now() - begun)
}

/// The same for the counter of docs/APPLY.md in Rust, with which one in another language is compared.
pub fn counter_cost(messages: u64, now: &mut impl FnMut() -> Nanos) -> Nanos {
    apply_cost(Counter::default(), messages, now).expect("a machine in Rust does not fail")
}

/// The number of messages of each publisher.
#[derive(Default)]
struct Counter(BTreeMap<PublisherId, u64>);

/// The key of the counter's one timer, and nanoseconds until it is due.
const QUIET: u64 = 1;
const QUIET_NS: u64 = 2_000_000_000;

impl Counter {
    fn total(&self) -> u64 {
        self.0.values().sum()
    }
}

impl StateMachine for Counter {
    const VERSION: u32 = 1;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        match input.event {
            InputEvent::Message { publisher, destination: EVERYBODY, .. } => {
                *self.0.entry(publisher).or_default() += 1;
                output.publish(TOTALS, format!("total {}", self.total()).as_bytes());
                output.timer_after(QUIET, QUIET_NS, b"");
            }
            InputEvent::Timer { key: QUIET, .. } => {
                output.publish(TOTALS, format!("quiet at {}", self.total()).as_bytes());
            }
            _ => {}
        }
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        self.0.iter().try_for_each(|(publisher, count)| writeln!(out, "{publisher} {count}"))
    }

    fn restore(_: &mut impl Read) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails at its third message.
    #[derive(Default)]
    struct Picky(u64);

    impl StateMachine for Picky {
        const VERSION: u32 = 1;

        fn apply(&mut self, _: &Input<'_>, output: &mut Output) {
            self.0 += 1;
            output.publish(TOTALS, b"");
        }

        fn snapshot(&self, _: &mut impl Write) -> io::Result<()> {
            Ok(())
        }

        fn restore(_: &mut impl Read) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn fault(&self) -> Option<&str> {
            (self.0 == 3).then_some("three is too many")
        }
    }

    #[test]
    fn the_time_of_all_messages_is_measured_and_a_machine_that_fails_has_none() {
        let mut reading = 0;
        let mut now = || {
            reading += 5;
            reading
        };
        assert_eq!(counter_cost(100, &mut now), 5, "the clock is read at the begin and at the end");
        let failed = apply_cost(Picky::default(), 3, &mut now).expect_err("it fails");
        assert_eq!(failed.to_string(), "the machine has failed: three is too many");
        assert!(apply_cost(Picky::default(), 2, &mut now).is_ok());
    }
}
