//! Any text as a key file, a list of notaries or a proof; any bytes as an attestation or as a replay's stream:
//! refused with words, or accepted and readable to the end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockstep_core::engine::replay::piece;
use lockstep_io::key_file::KeyFile;
use lockstep_notary::{Attestation, Notary, Proof, parse_notaries};
use lockstep_wire::{Cursor, GenerationKeys, HEADER_LEN, Header, KeyClass, Keyring, Kind};

fn read_text(text: &str) {
    if let Ok(file) = KeyFile::parse(text) {
        assert_eq!(KeyFile::parse(&file.text()).as_ref(), Ok(&file), "it is written as it was read");
    }
    let _keys = parse_notaries(text).map_err(|why| assert!(why.starts_with("line ")));
    let _cursor = text.parse::<Cursor>().map_err(|why| assert!(!why.is_empty()));
    if let Ok(proof) = serde_json::from_str::<Proof>(text) {
        let proven = proof.verify(&[Notary::new(&[7; 32]).public()]);
        assert!(proven.is_err(), "nobody has this secret");
    }
}

/// The pieces of a replay's connection, each sealed.
fn read_replay(bytes: &[u8]) {
    let keys = GenerationKeys { replica: Some([1; 16]), reader: [2; 16], publishers: Vec::new() };
    let ring = Keyring::new(7, KeyClass::Replica, &keys);
    let mut stream = bytes.to_vec();
    let mut at = 0;
    while let Some(seen) = Header::peek(&stream[at..]) {
        let whole = (seen.length as usize).clamp(HEADER_LEN, stream.len() - at) & !7;
        let kind = Kind::from_u8(seen.kind).unwrap_or(Kind::Frame);
        ring.seal(&mut stream[at..at + whole], Header { cluster: 7, magic: Header::new(kind).magic, ..seen });
        at += whole;
    }
    let mut rest = stream.as_slice();
    while let Ok(Some((_, len))) = piece(rest, &ring) {
        assert!((HEADER_LEN..=rest.len()).contains(&len), "{len} bytes of {}", rest.len());
        rest = &rest[len..];
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        read_text(text);
    }
    if let Some(attestation) = Attestation::parse(bytes) {
        assert!(!attestation.is_signed_by(&[Notary::new(&[7; 32]).public()]));
    }
    read_replay(bytes);
});
