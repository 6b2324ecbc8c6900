//! A machine on the stream: every event of a committed subscription becomes inputs, in order; every effect
//! becomes an output or a timer.

mod fault;
mod of_set;
#[cfg(test)]
mod tests;

pub use fault::MachineFault;
pub use of_set::{MergedInput, stream_of};

use crate::agreement::{Agreement, Parting};
use crate::digest::StateDigest;
use crate::machine::{Input, InputEvent, StateMachine};
use crate::output::{Effect, Output};
use crate::report::{CopySettings, ReplicaReport};
use crate::snapshot::{self, SnapshotCursor, SnapshotError, SnapshotHead, SnapshotParts};
use crate::timers::Timers;
use lockstep_core::engine::clients::{Clients, GatewayClientEvent};
use lockstep_core::engine::outputs::{Divergence, Outputs};
use lockstep_core::engine::saved::{take, take_u32};
use lockstep_core::engine::subscriber::{Message, SubscriberEvent};
use lockstep_wire::planted::{Mutation, planted};
use lockstep_wire::{Cursor, Nanos, PublisherId, Seq};
use of_set::{OtherStreams, id_of};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read, Write};

/// The settings that all copies of a machine share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MachineSettings {
    /// The name under which it publishes. Its replicas report under `NAME/replica/N`.
    pub name: String,
    /// Entries from one digest of the state to the next.
    pub digest_every: Seq,
}

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
    /// Those of the machine's own stream.
    clients: Clients,
    /// The other streams of a set; none of a machine that reads one stream.
    others: OtherStreams,
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
            others: OtherStreams::default(),
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
        let Some(seq) = event.seq() else { return Ok(()) };
        if !self.outputs.on_entry(seq, event)? {
            return Ok(()); // the snapshot has it
        }
        self.pass_boundary(seq);
        let ahead = |time: &Nanos| *time < self.time || planted(Mutation::EveryOrderSetsBack);
        let set_back_to = set_back_to(event).filter(ahead);
        if let Some(time) = time_of(event).filter(|_| set_back_to.is_none()) {
            self.time = self.time.max(time);
        }
        self.fire_timers(seq, observe);
        match set_back_to {
            Some(time) => self.on_set_back(seq, time, observe),
            None => self.take_event((seq, 0), event, observe),
        }
        self.next = seq + 1;
        Ok(())
    }

    /// As [`on_event`](Self::on_event), of the streams of a set in their merged order. Trading days and the
    /// membership are inputs where they are the home stream's; the merged time is never set back.
    ///
    /// # Errors
    /// The home stream has other outputs than this state. More streams were merged than have numbers.
    pub fn on_merged(
        &mut self,
        place: MergedInput,
        event: &SubscriberEvent<'_>,
        observe: Observe<'_>,
    ) -> Result<(), MachineFault> {
        let Some(seq) = place.number else { return Ok(()) };
        let is_news = match place.is_home {
            true => self.outputs.on_entry(seq, event).map_err(MachineFault::Output)?,
            false => self.outputs.on_foreign_entry(seq),
        };
        if !is_news {
            return Ok(());
        }
        self.pass_boundary(seq);
        self.time = self.time.max(place.time);
        self.fire_timers(seq, observe);
        let number = match place.is_home {
            true => 0,
            false => self.number_of(seq, place.stream, observe)?,
        };
        self.take_event((seq, number), event, observe);
        self.next = seq + 1;
        Ok(())
    }

    /// The number of another stream: at its first entry it gets one.
    fn number_of(&mut self, seq: Seq, cluster: u64, observe: Observe<'_>) -> Result<usize, MachineFault> {
        let Some((number, is_new)) = self.others.number(cluster) else {
            let why = "more streams were merged, one after the other, than a machine over a set can number";
            return Err(MachineFault::Stream(why.into()));
        };
        if is_new {
            self.apply(seq, InputEvent::Stream { number: number as u8, cluster }, observe);
        }
        Ok(number)
    }

    /// Makes inputs of an event of the stream with this number: 0 is the own stream.
    fn take_event(&mut self, at: (Seq, usize), event: &SubscriberEvent<'_>, observe: Observe<'_>) {
        let (seq, number) = at;
        let known = match number {
            0 => &mut self.clients,
            other => self.others.clients(other),
        };
        // Taken out, because the inputs borrow a user's name from them.
        let mut clients = std::mem::take(known);
        match clients.on_event(event) {
            Some(GatewayClientEvent::Connected { user, publisher }) => {
                let publisher = id_of(number, publisher);
                self.apply(seq, InputEvent::Connected { user, publisher }, observe);
            }
            Some(GatewayClientEvent::Disconnected { user, publisher, reason, cancels }) => {
                let publisher = id_of(number, publisher);
                self.apply(seq, InputEvent::Disconnected { user, publisher, reason, cancels }, observe);
            }
            None => self.on_other(at, event, &clients, observe),
        }
        match number {
            0 => self.clients = clients,
            other => *self.others.clients(other) = clients,
        }
    }

    /// Handles an event that does not concern a client's connection.
    fn on_other(
        &mut self,
        (seq, number): (Seq, usize),
        event: &SubscriberEvent<'_>,
        clients: &Clients,
        observe: Observe<'_>,
    ) {
        let is_client = |publisher| clients.get(publisher).is_some();
        match *event {
            SubscriberEvent::Message(message) => self.on_message((seq, number), &message, clients, observe),
            SubscriberEvent::Opened { publisher, incarnation, name, .. } if !is_client(publisher) => {
                self.on_opened((seq, number), (publisher, incarnation, name), observe);
            }
            SubscriberEvent::Closed { publisher, .. } if !is_client(publisher) => {
                let publisher = id_of(number, publisher);
                self.apply(seq, InputEvent::Closed { publisher }, observe);
            }
            _ if number != 0 => {}
            SubscriberEvent::MachineReport { publisher, payload, .. } => {
                self.on_replica(seq, publisher, payload, observe);
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
        (seq, stream): (Seq, usize),
        (publisher, incarnation, name): (PublisherId, u32, &str),
        observe: Observe<'_>,
    ) {
        match name.strip_prefix(&*self.settings.name) {
            Some("") => {}
            Some(rest) if rest.starts_with("/replica/") => {
                let number = rest["/replica/".len()..].parse().ok();
                self.replicas.extend(number.filter(|_| stream == 0).map(|number| (publisher, number)));
            }
            _ => {
                let publisher = id_of(stream, publisher);
                self.apply(seq, InputEvent::Opened { publisher, incarnation, name }, observe);
            }
        }
    }

    fn on_message(
        &mut self,
        (seq, number): (Seq, usize),
        message: &Message<'_>,
        clients: &Clients,
        observe: Observe<'_>,
    ) {
        let Message { publisher, publisher_seq, destination, payload, .. } = *message;
        if number == 0 && self.replicas.contains_key(&publisher) {
            // Replicas of earlier releases address their reports to the machine.
            self.on_replica(seq, publisher, payload, observe);
        } else if number != 0 || !self.outputs.is_own(message) {
            let user = clients.get(publisher).map(|client| client.user.as_str());
            let publisher = id_of(number, publisher);
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
    pub fn save(
        &self,
        cursor: impl Into<SnapshotCursor>,
        deliver_next: Seq,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let cursor = cursor.into();
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
        if cursor.stream().is_none() {
            self.others.save(&mut parts);
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
    /// It is no snapshot of this machine and version, or of a machine that reads one stream; it is damaged,
    /// or the restored state is not the saved one.
    pub fn restore(settings: MachineSettings, from: &mut impl Read) -> Result<(Self, Cursor), SnapshotError> {
        of_one_stream(Self::restore_by(settings, (M::VERSION, |from| M::restore(from)), from)?)
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
        of_one_stream(Self::restore_anywhere(settings, machine, from)?)
    }

    /// As [`restore_another`](Self::restore_another), of a machine that reads one stream or a set: the cursor
    /// shows which.
    ///
    /// # Errors
    /// As [`restore`](Self::restore).
    pub fn restore_anywhere(
        settings: MachineSettings,
        machine: &M,
        from: &mut impl Read,
    ) -> Result<(Self, SnapshotCursor), SnapshotError> {
        Self::restore_by(settings, (machine.version(), |from| machine.restore_another(from)), from)
    }

    fn restore_by(
        settings: MachineSettings,
        (version, restore): (u32, impl FnOnce(&mut &mut dyn Read) -> io::Result<M>),
        from: &mut impl Read,
    ) -> Result<(Self, SnapshotCursor), SnapshotError> {
        let (head, parts, machine) =
            snapshot::read(from, (&settings.name, version), |mut from| restore(&mut from))?;
        let mut core = Self::new(settings, machine);
        core.restore_parts(&parts, &head.cursor).ok_or(SnapshotError::Damaged)?;
        (core.next, core.time) = (head.next, head.time);
        match core.digest() {
            restored if restored == head.digest => Ok((core, head.cursor)),
            restored => Err(SnapshotError::Digest { saved: head.digest, restored }),
        }
    }

    fn restore_parts(&mut self, parts: &SnapshotParts, cursor: &SnapshotCursor) -> Option<()> {
        let (outputs, mut rest) = Outputs::restore(&self.settings.name, &parts.bytes)?;
        let rest = &mut rest;
        self.outputs = outputs;
        self.clients = Clients::restore(rest)?;
        self.timers = Timers::restore(rest, parts.has_relative_timers)?;
        self.agreement = Agreement::restore(self.machine.version(), rest)?;
        let [has_taken_over] = take(rest)?;
        self.in_force = Some(take_u32(rest)?).filter(|_| has_taken_over == 1);
        for _ in 0..take_u32(rest)? {
            let publisher = take_u32(rest)?;
            let [replica] = take(rest)?;
            self.replicas.insert(publisher, replica);
        }
        if cursor.stream().is_none() {
            self.others = OtherStreams::restore(rest)?;
        }
        if let Some((replica, report)) = rest.split_first() {
            let ReplicaReport::Settings { settings, .. } = ReplicaReport::parse(report)? else { return None };
            self.first_settings = Some((*replica, settings));
        }
        Some(())
    }
}

fn of_one_stream<M>(
    (core, cursor): (MachineCore<M>, SnapshotCursor),
) -> Result<(MachineCore<M>, Cursor), SnapshotError> {
    Ok((core, cursor.stream().ok_or(SnapshotError::OtherReading)?))
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
