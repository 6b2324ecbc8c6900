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
//! To the judge they do not exist: whatever they send, every rule holds as if they had sent nothing. A reader
//! that poses as a replica before other readers deceives them, which is known (AUTH-2), and is not done here.

use super::{Fault, PlannedFault, Strike};
use crate::check::Violation;
use crate::context::RunContext;
use crate::coverage::Event;
use crate::engines::address;
use crate::keys;
use crate::kinds::Attacker;
use crate::operator::SimOperator;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::story::Happening;
use crate::wire::SimPacket;
use crate::world::World;
use lockstep_core::engine::ports::Group;
use lockstep_wire::{
    Change, Epoch, HEADER_LEN, Header, Identity, KeyClass, Keys, Kind, MemberBody, OrderProof,
    OrderStatement, QueryKind,
};

/// One run in so many has an attacker who sends.
const SELDOM: u64 = 4;
/// Datagrams of one attack arrive within this time of each other.
const APART_NS: u64 = 400_000;

/// An attacker on the network.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct AttackFault {
    /// The attacker, by what it has.
    pub attacker: Attacker,
    /// So many datagrams.
    pub count: u64,
}

impl Strike for AttackFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { attacker, count } = self;
        world.ctx.tell(0, || Happening::Fault(format!("{count} datagrams of an attacker: {attacker:?}")));
        for _ in 0..count {
            if attacker == Attacker::Operator {
                forge_order(world);
                continue;
            }
            let Some(mut letter) = world.ctx.network.old_packet() else { return Ok(()) };
            if !forge(&mut world.ctx, attacker, &mut letter) {
                continue;
            }
            let at = world.ctx.now + world.ctx.rng.below(APART_NS);
            letter.number = world.ctx.network.next_number();
            world.ctx.network.post(at, letter);
            world.ctx.count(match attacker {
                Attacker::Unkeyed => Event::UnkeyedSent,
                Attacker::Reader => Event::ReadersForged,
                Attacker::Publisher => Event::PublishersForged,
                Attacker::Retired => Event::RetiredSent,
                Attacker::Recorder => Event::RecordedSent,
                Attacker::Operator => Event::OrdersForged,
            });
        }

        Ok(())
    }
}

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
            let what = Fault::Attack(AttackFault { attacker, count: rng.log_uniform(1, 64) });
            self.faults.push(PlannedFault { at_ns: rng.below(self.fault_phase_ns), what });
        }
        self.faults.sort_by_key(|fault| fault.at_ns);
    }
}

/// An order as the operator would give it now, without a signature that holds.
fn forge_order(world: &mut World) {
    let Some((state, members)) =
        world.machines.status(&world.ctx).map(|stem| ((stem.epoch, stem.members_seq), stem.members.clone()))
    else {
        return;
    };
    let subject = world.ctx.rng.pick(&members);
    let (nonce, signature) = (world.ctx.rng.next_u64(), [world.ctx.rng.next_u64() as u8; 64]);
    let prove = |_: &OrderStatement<'_>| OrderProof { nonce, signature };
    let to = world.ctx.rng.below(world.ctx.plan.replicas as u64) as usize;
    match world.ctx.rng.below(3) {
        0 => {
            let member = MemberBody::full(subject, address(subject.replica as usize - 1));
            let bytes =
                SimOperator::change_order(&world.ctx, &world.machines, state, Change::Remove, member, prove);
            world.ctx.post_all(Some(Group::Submit), &bytes);
        }
        1 => {
            let bytes = world.operator.query_order(
                &world.ctx,
                &world.machines,
                state,
                false,
                (QueryKind::Handover, &subject.to_string()),
                prove,
            );
            world.ctx.post(to, None, &bytes);
        }
        _ => {
            let bytes = world.operator.query_order(
                &world.ctx,
                &world.machines,
                state,
                false,
                (QueryKind::DeclareDead, &subject.to_string()),
                prove,
            );
            world.ctx.post(to, None, &bytes);
        }
    }
    world.ctx.count(Event::OrdersForged);
}

/// Makes the attacker's datagram of one that it has read. Returns whether there is one.
fn forge(ctx: &mut RunContext, attacker: Attacker, letter: &mut SimPacket) -> bool {
    let Some(header) = Header::peek(&letter.bytes) else { return false };
    let Some(kind) = Kind::from_u8(header.kind) else { return false };
    // A repair's trailer is another seal: it is cut off.
    letter.bytes.truncate(header.length as usize);
    if letter.bytes.len() != header.length as usize || letter.bytes.len() < HEADER_LEN {
        return false;
    }
    // It need not go to whom the other went. To readers nothing goes that they could not tell from a
    // replica's.
    let to_replicas = attacker == Attacker::Reader || ctx.rng.below(2) == 0;
    if to_replicas {
        letter.route.to = ctx.rng.below(ctx.plan.replicas as u64) as usize;
    }
    let is_order = matches!(kind, Kind::Submission | Kind::Query);
    if is_order && letter.route.group.is_some() {
        letter.route.group = Some(Group::Submit);
    }
    if attacker == Attacker::Recorder {
        return true;
    }
    let header = changed(ctx, header, &mut letter.bytes);
    // Each holder of a key may ask, and is answered; the judge knows of no questions but those of
    // handles.
    let asks = KeyClass::Reader.may_send(kind);
    let ring: &Keys = match attacker {
        Attacker::Unkeyed => keys::unkeyed(),
        Attacker::Reader if !asks && ctx.rng.below(2) == 0 => keys::reader(),
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
fn changed(ctx: &mut RunContext, header: Header, bytes: &mut [u8]) -> Header {
    let rng = &mut ctx.rng;
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
