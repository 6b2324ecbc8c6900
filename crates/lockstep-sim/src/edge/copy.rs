//! The copies of a machine at the edge, whichever machine it is.

use super::reminded::Reminded;
use crate::check::Violation;
use lockstep_core::engine::publisher::{PublisherCore, PublisherEvent};
use lockstep_core::engine::subscriber::SubscriberEvent;
use lockstep_machine::{
    Acknowledger, Input, InputEvent, MachineCore, MachineFault, MachineReplica, MachineSettings, Output,
    ReplicaSettings, SnapshotError, StateMachine,
};
use lockstep_wire::{Cursor, Nanos, Seq};
use std::rc::Rc;

/// Entries from one digest of the copies to the next.
const DIGEST_EVERY: Seq = 32;

/// A machine that is judged, and what its clients send.
pub(crate) trait MachineUnderTest {
    /// A copy at the stream's beginning.
    fn copy(&self, settings: ReplicaSettings) -> Box<dyn MachineCopy>;

    /// A copy that continues from a snapshot, and where its subscription begins.
    fn restore(
        &self,
        settings: ReplicaSettings,
        saved: &[u8],
    ) -> Result<(Box<dyn MachineCopy>, Cursor), SnapshotError>;

    /// Message `number` of a client; `None`: the world writes it, and knows its answer.
    fn message(&self, user: usize, number: u64) -> Option<Vec<u8>>;
}

/// A copy of a machine.
pub(crate) trait MachineCopy {
    /// As [`MachineReplica::on_event`]; then the machine's judge has its say.
    fn on_event(&mut self, now: Nanos, event: &SubscriberEvent<'_>) -> Result<(), CopyEnd>;
    /// As [`MachineReplica::on_publisher`].
    fn on_publisher(&mut self, event: &PublisherEvent);
    /// As [`MachineReplica::turn`].
    fn turn(&mut self, now: Nanos, publisher: &mut PublisherCore) -> Result<usize, MachineFault>;
    /// As [`MachineReplica::begin_open`].
    fn begin_open(&mut self, publisher: &mut PublisherCore, drawn: [u64; 2]) -> bool;
    /// As [`MachineCore::save`].
    fn save(&self, cursor: Cursor, deliver_next: Seq) -> std::io::Result<Vec<u8>>;
    /// Every entry below is applied.
    fn next(&self) -> Seq;
    /// The digest of its state.
    fn digest(&self) -> u64;
    /// When its next timer is due.
    fn next_timer(&self) -> Option<Nanos>;
    /// As [`MachineReplica::is_final`].
    fn is_final(&self) -> bool;
    /// As [`MachineReplica::is_shadow`].
    fn is_shadow(&self) -> bool;
    /// As [`MachineReplica::take_over`].
    fn take_over(&mut self);
    /// As [`MachineReplica::needs_from`].
    fn needs_from(&mut self, from: Seq);
    /// Timers that have fired since this was asked for last.
    fn take_fired(&mut self) -> u64;
}

/// Why a copy does not read on.
pub(crate) enum CopyEnd {
    /// It cannot: its supervisor starts it again.
    Stream(String),
    /// What it has applied was taken back: it is started again with its snapshots.
    Retracted,
    /// A rule is broken.
    Broken(Violation),
}

/// The judge of a state: what is wrong with it.
pub(crate) type JudgeOf<M> = Rc<dyn Fn(&M) -> Result<(), String>>;

/// See [`MachineCopy`].
pub(crate) struct CopyOf<M> {
    replica: MachineReplica<M>,
    judge: JudgeOf<M>,
    fired: u64,
}

fn settings() -> MachineSettings {
    MachineSettings { name: Acknowledger::NAME.to_owned(), digest_every: DIGEST_EVERY }
}

impl<M: StateMachine> CopyOf<M> {
    /// One at the stream's beginning.
    pub(crate) fn begin(machine: M, of: ReplicaSettings, judge: JudgeOf<M>) -> Self {
        Self { replica: MachineReplica::new(of, MachineCore::new(settings(), machine)), judge, fired: 0 }
    }

    /// One of the kind of `machine` that continues from a snapshot.
    pub(crate) fn restore(
        machine: &M,
        saved: &[u8],
        of: ReplicaSettings,
        judge: JudgeOf<M>,
    ) -> Result<(Self, Cursor), SnapshotError> {
        let (core, cursor) = MachineCore::restore_another(settings(), machine, &mut &saved[..])?;
        Ok((Self { replica: MachineReplica::new(of, core), judge, fired: 0 }, cursor))
    }
}

impl<M: StateMachine> MachineCopy for CopyOf<M> {
    fn on_event(&mut self, now: Nanos, event: &SubscriberEvent<'_>) -> Result<(), CopyEnd> {
        let Self { replica, judge, fired } = self;
        let mut observe = |input: &Input<'_>, _: &Output| {
            *fired += u64::from(matches!(input.event, InputEvent::Timer { .. }));
        };
        replica.on_event(now, event, &mut observe).map_err(|fault| match fault {
            MachineFault::Stream(why) => CopyEnd::Stream(why),
            fault @ MachineFault::Abandoned { .. } => CopyEnd::Stream(fault.to_string()),
            MachineFault::Retracted(_) => CopyEnd::Retracted,
            fault => CopyEnd::Broken(format!("MACHINE: {fault}")),
        })?;
        judge(replica.core.machine())
            .map_err(|why| CopyEnd::Broken(format!("MACHINE: before seq {}: {why}", replica.next())))
    }

    fn on_publisher(&mut self, event: &PublisherEvent) {
        self.replica.on_publisher(event);
    }

    fn turn(&mut self, now: Nanos, publisher: &mut PublisherCore) -> Result<usize, MachineFault> {
        self.replica.turn(now, publisher)
    }

    fn begin_open(&mut self, publisher: &mut PublisherCore, drawn: [u64; 2]) -> bool {
        self.replica.begin_open(publisher, drawn)
    }

    fn save(&self, cursor: Cursor, deliver_next: Seq) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.replica.core.save(cursor, deliver_next, &mut bytes)?;
        Ok(bytes)
    }

    fn next(&self) -> Seq {
        self.replica.next()
    }

    fn digest(&self) -> u64 {
        self.replica.core.digest()
    }

    fn next_timer(&self) -> Option<Nanos> {
        self.replica.core.next_timer()
    }

    fn is_final(&self) -> bool {
        self.replica.is_final()
    }

    fn is_shadow(&self) -> bool {
        self.replica.is_shadow()
    }

    fn take_over(&mut self) {
        self.replica.take_over();
    }

    fn needs_from(&mut self, from: Seq) {
        self.replica.needs_from(from);
    }

    fn take_fired(&mut self) -> u64 {
        std::mem::take(&mut self.fired)
    }
}

/// The machine of the world itself.
pub(crate) struct OwnMachine;

fn judge_of_own() -> JudgeOf<Reminded> {
    Rc::new(|machine| machine.broken().map_or(Ok(()), |broken| Err(broken.clone())))
}

impl MachineUnderTest for OwnMachine {
    fn copy(&self, of: ReplicaSettings) -> Box<dyn MachineCopy> {
        Box::new(CopyOf::begin(Reminded::default(), of, judge_of_own()))
    }

    fn restore(
        &self,
        of: ReplicaSettings,
        saved: &[u8],
    ) -> Result<(Box<dyn MachineCopy>, Cursor), SnapshotError> {
        let (copy, cursor) = CopyOf::restore(&Reminded::default(), saved, of, judge_of_own())?;
        Ok((Box::new(copy), cursor))
    }

    fn message(&self, _: usize, _: u64) -> Option<Vec<u8>> {
        None
    }
}
