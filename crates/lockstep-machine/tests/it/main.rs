//! A machine's pass must not allocate, once its memory has grown to the needed size.

mod foreign;

use lockstep_core::engine::subscriber::{Message, SubscriberEvent};
use lockstep_machine::{EVERYBODY, Input, InputEvent, MachineCore, MachineSettings, Output, StateMachine};
use std::io::{self, Read, Write};

/// Answers each message with its payload, in two pieces.
struct Echo;

impl StateMachine for Echo {
    const VERSION: u32 = 1;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        if let InputEvent::Message { publisher, payload, .. } = input.event {
            output.publish_parts(publisher, &[b"echo ", payload]);
        }
    }

    fn snapshot(&self, _: &mut impl Write) -> io::Result<()> {
        Ok(())
    }

    fn restore(_: &mut impl Read) -> io::Result<Self> {
        Ok(Self)
    }
}

/// Ids of a client and of the machine.
const CLIENT: u32 = 7;
const MACHINE: u32 = 8;

/// Applies `count` messages, and reads each output back from the stream before the next one.
fn applied(core: &mut MachineCore<Echo>, count: u64) {
    for _ in 0..count {
        let seq = core.next();
        let message = Message {
            seq,
            publisher: CLIENT,
            publisher_seq: seq,
            destination: EVERYBODY,
            timestamp: seq,
            payload: &[b'x'; 48],
        };
        let own = Message {
            seq: seq + 1,
            publisher: MACHINE,
            publisher_seq: core.outputs.count() + 1,
            destination: CLIENT,
            payload: &[b"echo ".as_slice(), &[b'x'; 48]].concat(),
            ..message
        };
        for message in [message, own] {
            core.on_event(&SubscriberEvent::Message(message), &mut |_, _| {}).expect("what it has produced");
        }
    }
}

#[test]
fn a_pass_with_its_output_allocates_nothing() {
    let settings = MachineSettings { name: "echo".to_owned(), digest_every: 1 << 40 };
    let mut core = MachineCore::new(settings, Echo);
    let opened = SubscriberEvent::Opened {
        seq: 1,
        timestamp: 1,
        publisher: MACHINE,
        incarnation: 1,
        nonce: [1, 2],
        last: 0,
        name: "echo",
    };
    core.on_event(&opened, &mut |_, _| {}).expect("a name");
    applied(&mut core, 100);
    let info = allocation_counter::measure(|| applied(&mut core, 10_000));
    // The test allocates once for each message that it makes.
    assert_eq!(info.count_total, 10_000, "{info:?}");
    assert_eq!(core.outputs.count(), 10_100);
}
