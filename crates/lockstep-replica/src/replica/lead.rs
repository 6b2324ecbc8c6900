//! The leader's half: submissions in, frames out.

use super::{BURSTS_MAX, Handover, OUTGOING_SEND, PADDING_MAX, ReplicaCore, ReplicaEngine, send_small};
use crate::journal::ports::TailMemory;
use crate::journal::{RingSpan, Tail};
use crate::ports::Ports;
use lockstep_core::engine::counters::Counter;
use lockstep_core::engine::event::{Role, StepDownReason};
use lockstep_core::engine::ports::{Burst, Group, Net};
use lockstep_core::proto::commit::Durability;
use lockstep_core::proto::ingress::IngressRounds;
use lockstep_core::proto::planted::{Mutation, planted};
use lockstep_core::proto::publishers::{Admission, OpenAdmission};
use lockstep_core::proto::sequence::Stamp;
use lockstep_core::proto::suspect::patience;
use lockstep_wire::{
    AckBody, Datagram, Entries, Entry, EntryHeader, EntryKind, Header, HeartbeatBody, Identity, Kind,
    NAME_LEN_MAX, Nanos, OpenBody, OpenView, Reject, SMALL_LEN_MAX, Seq, submitter, write_ack,
    write_heartbeat, write_open,
};

/// Fewer datagrams than these are stamped before an order among them is found.
const ROUNDS_MIN: usize = 8;

impl<P: Ports> ReplicaEngine<P> {
    /// One turn of a leader; `count` datagrams are lent.
    pub(super) fn poll_leader(&mut self, now: Nanos, wall: Nanos, count: usize, drained: bool) {
        let Self { net, tail, core, .. } = self;
        if !core.has_epoch_begun(tail) && !core.poll_epoch_start(net, tail, now, wall) {
            if !core.presence.is_complete() {
                (0..count).for_each(|index| core.on_identity_probe(net.group_datagram(index)));
            }
            return;
        }
        let late = now > core.turn_at + core.limits.failure_detector.timeout_ns / 2;
        core.must_drain |= late && !planted(Mutation::StalledLeaderSpeaks);
        let rounds = (count >= ROUNDS_MIN)
            .then(|| IngressRounds::of(count, |index| submitter(net.group_datagram(index))))
            .flatten();
        for turn in 0..count {
            let index = rounds.as_ref().map_or(turn, |rounds| rounds.index(turn));
            if let Err(reject) = core.on_leader_datagram(tail, now, wall, net.group_datagram(index)) {
                core.reject(reject);
            }
            if core.outgoing_frames.len() >= OUTGOING_SEND {
                core.send_frames(net, tail, now, &[]);
            }
        }
        if core.role != Role::Leader {
            return;
        }
        if core.diverged {
            let mut beat = [0; SMALL_LEN_MAX];
            let length = core.write_heartbeat(tail, wall, &mut beat);
            core.send_frames(net, tail, now, &beat[..length]);
            core.stopped = true;
            return;
        }
        if core.must_drain {
            // A stalled leader speaks once it has heard all that waited: perhaps it leads no more. Half of what is kept
            // for that is more than a socket holds: what came meanwhile is no reason to be silent.
            core.must_drain = !drained && !core.pending_submissions.is_half_full();
            if core.must_drain {
                return;
            }
            core.stamp_pending_submissions(net, tail, now, wall);
        }
        core.close_frame(tail, false);
        core.poll_commit();
        if core.uncommitted_change {
            core.stamp_change_committed(tail, wall);
        }
        if core.has_notices() && now >= core.notice_at {
            core.send_publisher_notices(net, tail, now, wall);
        }
        if core.limits.durability == Durability::Power {
            core.acknowledge_own_log(net, tail, now, wall);
        }
        if core.heartbeat_timer.due(now, !core.outgoing_frames.is_empty()) {
            core.poll_epoch(net, tail, now, wall, drained);
            if core.role != Role::Leader {
                return;
            }
            let mut beat = [0; SMALL_LEN_MAX];
            let length = core.write_heartbeat(tail, wall, &mut beat);
            core.send_frames(net, tail, now, &beat[..length]);
        } else if let Some(last) = core.outgoing_frames.last() {
            let len = last.len as usize;
            core.send_frames(net, tail, now, &[]);
            // The next frame is as long, probably.
            if core.sequencer.as_ref().is_some_and(|sequencer| sequencer.is_drained()) {
                tail.warm(len);
            }
        }
    }
}

impl ReplicaCore {
    pub(super) fn on_leader_datagram<M: TailMemory>(
        &mut self,
        tail: &mut Tail<M>,
        now: Nanos,
        wall: Nanos,
        bytes: &[u8],
    ) -> Result<(), Reject> {
        match Datagram::decode(bytes, self.limits.receiver.cluster)? {
            Datagram::Submission(..)
                if self.draining && !planted(Mutation::StampsWhileDraining) || self.role != Role::Leader =>
            {
                self.refusing = true;
            }
            // One that is stalled again and again would stamp nothing at all if it threw these away.
            Datagram::Submission(..) if self.must_drain => self.pending_submissions.push(bytes, now),
            Datagram::Submission(header, mut entries) => {
                self.check_history(header)?;
                loop {
                    self.stamp_run(tail, wall, &mut entries);
                    let Some(entry) = entries.next() else { break };
                    self.submit(tail, wall, &entry);
                }
            }
            Datagram::Ack(header, body) => {
                self.check_group(header)?;
                if !self.is_own_identity(header, body.process_nonce) {
                    self.rx.on_ack(header, &mut self.counters, &mut self.events);
                    self.on_submission(tail, now, header);
                    self.on_multicast_received(now);
                }
            }
            Datagram::Heartbeat(header, body) => {
                self.check_group(header)?;
                if !self.is_own_identity(header, body.process_nonce) && !self.has_diverged(header) {
                    self.on_submission(tail, now, header);
                }
            }
            datagram => self.on_election(tail, now, &datagram)?,
        }
        Ok(())
    }

    /// A replica speaks in an epoch: in ours, and it is heard; in a higher one, and ours is over.
    pub(super) fn on_submission<M: TailMemory>(&mut self, tail: &mut Tail<M>, now: Nanos, header: &Header) {
        let Some(sequencer) = &self.sequencer else { return };
        match header.epoch().cmp(&sequencer.epoch()) {
            std::cmp::Ordering::Equal => {
                if let Some(position) = self.log.membership.position(header.identity()) {
                    self.quorum_contacts |= 1 << position;
                    self.member_contact[position] = now;
                }
            }
            // Whom nobody lists supersedes nobody; one whose members are all others' by now hears no quorum either.
            std::cmp::Ordering::Greater if self.counts(header.identity()) => {
                self.step_down(tail, now, StepDownReason::Superseded);
            }
            std::cmp::Ordering::Greater => self.counters.add(Counter::AcksUnlisted, 1),
            // It lags, or follows somebody who leads no more.
            std::cmp::Ordering::Less => {}
        }
    }

    /// Once a beat: a leader that has heard no quorum for long stops, and one that is to hand over does so
    /// when its successor holds everything.
    fn poll_epoch<M: TailMemory>(
        &mut self,
        net: &mut impl Net,
        tail: &mut Tail<M>,
        now: Nanos,
        wall: Nanos,
        drained: bool,
    ) {
        let own = self.log.membership.position(self.identity()).map_or(0, |position| 1 << position);
        if (self.quorum_contacts | own).count_ones() as usize >= self.log.membership.quorum() {
            self.quorum_contacts = 0;
            self.had_quorum = true;
            self.quorum.on_life(now);
        }
        // The first leader of a history may be started long before the others.
        let suspected = self.quorum.poll(now, drained) && !planted(Mutation::DeafLeaderStays);
        let patience = patience(self.quorum.timeout_ns(), self.log.uncommitted_epochs());
        if suspected && now >= self.won_at + patience && (self.had_quorum || self.led.round() > 1) {
            self.send_step_down(net, tail, wall, None);
            return self.step_down(tail, now, StepDownReason::NoQuorum);
        }
        self.check_exposure(tail, now);
        self.check_clock(tail, now, wall);
        self.check_publisher_table(now);
        self.check_redundancy(now);
        self.check_epochs();
        let Some(Handover { to, until }) = self.handover else { return };
        let end = tail.end();
        let any = planted(Mutation::HandoverToLaggard);
        let ready = self.successor(to).filter(|(_, acked)| *acked >= end.next || any);
        if let Some((successor, _)) = ready.filter(|_| self.outgoing_frames.is_empty()) {
            self.send_step_down(net, tail, wall, Some(successor));
            self.step_down(tail, now, StepDownReason::Handover);
        } else if now >= until {
            // Nobody has caught up: we go on, unless we are to stop.
            self.handover = None;
            self.draining = self.stopping;
        }
    }

    /// Who is to follow: the one that was named, or the most caught-up that may lead; and what it holds.
    pub(super) fn successor(&self, to: Option<Identity>) -> Option<(Identity, Seq)> {
        let members = self.log.membership;
        let may_lead = |member: &&lockstep_wire::MemberBody| {
            member.role == 0
                && member.identity() != self.identity()
                && to.is_none_or(|to| to == member.identity() || planted(Mutation::HandoverToAnother))
        };
        let acked =
            |identity| members.position(identity).map_or(0, |position| self.rx.commit.acked(position));
        members
            .members()
            .iter()
            .filter(may_lead)
            .map(|member| (member.identity(), acked(member.identity())))
            .max_by_key(|(identity, acked)| (*acked, std::cmp::Reverse(*identity)))
    }

    /// A handle that has not heard the stream yet submits under history 0: its opens are welcome.
    fn check_history(&mut self, header: &Header) -> Result<(), Reject> {
        if header.history == 0 { Ok(()) } else { self.rx.check_history(header) }
    }

    /// Stamps messages one behind the other, into one piece of memory and with one look at the window, for
    /// as long as nothing is special: each the next of its publisher, nobody waiting, room for it. The next of
    /// `entries`, if there is one, is the first that needs a closer look.
    #[inline]
    fn stamp_run<M: TailMemory>(&mut self, tail: &mut Tail<M>, wall: Nanos, entries: &mut Entries<'_>) {
        let commit_next = self.commit_next();
        let Some(sequencer) = self.sequencer.as_mut().filter(|_| self.hold.is_empty()) else { return };
        let first = sequencer.stamp_next();
        // Beyond half of the window each message needs a closer look.
        let window = self.limits.window.half();
        let credit = window.credit(first, commit_next, self.uncommitted.bytes());
        let Ok(memory) = tail.room() else { return };
        let mut behind = *entries;
        for _ in 0..credit {
            let Some(Entry { header, payload }) = behind.next() else { break };
            let EntryHeader {
                kind, flags, publisher, publisher_seq, destination, time_or_incarnation, ..
            } = *header;
            let stamp = Stamp { kind: EntryKind::Message, flags, publisher, publisher_seq, destination };
            let stamped = kind == EntryKind::Message as u8
                && self.log.publishers.judge(publisher, time_or_incarnation, publisher_seq)
                    == Admission::Stamp
                && sequencer.stamp(memory, wall, stamp, payload).is_some();
            if !stamped {
                break;
            }
            self.log.publishers.on_message(publisher, publisher_seq);
            *entries = behind;
        }
        self.counters.add(Counter::Stamped, sequencer.stamp_next() - first);
    }

    /// One submitted entry: stamped, held back, or dropped with a count.
    #[inline]
    fn submit<M: TailMemory>(&mut self, tail: &mut Tail<M>, wall: Nanos, entry: &Entry<'_>) {
        match entry.kind() {
            EntryKind::Message | EntryKind::Close | EntryKind::Day => {}
            EntryKind::Open => return self.submit_open(tail, wall, entry),
            EntryKind::Membership => return self.submit_change(tail, wall, entry),
            EntryKind::Genesis | EntryKind::EpochStart | EntryKind::ChangeCommitted => {
                return self.drop_one(Counter::SubmissionsDropped);
            }
        }
        let header = entry.header;
        match self.log.publishers.judge(header.publisher, header.time_or_incarnation, header.publisher_seq) {
            Admission::Stamp => {
                if self.stamp(tail, wall, entry) && !self.hold.is_empty() {
                    self.release(tail, wall, header.publisher, header.publisher_seq);
                }
            }
            Admission::Duplicate => self.drop_one(Counter::SubmissionsDuplicate),
            Admission::Hold => {
                let kept = self.hold.hold(header, entry.payload);
                self.drop_one(if kept { Counter::SubmissionsHeld } else { Counter::SubmissionsDropped });
            }
            Admission::Fenced => self.drop_one(Counter::SubmissionsFenced),
            Admission::Unknown | Admission::Closed => self.drop_one(Counter::SubmissionsUnknown),
        }
    }

    #[cold]
    fn drop_one(&mut self, counter: Counter) {
        self.counters.add(counter, 1);
    }

    /// Writes a message or close into the open frame. Returns whether share, window and journal took it.
    #[inline]
    fn stamp<M: TailMemory>(&mut self, tail: &mut Tail<M>, wall: Nanos, entry: &Entry<'_>) -> bool {
        let header = entry.header;
        if !self.has_share(header) {
            return false;
        }
        let stamp = Stamp {
            kind: entry.kind(),
            flags: header.flags,
            publisher: header.publisher,
            publisher_seq: header.publisher_seq,
            destination: header.destination,
        };
        let Some(seq) = self.write(tail, wall, stamp, entry.payload) else { return false };
        if stamp.kind == EntryKind::Message {
            self.log.publishers.on_message(stamp.publisher, stamp.publisher_seq);
        } else {
            self.log.publishers.on_entry(seq, entry);
        }
        true
    }

    /// Writes one entry into the open frame and returns its seq; `None` if window or journal are full.
    #[inline]
    fn write<M: TailMemory>(
        &mut self,
        tail: &mut Tail<M>,
        wall: Nanos,
        stamp: Stamp,
        payload: &[u8],
    ) -> Option<u64> {
        if self.sequencer.as_ref().is_some_and(|sequencer| !sequencer.fits(payload.len())) {
            self.close_frame(tail, true);
        }
        let stamp_next = self.sequencer.as_ref()?.stamp_next();
        if self.limits.window.credit(stamp_next, self.commit_next(), self.uncommitted.bytes()) == 0 {
            self.refuse();
            return None;
        }
        self.append_entry(tail, wall, stamp, payload)
    }

    /// The same, whatever the window says.
    #[inline]
    pub(super) fn append_entry<M: TailMemory>(
        &mut self,
        tail: &mut Tail<M>,
        wall: Nanos,
        stamp: Stamp,
        payload: &[u8],
    ) -> Option<u64> {
        let sequencer = self.sequencer.as_mut()?;
        let Ok(memory) = tail.room() else {
            self.refuse();
            self.on_journal_full(tail.end().next);
            return None;
        };
        let seq = sequencer.stamp(memory, wall, stamp, payload);
        match seq {
            Some(_) => self.counters.add(Counter::Stamped, 1),
            // Longer than a frame: whoever sent it did not ask its own limit.
            None => self.drop_one(Counter::SubmissionsDropped),
        }
        seq
    }

    #[cold]
    fn refuse(&mut self) {
        if !self.refusing && !self.refused {
            self.heartbeat_timer.hasten();
        }
        self.refusing = true;
        self.counters.add(Counter::WindowFull, 1);
    }

    /// Stamps what waited for `publisher_seq` of `publisher`, for as long as it is in order.
    #[cold]
    fn release<M: TailMemory>(
        &mut self,
        tail: &mut Tail<M>,
        wall: Nanos,
        publisher: u32,
        mut publisher_seq: u64,
    ) {
        // A held payload is at most one frame: it is put aside while the frame is written.
        let mut payload = [0; lockstep_wire::DATAGRAM_LEN_MAX];
        loop {
            publisher_seq += 1;
            let Some((header, held)) = self.hold.take(publisher, publisher_seq) else { return };
            let length = held.len();
            payload[..length].copy_from_slice(held);
            let verdict = self.log.publishers.judge(publisher, header.time_or_incarnation, publisher_seq);
            let entry = Entry { header: &header, payload: &payload[..length] };
            if verdict != Admission::Stamp || !self.stamp(tail, wall, &entry) {
                return;
            }
        }
    }

    #[cold]
    fn submit_open<M: TailMemory>(&mut self, tail: &mut Tail<M>, wall: Nanos, entry: &Entry<'_>) {
        let Ok(open) = OpenView::parse(entry.payload) else { return self.reject(Reject::Body) };
        let (id, incarnation, last) = match self.log.publishers.judge_open(&open) {
            OpenAdmission::Stamp(id, incarnation, last) => (id, incarnation, last),
            OpenAdmission::Stale => return self.drop_one(Counter::SubmissionsDuplicate),
            OpenAdmission::Full => return self.refuse_open(open.body.nonce),
        };
        let mut payload = [0; size_of::<OpenBody>() + NAME_LEN_MAX];
        let length = write_open(&mut payload, open.body.nonce, incarnation, open.name);
        let stamp =
            Stamp { kind: EntryKind::Open, flags: 0, publisher: id, publisher_seq: last, destination: 0 };
        if let Some(seq) = self.write(tail, wall, stamp, &payload[..length]) {
            let header = EntryHeader { publisher: id, publisher_seq: last, ..*entry.header };
            self.log.publishers.on_entry(seq, &Entry { header: &header, payload: &payload[..length] });
        }
    }

    /// Closes the open frame, if it has entries: the journal keeps it, and it waits to be sent. `full`
    /// says that more of the batch follows; then it may be padded to the size of its burst.
    #[inline]
    pub(super) fn close_frame<M: TailMemory>(&mut self, tail: &mut Tail<M>, full: bool) {
        self.close_and_report(tail, full, self.commit_next());
    }

    /// The same; its header tells that everything below `commit_next` is committed.
    #[inline]
    pub(super) fn close_and_report<M: TailMemory>(
        &mut self,
        tail: &mut Tail<M>,
        full: bool,
        commit_next: Seq,
    ) {
        let Some(sequencer) = self.sequencer.as_mut().filter(|sequencer| !sequencer.is_drained()) else {
            return;
        };
        let frame_len_max = tail.frame_len_max();
        let stride = self.outgoing_frames.last().map_or(frame_len_max, |last| last.len as usize);
        let length = sequencer.open_len();
        let padded = (full && length <= stride && stride - length <= PADDING_MAX).then_some(stride);
        // The room was there when the frame was opened, and is its memory still.
        let Ok(memory) = tail.room() else { return };
        let header = sequencer.close(memory, commit_next, padded);
        let span = tail.pin(&header);
        sequencer.on_logged(tail.end());
        self.uncommitted.on_closed(header.next_seq(), header.length);
        self.outgoing_frames.push(span);
        self.on_journal_free(header.first_seq);
        self.rx.pass(tail.end());
        // The start of an epoch is not followed yet, and not counted by the epoch before: this replica may have led that
        // one alone, by another durability (S4).
        if self.rx.follow.epoch() == tail.end().epoch {
            self.rx.on_stored(&tail.end());
        }
    }

    /// What lies below the commit is final: undone no more, and no part of the window.
    #[inline]
    pub(super) fn poll_commit(&mut self) {
        if self.commit_next() != self.commit_seen {
            self.on_commit_moved();
        }
    }

    fn on_commit_moved(&mut self) {
        let commit_next = self.commit_next();
        self.commit_seen = commit_next;
        self.uncommitted.on_commit(commit_next);
        let members = &self.log.membership;
        let needed_both = self.log.change.as_ref().is_some_and(|(_, before)| {
            before.needs_both(members) && (before.is_pair() || !planted(Mutation::SwapNotSettled))
        });
        self.log.on_commit(commit_next);
        self.uncommitted_change |= needed_both && self.log.change.is_none();
    }

    /// Sends the frames that wait, and `last` behind them, in one call.
    pub(super) fn send_frames<M: TailMemory>(
        &mut self,
        net: &mut impl Net,
        tail: &Tail<M>,
        now: Nanos,
        last: &[u8],
    ) {
        let waiting = self.outgoing_frames.len();
        if last.is_empty() && waiting > 0 && run_of_equal(tail, &self.outgoing_frames) == waiting {
            // The rule: what a batch stamped is one burst, and the device takes it.
            let burst = burst(tail, &self.outgoing_frames);
            let bytes = burst.bytes.len() as u64;
            let taken = net.send_group(Group::Data, &[burst]);
            if taken == waiting {
                self.outgoing_frames.clear();
                self.counters.add(Counter::FramesOut, taken as u64);
                self.counters.add(Counter::BytesOut, bytes);
                return self.heartbeat_timer.on_sent(now);
            }
            self.on_taken(now, waiting, taken, false);
        } else {
            let (frames, taken) = offer_bursts(net, tail, &self.outgoing_frames, last);
            self.on_taken(now, frames, taken, !last.is_empty());
        }
    }

    /// The device took the first `taken` of `frames` frames and, perhaps, the heartbeat behind them.
    #[cold]
    fn on_taken(&mut self, now: Nanos, frames: usize, taken: usize, beats: bool) {
        let offered = frames + usize::from(beats);
        let sent = taken.min(frames);
        let bytes: u64 = self.outgoing_frames[..sent].iter().map(|span| u64::from(span.len)).sum();
        self.outgoing_frames.drain(..sent);
        self.counters.add(Counter::FramesOut, sent as u64);
        self.counters.add(Counter::BytesOut, bytes);
        self.counters.add(Counter::SendsShort, (offered - taken) as u64);
        if sent > 0 {
            self.heartbeat_timer.on_sent(now);
        }
        if beats && taken == offered {
            self.counters.add(Counter::HeartbeatsOut, 1);
        }
    }

    pub(super) fn write_heartbeat<M: TailMemory>(
        &mut self,
        tail: &Tail<M>,
        wall: Nanos,
        out: &mut [u8],
    ) -> usize {
        self.number += 1;
        let commit_next = self.commit_next();
        let end = tail.end();
        let credit = self.limits.window.credit(end.next, commit_next, self.uncommitted.bytes());
        self.refused = std::mem::take(&mut self.refusing);
        let credit_entries = if self.refused { 0 } else { credit };
        let body = HeartbeatBody {
            membership_seq: self.log.membership.seq,
            epoch_start_seq: if planted(Mutation::BeatOldStart) { 1 } else { self.rx.follow.base() },
            process_nonce: self.limits.process_nonce,
            oldest_seq: tail.oldest_seq(),
            credit_entries,
            shares_over: self.shares.over(commit_next),
            successors: self.successors(),
        };
        write_heartbeat(out, self.header(Kind::Heartbeat, wall, &end), body)
    }

    /// The other members, most caught up first, ties by number.
    fn successors(&self) -> [u8; 8] {
        let members = self.log.membership;
        let mut ranked = [(0, 0); lockstep_wire::MEMBERS_MAX];
        let mut count = 0;
        for (position, member) in members.members().iter().enumerate() {
            if member.identity() != self.identity() || planted(Mutation::SuccessorsOff) {
                ranked[count] = (u64::MAX - self.rx.commit.acked(position), member.replica);
                count += 1;
            }
        }
        ranked[..count].sort_unstable();
        let mut out = [0; 8];
        for (place, &(_, replica)) in out.iter_mut().zip(&ranked[..count]) {
            *place = replica as u8;
        }
        out
    }

    /// In `power` the leader acknowledges like everybody, when flushed (S4).
    fn acknowledge_own_log<M: TailMemory>(
        &mut self,
        net: &mut impl Net,
        tail: &Tail<M>,
        now: Nanos,
        wall: Nanos,
    ) {
        let end = tail.end();
        let Some((epoch, next)) = self.acceptor.ack(&end, tail.durable_next(), end.epoch) else { return };
        if (epoch, next) <= self.acked {
            return;
        }
        (self.acked, self.acked_at) = ((epoch, next), now);
        self.rx.commit.on_ack(self.identity(), epoch, next);
        self.number += 1;
        let header = Header { first_seq: next, chain: 0, ..self.header(Kind::Ack, wall, &end) };
        let mut out = [0; SMALL_LEN_MAX];
        let length = write_ack(&mut out, header, AckBody { process_nonce: self.limits.process_nonce });
        send_small(net, Group::Control, &out[..length]);
        self.counters.add(Counter::AcksOut, 1);
    }
}

/// Offers the frames in as many bursts as they need, and `last` behind them. Returns how many frames were
/// offered, and how many datagrams were taken.
#[cold]
fn offer_bursts<M: TailMemory>(
    net: &mut impl Net,
    tail: &Tail<M>,
    spans: &[RingSpan],
    last: &[u8],
) -> (usize, usize) {
    let mut bursts = [Burst { bytes: &[], stride: 0 }; BURSTS_MAX];
    let (mut used, mut frames) = (0, 0);
    while used < BURSTS_MAX - 1 && frames < spans.len() {
        let run = run_of_equal(tail, &spans[frames..]);
        bursts[used] = burst(tail, &spans[frames..frames + run]);
        used += 1;
        frames += run;
    }
    if !last.is_empty() {
        bursts[used] = Burst { bytes: last, stride: last.len() };
        used += 1;
    }
    (frames, net.send_group(Group::Data, &bursts[..used]))
}

/// Spans that [`run_of_equal`] found to be a run, as one burst.
#[inline]
fn burst<'t, M: TailMemory>(tail: &'t Tail<M>, run: &[RingSpan]) -> Burst<'t> {
    let len = run.iter().map(|span| span.len).sum();
    Burst { bytes: tail.bytes(RingSpan { pos: run[0].pos, len }), stride: run[0].len as usize }
}

/// How many spans from the front lie one behind the other with equal lengths (the last may be shorter).
#[inline]
fn run_of_equal<M: TailMemory>(tail: &Tail<M>, spans: &[RingSpan]) -> usize {
    let Some(first) = spans.first() else { return 0 };
    let mut run = 1;
    while let Some(next) = spans.get(run) {
        let before = spans[run - 1];
        let fits = before.len == first.len && next.len <= first.len && tail.is_adjacent(before, *next);
        if !fits {
            break;
        }
        run += 1;
    }
    run
}
