//! Loss of a quorum: a quorum's journals are lost for good, and the operator founds a new history on the
//! rest, with the code of `lockstep recover`. Other replicas return with old journals, and as new members;
//! readers and publishers live on.
//!
//! ```text
//!  faults ─▶ journals gone, power gone ─▶ inspect all ─▶ a quorum is complete: start it
//!                                             │ it is not
//!                                             ▼ (dies, and is tried again)
//!              found on the one with most ─▶ founder leads ─▶ old ones stop, new ones are added ─▶ healed
//! ```

use super::{
    ClientCrashFault, CrashFault, Fault, HandoverFault, PauseClientFault, PauseFault, PlannedFault,
    ReplayFault, Strike,
};
use crate::check::{ReportedFounding, Violation};
use crate::clients::ClientProcess;
use crate::coverage::Event;
use crate::disk::{DiskFault, SimDisk};
use crate::engines::address;
use crate::kinds::{EndPlan, FaultNode};
use crate::machine::Machine;
use crate::machines::recovery::{AFTERMATH, Survey, aftermath};
use crate::operator::OperatorStep;
use crate::plan::{Plan, hand_in_every_ns};
use crate::rng::Rng;
use crate::story::Happening;
use crate::wire::NodeSet;
use crate::world::World;
use lockstep_replica::journal::{Founder, Retention};
use lockstep_wire::{Identity, MemberBody, Nanos};

/// One seed in so many loses its quorum, of those that may.
const SELDOM: u64 = 12;
/// One seed in so many, of those in which nodes join behind retention, drawn from a stream of its own.
const SELDOM_LATE: u64 = 4;
const STREAM_LATE: u64 = 0xe2d2;
/// The history that is founded.
const LATER: u64 = 0xb2;
/// The difference between a founder's incarnation and the one before.
const FOUNDERS: u32 = 0x1000;
/// The time from which old members are replaced, in timeouts.
const REPLACED: u64 = 45;
/// The messages that publishers hand in after it.
const MORE: u64 = 6;
/// The most tries of a recovery that dies; the last one does not die.
const TRIES: u64 = 4;

/// Journals are lost for good, machines without power, and the operator recovers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct QuorumLossFault {
    /// The journals of these are lost for good, ...
    pub gone: NodeSet,
    /// ... and these lose their power.
    pub dark: NodeSet,
}

impl Strike for QuorumLossFault {
    /// Journals are lost, machines without power, and the operator has stopped every process that still ran.
    fn apply(self, world: &mut World) -> Result<(), Violation> {
        let Self { gone, dark } = self;
        if world.ctx.oracle.facts.founding().is_some() {
            return Ok(());
        }
        world.operator.rest();
        world.operator.commands.clear();
        world.ctx.network.outlive();
        world
            .ctx
            .tell(0, || Happening::Fault(format!("ruin: journals gone {gone:#b}, power gone {dark:#b}")));
        for index in 0..world.ctx.plan.replicas {
            if gone >> index & 1 == 1 {
                world.machines.erase(&mut world.ctx, index);
            } else if dark >> index & 1 == 1 {
                let within = world.ctx.rng.below(2) == 0;
                world.machines.lose_power(&mut world.ctx, index, (within, false), 0);
            }
            world.machines.stop_for_good(index);
        }
        world.ctx.count(Event::Ruins);
        world.recover()
    }
}

impl Plan {
    /// The length of the first act: the second follows the loss of the quorum.
    pub(crate) fn first_act_ns(&self) -> Nanos {
        let quorum_loss = self.faults.iter().find(|fault| matches!(fault.what, Fault::QuorumLoss(_)));
        quorum_loss.map_or(self.fault_phase_ns, |quorum_loss| quorum_loss.at_ns)
    }

    /// In few runs a quorum is lost at the end of the fault phase, and a second act follows.
    pub(crate) fn draw_quorum_loss(&mut self, rng: &mut Rng) {
        let is_plain = self.edges.is_none() && !self.witness && self.retention == Retention::default();
        if rng.below(SELDOM) > 0 || !is_plain || self.founders + self.archivers != self.replicas {
            return;
        }
        self.draw_loss_and_aftermath(rng);
    }

    /// In some runs in which nodes join behind retention: what is left begins late, and so does the history
    /// that is founded on it, and everybody else joins it.
    pub(crate) fn draw_late_restore(&mut self) {
        let mut rng = Rng::new(self.seed ^ STREAM_LATE);
        let may = self.has_joiners() && !self.witness && self.founders + self.archivers == self.replicas;
        if may && rng.below(SELDOM_LATE) == 0 {
            self.draw_loss_and_aftermath(&mut rng);
        }
    }

    /// Whether a history is founded on what retention has left.
    pub fn restores_late(&self) -> bool {
        self.archives_are_cut && self.may_found()
    }

    /// A quorum is lost at this time of a year. Archivers keep their power: no plan formats one anew, and a
    /// source that is gone costs a joining node more than a day of this year.
    pub(crate) fn draw_restore(&mut self, rng: &mut Rng, at_ns: Nanos) {
        let what = match self.draw_loss(rng) {
            Fault::QuorumLoss(QuorumLossFault { gone, dark }) => {
                Fault::QuorumLoss(QuorumLossFault { gone, dark: dark & !(!0 << self.founders) })
            }
            other => other,
        };
        self.faults.push(PlannedFault { at_ns, what });
    }

    fn draw_loss(&self, rng: &mut Rng) -> Fault {
        let (members, all): (NodeSet, NodeSet) = ((1 << self.founders) - 1, (1 << self.replicas) - 1);
        let mut gone = members;
        while gone.count_ones() as usize > self.founders / 2 + 1 {
            gone &= !(1 << rng.below(self.founders as u64));
        }
        let (gone, dark) = match rng.below(4) {
            // In `process` no replica can prove that it has everything; in `power` each can.
            0 => (0, all),
            1 => (gone, rng.next_u64() as NodeSet & all),
            2 if self.archivers > 0 => (members, 0),
            _ => (gone, 0),
        };
        Fault::QuorumLoss(QuorumLossFault { gone, dark })
    }

    fn draw_loss_and_aftermath(&mut self, rng: &mut Rng) {
        let lost = self.draw_loss(rng);
        let at_ns = self.fault_phase_ns;
        self.fault_phase_ns += AFTERMATH * self.timeout_ns;
        self.faults.push(PlannedFault { at_ns, what: lost });
        for _ in 0..rng.below(6) {
            let at_ns = at_ns + (4 + rng.below(AFTERMATH - 30)) * self.timeout_ns;
            let lasting = rng.log_uniform(self.timeout_ns / 16, self.timeout_ns * 4);
            let target = match rng.below(2) {
                0 => FaultNode::Leader,
                _ => FaultNode::Replica(rng.below(self.replicas as u64) as usize),
            };
            let client = self.replicas + rng.below((self.publishers + self.subscribers) as u64) as usize;
            let what = match rng.below(7) {
                0 => Fault::Crash(CrashFault { target, end: EndPlan::Clean, lasting }),
                1 => Fault::Crash(CrashFault { target, end: EndPlan::MidTurn(rng.below(4) as u32), lasting }),
                2 => Fault::Pause(PauseFault { target, lasting }),
                3 => Fault::PauseClient(PauseClientFault { client, lasting }),
                4 => Fault::ClientCrash(ClientCrashFault { client }),
                5 => Fault::Handover(HandoverFault { to: None }),
                _ => Fault::Replay(ReplayFault { count: 1 + rng.below(32) }),
            };
            self.faults.push(PlannedFault { at_ns, what });
        }
        self.faults.sort_by_key(|fault| fault.at_ns);
    }
}

/// The time between two messages of a publisher behind it.
fn more_every_ns(plan: &Plan) -> Nanos {
    if plan.months > 0 { hand_in_every_ns(plan) } else { 10 * plan.timeout_ns }
}

/// A quorum is complete and goes on. Founders whose journal is not prove nothing when they are started, and
/// stay silent, and those whose journal is damaged do not start: the operator formats each anew and puts it
/// in the place of its old identity.
fn go_on(world: &mut World, all: &[Survey]) {
    (0..world.ctx.plan.replicas).for_each(|index| world.machines.restart_within(&mut world.ctx, index, 4));
    let (timeout_ns, until) = (world.ctx.plan.timeout_ns, aftermath(&world.ctx.plan, world.ctx.now));
    let founders = world.ctx.plan.founders;
    let is_whole = |node: usize, machine: &Machine| match all.iter().find(|one| one.node == node) {
        Some(found) => found.complete,
        None => machine.is_lost(),
    };
    for node in 0..founders {
        if world.machines.get(node).is_none_or(|machine| is_whole(node, machine)) {
            continue;
        }
        let after = (REPLACED + world.ctx.rng.below(20)) * timeout_ns;
        let swap = OperatorStep::Swap { node, patient: true };
        world.operator.command_until(&mut world.ctx, &[OperatorStep::Renew(node), swap], after, until);
    }
}

impl World {
    /// The operator recovers as `docs/RECOVER.md` describes under "No quorum".
    fn recover(&mut self) -> Result<(), Violation> {
        for tries in 0.. {
            let all = self.machines.survey();
            let Some(longest) = all.iter().max_by_key(|survey| survey.reach()) else {
                self.ctx.tell(0, || Happening::Note("no journal holds anything".to_string()));
                return Ok(());
            };
            let complete =
                all.iter().filter(|one| one.complete && longest.members.contains(&one.identity)).count();
            if complete > longest.members.len() / 2 {
                self.ctx.count(Event::RecoveriesNotNeeded);
                self.ctx.tell(0, || Happening::Note(format!("{complete} are complete: they are started")));
                go_on(self, &all);
                return Ok(());
            }
            self.ctx
                .oracle
                .facts
                .check_longest(&all.iter().map(|one| one.end).collect::<Vec<_>>(), &longest.end)?;
            let history = LATER + tries;
            let report = ReportedFounding { history, end: longest.end, says_all: longest.says_all };
            let Some((node, founder)) = self.try_to_found(longest, history, tries < TRIES)? else {
                self.ctx.count(Event::FoundersDied);
                continue;
            };
            return self.on_founded(node, founder, report);
        }
        Ok(())
    }

    /// The founding on the chosen journal. `None` where the command died before the journal was the
    /// founder's.
    fn try_to_found(
        &mut self,
        longest: &Survey,
        history: u64,
        may_die: bool,
    ) -> Result<Option<(usize, Identity)>, Violation> {
        let (chosen, now) = (longest.node, self.ctx.now);
        let plan = self.ctx.plan.clone();
        let node = match plan.is_archiver(chosen) {
            true => self.ctx.rng.below(plan.founders as u64) as usize,
            false => chosen,
        };
        let draws = [
            self.ctx.rng.below(3),
            self.ctx.rng.log_uniform(1, 64) - 1,
            self.ctx.rng.next_u64(),
            self.ctx.rng.below(2),
        ];
        let Some((machine, keys)) = self.machines.with_keys(node) else { return Ok(None) };
        let (old, wall) = (machine.identity, machine.wall(now));
        let identity = Identity { incarnation: old.incarnation + FOUNDERS + history as u32, ..old };
        let founder = Founder {
            history,
            member: MemberBody::full(identity, address(node)),
            boot: [machine.boot, machine.boot],
            window: plan.window,
            durability: plan.durability,
            keys: keys.replica.clone(),
        };
        let dies = may_die && draws[0] == 0;
        let founded = if node == chosen {
            if dies {
                machine.store.arm(DiskFault::Death, draws[1], draws[2]);
            }
            machine.found(&founder, wall)
        } else {
            self.machines.found_from(
                &mut self.ctx,
                chosen,
                node,
                (&founder, wall),
                dies.then_some((draws[1], draws[2])),
            )
        };
        let Some(machine) = self.machines.get_mut(node) else { return Ok(None) };
        let died = machine.store.is_dead();
        machine.store.revive();
        machine.store.disarm();
        if let Err(error) = founded
            && !died
        {
            return Err(format!("RECOVER: no history is founded on the journal of {old}: {error}"));
        }
        if died && draws[3] == 1 && node == chosen {
            self.machines.lose_power(&mut self.ctx, node, (false, false), Nanos::MAX / 2);
            self.machines.stop_for_good(node);
        }
        let Some(machine) = self.machines.get_mut(node) else { return Ok(None) };
        let is_founders = machine.owner() == Some(identity);
        if !is_founders && node != chosen {
            // Half a copy, which the next try starts again, here or elsewhere.
            machine.forget();
            machine.store = SimDisk::default();
        }
        Ok(is_founders.then_some((node, identity)))
    }

    fn on_founded(
        &mut self,
        node: usize,
        founder: Identity,
        report: ReportedFounding,
    ) -> Result<(), Violation> {
        let (timeout_ns, now) = (self.ctx.plan.timeout_ns, self.ctx.now);
        self.ctx.oracle.on_founding(founder, &report)?;
        self.ctx
            .tell(node, || Happening::Fault(format!("{founder} founds a history at {}", report.end.next)));
        self.machines.lost = 0;
        for index in 0..self.ctx.plan.replicas {
            let Some(machine) = self.machines.get_mut(index) else { continue };
            if index != node && machine.look().is_none() {
                // It is empty, or was set aside: no process starts on it.
                machine.forget();
            }
            let (identity, is_lost) = (machine.identity, machine.is_lost());
            if index == node {
                machine.become_founder(founder);
                self.ctx.oracle.facts.on_forgotten(identity);
                self.ctx.oracle.facts.on_renewed(index);
                self.machines.restart_within(&mut self.ctx, index, 4);
                continue;
            }
            if self.ctx.plan.is_archiver(index) {
                self.machines.lost |= NodeSet::from(is_lost) << index;
                self.machines.restart_within(&mut self.ctx, index, 20);
                continue;
            }
            // It returns with its old journal first, or not at all.
            self.machines.lost |= 1 << index;
            if self.ctx.rng.below(3) > 0 {
                self.machines.restart_within(&mut self.ctx, index, 20);
            }
            let after = (REPLACED + self.ctx.rng.below(20)) * timeout_ns;
            let until = aftermath(&self.ctx.plan, now);
            let add = OperatorStep::Add { node: index, witness: false, patient: self.ctx.rng.below(4) > 0 };
            self.operator.command_until(&mut self.ctx, &[OperatorStep::Renew(index), add], after, until);
        }
        for index in self.ctx.plan.replicas
            ..self.ctx.plan.replicas + self.ctx.plan.publishers + self.ctx.plan.subscribers
        {
            let work = self.clients.get_mut(index).and_then(ClientProcess::work_mut);
            if let Some(work) = work.filter(|work| !work.fenced) {
                (work.left, work.every_ns) = (work.left + MORE, more_every_ns(&self.ctx.plan));
            }
            if self.ctx.rng.below(3) == 0 {
                self.clients.crash(&mut self.ctx, index);
            }
        }
        Ok(())
    }
}
