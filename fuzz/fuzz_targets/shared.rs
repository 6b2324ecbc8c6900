//! What the targets of engines share: an input as datagrams, each with a seal, a way and a time.

use lockstep_core::engine::ports::Group;
use lockstep_core::proto::log::LogEnd;
use lockstep_sim::mutated::cluster::{HISTORY, PUBLISHER, address, identity};
use lockstep_sim::mutated::mutation::{Sealed, seal};
use lockstep_sim::mutated::scenario::Arrival;
use lockstep_wire::{Epoch, HEADER_LEN, Header, Identity, VERSION};

/// One step of an input.
pub struct Step {
    /// The datagram.
    pub datagram: Vec<u8>,
    /// How it arrives.
    pub route: Arrival,
    /// The time that passes before.
    pub ns: u64,
}

/// The next step of `rest`: three bytes that say how, and the datagram, to an engine whose log ends at `end`.
pub fn next_step(rest: &mut &[u8], end: LogEnd) -> Option<Step> {
    let ([how, time, len], behind) = rest.split_first_chunk::<3>()?;
    let (len, route) = (8 * usize::from(*len).min(behind.len() / 8), usize::from(how >> 3) % 5);
    let (content, behind) = behind.split_at(len);
    *rest = behind;
    let sealed = Sealed::ALL[usize::from(how & 7)];
    let mut datagram = content.to_vec();
    datagram.resize(datagram.len().max(HEADER_LEN), 0);
    usual(&mut datagram, end);
    seal(&mut datagram, sealed);
    let route = match route {
        0..3 => Arrival::Group(Group::ALL[route]),
        3 => Arrival::Unicast(address(PUBLISHER)),
        _ => Arrival::Unicast(address(99)),
    };
    Some(Step { datagram, route, ns: 1 << (time % 28) })
}

/// A header of this version stays as it is. Any other becomes one whose numbers meet those of the engine: small
/// numbers meet each other more often than large ones, and what goes on behind `end` more often than what does
/// not.
fn usual(datagram: &mut [u8], end: LogEnd) {
    let Some(seen) = Header::peek(datagram).filter(|seen| seen.version != VERSION) else { return };
    let near = |number: u64| (end.next + number % 16).saturating_sub(8);
    let leader = Identity { ..identity(seen.epoch as usize % 4) };
    let sender = identity(seen.sender as usize % 6);
    let goes_on = seen.timestamp & 1 == 0;
    let header = Header {
        kind: seen.kind % 27,
        count: seen.count % 8,
        flags: seen.flags % 4,
        history: HISTORY + seen.history % 2,
        epoch: Epoch::new((end.epoch.round() + seen.chain as u32 % 4).saturating_sub(1), leader).0,
        sender: sender.replica,
        incarnation: sender.incarnation,
        first_seq: if goes_on { end.next } else { near(seen.first_seq) },
        commit_next: near(seen.commit_next),
        timestamp: seen.timestamp % 1_000,
        chain: if goes_on { end.chain } else { seen.chain },
        number: seen.number % 1_000,
        ..seen
    };
    datagram[..HEADER_LEN].copy_from_slice(bytemuck::bytes_of(&header));
}
