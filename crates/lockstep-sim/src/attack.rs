//! Attackers on the network: each has read what others sent, changes it, seals it with the keys that it has,
//! and sends it to whom it likes, in whatever name.
//!
//! | attacker | has | sends |
//! |---|---|---|
//! | unkeyed | no key | with a checksum, as where there are no keys |
//! | reader | the readers' key | as a reader; and to replicas as a replica, whose word it does not know |
//! | retired | all keys of a retired generation | as a replica |
//! | recorder | no key | what it has read, as it was sealed |
//! | publisher | a publisher's key with rights to no name that is used, and the readers' key | as that publisher |
//! | operator | the operator's key, and not the secret with which that signs | orders for the present state |
//!
//! To the judge they do not exist: whatever they send, every rule holds as if they
//! had sent nothing. A reader
//! that poses as a replica before other readers deceives them, which is known (AUTH-2), and is not done here.
//!
//! An attacker on the path has no key, and drops, delays, turns round or repeats what it lets through.

use crate::coverage::Event;
use crate::keys;
use crate::kinds::Attacker;
use crate::operator::SimOperator;
use crate::plan::{Fault, Plan, PlannedFault};
use crate::populate::address;
use crate::rng::Rng;
use crate::story::Happening;
use crate::wire::{NodeSet, SimPacket, Tampering};
use crate::world::World;
use lockstep_core::engine::ports::Group;
use lockstep_wire::{
    Change, Epoch, HEADER_LEN, Header, Identity, KeyClass, Keys, Kind, MemberBody, OrderProof,
    OrderStatement, QueryKind,
};

/// One run in so many has an attacker who sends, and one in twice as many has one on the path.
const SELDOM: u64 = 4;
/// Datagrams of one attack arrive within this time of each other.
const APART_NS: u64 = 400_000;

/// The kinds that an attacker on the path picks out.
const TAMPERED_ALONE: [Kind; 12] = [
    Kind::Frame,
    Kind::Heartbeat,
    Kind::Submission,
    Kind::Ack,
    Kind::Nack,
    Kind::QueryReply,
    Kind::Prepare,
    Kind::Promise,
    Kind::PreVote,
    Kind::Grant,
    Kind::StepDown,
    Kind::PublisherNotice,
];

impl Plan {
    /// Attacks; none in most runs.
    pub(crate) fn draw_attacks(&mut self, rng: &mut Rng) {
        if rng.below(SELDOM) > 0 {
            return;
        }
        let attackers = [
            Attacker::Unkeyed,
            Attacker::Reader,
            Attacker::Publisher,
            Attacker::Retired,
            Attacker::Recorder,
            Attacker::Operator,
        ];
        let attacker = rng.pick(&attackers);
        for _ in 0..1 + rng.below(8) {
            let what = Fault::Attack(attacker, rng.log_uniform(1, 64));
            self.faults.push(PlannedFault { at_ns: rng.below(self.fault_phase_ns), what });
        }
        self.faults.sort_by_key(|fault| fault.at_ns);
    }

    /// Attackers on the path; none in most runs.
    pub(crate) fn draw_tampering(&mut self, rng: &mut Rng) {
        if rng.below(2 * SELDOM) > 0 {
            return;
        }
        let all: NodeSet = (1 << self.nodes()) - 1;
        for _ in 0..1 + rng.below(6) {
            let kinds = match rng.below(4) {
                0 => rng.next_u64() as u32,
                1 => !(1 << Kind::Heartbeat as u32),
                _ => 1 << rng.pick(&TAMPERED_ALONE) as u32,
            };
            let [from, to] = [(); 2].map(|()| match rng.below(3) {
                0 => all,
                1 => 1 << rng.below(self.replicas as u64),
                _ => rng.next_u64() as NodeSet & all,
            });
            let lasting = rng.log_uniform(self.timeout_ns / 16, self.timeout_ns * 8);
            let by = rng.log_uniform(self.timeout_ns / 64, self.timeout_ns * 4);
            let how = match rng.below(4) {
                0 => Tampering::Drop,
                1 => Tampering::Delay(by),
                2 => Tampering::Reverse,
                _ => Tampering::Repeat(by),
            };
            let what = Fault::Tamper(from, to, kinds, how, lasting);
            self.faults.push(PlannedFault { at_ns: rng.below(self.fault_phase_ns), what });
        }
        self.faults.sort_by_key(|fault| fault.at_ns);
    }
}

impl World {
    /// So many datagrams of an attacker.
    pub(crate) fn attack(&mut self, attacker: Attacker, count: u64) {
        self.ctx.tell(0, || Happening::Fault(format!("{count} datagrams of an attacker: {attacker:?}")));
        for _ in 0..count {
            if attacker == Attacker::Operator {
                self.forge_order();
                continue;
            }
            let Some(mut letter) = self.ctx.network.old_packet() else { return };
            if !self.forge(attacker, &mut letter) {
                continue;
            }
            let at = self.ctx.now + self.ctx.rng.below(APART_NS);
            letter.number = self.ctx.network.next_number();
            self.ctx.network.post(at, letter);
            self.ctx.count(match attacker {
                Attacker::Unkeyed => Event::UnkeyedSent,
                Attacker::Reader => Event::ReadersForged,
                Attacker::Publisher => Event::PublishersForged,
                Attacker::Retired => Event::RetiredSent,
                Attacker::Recorder => Event::RecordedSent,
                Attacker::Operator => Event::OrdersForged,
            });
        }
    }

    /// An order as the operator would give it now, without a signature that holds.
    fn forge_order(&mut self) {
        let Some((state, members)) = self
            .machines
            .status(&self.ctx)
            .map(|stem| ((stem.epoch, stem.members_seq), stem.members.clone()))
        else {
            return;
        };
        let subject = self.ctx.rng.pick(&members);
        let (nonce, signature) = (self.ctx.rng.next_u64(), [self.ctx.rng.next_u64() as u8; 64]);
        let prove = |_: &OrderStatement<'_>| OrderProof { nonce, signature };
        let to = self.ctx.rng.below(self.ctx.plan.replicas as u64) as usize;
        match self.ctx.rng.below(3) {
            0 => {
                let member = MemberBody::full(subject, address(subject.replica as usize - 1));
                let bytes = SimOperator::change_order(
                    &self.ctx,
                    &self.machines,
                    state,
                    Change::Remove,
                    member,
                    prove,
                );
                self.ctx.post_all(Some(Group::Submit), &bytes);
            }
            1 => {
                let bytes = self.operator.query_order(
                    &self.ctx,
                    &self.machines,
                    state,
                    false,
                    (QueryKind::Handover, &subject.to_string()),
                    prove,
                );
                self.ctx.post(to, None, &bytes);
            }
            _ => {
                let bytes = self.operator.query_order(
                    &self.ctx,
                    &self.machines,
                    state,
                    false,
                    (QueryKind::DeclareDead, &subject.to_string()),
                    prove,
                );
                self.ctx.post(to, None, &bytes);
            }
        }
        self.ctx.count(Event::OrdersForged);
    }

    /// Makes the attacker's datagram of one that it has read. Returns whether there is one.
    fn forge(&mut self, attacker: Attacker, letter: &mut SimPacket) -> bool {
        let Some(header) = Header::peek(&letter.bytes) else { return false };
        let Some(kind) = Kind::from_u8(header.kind) else { return false };
        // A repair's trailer is another seal: it is cut off.
        letter.bytes.truncate(header.length as usize);
        if letter.bytes.len() != header.length as usize || letter.bytes.len() < HEADER_LEN {
            return false;
        }
        // It need not go to whom the other went. To readers nothing goes that they could not tell from a
        // replica's.
        let to_replicas = attacker == Attacker::Reader || self.ctx.rng.below(2) == 0;
        if to_replicas {
            letter.route.to = self.ctx.rng.below(self.ctx.plan.replicas as u64) as usize;
        }
        let is_order = matches!(kind, Kind::Submission | Kind::Query);
        if is_order && letter.route.group.is_some() {
            letter.route.group = Some(Group::Submit);
        }
        if attacker == Attacker::Recorder {
            return true;
        }
        let header = self.changed(header, &mut letter.bytes);
        // Each holder of a key may ask, and is answered; the judge knows of no questions but those of
        // handles.
        let asks = KeyClass::Reader.may_send(kind);
        let ring: &Keys = match attacker {
            Attacker::Unkeyed => keys::unkeyed(),
            Attacker::Reader if !asks && self.ctx.rng.below(2) == 0 => keys::reader(),
            Attacker::Reader => keys::pretender(),
            Attacker::Publisher if asks => return false,
            Attacker::Publisher => keys::bad_publisher(),
            Attacker::Retired => keys::retired(),
            Attacker::Recorder => return true,
            Attacker::Operator => return false,
        };
        ring.seal(&mut letter.bytes, header);
        true
    }

    /// One thing is changed, or nothing.
    fn changed(&mut self, header: Header, bytes: &mut [u8]) -> Header {
        let rng = &mut self.ctx.rng;
        let more = rng.log_uniform(1, 1 << 40);
        match rng.below(8) {
            0 => Header { first_seq: header.first_seq.saturating_add(more), ..header },
            1 => Header { commit_next: header.commit_next.saturating_add(more), ..header },
            2 => Header { chain: header.chain ^ more, ..header },
            3 => {
                let identity = Identity { replica: 1 + rng.below(5) as u32, ..header.identity() };
                Header { sender: identity.replica, ..header }
            }
            4 => {
                let epoch = header.epoch();
                let round = epoch.round().saturating_add(rng.log_uniform(1, 1 << 27) as u32);
                let round = round.min(lockstep_wire::ROUND_MAX);
                Header { epoch: Epoch::new(round, epoch.leader()).0, ..header }
            }
            5 | 6 if bytes.len() > HEADER_LEN => {
                let at = HEADER_LEN + rng.below((bytes.len() - HEADER_LEN) as u64) as usize;
                bytes[at] ^= 1 << rng.below(8);
                header
            }
            _ => header,
        }
    }
}
