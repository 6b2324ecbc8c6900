//! Where a leader's instructions go.

use lockstep_instructions::stages::{Stage, answers, attribute, read};
use std::collections::BTreeMap;

#[test]
fn an_instruction_belongs_to_the_innermost_function_of_a_stage_and_a_copy_to_its_caller() {
    let text = "ob=/lib/libc.so\nfn=memcpy\n0x10 1 500\n\nob=/bench\nfn=lead\n0x100 7 30\n0x104 8 40\ncob=/lib/libc.so\n\
                cfn=memcpy\ncalls=5 0x10 1\n0x104 8 500\ncfn=seal\ncalls=5 0x200 1\n0x108 9 60\nfn=seal\n0x200 3 60\n";
    let counted = read(text, "/bench");
    assert_eq!(counted.own.values().sum::<u64>(), 130);
    let reported = "0x100\nnext<u8>\n/rustc/core/slice.rs:4\non_leader_datagram<M>\n/crates/lockstep-replica/src/replica/leading.rs:90\n\
                0x104\nlockstep_core::proto::sequence::Sequencer::stamp\n/x/sequence.rs:100\non_leader_datagram\n\
                /crates/lockstep-replica/src/replica/leading.rs:91\n0x200\nseal\n/crates/lockstep-wire/src/header.rs:231\n";
    let stages = attribute(&counted, &answers(reported));
    let all = [(Stage::ReceiveView, 30), (Stage::Stamp, 540), (Stage::Checksum, 60)];
    assert_eq!(stages, BTreeMap::from(all));
}
