//! Errors that break the determinism of a machine are found, each by the judge that its writer would use; a
//! correct machine has none.

use lockstep_machine::{Input, InputEvent, Output, StateDigest, StateMachine};
use lockstep_sim::trial::{Trial, TrialCoverage, TrialFailure, TrialReport};
use lockstep_testkit::lane;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};

/// The planted errors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Planted {
    #[default]
    Nothing,
    /// It iterates over a hash map.
    HashMap,
    /// It reads a clock.
    Clock,
    /// It uses an address.
    Address,
    /// It sums floats in an order of its own.
    Float,
    /// It reads a byte that nothing has written: here one of its stack, which a safe program cannot.
    UnwrittenByte,
    /// Its snapshot forgets a field that the digest does not have either.
    ForgottenField,
    /// It counts something twice where a number is 7.
    WrongSum,
    /// A message makes it panic.
    Panic,
    /// It iterates over a hash map, hours later: a timer of that age never fires in a run.
    TimerOrder,
    /// Its snapshot forgets what only a timer uses, hours later.
    TimerForgets,
    /// It sets a timer in each message, and cancels it in the same.
    TimersCancelled,
}

const HOURS: u64 = 3 * 3_600 * 1_000_000_000;

/// What each publisher has sent, and how much of it all together.
#[derive(Clone, Debug, Default)]
struct Ledger {
    planted: Planted,
    by_publisher: BTreeMap<u32, u64>,
    sum: u64,
    /// The number of the last message, which decides the next answer.
    last: u64,
}

impl Ledger {
    fn of(planted: Planted) -> impl Fn() -> Self {
        move || Self { planted, ..Self::default() }
    }
}

#[allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the planted errors are these")]
impl StateMachine for Ledger {
    const VERSION: u32 = 1;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        if let InputEvent::Timer { .. } = input.event {
            let mut answer = self.last;
            if self.planted == Planted::TimerOrder {
                let map: std::collections::HashMap<u64, u64> = (0..64).map(|key| (key, answer)).collect();
                answer = *map.keys().next().expect("64");
            }
            output.publish(0, &answer.to_le_bytes());
        }
        let InputEvent::Message { publisher, user: Some(_), payload, .. } = input.event else { return };
        let number = payload.first_chunk().map_or(0, |number| u64::from_le_bytes(*number));
        *self.by_publisher.entry(publisher).or_default() += number;
        self.sum += number;
        let mut answer = self.sum ^ self.last;
        match self.planted {
            Planted::HashMap => {
                let map: std::collections::HashMap<u64, u64> = (0..64).map(|key| (key, number)).collect();
                answer = *map.keys().next().expect("64");
            }
            Planted::Clock => self.sum += u64::from(std::time::Instant::now().elapsed().subsec_nanos() % 2),
            Planted::Address => answer = std::ptr::from_ref(&*Box::new(number)).addr() as u64,
            Planted::Float => {
                let map: std::collections::HashMap<u64, f64> =
                    (0..64).map(|key| (key, 0.1 / (key + number) as f64)).collect();
                self.sum ^= map.values().sum::<f64>().to_bits() & 1;
            }
            Planted::UnwrittenByte => answer = u64::from(std::process::id()) ^ unwritten(),
            Planted::WrongSum if number == 7 => self.sum += number,
            Planted::Panic if number == 7 => panic!("7"),
            Planted::TimerOrder | Planted::TimerForgets => {
                output.timer_after(u64::from(publisher), HOURS, b"");
                answer = self.sum;
            }
            Planted::TimersCancelled => {
                output.timer_after(1, HOURS, b"");
                output.cancel(1);
            }
            _ => {}
        }
        self.last = number;
        output.publish(publisher, &answer.to_le_bytes());
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        let forgets = [Planted::ForgottenField, Planted::TimerForgets].contains(&self.planted);
        let last = if forgets { 0 } else { self.last };
        let words = [self.planted as u64, self.sum, last];
        let rows = self.by_publisher.iter().flat_map(|(publisher, sum)| [u64::from(*publisher), *sum]);
        words.into_iter().chain(rows).try_for_each(|word| out.write_all(&word.to_le_bytes()))
    }

    fn restore(from: &mut impl Read) -> io::Result<Self> {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes)?;
        let mut words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        let mut word = || words.next().ok_or(io::Error::from(ErrorKind::UnexpectedEof));
        let all = [
            Planted::Nothing,
            Planted::HashMap,
            Planted::Clock,
            Planted::Address,
            Planted::Float,
            Planted::UnwrittenByte,
            Planted::ForgottenField,
            Planted::WrongSum,
            Planted::Panic,
            Planted::TimerOrder,
            Planted::TimerForgets,
            Planted::TimersCancelled,
        ];
        let planted = all[word()? as usize];
        let (sum, last) = (word()?, word()?);
        let mut by_publisher = BTreeMap::new();
        while let (Ok(publisher), Ok(sum)) = (word(), word()) {
            by_publisher.insert(publisher as u32, sum);
        }
        Ok(Self { planted, by_publisher, sum, last })
    }

    fn digest(&self) -> u64 {
        let mut digest = StateDigest::default();
        digest.write(&self.sum.to_le_bytes());
        self.by_publisher
            .iter()
            .for_each(|(publisher, sum)| digest.write(&(u64::from(*publisher) ^ *sum).to_le_bytes()));
        digest.value()
    }
}

/// What a byte that was never written may be: something else in every process, and from call to call.
fn unwritten() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static CALLS: AtomicU64 = AtomicU64::new(0);
    CALLS.fetch_add(1, Ordering::Relaxed)
}

fn judged(planted: Planted, first: u64, seeds: u64) -> Result<TrialReport, Box<TrialFailure>> {
    Trial::new(Ledger::of(planted))
        .messages(|_, number| (number % 13).to_le_bytes().to_vec())
        .invariant(|ledger| match ledger.by_publisher.values().sum::<u64>() {
            sum if sum == ledger.sum => Ok(()),
            sum => Err(format!("all together is {}, and each has {sum}", ledger.sum)),
        })
        .first(first)
        .run(seeds)
}

#[test]
fn a_correct_machine_passes() {
    // LOCKSTEP_SEEDS=10000 is the long run.
    let seeds = std::env::var("LOCKSTEP_SEEDS").map_or(12, |seeds| seeds.parse().expect("a number"));
    let first = std::env::var("LOCKSTEP_FIRST").map_or(1, |seed| seed.parse().expect("a number"));
    let report = judged(Planted::Nothing, first, seeds).expect("it is right");
    let TrialCoverage { messages, sessions, outputs, snapshots, restored, takeovers, .. } = report.coverage;
    assert!(report.inputs_judged > 1_000 && messages > 20 * seeds && outputs > 100, "{report}");
    assert!(sessions > seeds && snapshots > 0 && restored > seeds && takeovers > 0, "{report}");
}

/// Time leaps to timers that no run is long enough for.
#[test]
fn a_timer_of_hours_fires_and_one_that_never_does_is_an_error() {
    for (planted, words) in [
        (Planted::TimerOrder, "the second time"),
        (Planted::TimerForgets, "the second time"),
        (Planted::TimersCancelled, "has ever fired"),
    ] {
        let failure = judged(planted, 1, 2).expect_err("it is planted");
        assert!(failure.to_string().contains(words), "{planted:?}: {failure}");
    }
}

/// A twin is restored in each seed, so one is enough.
#[test]
fn a_field_that_a_snapshot_forgets_is_found_in_the_first_seed_with_input_and_outputs() {
    let failure = judged(Planted::ForgottenField, 1, 1).expect_err("it is planted").to_string();
    for words in ["twin", "at the input of seq", "Message {", "effect 1 is", "the second time"] {
        assert!(failure.contains(words), "{words}: {failure}");
    }
}

/// The seed of a leader that became deaf behind twenty-six takeovers without a commit, and led on for a
/// thousand timeouts.
#[test]
fn a_deaf_leader_behind_many_takeovers_is_replaced() {
    // One run that takes as long as all other tests of a machine.
    if !lane::amount(false, true) {
        println!("left to .ci/night");
        return;
    }
    judged(Planted::Nothing, 45441, 1).expect("its quorum goes on");
}

#[test]
fn each_planted_error_is_found_and_comes_with_the_simplest_run() {
    // What depends on the clock or on an order that chance gives is found by the invariant or by the twin, by
    // chance as well.
    const EITHER: &[&str] = &["all together", "the second time", "its twin"];
    for (planted, words) in [
        (Planted::HashMap, &["the second time"][..]),
        (Planted::Clock, EITHER),
        (Planted::Address, &["the second time"]),
        (Planted::Float, EITHER),
        (Planted::UnwrittenByte, &["the second time"]),
        (Planted::ForgottenField, &["the second time"]),
        (Planted::WrongSum, &["all together"]),
        (Planted::Panic, &["PANIC"]),
    ] {
        let failure = judged(planted, 1, 60).expect_err("it is planted");
        let text = failure.to_string();
        let is_named = words.iter().any(|words| text.contains(words));
        assert!(is_named && text.contains("the simplest run"), "{planted:?}: {text}");
    }
}

/// Messages of some publishers, a millisecond apart.
fn inputs() -> impl Iterator<Item = Input<'static>> {
    (1..=40).map(|seq| {
        let (publisher, publisher_seq, destination) = (7 + seq as u32 % 3, seq, 0);
        let payload = &[3, 0, 0, 0, 0, 0, 0, 0];
        let event =
            InputEvent::Message { publisher, publisher_seq, destination, user: Some("client"), payload };
        Input { seq, time: seq * 1_000_000, event }
    })
}

#[test]
fn an_error_is_found_with_inputs_alone_and_a_correct_machine_passes() {
    let applied = |planted| Trial::new(Ledger::of(planted)).apply(inputs(), 1);
    let report = applied(Planted::Nothing).expect("it is right");
    assert_eq!((report.inputs_judged, report.coverage.messages), (40, 40), "{report}");
    assert!(report.coverage.restored >= 40 && report.coverage.outputs > 0, "{report}");
    for (planted, words) in [
        (Planted::UnwrittenByte, "the second time"),
        (Planted::ForgottenField, "the second time"),
        (Planted::TimerForgets, "the second time"),
        (Planted::TimersCancelled, "has ever fired"),
    ] {
        let failure = applied(planted).expect_err("it is planted");
        assert!(failure.contains(words), "{planted:?}: {failure}");
    }
}
