//! What the stream brings to a publisher's names: commits, epochs, outcomes.

use super::PublisherCore;
use super::lines::NameState;
use super::notifications::{Outcomes, PublisherEvent};
use super::stamped::{PayloadMatch, StampedRun};
use crate::engine::counters::Counter;
use crate::proto::planted::{Mutation, planted};
use lockstep_wire::{Nanos, Seq};

impl PublisherCore {
    /// Another epoch is followed: what did not survive is taken back before anything of it is read.
    #[cold]
    pub(super) fn on_epoch(&mut self, now: Nanos, f: &mut impl FnMut(PublisherEvent)) {
        self.epoch = self.followed.epoch();
        let (history, before) = (self.followed.history(), self.history);
        if history != before {
            self.history = history;
            if let Some(left) = self.followed.lineage().left_at(before) {
                self.lines.on_founded(left.next);
                f(PublisherEvent::Founded { history, seq: left.next });
            }
        }
        (self.full, self.over_share, self.renewed) = (false, 0, true);
        self.report_throttled(f);
        if let Some(from) = self.rx.take_retracted() {
            self.lost |= !self.lines.on_cut(from, f);
            for line in &mut self.lines.list {
                self.window.on_unstamped(&mut line.outstanding, line.stamped);
            }
        }
        self.read_ready(now, f);
    }

    /// The new leader may have received nothing of what the old one did not stamp: it is sent again now.
    #[cold]
    pub(super) fn hurry(&mut self) {
        self.lines.hurry();
        for line in &self.lines.list {
            self.window.hurry(&line.outstanding, line.stamped);
        }
    }

    pub(super) fn read_ready(&mut self, now: Nanos, f: &mut impl FnMut(PublisherEvent)) {
        while self.rx.frames.has_ready() {
            let Self { rx, lines, window, .. } = self;
            if let Some(frame) = rx.frames.front(Seq::MAX) {
                lines.read(now, window, &frame, f);
            }
            rx.frames.pop_front();
        }
    }

    /// A message that is committed now has its outcome. Returns how many were reported.
    pub(super) fn on_commit(&mut self, limit: usize, f: &mut impl FnMut(PublisherEvent)) -> usize {
        let commit_next = self.followed.commit.commit_next();
        let mut left = limit;
        while left > 0
            && let Some(&stamped) = self.lines.stamped.front()
            && stamped.committed(commit_next) > 0
        {
            let StampedRun { seq, content, reported, discarded, .. } = stamped;
            let line = &mut self.lines.list[stamped.line as usize];
            let (is_other, is_part) = match content {
                PayloadMatch::Same => (false, !reported),
                PayloadMatch::Unknown => (false, self.window.is_part(&line.outstanding)),
                PayloadMatch::Other => (true, self.window.is_part(&line.outstanding)),
                PayloadMatch::Digest(digest) => {
                    let is_other = self.window.digest(&line.outstanding) != Some(digest);
                    (is_other, self.window.is_part(&line.outstanding))
                }
            };
            line.diverged |= is_other;
            let count = stamped.committed(commit_next).min(left as u64);
            let outcomes = self.window.pop(&mut line.outstanding, count);
            // The outcome of a message in parts is that of its last one.
            if !is_part && !outcomes.is_empty() {
                left -= count as usize;
                let (publisher, messages) = (line.id, outcomes.end - outcomes.start);
                line.open -= messages;
                match (line.diverged, discarded) {
                    (true, _) => self.outcomes.diverged += messages,
                    (false, true) => self.outcomes.discarded += messages,
                    (false, false) => self.outcomes.committed += messages,
                }
                if std::mem::take(&mut line.diverged) {
                    self.counters.add(Counter::Divergences, 1);
                    f(PublisherEvent::Diverged { publisher, publisher_seq: outcomes.start, seq });
                }
                for (publisher_seq, seq) in outcomes.zip(seq..) {
                    f(if discarded && !planted(Mutation::DiscardedCommits) {
                        PublisherEvent::Discarded { publisher, publisher_seq, seq }
                    } else {
                        PublisherEvent::Committed { publisher, publisher_seq, seq }
                    });
                }
            }
            self.lines.on_outcomes(count);
        }
        self.lines.parts.on_commit(commit_next);
        if self.lines.unopened > 0 || self.lines.ending > 0 {
            self.resolve_names(commit_next, f);
        }
        self.counters.set(Counter::CommitNext, commit_next);
        self.counters.set(Counter::StampedNext, self.followed.seen_next());
        if planted(Mutation::OutcomesAreIdle) { 0 } else { limit - left }
    }

    /// What became of the messages that were taken, since this publisher is there.
    pub fn outcomes(&self) -> Outcomes {
        let open: u64 = self.lines.list.iter().map(|line| line.open).sum();
        if self.lost {
            Outcomes { unknown: open, ..self.outcomes }
        } else {
            Outcomes { open, ..self.outcomes }
        }
    }

    /// Whether the next turn reports something although nothing arrives: outcomes, opens and ends that are
    /// committed.
    pub fn has_unreported(&self) -> bool {
        let commit_next = self.followed.commit.commit_next();
        let is_committed = |name: &NameState| match name {
            NameState::Seen { at } | NameState::Ending { at, .. } => *at < commit_next,
            _ => false,
        };
        let has_outcome = self.lines.stamped.front().is_some_and(|run| run.committed(commit_next) > 0);
        !self.lost && (has_outcome || self.lines.list.iter().any(|line| is_committed(&line.state)))
    }

    /// Opens and ends that are committed now.
    fn resolve_names(&mut self, commit_next: Seq, f: &mut impl FnMut(PublisherEvent)) {
        for (ticket, line) in self.lines.list.iter_mut().enumerate() {
            match line.state {
                NameState::Seen { at } if at < commit_next => {
                    line.state = NameState::Open;
                    self.lines.unopened -= 1;
                    let (publisher, publisher_seq, last) = (line.id, line.next, line.next - 1);
                    let last = last + u64::from(planted(Mutation::LastOff));
                    f(PublisherEvent::Opened { ticket, publisher, publisher_seq, last });
                }
                // Behind the outcomes before it, which `limit` may have put off.
                NameState::Ending { at, fenced, .. }
                    if at < commit_next
                        && !self.lines.stamped.iter().any(|next| next.line as usize == ticket) =>
                {
                    self.lines.ending -= 1;
                    let first = self.window.oldest(&line.outstanding).unwrap_or(line.next);
                    self.window.pop(&mut line.outstanding, u64::MAX);
                    let (publisher, lost) = (line.id, std::mem::take(&mut line.open));
                    if fenced {
                        line.state = NameState::Fenced;
                        self.outcomes.fenced += lost;
                        f(PublisherEvent::Fenced { publisher, publisher_seq: first });
                    } else {
                        line.state = NameState::Closed;
                        self.outcomes.closed += lost;
                        f(PublisherEvent::Closed { publisher, publisher_seq: first });
                    }
                }
                _ => {}
            }
        }
    }
}
