//! A machine that is known only at run time, as those of other languages are: its version is a value, it is
//! restored by one of its kind, and it may fail.

use lockstep_core::engine::subscriber::{Message, SubscriberEvent};
use lockstep_machine::{
    DivergencePolicy, EVERYBODY, Input, InputEvent, MachineCore, MachineFault, MachineReplica,
    MachineSettings, Output, ReplicaSettings, SnapshotError, StateMachine, Twice,
};
use lockstep_wire::Cursor;
use std::io::{self, Read, Write};

/// It answers with the factor of its kind times the number of its messages, and fails at `bad`.
#[derive(Debug)]
struct Foreign {
    version: u32,
    factor: u64,
    count: u64,
    applied: u64,
    fault: Option<String>,
}

impl Foreign {
    fn of(version: u32, factor: u64) -> Self {
        Self { version, factor, count: 0, applied: 0, fault: None }
    }
}

impl StateMachine for Foreign {
    const VERSION: u32 = 0;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        self.applied += 1;
        if let InputEvent::Message { payload, .. } = input.event {
            self.count += 1;
            output.publish(EVERYBODY, &(self.count * self.factor).to_le_bytes());
            if payload == b"bad" {
                self.fault = Some("a bad message".to_owned());
            }
        }
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.count.to_le_bytes())
    }

    fn restore(_: &mut impl Read) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn restore_another(&self, from: &mut impl Read) -> io::Result<Self> {
        let mut count = [0; 8];
        from.read_exact(&mut count)?;
        Ok(Self { count: u64::from_le_bytes(count), ..Self::of(self.version, self.factor) })
    }

    fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }
}

fn settings() -> MachineSettings {
    MachineSettings { name: "foreign".to_owned(), digest_every: 4 }
}

fn message(seq: u64, payload: &[u8]) -> SubscriberEvent<'_> {
    let (publisher, publisher_seq, destination, timestamp) = (7, seq, EVERYBODY, seq);
    SubscriberEvent::Message(Message { seq, publisher, publisher_seq, destination, timestamp, payload })
}

#[test]
fn a_machine_that_fails_puts_out_nothing_of_that_input_and_gets_no_more() {
    let of = ReplicaSettings {
        number: 1,
        nonce: [1, 2],
        on_divergence: DivergencePolicy::Stop,
        is_shadow: false,
        reads_stamped: false,
    };
    let mut replica = MachineReplica::new(of, MachineCore::new(settings(), Foreign::of(3, 10)));
    let mut seen = Vec::new();
    let mut feed = |seq, payload: &[u8]| {
        let mut observe = |input: &Input<'_>, _: &Output| seen.push(input.seq);
        replica.on_event(seq, &message(seq, payload), &mut observe)
    };
    assert_eq!(feed(1, b"good"), Ok(()));
    let failed = Err(MachineFault::Machine("a bad message".to_owned()));
    assert_eq!(feed(2, b"bad"), failed);
    // A caller should not continue; one that does gets the same error, also where a digest is due.
    for seq in 3..10 {
        assert_eq!(feed(seq, b"good"), failed);
    }
    assert_eq!(seen, [1]);
    assert_eq!((replica.core.outputs.produced(), replica.core.machine().applied), (1, 2));
}

#[test]
fn a_machine_whose_version_is_a_value_is_restored_by_one_of_its_kind() {
    let mut core = MachineCore::new(settings(), Foreign::of(3, 10));
    for seq in 1..=5 {
        core.on_event(&message(seq, b"good"), &mut |_, _| {}).expect("no outputs come back");
    }
    let mut saved = Vec::new();
    core.save(Cursor { history: 1, seq: 6, chain: 0 }, 6, &mut saved).expect("memory takes it");
    let restore =
        |version| MachineCore::restore_another(settings(), &Foreign::of(version, 10), &mut &saved[..]);
    let (restored, _) = restore(3).expect("its own bytes");
    assert_eq!((restored.digest(), restored.machine().factor), (core.digest(), 10));
    assert!(matches!(restore(4), Err(SnapshotError::Version(3))));
}

#[test]
fn a_twin_is_restored_as_a_machine_of_the_same_kind() {
    let mut twice = Twice::new(|| Foreign::of(3, 10)).every(1);
    for seq in 1..=5 {
        let event = InputEvent::Message {
            publisher: 7,
            publisher_seq: seq,
            destination: EVERYBODY,
            user: None,
            payload: b"good",
        };
        twice.apply(&Input { seq, time: seq, event }, &mut Output::new(seq));
    }
    assert_eq!((twice.difference(), twice.version()), (None, 3));
}
