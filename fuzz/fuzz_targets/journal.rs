//! Any bytes as what a journal's files hold: records whose checksum fits, a checkpoint, a segment's header.
//! What is accepted is written as it was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockstep_replica::journal::checkpoint::Checkpoint;
use lockstep_replica::journal::record::Record;
use lockstep_replica::journal::segment::SegmentHeader;
use lockstep_wire::{HEADER_LEN, Header, seal};

fuzz_target!(|bytes: &[u8]| {
    if let Some(header) = Header::peek(bytes) {
        let mut sealed = bytes.to_vec();
        let end = (header.length as usize).clamp(HEADER_LEN, bytes.len());
        seal(&mut sealed[..end], header);
        if let Ok((record, len)) = Record::parse(&sealed) {
            assert!((1..=sealed.len()).contains(&len), "{record:?} has {len} bytes");
        }
    }
    if let Ok(checkpoint) = Checkpoint::from_bytes(bytes) {
        let again = checkpoint.to_bytes();
        assert_eq!(Checkpoint::from_bytes(&again).as_ref(), Ok(&checkpoint));
    }
    if let Ok(header) = SegmentHeader::from_block(bytes, 1) {
        let _text = format!("{header:?}");
    }
});
