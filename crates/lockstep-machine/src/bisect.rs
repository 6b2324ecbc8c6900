//! # bisect: the input at which two machines diverge
//!
//! Replicas report digests at intervals, which give the range in which they diverged. To find the input
//! itself, both machines, or two versions of one, apply that part of the stream again, and the digests are
//! compared after each input.

use crate::core::{MachineCore, MachineSettings};
use crate::machine::{Input, StateMachine};
use crate::output::Output;
use lockstep_core::engine::subscriber::SubscriberEvent;
use lockstep_wire::Seq;
use std::fmt;

/// Two machines that apply the same stream.
#[derive(Debug)]
pub struct Bisect<A, B> {
    one: MachineCore<A>,
    other: MachineCore<B>,
}

/// The input at which they diverged.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartingInput {
    /// The seq of its entry.
    pub seq: Seq,
    /// The input as text.
    pub input: String,
    /// The first lines in which the printed states of the two machines differ. `None`: the texts are equal,
    /// or only the outputs differ.
    pub states: Option<(String, String)>,
}

impl fmt::Display for PartingInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the states diverge at seq {}, {}", self.seq, self.input)?;
        match &self.states {
            Some((one, other)) => write!(f, "\n  one:   {}\n  other: {}", one.trim(), other.trim()),
            None => f.write_str("; printed, they are equal"),
        }
    }
}

impl<A: StateMachine + fmt::Debug, B: StateMachine + fmt::Debug> Bisect<A, B> {
    /// Two machines at the beginning of the stream.
    pub fn new(settings: MachineSettings, one: A, other: B) -> Self {
        Self { one: MachineCore::new(settings.clone(), one), other: MachineCore::new(settings, other) }
    }

    /// Two machines that were restored at the same position.
    pub fn of(one: MachineCore<A>, other: MachineCore<B>) -> Self {
        Self { one, other }
    }

    /// Applies the next event of the committed subscription to both. Returns the input at which they
    /// diverged.
    pub fn on_event(&mut self, event: &SubscriberEvent<'_>) -> Option<PartingInput> {
        let mut last = None;
        let mut observe =
            |input: &Input<'_>, _: &Output| last = Some((input.seq, format!("{:?}", input.event)));
        // The stream has the outputs of one machine, of the other one, or of neither: here only inputs count.
        let one = self.one.on_event(event, &mut observe).is_err();
        let other = self.other.on_event(event, &mut |_, _| {}).is_err();
        let has_parted = one != other || self.one.digest() != self.other.digest();
        let seq = event.seq().unwrap_or_default();
        has_parted.then(|| {
            let (seq, input) = last.unwrap_or((seq, "an output that only one of them has".to_owned()));
            let printed = [format!("{:#?}", self.one.machine()), format!("{:#?}", self.other.machine())];
            PartingInput { seq, input, states: first_difference(&printed) }
        })
    }
}

/// The first lines in which two texts differ.
fn first_difference([one, other]: &[String; 2]) -> Option<(String, String)> {
    let (mut ones, mut others) = (one.lines(), other.lines());
    loop {
        match (ones.next(), others.next()) {
            (None, None) => return None,
            (one, other) if one == other => {}
            (one, other) => {
                return Some((one.unwrap_or("nothing").to_owned(), other.unwrap_or("nothing").to_owned()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::InputEvent;
    use lockstep_core::engine::subscriber::Message;
    use std::io::{self, Read, Write};

    /// Two versions of a sum: the newer one counts a 7 twice.
    #[derive(Debug)]
    struct Sum {
        is_newer: bool,
        sum: u64,
    }

    impl StateMachine for Sum {
        const VERSION: u32 = 1;

        fn apply(&mut self, input: &Input<'_>, _: &mut Output) {
            if let InputEvent::Message { payload: [number], .. } = input.event {
                self.sum += u64::from(*number) * if self.is_newer && *number == 7 { 2 } else { 1 };
            }
        }

        fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
            out.write_all(&self.sum.to_le_bytes())
        }

        fn restore(_: &mut impl Read) -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    #[test]
    fn the_input_is_named_with_what_is_different_then() {
        let settings = MachineSettings { name: "sum".into(), digest_every: 1_000 };
        let (one, other) = (Sum { is_newer: false, sum: 0 }, Sum { is_newer: true, sum: 0 });
        let mut bisect = Bisect::new(settings, one, other);
        let numbers = [1, 2, 7, 3];
        let found = (1..).zip(&numbers).find_map(|(seq, number)| {
            let payload = std::slice::from_ref(number);
            let message =
                Message { seq, publisher: 1, publisher_seq: seq, destination: 0, timestamp: seq, payload };
            bisect.on_event(&SubscriberEvent::Message(message))
        });
        let found = found.expect("they part");
        assert_eq!(found.seq, 3);
        // The first line that differs shows the version.
        assert!(found.to_string().contains("is_newer: true,"), "{found}");
        assert!(found.input.contains("payload: [7]"), "{found}");
    }
}
