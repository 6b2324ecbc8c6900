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

use crate::check::{ReportedFounding, Violation};
use crate::clients::ClientProcess;
use crate::context::RunContext;
use crate::coverage::Event;
use crate::disk::{DiskFault, SimDisk};
use crate::machine::{Machine, MachineState};
use crate::machines::Machines;
use crate::operator::OperatorStep;
use crate::operator::SimOperator;
use crate::plan::{EndPlan, Fault, FaultNode, Plan, PlannedFault};
use crate::populate::address;
use crate::rng::Rng;
use crate::story::Happening;
use crate::wire::NodeSet;
use crate::world::World;
use crate::year::{hand_in_every_ns, pursued_ns};
use lockstep_core::engine::event::ReplicaEvent as NodeEvent;
use lockstep_core::proto::log::LogEnd;
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_replica::journal::ports::{FileName, Store};
use lockstep_replica::journal::proof::RingEvidence;
use lockstep_replica::journal::side::{Inputs, SideSettings, SideStep, SideThread};
use lockstep_replica::journal::{
    Completeness, Founder, Inspection, JournalOpenError, Retention, Superblock, found, holdings, inspect,
};
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
/// The time after the loss of the quorum, in timeouts.
const AFTERMATH: u64 = 100;
/// The time from which old members are replaced, in timeouts.
const REPLACED: u64 = 45;
/// The messages that publishers hand in after it.
const MORE: u64 = 6;
/// The most tries of a recovery that dies; the last one does not die.
const TRIES: u64 = 4;

impl Plan {
    /// The length of the first act: the second follows the loss of the quorum.
    pub(crate) fn first_act_ns(&self) -> Nanos {
        let quorum_loss = self.faults.iter().find(|fault| matches!(fault.what, Fault::QuorumLoss(..)));
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
            Fault::QuorumLoss(gone, dark) => Fault::QuorumLoss(gone, dark & !(!0 << self.founders)),
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
        Fault::QuorumLoss(gone, dark)
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
                0 => Fault::Crash(target, EndPlan::Clean, lasting),
                1 => Fault::Crash(target, EndPlan::MidTurn(rng.below(4) as u32), lasting),
                2 => Fault::Pause(target, lasting),
                3 => Fault::PauseClient(client, lasting),
                4 => Fault::ClientCrash(client),
                5 => Fault::Handover(None),
                _ => Fault::Replay(1 + rng.below(32)),
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

/// Until when the operator tries to bring it to full strength.
fn aftermath(plan: &Plan, now: Nanos) -> Nanos {
    now + if plan.months > 0 { pursued_ns(plan) } else { AFTERMATH * plan.timeout_ns }
}

/// The result of inspecting one machine's journal.
struct Survey {
    node: usize,
    end: LogEnd,
    identity: Identity,
    complete: bool,
    /// The log is known to have reached no further, and no other replica had a vote.
    says_all: bool,
    members: Vec<Identity>,
}

impl Survey {
    /// The order by which `recover --compare` ranks.
    fn reach(&self) -> (lockstep_wire::Epoch, u64, bool) {
        (self.end.epoch, self.end.next, self.complete)
    }
}

impl Machine {
    /// An inspection like that of `recover`: with the ring where that proves the journal complete, else of
    /// the segments alone.
    fn look(&self) -> Option<Inspection> {
        if self.is_damaged() || self.failed || !self.rotten.is_empty() || self.vanished.may_refuse() {
            return None;
        }
        let memory = match &self.state {
            MachineState::Down(memory, _) => memory.as_ref(),
            _ => None,
        };
        let inspection = inspect(&self.store, memory, self.settings()).ok()?;
        let alone =
            inspection.completeness() != &Completeness::Complete && inspection.ring() == &RingEvidence::Own;
        let inspection =
            if alone { inspect(&self.store, None::<&MemoryTail>, self.settings()).ok()? } else { inspection };
        Some(inspection).filter(|inspection| inspection.damage().is_empty() && inspection.end().next > 1)
    }

    /// Writes the part of a proven ring that the segments lack to them, and stops the journal cleanly.
    fn settle(&mut self, wall: Nanos) -> Result<(), JournalOpenError> {
        let Some(inspection) = self.look() else { return Ok(()) };
        let MachineState::Down(Some(memory), _) = &mut self.state else { return Ok(()) };
        if inspection.ring() != &RingEvidence::Own || inspection.completeness() != &Completeness::Complete {
            return Ok(());
        }
        let lineage = holdings(&self.store, &inspection)?.lineage;
        let committed = inspection.checkpoint().commit_next;
        let opened = inspection.begin(&mut self.store, memory)?;
        let (mut tail, mut remarks) = (opened.tail, Vec::new());
        let mut side = SideThread::new(opened.writer, opened.superblock, SideSettings::new(true));
        let inputs = Inputs { now: 0, wall, stop: true, lineage, committed, ring_only: false, device: false };
        loop {
            match side.turn(&mut self.store, tail.memory_mut(), &inputs, &mut remarks) {
                SideStep::Again | SideStep::Pause(_) => {}
                SideStep::Stopped => return Ok(()),
                SideStep::Failed(error) => return Err(JournalOpenError::Settings(error.to_string())),
            }
        }
    }

    /// `recover --accept-loss` on the own journal.
    fn found(&mut self, founder: &Founder, wall: Nanos) -> Result<(), JournalOpenError> {
        self.settle(wall)?;
        let Some(inspection) = self.look() else { return Ok(()) };
        self.store.set_power(true);
        found(&mut self.store, inspection.superblock(), founder).map(drop)
    }

    /// A copy of another journal's files, synced and without its superblock, replaces this journal.
    fn take_files(&mut self, files: SimDisk) -> Result<(), JournalOpenError> {
        (self.store, self.state) = (files, MachineState::Down(None, Nanos::MAX));
        // What the former files lacked, these do not.
        (self.rotten, self.damaged_segments, self.vanished) = Default::default();
        for file in self.store.list()? {
            match file {
                FileName::Superblock | FileName::Spare => self.store.remove(file)?,
                file => self.store.sync(file)?,
            }
        }
        Ok(())
    }

    /// The owner of the journal.
    fn owner(&self) -> Option<Identity> {
        Some(Superblock::load(&self.store).ok()?.ok()?.newest.identity)
    }

    /// Makes the journal the founder's.
    fn become_founder(&mut self, founder: Identity) {
        if self.is_lost() {
            self.state = MachineState::Down(None, Nanos::MAX);
        }
        (self.identity, self.led, self.forgot, self.failed) = (founder, false, false, false);
        (self.remarks, self.asked) = (Vec::new(), 0);
    }
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
    /// Journals are lost, machines without power, and the operator has stopped every process that still ran.
    pub(crate) fn quorum_loss(&mut self, gone: NodeSet, dark: NodeSet) -> Result<(), Violation> {
        if self.ctx.oracle.founding().is_some() {
            return Ok(());
        }
        self.operator.rest();
        self.operator.commands.clear();
        self.ctx.network.outlive();
        self.ctx.tell(0, || Happening::Fault(format!("ruin: journals gone {gone:#b}, power gone {dark:#b}")));
        for index in 0..self.ctx.plan.replicas {
            if gone >> index & 1 == 1 {
                self.machines.erase(&mut self.ctx, index);
            } else if dark >> index & 1 == 1 {
                let within = self.ctx.rng.below(2) == 0;
                self.machines.lose_power(&mut self.ctx, index, (within, false), 0);
            }
            self.machines.stop_for_good(index);
        }
        self.ctx.count(Event::Ruins);
        self.recover()
    }

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
                self.ctx.oracle.on_forgotten(identity);
                self.ctx.oracle.on_renewed(index);
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

impl Machines {
    /// The journal of this node is lost for good.
    fn erase(&mut self, ctx: &mut RunContext, index: usize) {
        self.lost |= 1 << index;
        let Some(machine) = self.get_mut(index) else { return };
        machine.forget();
        machine.store = SimDisk::default();
        ctx.oracle.on_forgotten(machine.identity);
    }

    fn stop_for_good(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let notice = std::mem::take(&mut node.notice);
        (node.led, node.host.paused_until) = (None, 0);
        if !notice.is_empty() {
            self.old_notices.push((index, notice));
        }
        let Some(machine) = self.get_mut(index) else { return };
        machine.end(Nanos::MAX);
        machine.store.disarm();
        machine.store.set_capacity_bytes(u64::MAX);
        (machine.ordeal, machine.stopping, machine.darkens) = (None, None, None);
        (machine.disk_full_until, machine.disk_slow_until) = (0, 0);
    }

    /// Inspects every remaining journal.
    fn survey(&self) -> Vec<Survey> {
        let mut all = Vec::new();
        for node in 0..self.nodes.len() {
            let Some(machine) = self.get(node) else { continue };
            let Some(inspection) = machine.look() else { continue };
            let complete = inspection.completeness() == &Completeness::Complete;
            let members: Vec<_> = inspection.checkpoint().members.iter().map(MemberBody::identity).collect();
            let says_all = complete
                && members == [inspection.superblock().identity]
                && inspection.high_next() <= inspection.end().next;
            let identity = inspection.superblock().identity;
            all.push(Survey { node, end: inspection.end(), identity, complete, says_all, members });
        }
        all
    }

    /// `recover --from`, with a copy of the archiver's journal, which was stopped cleanly.
    fn found_from(
        &mut self,
        ctx: &mut RunContext,
        chosen: usize,
        node: usize,
        (founder, wall): (&Founder, Nanos),
        dies: Option<(u64, u64)>,
    ) -> Result<(), JournalOpenError> {
        let Some(archiver) = self.get_mut(chosen) else { return Ok(()) };
        archiver.settle(wall)?;
        let Some(inspection) = archiver.look() else { return Ok(()) };
        let (previous, files) = (*inspection.superblock(), archiver.store.clone());
        let old = self.get_mut(node).map(|machine| machine.identity);
        old.into_iter().for_each(|old| ctx.oracle.on_forgotten(old));
        let Some(machine) = self.get_mut(node) else { return Ok(()) };
        machine.take_files(files)?;
        if let Some((calls, salt)) = dies {
            machine.store.arm(DiskFault::Death, calls, salt);
        }
        machine.store.set_power(true);
        found(&mut machine.store, &previous, founder).map(drop)
    }

    /// The process at this node is started within so many timeouts.
    fn restart_within(&mut self, ctx: &mut RunContext, index: usize, timeouts: u64) {
        let at = ctx.now + ctx.rng.below(timeouts * ctx.plan.timeout_ns);
        let Some(machine) = self.get_mut(index) else { return };
        if let MachineState::Down(_, until) = &mut machine.state {
            *until = at;
        }
    }

    /// A replica has stopped because the group is in another history, with `events` as its last ones.
    pub(crate) fn on_left_behind(
        &mut self,
        ctx: &mut RunContext,
        operator: &mut SimOperator,
        index: usize,
        events: &[NodeEvent],
    ) -> Result<(), Violation> {
        let (now, timeout_ns) = (ctx.now, ctx.plan.timeout_ns);
        ctx.oracle.check_left_behind(index, events)?;
        let is_present = ctx.oracle.is_present(index);
        ctx.count(if is_present { Event::PresentStopped } else { Event::AncestorsStopped });
        ctx.tell(index, || Happening::Note(format!("stops: {events:?}")));
        let Some(machine) = self.get_mut(index) else { return Ok(()) };
        if is_present {
            // The cause was an old datagram of a past leader: it is restarted.
            machine.kill(now + timeout_ns, None);
            self.announce_death(ctx, index);
            return Ok(());
        }
        machine.forget();
        self.lost |= 1 << index;
        (self.nodes[index].led, self.nodes[index].notice) = (None, Vec::new());
        ctx.oracle.on_renewed(index);
        if !ctx.plan.is_archiver(index) && !operator.renews(index) {
            let add = OperatorStep::Add { node: index, witness: false, patient: true };
            operator.command_until(
                ctx,
                &[OperatorStep::Renew(index), add],
                timeout_ns,
                aftermath(&ctx.plan, now),
            );
        }
        ctx.await_no_more(index);
        Ok(())
    }

    /// The fault phase has ended: the operator stops every node that still runs in the ancestor history.
    pub(crate) fn leave_ancestor(&mut self, ctx: &mut RunContext) {
        if ctx.oracle.founding().is_none() {
            return;
        }
        for index in 0..ctx.plan.replicas {
            if self.lost >> index & 1 == 1 {
                self.stop_for_good(index);
                if let Some(machine) = self.get_mut(index) {
                    machine.forget();
                }
                ctx.oracle.on_renewed(index);
            }
        }
    }
}

/// Whether the last events of a node report that it was left behind.
pub(crate) fn is_left_behind(events: &[NodeEvent]) -> bool {
    events.iter().any(|event| {
        matches!(event, NodeEvent::Founded { goes_on: false, .. } | NodeEvent::OtherHistory { .. })
    })
}
