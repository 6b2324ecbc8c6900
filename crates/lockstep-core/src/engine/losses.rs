//! # losses: which gaps there were, their cause, and which repairer closed them
//!
//! The operator of the network asks: does the network lose datagrams, or does this host? A reader reports
//! what it takes and which seqs it learns of, and this monitor records every gap from its detection until
//! it is closed. It decides nothing: no rule reads it, and any two of them compare equal.
//!
//! ```text
//!   frame behind a hole ─▶ open: drops moved? ── no ──▶ line ──(a repairer lacks it too)──▶ unsent
//!                              │ yes: away before it? no ─▶ socket, yes ─▶ stall
//!   frame into it ────────▶ closed: by whom (nobody: it came late), after how long
//! ```
//!
//! Two pairs cannot be distinguished here: a drop by a network card and a drop by a switch (both are
//! `line`); a leader that never sent the frame and a link at the leader that lost it for all (both are
//! `unsent`).

#[cfg(test)]
mod tests;

use crate::engine::counters::{CounterRow, Described};
use crate::engine::durations::{self, Durations};
use lockstep_wire::{Identity, Nanos, Seq};
use std::hash::{Hash, Hasher};

/// The most gaps that are recorded separately; further ones are counted with the last one.
const HOLES_MAX: usize = 64;
/// Closed holes that are remembered one by one.
pub const RECENT: usize = 16;
/// A turn that comes so late was a stall: a queue of 4 MiB takes 1 ms of a flood of 10 Gbit/s and loses
/// nothing.
const STALL_NS: Nanos = 1_000_000;
/// What overflowed during a stall is seen within so long behind it: the full queue is read first.
const STALL_SHOWS_NS: Nanos = 50_000_000;

/// Sums as they stand in the counters file.
pub const SUM_ROWS: [CounterRow; 13] = [
    CounterRow::count("loss_gaps", "Holes in what was received."),
    CounterRow::count("loss_entries", "Entries in them."),
    CounterRow::gauge("loss_open", "Holes that are open."),
    CounterRow::count("loss_by_line", "Holes whose entries did not arrive: a wire, a switch, a card."),
    CounterRow::count(
        "loss_by_socket",
        "Holes because the socket was full although it was polled all the time.",
    ),
    CounterRow::count("loss_by_stall", "Holes because the socket was full while the hot thread stalled."),
    CounterRow::count(
        "loss_by_unsent",
        "Holes that a repairer has too: not sent, or lost before the ways part.",
    ),
    CounterRow::count("loss_came_late", "Holes that were closed by what came late."),
    CounterRow::count("loss_repaired_by_leader", "Holes that the leader repaired."),
    CounterRow::count("loss_repaired_by_others", "Holes that others repaired."),
    CounterRow::count("loss_gone", "Holes that were never closed."),
    CounterRow::gauge("loss_repair_max_ns", "The longest that one was open."),
    CounterRow::histogram("loss_repair_ns", "Time from a hole's detection until it was closed."),
];
/// What the file has of each of the last losses, with its place among them as a label.
pub const LOSS_ROWS: [CounterRow; 7] = [
    CounterRow::field("recent_loss_at_ns", "When it was found, by the monotonic clock."),
    CounterRow::field("recent_loss_from", "Its first seq."),
    CounterRow::field("recent_loss_entries", "How many entries."),
    CounterRow::field("recent_loss_cause", "0 line, 1 socket, 2 stall, 3 unsent."),
    CounterRow::field("recent_loss_closed", "1 came late, 2 repaired, 3 gone."),
    CounterRow::field("recent_loss_by", "Who repaired it."),
    CounterRow::field("recent_loss_took_ns", "How long it was open."),
];

/// The label of a closed hole by its place among the last ones, the newest first.
pub fn loss_label(place: usize) -> String {
    format!("place=\"{place}\"")
}

/// Why something is missing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u64)]
pub enum Cause {
    /// It did not arrive: a wire, a switch, a card.
    Line = 0,
    /// Our socket was full, although we polled all the time: a burst larger than its buffer.
    Socket = 1,
    /// Our socket was full because we had been stalled.
    Stall = 2,
    /// A repairer lacks it too: it was not sent, or lost before the ways part.
    Unsent = 3,
}

impl Cause {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Line, Self::Socket, Self::Stall, Self::Unsent];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Socket => "socket",
            Self::Stall => "stall",
            Self::Unsent => "unsent",
        }
    }
}

/// How a hole was closed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum GapEnd {
    /// Its frames came by themselves: they were reordered.
    Late,
    /// This one repaired it, or the last of it.
    Repaired(Identity),
    /// It is no longer a gap: a new epoch does not contain it, or the reader continued elsewhere.
    Gone,
}

/// A range that is missing.
#[derive(Clone, Copy, Debug)]
struct Hole {
    from: Seq,
    to: Seq,
    /// Where it began when it showed.
    first: Seq,
    /// Entries that were missing when it showed.
    entries: u64,
    at: Nanos,
    cause: Option<Cause>,
}

/// A hole that is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loss {
    /// When it showed: monotonic nanoseconds.
    pub at: Nanos,
    /// Its first seq.
    pub from: Seq,
    /// How many entries were missing.
    pub entries: u64,
    /// Why.
    pub cause: Cause,
    /// How it ended.
    pub closed: GapEnd,
    /// From its showing to its end, in nanoseconds.
    pub took_ns: Nanos,
}

/// Sums since the start.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Sums {
    gaps: u64,
    entries: u64,
    causes: [u64; 4],
    late: u64,
    by_leader: u64,
    by_repairers: u64,
    gone: u64,
    took_ns_max: Nanos,
    /// Without it, times of repairs are not measured: a state of the explorer is small.
    took: Option<Box<Durations>>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Losses {
    /// The reader was complete once: a range that it lacked before that is no loss, but its join of the
    /// stream.
    joined: bool,
    /// Everything below is taken, or in a hole.
    high: Seq,
    holes: Vec<Hole>,
    recent: [Option<Loss>; RECENT],
    sums: Sums,
    /// Drops of the device at the last check.
    dropped: u64,
    turned_at: Nanos,
    stalled_at: Nanos,
}

impl Losses {
    /// Holds always. Panics with the rule that is broken.
    pub fn invariants(&self) {
        let count = self.holes.len();
        assert!(count <= HOLES_MAX, "{count} holes are remembered, at most {HOLES_MAX}");
        let rises = self.holes.windows(2).all(|pair| pair[0].to <= pair[1].from);
        assert!(rises, "holes are in order and apart: {:?}", self.holes);
    }
}

impl Default for Losses {
    fn default() -> Self {
        Self {
            joined: false,
            high: 0,
            holes: Vec::with_capacity(HOLES_MAX),
            recent: [None; RECENT],
            sums: Sums::default(),
            dropped: 0,
            turned_at: 0,
            stalled_at: 0,
        }
    }
}

/// Not part of the protocol's state: a comparison of readers' states finds no difference in it.
impl PartialEq for Losses {
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Losses {}

impl Hash for Losses {
    fn hash<H: Hasher>(&self, _state: &mut H) {}
}

impl Losses {
    /// From now on the distribution of repair times is counted.
    pub fn measure(&mut self) {
        self.sums.took.get_or_insert_default();
    }

    /// A turn begins.
    #[inline]
    pub fn on_turn(&mut self, now: Nanos) {
        if now > self.turned_at + STALL_NS && self.turned_at != 0 {
            self.stalled_at = now;
        }
        self.turned_at = now;
    }

    /// A frame of seqs from `from` to below `to` is of use: it was live, or `repairer` repaired it.
    #[inline]
    pub fn on_frame(&mut self, now: Nanos, from: Seq, to: Seq, repairer: Option<Identity>, leader: Identity) {
        if from == self.high || !self.joined {
            self.high = self.high.max(to);
            return;
        }
        self.on_frame_elsewhere(now, from, to, repairer, leader);
    }

    fn on_frame_elsewhere(
        &mut self,
        now: Nanos,
        from: Seq,
        to: Seq,
        repairer: Option<Identity>,
        leader: Identity,
    ) {
        self.on_seen(now, from);
        self.high = self.high.max(to);
        let mut index = 0;
        while index < self.holes.len() {
            let hole = self.holes[index];
            if to <= hole.from || hole.to <= from {
                index += 1;
                continue;
            }
            let right = Hole { from: to, entries: 0, ..hole };
            match (hole.from < from, to < hole.to) {
                (false, false) => {
                    let closed = repairer.map_or(GapEnd::Late, GapEnd::Repaired);
                    self.close(index, now, closed, leader);
                    continue;
                }
                (true, false) => self.holes[index].to = from,
                (false, true) => self.holes[index].from = to,
                (true, true) if self.holes.len() < HOLES_MAX => {
                    // One loss in two parts: it is reported with the left one, and is open until both are
                    // closed.
                    self.holes[index].to = from;
                    self.holes.insert(index + 1, right);
                    index += 1;
                }
                // No room to record the parts separately: the gap stays as large as it was.
                (true, true) => {}
            }
            index += 1;
        }
    }

    /// Entries below `next` are known to be stamped.
    #[inline]
    pub fn on_seen(&mut self, now: Nanos, next: Seq) {
        if next <= self.high {
            return;
        }
        let from = std::mem::replace(&mut self.high, next);
        if !self.joined {
            return;
        }
        self.sums.gaps += 1;
        // A forged end may lie at the end of u64, and more than once: a count stays there.
        self.sums.entries = self.sums.entries.saturating_add(next - from);
        let full = self.holes.len() == HOLES_MAX;
        match self.holes.last_mut() {
            Some(last) if full => {
                last.to = next;
                last.entries += next - from;
            }
            _ => self.holes.push(Hole {
                from,
                to: next,
                first: from,
                entries: next - from,
                at: now,
                cause: None,
            }),
        }
    }

    /// A repairer reported that it does not hold the requested range either.
    pub fn on_ahead(&mut self) {
        for hole in self.holes.iter_mut().filter(|hole| hole.cause == Some(Cause::Line)) {
            hole.cause = Some(Cause::Unsent);
        }
    }

    /// A turn ends: the device has dropped so much in all, and the reader lacks something, or holds
    /// everything below `whole_to`.
    #[inline]
    pub fn look(&mut self, now: Nanos, dropped: u64, whole_to: Option<Seq>) {
        if !self.holes.is_empty() {
            self.update_open_gaps(now, dropped, whole_to.is_some());
        }
        self.dropped = dropped;
        if let Some(next) = whole_to {
            self.high = next;
            self.joined |= next > 1;
        }
    }

    /// The reader leads now, or begins anew: what it lacks until it is whole again is no loss.
    pub fn leave(&mut self) {
        self.joined = false;
        self.sums.gone += self.holes.len() as u64;
        self.holes.clear();
    }

    fn update_open_gaps(&mut self, now: Nanos, dropped: u64, whole: bool) {
        let cause = if dropped == self.dropped {
            Cause::Line
        } else if self.stalled_at != 0 && now <= self.stalled_at + STALL_SHOWS_NS {
            Cause::Stall
        } else {
            Cause::Socket
        };
        for hole in &mut self.holes {
            hole.cause.get_or_insert(cause);
        }
        if whole {
            while !self.holes.is_empty() {
                self.close(self.holes.len() - 1, now, GapEnd::Gone, Identity::default());
            }
        }
    }

    /// Holes that are open.
    pub fn open(&self) -> usize {
        self.holes.len()
    }

    /// The last closed holes, newest first.
    pub fn recent(&self) -> impl Iterator<Item = Loss> {
        self.recent.into_iter().flatten()
    }

    /// Rows of [`Losses::values`], in their order.
    pub fn rows() -> impl Iterator<Item = Described> {
        let recent = |index| LOSS_ROWS.map(|row| row.labelled(&loss_label(index)));
        SUM_ROWS.into_iter().map(Described::from).chain((0..RECENT).flat_map(recent))
    }

    /// All sums and the last closed holes, for a counters file.
    pub fn values(&self, out: &mut Vec<u64>) {
        self.sums(out);
        for loss in &self.recent {
            out.extend(loss.map_or([0; LOSS_ROWS.len()], |loss| {
                let (closed, by) = match loss.closed {
                    GapEnd::Late => (1, 0),
                    GapEnd::Repaired(by) => (2, by.packed()),
                    GapEnd::Gone => (3, 0),
                };
                [loss.at, loss.from, loss.entries, loss.cause as u64, closed, by, loss.took_ns]
            }));
        }
    }

    /// The values of [`SUM_ROWS`].
    pub fn sums(&self, out: &mut Vec<u64>) {
        let Sums { gaps, entries, causes, late, by_leader, by_repairers: by_others, gone, took_ns_max, took } =
            &self.sums;
        out.extend([*gaps, *entries, self.open() as u64]);
        out.extend(causes);
        out.extend([late, by_leader, by_others, gone, took_ns_max]);
        let none = [0; durations::WORDS];
        out.extend(took.as_ref().map_or(&none, |took| took.words()));
    }

    fn close(&mut self, index: usize, now: Nanos, closed: GapEnd, leader: Identity) {
        let hole = self.holes.remove(index);
        let took_ns = now.saturating_sub(hole.at);
        // One that is closed in the turn in which it showed was only reordered.
        let cause = hole.cause.unwrap_or(Cause::Line);
        let sums = &mut self.sums;
        if hole.entries == 0 {
            return; // the other part of a loss that is told already
        }
        sums.causes[cause as usize] += 1;
        match closed {
            GapEnd::Late => sums.late += 1,
            GapEnd::Repaired(by) if by == leader => sums.by_leader += 1,
            GapEnd::Repaired(_) => sums.by_repairers += 1,
            GapEnd::Gone => sums.gone += 1,
        }
        sums.took_ns_max = sums.took_ns_max.max(took_ns);
        if let Some(took) = &mut sums.took {
            took.add(took_ns);
        }
        self.recent.rotate_right(1);
        let Hole { at, first, entries, .. } = hole;
        self.recent[0] = Some(Loss { at, from: first, entries, cause, closed, took_ns });
    }
}
