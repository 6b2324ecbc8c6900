//! Any bytes as a datagram from the network: as they are, and with a checksum that fits, as a stranger who
//! knows the protocol sends them. Whatever is accepted can be read to its end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockstep_wire::{
    Datagram, Entries, EntryKind, EpochStartView, HEADER_LEN, Header, MembershipView, OpenView,
    parse_genesis, seal,
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

fn read(bytes: &[u8], cluster: u64) {
    let Ok(datagram) = Datagram::decode(bytes, cluster) else { return };
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
    let cluster = header.cluster;
    read(bytes, cluster);
    let mut sealed = bytes.to_vec();
    let whole = (header.length as usize).clamp(HEADER_LEN, bytes.len());
    // A length below the end leaves a trailer behind.
    for end in [whole, bytes.len()] {
        seal(&mut sealed[..end], header);
        read(&sealed, cluster);
        read(&sealed[..end], cluster);
    }
});
