//! Journals behind the loss of a quorum: they are inspected, one is made a founder's, with the code of
//! `lockstep recover`, and the rest is set aside.

use crate::check::Violation;
use crate::context::RunContext;
use crate::coverage::Event;
use crate::disk::{DiskFault, SimDisk};
use crate::machine::{Machine, MachineState};
use crate::machines::Machines;
use crate::operator::{OperatorStep, SimOperator};
use crate::plan::{Plan, pursued_ns};
use crate::story::Happening;
use lockstep_core::engine::event::ReplicaEvent as NodeEvent;
use lockstep_core::proto::log::LogEnd;
use lockstep_replica::journal::memory::MemoryTail;
use lockstep_replica::journal::ports::{FileName, Store};
use lockstep_replica::journal::proof::RingEvidence;
use lockstep_replica::journal::side::{Inputs, SideSettings, SideStep, SideThread};
use lockstep_replica::journal::{
    Completeness, Founder, Inspection, JournalOpenError, Superblock, found, holdings, inspect,
};
use lockstep_wire::{Identity, MemberBody, Nanos};

/// The time after the loss of the quorum, in timeouts.
pub(crate) const AFTERMATH: u64 = 100;

/// The result of inspecting one machine's journal.
pub(crate) struct Survey {
    pub(crate) node: usize,
    pub(crate) end: LogEnd,
    pub(crate) identity: Identity,
    pub(crate) complete: bool,
    /// The log is known to have reached no further, and no other replica had a vote.
    pub(crate) says_all: bool,
    pub(crate) members: Vec<Identity>,
}

impl Survey {
    /// The order by which `recover --compare` ranks.
    pub(crate) fn reach(&self) -> (lockstep_wire::Epoch, u64, bool) {
        (self.end.epoch, self.end.next, self.complete)
    }
}

impl Machine {
    /// An inspection like that of `recover`: with the ring where that proves the journal complete, else of
    /// the segments alone.
    pub(crate) fn look(&self) -> Option<Inspection> {
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
    pub(crate) fn settle(&mut self, wall: Nanos) -> Result<(), JournalOpenError> {
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
    pub(crate) fn found(&mut self, founder: &Founder, wall: Nanos) -> Result<(), JournalOpenError> {
        self.settle(wall)?;
        let Some(inspection) = self.look() else { return Ok(()) };
        self.store.set_power(true);
        found(&mut self.store, inspection.superblock(), founder).map(drop)
    }

    /// A copy of another journal's files, synced and without its superblock, replaces this journal.
    pub(crate) fn take_files(&mut self, files: SimDisk) -> Result<(), JournalOpenError> {
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
    pub(crate) fn owner(&self) -> Option<Identity> {
        Some(Superblock::load(&self.store).ok()?.ok()?.newest.identity)
    }

    /// Makes the journal the founder's.
    pub(crate) fn become_founder(&mut self, founder: Identity) {
        if self.is_lost() {
            self.state = MachineState::Down(None, Nanos::MAX);
        }
        (self.identity, self.led, self.forgot, self.failed) = (founder, false, false, false);
        (self.remarks, self.asked) = (Vec::new(), 0);
    }
}

/// Until when the operator tries to bring it to full strength.
pub(crate) fn aftermath(plan: &Plan, now: Nanos) -> Nanos {
    now + if plan.months > 0 { pursued_ns(plan) } else { AFTERMATH * plan.timeout_ns }
}

impl Machines {
    pub(crate) fn stop_for_good(&mut self, index: usize) {
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

    /// The journal of this node is lost for good.
    pub(crate) fn erase(&mut self, ctx: &mut RunContext, index: usize) {
        self.lost |= 1 << index;
        let Some(machine) = self.get_mut(index) else { return };
        machine.forget();
        machine.store = SimDisk::default();
        ctx.oracle.facts.on_forgotten(machine.identity);
    }

    /// Inspects every remaining journal.
    pub(crate) fn survey(&self) -> Vec<Survey> {
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
    pub(crate) fn found_from(
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
        old.into_iter().for_each(|old| ctx.oracle.facts.on_forgotten(old));
        let Some(machine) = self.get_mut(node) else { return Ok(()) };
        machine.take_files(files)?;
        if let Some((calls, salt)) = dies {
            machine.store.arm(DiskFault::Death, calls, salt);
        }
        machine.store.set_power(true);
        found(&mut machine.store, &previous, founder).map(drop)
    }

    /// The process at this node is started within so many timeouts.
    pub(crate) fn restart_within(&mut self, ctx: &mut RunContext, index: usize, timeouts: u64) {
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
        ctx.oracle.facts.check_left_behind(index, events)?;
        let is_present = ctx.oracle.facts.is_present(index);
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
        ctx.oracle.facts.on_renewed(index);
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
        if ctx.oracle.facts.founding().is_none() {
            return;
        }
        for index in 0..ctx.plan.replicas {
            if self.lost >> index & 1 == 1 {
                self.stop_for_good(index);
                if let Some(machine) = self.get_mut(index) {
                    machine.forget();
                }
                ctx.oracle.facts.on_renewed(index);
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
