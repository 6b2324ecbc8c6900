//! A machine on the stream: every event of a committed subscription becomes inputs, in order; every effect
//! becomes an output or a timer.

#[cfg(test)]
mod tests;

use crate::agreement::{Agreement, Parting};
use crate::digest::StateDigest;
use crate::machine::{Input, InputEvent, StateMachine};
use crate::output::{Effect, Output};
use crate::report::{CopySettings, ReplicaReport};
use crate::snapshot::{self, SnapshotError, SnapshotHead};
use crate::timers::Timers;
use lockstep_core::engine::clients::{Clients, GatewayClientEvent};
use lockstep_core::engine::outputs::{Divergence, Outputs};
use lockstep_core::engine::saved::{take, take_u32};
use lockstep_core::engine::subscriber::{Message, SubscriberEvent};
use lockstep_wire::planted::{Mutation, planted};
use lockstep_wire::{Cursor, Nanos, PublisherId, Seq};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{self, Read, Write};

/// The settings that all copies of a machine share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MachineSettings {
    /// The name under which it publishes. Its replicas report under `NAME/replica/N`.
    pub name: String,
    /// Entries from one digest of the state to the next.
    pub digest_every: Seq,
}

/// Why a copy cannot continue.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MachineFault {
    /// The stream has another output than this state.
    Output(Divergence),
    /// Its state differs from that of most replicas, or of half of them.
    Odd(Option<Parting>),
    /// A reader of the stamped stream has applied entries from this one on that did not survive a takeover:
    /// the owner restores the state from a snapshot, and continues.
    Retracted(Seq),
    /// No journal has the stream from `from` on any more; the oldest available entry is `oldest`. A snapshot
    /// of a peer may begin there.
    Abandoned {
        /// The first seq that is missing.
        from: Seq,
        /// The oldest available seq.
        oldest: Seq,
    },
    /// The machine has failed, for this reason: its state after the last input is invalid.
    Machine(String),
    /// The stream cannot be read further, for this reason.
    Stream(String),
    /// It began with other settings than the first copy of its version, and has published nothing.
    Settings {
        /// Its own.
        own: CopySettings,
        /// The number of the first copy.
        replica: u8,
        /// Its settings.
        first: CopySettings,
    },
    /// Its outputs or reports cannot be published any more, for this reason.
    Publish(String),
}

impl fmt::Display for MachineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output(divergence) => divergence.fmt(f),
            Self::Odd(parting) => {
                f.write_str("this replica's state differs from that of most replicas, and it stops; ")?;
                match parting {
                    Some(parting) => parting.fmt(f),
                    None => f.write_str("the others report the same"),
                }
            }
            Self::Retracted(from) => write!(
                f,
                "entries from seq {from} on did not survive a takeover, and were applied: the state is restored from a \
                 snapshot"
            ),
            Self::Abandoned { from, oldest } => write!(
                f,
                "seq {from} is no longer available, the oldest is {oldest}: give this replica a snapshot of \
                 a peer (peers), or read from an archiver that has it"
            ),
            Self::Settings { own, replica, first } => write!(
                f,
                "this replica's settings are {own}, and replica {replica}, the first of this version, began with {first}: start \
                 it with the same settings; to change them, raise the machine's VERSION, or make them inputs"
            ),
            Self::Machine(why) => write!(f, "the machine has failed: {why}"),
            Self::Stream(why) | Self::Publish(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for MachineFault {}

/// The notices to a replica, beside inputs.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MachineNotice {
    /// The digest of this state is due.
    Digest {
        /// Before this entry.
        at: Seq,
        /// The digest.
        digest: u64,
        /// The replicas that were odd at the previous position.
        odd: Vec<u8>,
    },
    /// A replica has reported.
    Report(u8, ReplicaReport),
    /// A replica has diverged from this one.
    Parting(Parting),
}

/// A function that is called for each input with its effects.
pub type Observe<'a> = &'a mut dyn FnMut(&Input<'_>, &Output);

/// The machine on the stream: see the module.
#[derive(Debug)]
pub struct MachineCore<M> {
    settings: MachineSettings,
    machine: M,
    /// The outputs that it publishes.
    pub outputs: Outputs,
    clients: Clients,
    timers: Timers,
    agreement: Agreement,
    /// The version in force, once one has taken over.
    in_force: Option<u32>,
    /// Publishers that are replicas of this machine.
    replicas: BTreeMap<PublisherId, u8>,
    /// The first settings that a replica of this version has reported, and its number.
    first_settings: Option<(u8, CopySettings)>,
    /// The exclusive bound of the applied entries.
    next: Seq,
    /// The stream's time.
    time: Nanos,
    /// The number of inputs that this process has applied.
    inputs: u64,
    /// Memory for the effects of one input.
    output: Output,
    notices: VecDeque<MachineNotice>,
}

impl<M: StateMachine> MachineCore<M> {
    /// A machine at the beginning of the stream.
    pub fn new(settings: MachineSettings, machine: M) -> Self {
        let outputs = Outputs::new(&settings.name);
        Self {
            settings,
            outputs,
            clients: Clients::default(),
            timers: Timers::default(),
            agreement: Agreement::new(machine.version()),
            machine,
            in_force: None,
            replicas: BTreeMap::new(),
            first_settings: None,
            next: 1,
            time: 0,
            inputs: 0,
            output: Output::default(),
            notices: VecDeque::new(),
        }
    }

    /// The machine.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// The settings that all copies share.
    pub fn settings(&self) -> &MachineSettings {
        &self.settings
    }

    /// The exclusive bound of the applied entries.
    pub fn next(&self) -> Seq {
        self.next
    }

    /// The stream's time.
    pub fn time(&self) -> Nanos {
        self.time
    }

    /// The version of the machine whose replicas publish; `None`: none has taken over yet.
    pub fn in_force(&self) -> Option<u32> {
        self.in_force
    }

    /// The settings that all copies of this version must have: those of the first copy that reported any,
    /// with its number.
    pub fn first_settings(&self) -> Option<&(u8, CopySettings)> {
        self.first_settings.as_ref()
    }

    /// The time of the next timer, by the stream's time.
    pub fn next_timer(&self) -> Option<Nanos> {
        self.timers.next_due()
    }

    /// The number of pending timers.
    pub fn timers(&self) -> usize {
        self.timers.len()
    }

    /// Key and time of each pending timer, the next one first.
    pub fn pending_timers(&self) -> Vec<(u64, Nanos)> {
        self.timers.pending().collect()
    }

    /// The number of inputs that this process has applied.
    pub fn inputs(&self) -> u64 {
        self.inputs
    }

    /// The next notice; none is lost if this is called after each event.
    pub fn next_notice(&mut self) -> Option<MachineNotice> {
        self.notices.pop_front()
    }

    /// The digest of the machine, its timers, and the number of its outputs.
    pub fn digest(&self) -> u64 {
        let words = [self.machine.digest(), self.timers.digest(), self.outputs.produced()];
        let mut digest = StateDigest::default();
        words.iter().for_each(|word| digest.write(&word.to_le_bytes()));
        digest.value()
    }

    /// Handles the next event of the committed subscription. `observe` is called for each input and its
    /// effects.
    ///
    /// # Errors
    /// The stream has other outputs than this state.
    pub fn on_event(&mut self, event: &SubscriberEvent<'_>, observe: Observe<'_>) -> Result<(), Divergence> {
        if !self.outputs.on_event(event)? {
            return Ok(()); // the snapshot has it
        }
        let Some(seq) = event.seq() else { return Ok(()) };
        self.pass_boundary(seq);
        let ahead = |time: &Nanos| *time < self.time || planted(Mutation::EveryOrderSetsBack);
        let set_back_to = set_back_to(event).filter(ahead);
        if let Some(time) = time_of(event).filter(|_| set_back_to.is_none()) {
            self.time = self.time.max(time);
        }
        self.fire_timers(seq, observe);
        // Taken out, because the inputs borrow a user's name from them.
        let mut clients = std::mem::take(&mut self.clients);
        match clients.on_event(event) {
            Some(GatewayClientEvent::Connected { user, publisher }) => {
                self.apply(seq, InputEvent::Connected { user, publisher }, observe);
            }
            Some(GatewayClientEvent::Disconnected { user, publisher, reason, cancels }) => {
                self.apply(seq, InputEvent::Disconnected { user, publisher, reason, cancels }, observe);
            }
            None => match set_back_to {
                Some(time) => self.on_set_back(seq, time, observe),
                None => self.on_other(seq, event, &clients, observe),
            },
        }
        self.clients = clients;
        self.next = seq + 1;
        Ok(())
    }

    /// Handles an event that does not concern a client's connection.
    fn on_other(&mut self, seq: Seq, event: &SubscriberEvent<'_>, clients: &Clients, observe: Observe<'_>) {
        let is_client = |publisher| clients.get(publisher).is_some();
        match *event {
            SubscriberEvent::Message(message) => self.on_message(&message, clients, observe),
            SubscriberEvent::MachineReport { publisher, payload, .. } => {
                self.on_replica(seq, publisher, payload, observe);
            }
            SubscriberEvent::Opened { publisher, incarnation, name, .. } if !is_client(publisher) => {
                self.on_opened(seq, (publisher, incarnation, name), observe);
            }
            SubscriberEvent::Closed { publisher, .. } if !is_client(publisher) => {
                self.apply(seq, InputEvent::Closed { publisher }, observe);
            }
            SubscriberEvent::Day { mark, .. } if mark.is_start => {
                self.apply(seq, InputEvent::DayStart { name: mark.name }, observe);
            }
            SubscriberEvent::Day { .. } => self.apply(seq, InputEvent::DayEnd, observe),
            SubscriberEvent::Membership { members, .. } => {
                self.apply(seq, InputEvent::Membership { members }, observe);
            }
            _ => {}
        }
    }

    /// The stream's time is set back below that of this copy. Timers that were due before have fired.
    fn on_set_back(&mut self, seq: Seq, time: Nanos, observe: Observe<'_>) {
        let before = self.time;
        self.timers.set_back(before.saturating_sub(time));
        self.time = time;
        self.apply(seq, InputEvent::TimeSetBack { before }, observe);
    }

    /// A name is opened that is not a gateway's client. The machine's own names are not inputs.
    fn on_opened(
        &mut self,
        seq: Seq,
        (publisher, incarnation, name): (PublisherId, u32, &str),
        observe: Observe<'_>,
    ) {
        match name.strip_prefix(&*self.settings.name) {
            Some("") => {}
            Some(rest) if rest.starts_with("/replica/") => {
                let number = rest["/replica/".len()..].parse().ok();
                self.replicas.extend(number.map(|number| (publisher, number)));
            }
            _ => self.apply(seq, InputEvent::Opened { publisher, incarnation, name }, observe),
        }
    }

    fn on_message(&mut self, message: &Message<'_>, clients: &Clients, observe: Observe<'_>) {
        let Message { seq, publisher, publisher_seq, destination, payload, .. } = *message;
        if self.replicas.contains_key(&publisher) {
            // Replicas of earlier releases address their reports to the machine.
            self.on_replica(seq, publisher, payload, observe);
        } else if !self.outputs.is_own(message) {
            let user = clients.get(publisher).map(|client| client.user.as_str());
            let event = InputEvent::Message { publisher, publisher_seq, destination, user, payload };
            self.apply(seq, event, observe);
        }
    }

    /// A publisher's message to the replicas of machines; it counts if the publisher is a replica of this
    /// machine.
    fn on_replica(&mut self, seq: Seq, publisher: PublisherId, payload: &[u8], observe: Observe<'_>) {
        if let Some((replica, report)) = self.replicas.get(&publisher).zip(ReplicaReport::parse(payload)) {
            self.on_report(seq, *replica, report, observe);
        }
    }

    fn on_report(&mut self, seq: Seq, replica: u8, report: ReplicaReport, observe: Observe<'_>) {
        self.notices.push_back(MachineNotice::Report(replica, report.clone()));
        match report {
            ReplicaReport::Tick => self.apply(seq, InputEvent::Time, observe),
            ReplicaReport::Digest { version, at, digest } => {
                let parting = self.agreement.on_report(replica, version, at, digest);
                self.notices.extend(parting.map(MachineNotice::Parting));
            }
            ReplicaReport::Snapshot(_) => {}
            ReplicaReport::TakeOver { version } => self.in_force = Some(version),
            ReplicaReport::Settings { version, settings } if version == self.machine.version() => {
                self.first_settings.get_or_insert((replica, settings));
            }
            ReplicaReport::Settings { .. } => {}
        }
    }

    fn apply(&mut self, seq: Seq, event: InputEvent<'_>, observe: Observe<'_>) {
        if self.machine.fault().is_some() {
            return;
        }
        let input = Input { seq, time: self.time, event };
        self.output.begin(self.time);
        self.machine.apply(&input, &mut self.output);
        if self.machine.fault().is_some() {
            return;
        }
        observe(&input, &self.output);
        self.inputs += 1;
        for effect in self.output.effects() {
            match effect {
                Effect::Publish { destination, payload } => self.outputs.push(destination, payload),
                Effect::Timer { key, due, is_relative, payload } => {
                    self.timers.set(key, (due, is_relative), payload);
                }
                Effect::Cancel { key } => self.timers.cancel(key),
            }
        }
    }

    /// Fires the timers that are due by the stream's time, before the entry `seq`.
    fn fire_timers(&mut self, seq: Seq, observe: Observe<'_>) {
        let pass = self.timers.pass();
        while let Some(timer) = self.timers.fire(self.time, pass) {
            let (key, due) = (timer.key, timer.due);
            self.apply(seq, InputEvent::Timer { key, due, payload: &timer.payload }, observe);
        }
    }

    /// If the entry `seq` is the first one at or behind a multiple of the interval, the state before it has a
    /// digest.
    fn pass_boundary(&mut self, seq: Seq) {
        let every = self.settings.digest_every;
        if seq < self.next || seq / every == (self.next - 1) / every {
            return;
        }
        let (at, digest) = (seq / every * every, self.digest());
        let odd = self.agreement.on_own(at, digest);
        self.notices.push_back(MachineNotice::Digest { at, digest, odd });
    }

    /// Writes a snapshot between two events of the subscription, which continues at `cursor` and has
    /// delivered every event below `deliver_next`.
    ///
    /// # Errors
    /// Those of `out` and of the machine.
    pub fn save(&self, cursor: Cursor, deliver_next: Seq, out: &mut impl Write) -> io::Result<()> {
        let mut parts = Vec::new();
        self.outputs.save(deliver_next, &mut parts);
        self.clients.save(&mut parts);
        self.timers.save(&mut parts);
        self.agreement.save(&mut parts);
        parts.push(u8::from(self.in_force.is_some()));
        parts.extend_from_slice(&self.in_force.unwrap_or(0).to_le_bytes());
        parts.extend_from_slice(&(self.replicas.len() as u32).to_le_bytes());
        for (publisher, replica) in &self.replicas {
            parts.extend_from_slice(&publisher.to_le_bytes());
            parts.push(*replica);
        }
        // It is last, and absent if no copy has settings, so that an earlier release reads these snapshots.
        if let Some((replica, settings)) = self.first_settings.clone() {
            let report = ReplicaReport::Settings { version: self.machine.version(), settings };
            parts.push(replica);
            parts.extend_from_slice(&report.to_bytes());
        }
        let head = SnapshotHead {
            name: self.settings.name.clone(),
            version: self.machine.version(),
            cursor,
            next: self.next,
            time: self.time,
            digest: self.digest(),
        };
        snapshot::write(out, &head, &parts, |mut out| self.machine.snapshot(&mut out))
    }

    /// A copy that continues from a snapshot, and the start of its subscription. Check the snapshot by
    /// [`verify_snapshot`](crate::verify_snapshot) before.
    ///
    /// # Errors
    /// It is no snapshot of this machine and version, it is damaged, or the restored state is not the saved
    /// one.
    pub fn restore(settings: MachineSettings, from: &mut impl Read) -> Result<(Self, Cursor), SnapshotError> {
        Self::restore_by(settings, (M::VERSION, |from| M::restore(from)), from)
    }

    /// As [`restore`](Self::restore), for a machine of the same kind as `machine`.
    ///
    /// # Errors
    /// As [`restore`](Self::restore).
    pub fn restore_another(
        settings: MachineSettings,
        machine: &M,
        from: &mut impl Read,
    ) -> Result<(Self, Cursor), SnapshotError> {
        Self::restore_by(settings, (machine.version(), |from| machine.restore_another(from)), from)
    }

    fn restore_by(
        settings: MachineSettings,
        (version, restore): (u32, impl FnOnce(&mut &mut dyn Read) -> io::Result<M>),
        from: &mut impl Read,
    ) -> Result<(Self, Cursor), SnapshotError> {
        let (head, parts, machine) =
            snapshot::read(from, (&settings.name, version), |mut from| restore(&mut from))?;
        let mut core = Self::new(settings, machine);
        core.restore_parts(&parts.bytes, parts.has_relative_timers).ok_or(SnapshotError::Damaged)?;
        (core.next, core.time) = (head.next, head.time);
        match core.digest() {
            restored if restored == head.digest => Ok((core, head.cursor)),
            restored => Err(SnapshotError::Digest { saved: head.digest, restored }),
        }
    }

    fn restore_parts(&mut self, parts: &[u8], has_relative_timers: bool) -> Option<()> {
        let (outputs, mut rest) = Outputs::restore(&self.settings.name, parts)?;
        let rest = &mut rest;
        self.outputs = outputs;
        self.clients = Clients::restore(rest)?;
        self.timers = Timers::restore(rest, has_relative_timers)?;
        self.agreement = Agreement::restore(self.machine.version(), rest)?;
        let [has_taken_over] = take(rest)?;
        self.in_force = Some(take_u32(rest)?).filter(|_| has_taken_over == 1);
        for _ in 0..take_u32(rest)? {
            let publisher = take_u32(rest)?;
            let [replica] = take(rest)?;
            self.replicas.insert(publisher, replica);
        }
        if let Some((replica, report)) = rest.split_first() {
            let ReplicaReport::Settings { settings, .. } = ReplicaReport::parse(report)? else { return None };
            self.first_settings = Some((*replica, settings));
        }
        Some(())
    }
}

/// The time to which an event sets the stream's time back, if it is that order (CLOCK-2). Where only entries
/// that are no events ran ahead of it, as the start of an epoch, it is later than the time of a copy.
fn set_back_to(event: &SubscriberEvent<'_>) -> Option<Nanos> {
    match *event {
        SubscriberEvent::Ordered { timestamp, order, .. } => order.time_before().map(|_| timestamp),
        _ => None,
    }
}

/// When the entry of an event was stamped, if the event has that time.
fn time_of(event: &SubscriberEvent<'_>) -> Option<Nanos> {
    match *event {
        SubscriberEvent::Message(message) => Some(message.timestamp),
        SubscriberEvent::Opened { timestamp, .. }
        | SubscriberEvent::Closed { timestamp, .. }
        | SubscriberEvent::MachineReport { timestamp, .. }
        | SubscriberEvent::SetNote { timestamp, .. }
        | SubscriberEvent::Day { timestamp, .. }
        | SubscriberEvent::Ordered { timestamp, .. } => Some(timestamp),
        _ => None,
    }
}
