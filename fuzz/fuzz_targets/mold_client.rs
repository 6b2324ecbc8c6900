//! A MoldUDP64 feed that loses, repeats and reorders, two sessions in one group, bytes that are no packet,
//! and time between them: what is delivered or given up is contiguous, each message has the bytes of its
//! number, and what is buffered stays within its limits.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::{arbitrary, fuzz_target};
use moldudp64::{Client, ClientLimits, Event, Start};

const BUFFERED_MAX: usize = 8;
const BUFFERED_BYTES_MAX: usize = 256;

#[derive(Arbitrary, Debug)]
enum Step {
    /// Messages of a session: their lengths follow from their numbers.
    Packet {
        other_session: bool,
        seq: u8,
        count: u8,
    },
    Heartbeat {
        seq: u8,
    },
    End {
        seq: u8,
    },
    Bytes(Vec<u8>),
    Pause {
        us: u32,
    },
}

fn payload(seq: u64) -> Vec<u8> {
    vec![seq as u8; (seq % 5) as usize]
}

fn packet(session: &[u8; 10], seq: u64, count: u16, messages: u16) -> Vec<u8> {
    let mut bytes = session.to_vec();
    bytes.extend(seq.to_be_bytes());
    bytes.extend(count.to_be_bytes());
    for seq in seq..seq + u64::from(messages) {
        let payload = payload(seq);
        bytes.extend((payload.len() as u16).to_be_bytes());
        bytes.extend(payload);
    }
    bytes
}

/// `is_ours`: nothing but packets of the model came so far.
fn follow(event: &Event<'_>, next: &mut u64, is_ours: bool) {
    match *event {
        Event::Message { seq, bytes } => {
            assert_eq!(seq, *next);
            assert!(!is_ours || bytes == payload(seq), "{seq} has the bytes {bytes:?}");
            *next = seq.saturating_add(1);
        }
        Event::Lost { from, to } => {
            assert!(from == *next && to > from, "{from} to {to} is given up, {next} was to come");
            *next = to;
        }
        _ => {}
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let limits = ClientLimits {
        ahead_max: BUFFERED_MAX,
        ahead_bytes_max: BUFFERED_BYTES_MAX,
        ..ClientLimits::default()
    };
    let mut client = Client::new(None, Start::At(1), limits);
    let (mut now, mut next, mut is_ours) = (0, 1, true);
    for step in &steps {
        let bytes = match step {
            Step::Packet { other_session, seq, count } => {
                let session = if *other_session { b"    OTHER " } else { b"   SESSION" };
                is_ours &= !other_session;
                packet(session, u64::from(*seq), u16::from(*count % 8), u16::from(*count % 8))
            }
            Step::Heartbeat { seq } => packet(b"   SESSION", u64::from(*seq), 0, 0),
            Step::End { seq } => packet(b"   SESSION", u64::from(*seq), u16::MAX, 0),
            Step::Bytes(bytes) => {
                is_ours = false;
                bytes.clone()
            }
            Step::Pause { us } => {
                now += u64::from(*us) * 1_000;
                let _request = client.on_timer(now);
                while let Some(event) = client.next_event(now) {
                    follow(&event, &mut next, is_ours);
                }
                continue;
            }
        };
        if let Ok(mut intake) = client.on_datagram(now, &bytes) {
            while let Some(event) = intake.next_event() {
                follow(&event, &mut next, is_ours);
            }
        }
        let (count, len) = client.buffered();
        assert!(count <= BUFFERED_MAX && len <= BUFFERED_BYTES_MAX, "{count} messages of {len} bytes");
    }
});
