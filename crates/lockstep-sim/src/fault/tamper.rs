//! An attacker on the path has no key, and drops, delays, turns round or repeats what it lets through.

use super::{Fault, PlannedFault, Strike};
use crate::check::Violation;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::story::{Happening, ms};
use crate::wire::{NodeSet, Tampered, Tampering};
use crate::world::World;
use lockstep_wire::{Kind, Nanos};

/// One run in so many has an attacker on the path.
const SELDOM: u64 = 8;
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

/// An attacker on the path has no key, and drops, delays, turns round or repeats what it lets through.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TamperFault {
    /// To datagrams of these ...
    pub from: NodeSet,
    /// ... to these ...
    pub to: NodeSet,
    /// ... of these kinds, by bit, ...
    pub kinds: u32,
    /// ... it does this.
    pub how: Tampering,
    /// How long it lasts.
    pub lasting: Nanos,
}

impl Strike for TamperFault {
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { from, to, kinds, how, lasting } = self;
        let ctx = &mut world.ctx;
        ctx.network.tamper(Tampered { from, to, kinds, until: ctx.now + lasting, how });
        ctx.tell(0, || {
            let of = format!("{from:#b} ▶ {to:#b}, kinds {kinds:#b}");
            Happening::Fault(format!("an attacker on the path: {how:?} of {of} {}", ms(lasting)))
        });
        Ok(())
    }

    fn lasting_mut(&mut self) -> Option<&mut Nanos> {
        Some(&mut self.lasting)
    }
}

impl Plan {
    /// Attackers on the path; none in most runs.
    pub(crate) fn draw_tampering(&mut self, rng: &mut Rng) {
        if rng.below(SELDOM) > 0 {
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
            let what = Fault::Tamper(TamperFault { from, to, kinds, how, lasting });
            self.faults.push(PlannedFault { at_ns: rng.below(self.fault_phase_ns), what });
        }
        self.faults.sort_by_key(|fault| fault.at_ns);
    }
}
