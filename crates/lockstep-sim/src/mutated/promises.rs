//! What one replica promises to the others, whatever it receives, judged after each of its turns.

use super::cluster::Replica;
use crate::net::To;
use lockstep_core::engine::ports::Group;
use lockstep_core::proto::log::LogEnd;
use lockstep_wire::{Epoch, HEADER_LEN, Header, Kind, Seq};

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReplicaPromises {
    history: u64,
    end: LogEnd,
    promised: Epoch,
    commit_next: Seq,
    /// The commit, and the chain there.
    committed: Option<(Seq, u64)>,
}

impl ReplicaPromises {
    /// Judges a turn in which `replica` has sent this.
    ///
    /// # Panics
    /// If a promise is broken: it names the rule.
    pub fn judge(&mut self, replica: &Replica, sent: &[(To, Vec<u8>)]) {
        replica.invariants();
        let (end, promised) = (replica.tail().end(), replica.tail().promised());
        let (history, commit_next) = (replica.core.history(), replica.core.commit_next());
        assert!(promised >= self.promised, "S2: {promised} is promised, and {} was", self.promised);
        if history == self.history && !replica.core.is_stopped() {
            let before = self.end;
            assert!(
                end.epoch >= before.epoch,
                "S7: the log is of {}, and was of {}",
                end.epoch,
                before.epoch
            );
            assert!(
                end.epoch > before.epoch || end.next >= before.next,
                "S3: the log of {} ends at {}, and was acknowledged up to {}",
                end.epoch,
                end.next,
                before.next
            );
            assert!(
                commit_next >= self.commit_next,
                "S4: the commit is {commit_next}, and was {}",
                self.commit_next
            );
            self.judge_committed(replica);
        } else {
            self.committed = None;
        }
        (self.history, self.end, self.promised, self.commit_next) = (history, end, promised, commit_next);
        for (to, bytes) in sent {
            judge_sent(replica, to, bytes);
        }
    }

    /// What was committed is still the same.
    fn judge_committed(&mut self, replica: &Replica) {
        let commit_next = replica.core.commit_next();
        let is_known = self.committed.is_some_and(|(next, _)| next == commit_next);
        if is_known && replica.tail().end().epoch == self.end.epoch {
            return; // Within an epoch a log only grows, which is judged already.
        }
        if let Some((next, chain)) = self.committed
            && let Some(present) = chain_before(replica, next)
        {
            assert_eq!(present, chain, "S4: what was committed below {next} is another log now");
        }
        self.committed = chain_before(replica, commit_next).map(|chain| (commit_next, chain));
    }
}

/// The chain in front of `next`, where a frame that the ring still has ends there.
fn chain_before(replica: &Replica, next: Seq) -> Option<u64> {
    let tail = replica.tail();
    let frame = tail.frame(tail.find(next.checked_sub(1)?)?).ok()?;
    (frame.header.next_seq() == next).then(|| frame.chain_after())
}

/// Whatever a replica sends is of its own log, under its own promise, and sealed.
fn judge_sent(replica: &Replica, to: &To, bytes: &[u8]) {
    let header = Header::peek(bytes).expect("what is sent has a header");
    let (end, promised) = (replica.tail().end(), replica.tail().promised());
    let length = header.length as usize;
    assert!(length >= HEADER_LEN && length <= bytes.len(), "a length of {length} in {} bytes", bytes.len());
    assert!(header.key_id != 0, "a datagram without a key");
    match Kind::from_u8(header.kind) {
        Some(Kind::Ack) => {
            let (epoch, next, chain) = (header.epoch(), header.first_seq, header.chain);
            assert!(promised >= epoch, "S2: an ack in {epoch}, and {promised} is promised");
            assert!(epoch != end.epoch || next <= end.next, "S3: an ack of {next}, and {} is held", end.next);
            assert!(
                next != end.next || epoch != end.epoch || chain == end.chain,
                "S3: an ack of another log"
            );
        }
        Some(Kind::Frame) if *to == To::Group(Group::Data) && bytes.len() == length => {
            let (epoch, next) = (header.epoch(), header.next_seq());
            let leader = epoch.leader();
            assert_eq!(leader, header.identity(), "S1: a new frame of an epoch of somebody else");
            assert!(promised >= epoch, "S2: a frame in {epoch}, and {promised} is promised");
            assert!(epoch != end.epoch || next <= end.next, "S3: a frame to {next} is sent and not stored");
        }
        _ => {}
    }
}
