//! Any bytes as a message of OUCH 5.0, in either direction, of TotalView-ITCH 5.0 and of a GLIMPSE snapshot. What
//! is accepted is written as the same message: of ITCH byte for byte, of OUCH but for the order of options, and an
//! empty appendage where it may be left out.
#![no_main]

use itch50::{EndOfSnapshot, Message, SnapshotMessage};
use libfuzzer_sys::fuzz_target;
use ouch50::{Inbound, OrderName, Outbound};

fuzz_target!(|bytes: &[u8]| {
    let mut out = Vec::new();
    match SnapshotMessage::parse(bytes) {
        Ok(SnapshotMessage::Part(message)) => {
            assert_eq!(message.append(&mut out), bytes.len());
            assert_eq!(out, bytes, "{message:?}");
        }
        Ok(SnapshotMessage::End(end)) => assert_eq!(EndOfSnapshot::parse(&end.encode()), Ok(end)),
        Err(error) => assert!(!error.to_string().is_empty() && Message::parse(bytes).is_err()),
    }
    out.clear();
    match Inbound::parse(bytes) {
        Ok(message) => {
            let len = message.append(&mut out).expect("it was read");
            assert!(len == out.len() && len <= bytes.len(), "{message:?}");
            assert_eq!(Inbound::parse(&out), Ok(message));
            assert_eq!(OrderName::peek(bytes), OrderName::peek(&out));
        }
        Err(error) => assert!(!format!("{error}: {:?}", error.reject_reason()).is_empty()),
    }
    out.clear();
    if let Ok(message) = Outbound::parse(bytes) {
        let len = message.append(&mut out).expect("it was read");
        assert!(len == out.len() && len <= bytes.len(), "{message:?}");
        assert_eq!(Outbound::parse(&out), Ok(message));
    }
    let _ = OrderName::peek(bytes);
});
