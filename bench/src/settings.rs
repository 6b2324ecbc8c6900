//! The cluster that is measured: one place for its values, whichever device it stands on.

use lockstep::engine::bootstrap::bootstrap;
use lockstep::engine::receiver::ReceiverLimits;
use lockstep::engine::replica::{Recovered, ReplicaLimits};
use lockstep::journal::ports::TailMemory;
use lockstep::journal::{Tail, TailLabel};
use lockstep::proto::beat::BeatLimits;
use lockstep::proto::commit::Durability;
use lockstep::proto::log::LogEnd;
use lockstep::proto::nack::NackLimits;
use lockstep::proto::window::Window;
use lockstep::wire::{Identity, MemberBody, Nanos, frame_len_max};
use std::net::SocketAddrV4;

/// Its id.
pub const CLUSTER: u64 = 7;
/// Its history.
pub const HISTORY: u64 = 0xb1;
/// Its network's MTU: frames of 1,424 bytes, fifteen messages of 64.
pub const MTU: usize = 1500;
/// Bytes of a message: the size that all figures of lockstep are given for.
pub const PAYLOAD_LEN: usize = 64;

/// Who the `index`th node is. Replicas come first, the rest are clients.
pub fn identity(index: usize) -> Identity {
    Identity { replica: index as u32 + 1, incarnation: 0x100 + index as u32 }
}

/// What the `index`th process draws at its start.
pub fn process_nonce(index: usize) -> u64 {
    0x4e00 + index as u64
}

/// A reader's values; `repairers` are asked for what is missing.
pub fn receiver(index: usize, repairers: Vec<SocketAddrV4>) -> ReceiverLimits {
    ReceiverLimits {
        cluster: CLUSTER,
        history: 0,
        me: identity(index),
        repairers,
        repairer_first: 0,
        nack: NackLimits::default(),
        store_bytes: 8 << 20,
        frame_len_max: frame_len_max(MTU),
        count_when_accepted: false,
    }
}

/// A replica's values.
pub fn replica(index: usize, others: Vec<SocketAddrV4>) -> ReplicaLimits {
    ReplicaLimits {
        receiver: receiver(index, others),
        beat: BeatLimits::default(),
        window: Window { entries: 65_536, bytes: 16 << 20 },
        durability: Durability::Process,
        publishers_max: 16,
        hold_back: 1024,
        ack_again_ns: 1_000_000,
        process_nonce: process_nonce(index),
        repairs_per_request: 64,
    }
}

/// The journal of the `index`th replica in `memory`. The first one's begins with the birth of `members`.
///
/// # Errors
/// In words, where the memory does not do.
pub fn journal<M: TailMemory>(
    memory: M,
    index: usize,
    members: &[SocketAddrV4],
    wall: Nanos,
) -> Result<(Tail<M>, Recovered), String> {
    let label = TailLabel {
        cluster: CLUSTER,
        identity: identity(index),
        boot: [1, 1],
        generation: 1,
        record_len_max: frame_len_max(MTU) as u32,
    };
    let mut tail = Tail::blank(memory, label, LogEnd::BLANK)?;
    let mut recovered = Recovered::blank(16);
    if index == 0 {
        let members: Vec<MemberBody> =
            members.iter().enumerate().map(|(index, at)| MemberBody::full(identity(index), *at)).collect();
        bootstrap(&mut tail, HISTORY, &members, wall)?;
        let birth = tail.find(1).ok_or("the birth that was just written is not found")?;
        recovered.take(&tail.frame(birth).map_err(|damage| damage.to_string())?);
    }
    Ok((tail, recovered))
}
