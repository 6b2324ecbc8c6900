//! Any bytes as a datagram from the network: as they are, and with a checksum that fits, as a stranger who
//! knows the protocol sends them. Whatever is accepted can be read to its end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockstep_wire::{
    Datagram, Entries, EntryKind, EpochStartView, GenerationKeys, HEADER_LEN, Header, KeyClass, Keyring,
    MembershipView, OpenView, parse_genesis,
};

fn read_entries(entries: Entries<'_>) -> usize {
    let mut payload_len = 0;
    for entry in entries {
        payload_len += entry.payload.len();
        match entry.kind() {
            EntryKind::Genesis => drop(parse_genesis(entry.payload).map(Iterator::count)),
            EntryKind::EpochStart => {
                drop(EpochStartView::parse(entry.payload).map(|start| format!("{start:?}")))
            }
            EntryKind::Open => drop(OpenView::parse(entry.payload).map(|open| format!("{open:?}"))),
            EntryKind::Membership => {
                drop(MembershipView::parse(entry.payload).map(|change| format!("{change:?}")));
            }
            _ => {}
        }
    }
    payload_len
}

fn read(bytes: &[u8], keys: &Keyring) {
    let Ok(datagram) = Datagram::decode(bytes, keys) else { return };
    let payload_len = match datagram {
        Datagram::Frame(frame, _) => read_entries(frame.entries()),
        Datagram::Submission(_, entries) => read_entries(entries),
        _ => 0,
    };
    assert!(payload_len <= bytes.len());
    // Prints every field and every row.
    let _text = format!("{datagram:?}");
}

fuzz_target!(|bytes: &[u8]| {
    let Some(header) = Header::peek(bytes) else { return };
    let keys = GenerationKeys { replica: Some([1; 16]), reader: [2; 16], publishers: vec![(0, [3; 16])] };
    let ring = |class| Keyring::new(header.cluster, class, &keys);
    let readers = GenerationKeys { replica: None, ..keys.clone() };
    let reader = Keyring::new(header.cluster, KeyClass::Reader, &readers);
    let senders = [KeyClass::Replica, KeyClass::Reader, KeyClass::Publisher(0)].map(ring);
    let none = Keyring::none(header.cluster);
    for keys in senders.iter().chain([&reader, &none]) {
        read(bytes, keys);
    }
    let whole = (header.length as usize).clamp(HEADER_LEN, bytes.len());
    // A length below the end leaves a trailer behind. A sender pads to a multiple of 8.
    for end in [whole, bytes.len()].map(|end| end & !7) {
        for keys in senders.iter().chain([&none]) {
            let mut sealed = bytes.to_vec();
            keys.seal(&mut sealed[..end], header);
            for keys in [&senders[0], &reader, &none] {
                read(&sealed, keys);
                read(&sealed[..end], keys);
            }
        }
    }
});
