use super::*;
use crate::machine::InputEvent;
use crate::report::ReplicaReport;
use lockstep_wire::{EVERYBODY, PublisherId};
use proptest::prelude::*;
use std::io::{self, Read, Write};

const NAME: &str = "sum";
const MACHINE: PublisherId = 9;
const CLIENT: PublisherId = 3;

/// A sum of bytes, which answers each third message and has a timer; its version selects planted faults.
#[derive(Debug, Default)]
struct Sum {
    sum: u64,
    count: u64,
}

impl StateMachine for Sum {
    const VERSION: u32 = 1;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        match input.event {
            InputEvent::Message { payload: [byte], .. } => {
                (self.sum, self.count) = (self.sum.wrapping_add(u64::from(*byte)), self.count + 1);
                output.timer_after(u64::from(*byte % 3), u64::from(*byte), &[*byte]);
                if self.count.is_multiple_of(3) {
                    output.publish(EVERYBODY, format!("{}", self.sum).as_bytes());
                }
            }
            InputEvent::Timer { key, .. } => self.sum = self.sum.wrapping_mul(31) ^ key,
            _ => {}
        }
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        [self.sum, self.count].iter().try_for_each(|word| out.write_all(&word.to_le_bytes()))
    }

    fn restore(from: &mut impl Read) -> io::Result<Self> {
        let mut words = [[0; 8]; 2];
        words.iter_mut().try_for_each(|word| from.read_exact(word))?;
        let [sum, count] = words.map(u64::from_le_bytes);
        Ok(Self { sum, count })
    }
}

/// Entries of a stream: payloads, each with its publisher, or `open ` and a name. Entry 1 opens the client's
/// name, and entry 2 the machine's.
#[derive(Clone, Debug)]
struct Recorded {
    rows: Vec<(PublisherId, Vec<u8>)>,
    next: Seq,
}

impl Recorded {
    fn of(rows: Vec<(PublisherId, Vec<u8>)>) -> Self {
        Self { rows, next: 1 }
    }

    /// The bytes as messages of the client, each third one followed by the output that a machine published
    /// for it.
    fn answered(bytes: &[u8], mut answer: impl FnMut(u64) -> Vec<u8>) -> Self {
        let (mut rows, mut output) = (Vec::new(), 0);
        for (place, byte) in bytes.iter().enumerate() {
            rows.push((CLIENT, vec![*byte]));
            if place % 3 == 2 {
                output += 1;
                rows.push((MACHINE, answer(output)));
            }
        }
        Self::of(rows)
    }
}

impl Recording for Recorded {
    fn begin(&mut self, from: Option<&Cursor>) -> Result<(), MachineFault> {
        self.next = from.map_or(1, |cursor| cursor.seq);
        Ok(())
    }

    fn next(&mut self, show: &mut dyn FnMut(&SubscriberEvent<'_>)) -> Result<bool, MachineFault> {
        let seq = self.next;
        let opened = |publisher, name| SubscriberEvent::Opened {
            seq,
            timestamp: seq,
            publisher,
            incarnation: 1,
            nonce: [1, 2],
            last: 0,
            name,
        };
        match seq {
            1 => show(&opened(CLIENT, "orders")),
            2 => show(&opened(MACHINE, NAME)),
            _ => {
                let Some((publisher, payload)) = self.rows.get(seq as usize - 3) else { return Ok(false) };
                if let Some(name) = payload.strip_prefix(b"open ") {
                    show(&opened(*publisher, std::str::from_utf8(name).expect("a name")));
                    self.next += 1;
                    return Ok(true);
                }
                show(&SubscriberEvent::Message(Message {
                    seq,
                    publisher: *publisher,
                    publisher_seq: seq,
                    destination: EVERYBODY,
                    timestamp: seq * 10,
                    payload,
                }));
            }
        }
        self.next += 1;
        Ok(true)
    }

    fn place(&self) -> Option<(Cursor, Seq)> {
        Some((Cursor { history: 1, seq: self.next, chain: 0 }, self.next))
    }
}

fn settings() -> MachineSettings {
    MachineSettings { name: NAME.to_owned(), digest_every: 1_000 }
}

fn debugger(recorded: Recorded) -> Debugger<Sum, Recorded> {
    Debugger::new(settings(), recorded, Sum::default).expect("a recording")
}

/// What a person sees at a position.
fn seen<M: StateMachine>(debugger: &Debugger<M, Recorded>) -> (String, u64, Vec<(u64, Nanos)>) {
    let step = debugger.step().map(|step| format!("{step:?}"));
    (step.unwrap_or_default(), debugger.digest(), debugger.timers())
}

#[derive(Clone, Debug)]
enum Move {
    Forward(u64),
    Back(u64),
    GoTo(Seq),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        (1..40u64).prop_map(Move::Forward),
        (1..40u64).prop_map(Move::Back),
        (0..220u64).prop_map(Move::GoTo),
    ];
    prop::collection::vec(one, 0..30)
}

proptest! {
    #[test]
    fn a_walk_forward_and_back_sees_at_each_place_what_a_straight_run_sees(
        bytes in prop::collection::vec(any::<u8>(), 1..200),
        moves in moves(),
        every in 1..9u64,
    ) {
        let recorded = Recorded::of(bytes.iter().map(|byte| (CLIENT, vec![*byte])).collect());
        let mut straight = debugger(recorded.clone());
        let mut all = vec![(0, seen(&straight))];
        while straight.forward().expect("a recording") {
            all.push((straight.step().expect("a step").seq, seen(&straight)));
        }
        let mut walk = debugger(recorded).every(every);
        let mut at = 0;
        for one in moves {
            match one {
                Move::Forward(steps) => {
                    for _ in 0..steps {
                        let moved = walk.forward().expect("a recording");
                        prop_assert_eq!(moved, at + 1 < all.len());
                        at += usize::from(moved);
                    }
                }
                Move::Back(steps) => {
                    walk.back(steps).expect("a recording");
                    at = at.saturating_sub(steps as usize);
                }
                Move::GoTo(seq) => {
                    let wanted = (1..all.len()).find(|place| all[*place].0 >= seq);
                    prop_assert_eq!(walk.go_to(seq).expect("a recording"), wanted.is_some());
                    at = wanted.unwrap_or(all.len() - 1);
                }
            }
            prop_assert_eq!(&seen(&walk), &all[at].1);
        }
        prop_assert_eq!(walk.snapshot_error(), None);
    }
}

#[test]
fn snapshots_are_bounded_however_long_the_stream_is() {
    let rows = (0..20_000u32).map(|place| (CLIENT, vec![place as u8])).collect();
    let mut walk = debugger(Recorded::of(rows)).every(1);
    while walk.forward().expect("a recording") {}
    assert!((8..=SNAPSHOTS_MAX).contains(&walk.snapshots.len()), "{}", walk.snapshots.len());
    let (number, digest) = (walk.step().expect("a step").number, walk.digest());
    walk.back(9_000).expect("a recording");
    assert_eq!(walk.step().expect("a step").number, number - 9_000);
    while walk.forward().expect("a recording") {}
    assert_eq!(walk.digest(), digest);
}

#[test]
fn a_step_says_who_sent_what_and_what_follows() {
    let mut walk = debugger(Recorded::of(vec![(CLIENT, vec![4]); 3]));
    assert!(
        walk.forward_until(|step| step.applied.iter().any(|one| one.output.published().count() > 0))
            .expect("ok")
    );
    let step = walk.step().expect("a step");
    assert_eq!((step.seq, step.applied.len()), (5, 2), "a timer fires before the message: {step:?}");
    assert_eq!(step.applied[0].input, "timer 1, due at 44, fires with \"\\x04\"");
    let message = &step.applied[1];
    assert_eq!(message.input, "message 5 of 'orders' (publisher 3): \"\\x04\" to everybody");
    assert_eq!(message.effects[0], "sets timer 1, due at 54, with \"\\x04\"");
    assert!(message.effects[1].starts_with("publishes \""), "{:?}", message.effects);
    assert_eq!(walk.timers(), [(1, 54)]);
}

#[test]
fn the_first_output_that_differs_is_found_with_both_and_the_input_that_made_it() {
    let bytes = [3, 3, 3, 3, 3, 3, 3, 3, 3];
    let mut outputs = Vec::new();
    let mut straight = debugger(Recorded::of(bytes.iter().map(|byte| (CLIENT, vec![*byte])).collect()));
    while straight.forward().expect("a recording") {
        let step = straight.step().expect("a step");
        step.applied
            .iter()
            .for_each(|one| outputs.extend(one.output.published().map(|(_, bytes)| bytes.to_vec())));
    }
    assert_eq!(outputs.len(), 3);
    // The entries of outputs advance the time, so the stream must be the one of a run of the machine.
    let alike = |changed: Option<u64>| {
        let mut recorded = Recorded::answered(&bytes, |_| b"?".to_vec());
        let mut run = debugger(recorded.clone());
        let mut published = Vec::new();
        while run.forward().expect("a recording") {
            let step = run.step().expect("a step");
            step.applied
                .iter()
                .for_each(|one| published.extend(one.output.published().map(|(_, bytes)| bytes.to_vec())));
        }
        let own = recorded.rows.iter_mut().filter(|row| row.0 == MACHINE);
        own.zip(published).zip(1..).for_each(|((row, output), number)| {
            row.1 = if Some(number) == changed { b"another".to_vec() } else { output };
        });
        recorded
    };
    let mut equal = debugger(alike(None));
    assert_eq!(equal.forward_to_difference().expect("a recording"), None);
    assert_eq!(equal.not_in_stream(), None);
    let mut other = debugger(alike(Some(2)));
    let found = other.forward_to_difference().expect("a recording").expect("it differs");
    assert_eq!((found.seq, found.of), (10, Some(9)));
    assert!(found.text.contains("output 2 is \"another\" to everybody in the stream"), "{found:?}");
    // After a step back the same difference is found again, and none of those behind it.
    other.back(u64::MAX).expect("a recording");
    assert_eq!(other.forward_to_difference().expect("a recording"), Some(found));
    assert_eq!(other.forward_to_difference().expect("a recording"), None);
}

/// It forgets the count in its snapshot.
struct Forgets(Sum);

impl StateMachine for Forgets {
    const VERSION: u32 = 1;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        self.0.apply(input, output);
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        self.0.snapshot(out)
    }

    fn restore(from: &mut impl Read) -> io::Result<Self> {
        Ok(Self(Sum { count: 0, ..Sum::restore(from)? }))
    }
}

#[test]
fn a_machine_that_restores_another_state_is_stepped_back_by_the_whole_stream() {
    let recorded = Recorded::of(vec![(CLIENT, vec![4]); 30]);
    let new = || Forgets(Sum::default());
    let mut walk = Debugger::new(settings(), recorded, new).expect("a recording").every(4);
    assert!(walk.go_to(12).expect("a recording"));
    let at_12 = seen(&walk);
    assert!(walk.go_to(25).expect("a recording") && walk.go_to(12).expect("a recording"));
    assert_eq!(seen(&walk), at_12);
    assert!(walk.snapshot_error().is_some_and(|why| why.contains("do not agree")));
}

/// The outputs alone do not show it.
#[test]
fn another_digest_that_a_replica_has_reported_is_a_difference() {
    const REPLICA: PublisherId = 12;
    let every_10 = || MachineSettings { digest_every: 10, ..settings() };
    let mut rows = vec![(REPLICA, b"open sum/replica/2".to_vec())];
    rows.extend((0..9).map(|_| (CLIENT, vec![4])));
    let mut straight = Debugger::new(every_10(), Recorded::of(rows.clone()), Sum::default).expect("rows");
    assert!(straight.go_to(9).expect("rows"));
    let own = straight.digest();
    for (digest, differs) in [(own, false), (own ^ 1, true)] {
        let report = ReplicaReport::Digest { version: 1, at: 10, digest };
        let mut rows = rows.clone();
        rows.push((REPLICA, report.to_bytes()));
        let mut walk = Debugger::new(every_10(), Recorded::of(rows), Sum::default).expect("rows");
        let found = walk.forward_to_difference().expect("rows");
        assert_eq!(found.is_some(), differs, "{found:?}");
        let text = found.map_or(String::new(), |found| found.text);
        assert!(!differs || text.starts_with("replica 2 has another state before seq 10"), "{text}");
    }
}
