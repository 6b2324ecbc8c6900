//! The core on single events.

use super::*;
use crate::machine::StateMachine;
use lockstep_wire::{Epoch, OperatorOrder, OrderStatement, OrderView, named_arguments};

const SECOND: Nanos = 1_000_000_000;
const RIGHT: Nanos = 1_700_000_000 * SECOND;

/// It sets timers of each kind on demand, and remembers its inputs.
#[derive(Default)]
struct Reminder(Vec<(Nanos, String)>);

impl StateMachine for Reminder {
    const VERSION: u32 = 1;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        match input.event {
            InputEvent::Message { payload: b"set", .. } => {
                output.timer_after(1, 10 * SECOND, b"after");
                output.timer_at(2, RIGHT + 100 * SECOND, b"at");
            }
            InputEvent::Timer { payload, .. } => {
                self.0.push((input.time, String::from_utf8_lossy(payload).into_owned()));
            }
            InputEvent::TimeSetBack { before } => self.0.push((input.time, format!("from {before}"))),
            _ => {}
        }
    }

    fn snapshot(&self, _: &mut impl Write) -> io::Result<()> {
        Ok(())
    }

    fn restore(_: &mut impl Read) -> io::Result<Self> {
        Ok(Self::default())
    }
}

fn core() -> MachineCore<Reminder> {
    let settings = MachineSettings { name: "reminder".into(), digest_every: 1_000 };
    MachineCore::new(settings, Reminder::default())
}

fn message(core: &mut MachineCore<Reminder>, timestamp: Nanos, payload: &[u8]) {
    let (seq, publisher, publisher_seq, destination) = (core.next(), 3, core.next(), 0);
    let event =
        SubscriberEvent::Message(Message { seq, publisher, publisher_seq, destination, timestamp, payload });
    core.on_event(&event, &mut |_, _| {}).expect("no outputs come back");
}

fn set_back(core: &mut MachineCore<Reminder>, before: Nanos, timestamp: Nanos) {
    let order = OperatorOrder::Time;
    let arguments = named_arguments(order, &before.to_string());
    let statement = OrderStatement {
        order,
        history: 1,
        epoch: Epoch::NONE,
        membership_seq: 1,
        subject: None,
        arguments: &arguments,
    };
    let record = statement.record(None, None);
    let order = OrderView::parse(&record).expect("our own bytes");
    let event = SubscriberEvent::Ordered { seq: core.next(), timestamp, order };
    core.on_event(&event, &mut |_, _| {}).expect("no outputs come back");
}

#[test]
fn timers_fire_neither_early_nor_never_where_the_streams_time_is_set_back() {
    for ahead in [3_600, 86_400, 15 * 365 * 86_400].map(|seconds| seconds * SECOND) {
        let mut core = core();
        message(&mut core, RIGHT + ahead, b"set");
        // A timer at a time that has passed is due at once.
        message(&mut core, RIGHT + ahead, b"");
        assert_eq!(core.machine().0, [(RIGHT + ahead, "at".to_owned())], "ahead by {ahead}");
        message(&mut core, RIGHT + ahead + 4 * SECOND, b"");
        set_back(&mut core, RIGHT + ahead + 4 * SECOND, RIGHT);
        assert_eq!(core.time(), RIGHT);
        assert_eq!(core.next_timer(), Some(RIGHT + 6 * SECOND), "what was left of it");
        message(&mut core, RIGHT + 6 * SECOND - 1, b"");
        assert_eq!(core.timers(), 1);
        message(&mut core, RIGHT + 6 * SECOND, b"");
        let from = format!("from {}", RIGHT + ahead + 4 * SECOND);
        assert_eq!(core.machine().0[1..], [(RIGHT, from), (RIGHT + 6 * SECOND, "after".to_owned())]);
    }
}

/// The start of an epoch is no event with a time: a leader whose clock was ahead has stamped nothing else.
#[test]
fn an_order_of_time_is_no_input_where_a_copy_has_not_seen_the_stream_run_ahead() {
    let ahead = RIGHT + 3_600 * SECOND;
    let mut core = core();
    set_back(&mut core, ahead, RIGHT);
    assert_eq!((core.time(), &core.machine().0[..]), (RIGHT, &[][..]), "it has read nothing before");
    message(&mut core, RIGHT + SECOND, b"set");
    for passed in [1, 4] {
        set_back(&mut core, ahead, RIGHT + passed * SECOND);
        assert_eq!(core.time(), RIGHT + passed * SECOND);
        assert_eq!(core.next_timer(), Some(RIGHT + 11 * SECOND), "no timer moves");
    }
    set_back(&mut core, ahead, RIGHT + 11 * SECOND);
    assert_eq!(core.machine().0, [(RIGHT + 11 * SECOND, "after".to_owned())]);
}

/// Earlier releases address reports to the machine, as messages.
#[test]
fn a_report_is_read_as_an_event_of_its_own_and_as_a_message_and_a_strangers_is_no_input() {
    const REPLICA: PublisherId = 9;
    let report = ReplicaReport::TakeOver { version: 1 }.to_bytes();
    for (publisher, as_message) in [(REPLICA, false), (REPLICA, true), (7, false)] {
        let mut core = core();
        let opened = SubscriberEvent::Opened {
            seq: 1,
            timestamp: RIGHT,
            publisher: REPLICA,
            incarnation: 1,
            nonce: [1, 2],
            last: 0,
            name: "reminder/replica/2",
        };
        core.on_event(&opened, &mut |_, _| {}).expect("a name");
        let (seq, timestamp, payload) = (2, RIGHT + SECOND, &report[..]);
        let message = Message { seq, publisher, publisher_seq: 1, destination: 3, timestamp, payload };
        let event = match as_message {
            true => SubscriberEvent::Message(message),
            false => SubscriberEvent::MachineReport { seq, timestamp, publisher, payload },
        };
        core.on_event(&event, &mut |_, _| panic!("it is no input")).expect("no outputs come back");
        assert_eq!(core.in_force(), (publisher == REPLICA).then_some(1), "{event:?}");
        assert_eq!((core.time(), core.next()), (RIGHT + SECOND, 3), "it moves the stream's time");
    }
}

#[test]
fn a_timer_at_a_time_keeps_it_where_the_streams_time_is_set_back() {
    let mut core = core();
    message(&mut core, RIGHT + 50 * SECOND, b"set");
    set_back(&mut core, RIGHT + 50 * SECOND, RIGHT);
    assert_eq!(core.next_timer(), Some(RIGHT + 10 * SECOND));
    message(&mut core, RIGHT + 10 * SECOND, b"");
    assert_eq!(core.next_timer(), Some(RIGHT + 100 * SECOND));
    message(&mut core, RIGHT + 100 * SECOND, b"");
    assert_eq!(core.machine().0.last(), Some(&(RIGHT + 100 * SECOND, "at".to_owned())));
}

#[test]
fn a_copy_that_continues_from_a_snapshot_sets_its_timers_back_alike() {
    let (mut live, mut saved) = (core(), Vec::new());
    message(&mut live, RIGHT + 60 * SECOND, b"set");
    let cursor = Cursor { history: 1, seq: live.next(), chain: 0 };
    live.save(cursor, live.next(), &mut saved).expect("memory takes it");
    let (mut restored, _) =
        MachineCore::<Reminder>::restore(live.settings().clone(), &mut &saved[..]).expect("our own bytes");
    for core in [&mut live, &mut restored] {
        set_back(core, RIGHT + 60 * SECOND, RIGHT);
    }
    assert_eq!(restored.next_timer(), Some(RIGHT + 10 * SECOND));
    assert_eq!((restored.digest(), restored.time()), (live.digest(), live.time()));
}
