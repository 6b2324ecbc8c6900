//! # stalls: what kept a hot thread from its next turn, and what that did to messages
//!
//! A hot thread that never sleeps begins a turn every microsecond or less. A turn that begins [`STALL_NS`] or
//! more behind the one before it was kept, and what the kernel counts for the thread tells by what:
//!
//! ```text
//!   side thread   another thread of the same process had the core      (run delay, and that process's own time)
//!   scheduler     somebody else had it                                  (run delay)
//!   page fault    the kernel brought a page                             (faults)
//!   roll-over     a segment was begun meanwhile                         (the journal's folder)
//!   flush         the disk was given something meanwhile                (what is durable)
//!   machine       a turn in which nothing was to do: interrupts, hypervisor
//!   ours          a turn with work in it, and nothing of the above
//! ```
//!
//! The machine does not look whether we work: turns with work are hit by it as well, in proportion to the
//! time that they take. So beside `ours` stands how much of it the machine alone would have done. A floor's
//! forwarder is watched in the same way, and has nothing of ours in it at all.

use lockstep_io::clock::Clock;
use lockstep_wire::Nanos;
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A longer turn is a stall.
pub const STALL_NS: Nanos = 50_000;
/// The kernel's counts are looked at so often, that a stall is told by what came to be shortly before its
/// end.
const LOOK_NS: Nanos = 10_000_000;
/// More stalls of one process are not kept.
const STALLS_MAX: usize = 100_000;
/// A message that came so much later than the end of a stall was kept by it still: those before it came
/// first.
const BEHIND_NS: Nanos = 1_000_000;

/// By what.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Cause {
    /// Another thread of its process.
    SideThread,
    /// Another process.
    Scheduler,
    /// Memory that was not there.
    PageFault,
    /// A new segment of the journal.
    RollOver,
    /// A flush of the journal.
    Flush,
    /// None of these, in a turn without work: interrupts, the hypervisor.
    Machine,
    /// None of these, in a turn with work: it may be lockstep's.
    Ours,
}

impl Cause {
    /// As tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SideThread => "side thread",
            Self::Scheduler => "scheduler",
            Self::PageFault => "page fault",
            Self::RollOver => "roll-over",
            Self::Flush => "flush",
            Self::Machine => "machine",
            Self::Ours => "ours",
        }
    }
}

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stall {
    /// When the turn before it began, by CLOCK_MONOTONIC, which is one for all processes of a host.
    pub began: Nanos,
    /// Until the next one.
    pub lasted_ns: Nanos,
    /// By what.
    pub cause: Cause,
}

/// What a hot thread went through.
#[derive(Clone, Default, Debug, Serialize, Deserialize)]
pub struct Stalls {
    /// In order.
    pub stalls: Vec<Stall>,
    /// Those that were not kept.
    pub left_out: u64,
    /// Time of turns with work and of turns without, stalls left out.
    pub busy_ns: Nanos,
    /// See there.
    pub idle_ns: Nanos,
}

/// What the kernel has counted so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counted {
    /// Time that the thread waited for a core.
    pub run_delay_ns: u64,
    /// Time that the other threads of its process ran.
    pub others_ns: u64,
    /// Its page faults.
    pub faults: u64,
    /// When the journal's newest segment was begun.
    pub begun: Option<SystemTime>,
    /// The journal's durable position.
    pub durable: u64,
}

impl Counted {
    /// What kept a turn for `lasted_ns`, since `before`; without what tells it, the machine or we.
    pub fn cause(&self, before: &Self, lasted_ns: Nanos, worked: bool) -> Cause {
        // Times of threads are scaled to what their process has used, and may go back a little.
        let delay = self.run_delay_ns.saturating_sub(before.run_delay_ns);
        let others = self.others_ns.saturating_sub(before.others_ns);
        if delay >= lasted_ns / 2 {
            return if others >= delay / 2 { Cause::SideThread } else { Cause::Scheduler };
        }
        if self.faults > before.faults {
            return Cause::PageFault;
        }
        if self.begun != before.begun {
            return Cause::RollOver;
        }
        if self.durable != before.durable {
            return Cause::Flush;
        }
        if worked { Cause::Ours } else { Cause::Machine }
    }
}

fn time_ns(usage: &Usage) -> u64 {
    (usage.user_time() + usage.system_time()).num_nanoseconds() as u64
}

/// Watches the thread that makes it, from turn to turn.
pub struct Watch {
    schedstat: File,
    journal: Option<PathBuf>,
    clock: Clock,
    before: Counted,
    polled_at: Nanos,
    turned_at: Nanos,
    found: Stalls,
}

impl Watch {
    /// Of this thread, from now on; `journal` is the folder of its segments, if it has one.
    ///
    /// # Errors
    /// The kernel does not tell how long a thread waits for a core.
    pub fn begin(journal: Option<&Path>) -> Result<Self, String> {
        let path = "/proc/thread-self/schedstat";
        let schedstat = File::open(path).map_err(|error| format!("opening {path}: {error}"))?;
        let clock = Clock::start();
        let now = clock.now();
        let mut watch = Self {
            schedstat,
            journal: journal.map(Path::to_owned),
            clock,
            before: Counted::default(),
            polled_at: now,
            turned_at: now,
            found: Stalls::default(),
        };
        watch.before = watch.look(0)?;
        watch.turned_at = watch.clock.now();
        Ok(watch)
    }

    /// What was counted up to now: some microseconds, and so not at every turn.
    fn look(&self, durable: u64) -> Result<Counted, String> {
        let mut text = [0; 128];
        let len =
            self.schedstat.read_at(&mut text, 0).map_err(|error| format!("reading schedstat: {error}"))?;
        let text = std::str::from_utf8(&text[..len]).unwrap_or_default();
        // Its time on a core, and how long it waited for one.
        let run_delay_ns = text.split_whitespace().nth(1).and_then(|word| word.parse().ok());
        let Some(run_delay_ns) = run_delay_ns else {
            return Err(format!("/proc/thread-self/schedstat says '{}'", text.trim()));
        };
        let usage = |who| getrusage(who).map_err(|error| format!("getrusage: {error}"));
        let (thread, all) = (usage(UsageWho::RUSAGE_THREAD)?, usage(UsageWho::RUSAGE_SELF)?);
        Ok(Counted {
            run_delay_ns,
            others_ns: time_ns(&all).saturating_sub(time_ns(&thread)),
            faults: (thread.minor_page_faults() + thread.major_page_faults()) as u64,
            begun: self.journal.as_ref().and_then(|path| std::fs::metadata(path).ok()?.modified().ok()),
            durable,
        })
    }

    /// A turn is over: `worked` says whether there was anything to do, `durable` how much is on the disk.
    ///
    /// # Errors
    /// The kernel tells nothing any more.
    #[inline]
    pub fn turned(&mut self, worked: bool, durable: u64) -> Result<(), String> {
        let now = self.clock.now();
        let lasted_ns = now - self.turned_at;
        if lasted_ns < STALL_NS {
            let time = if worked { &mut self.found.busy_ns } else { &mut self.found.idle_ns };
            *time += lasted_ns;
            if now < self.polled_at + LOOK_NS {
                self.turned_at = now;
                return Ok(());
            }
        }
        self.on_poll(now, lasted_ns, worked, durable)
    }

    #[cold]
    fn on_poll(&mut self, now: Nanos, lasted_ns: Nanos, worked: bool, durable: u64) -> Result<(), String> {
        let counted = self.look(durable)?;
        if lasted_ns >= STALL_NS {
            let cause = counted.cause(&self.before, lasted_ns, worked);
            if self.found.stalls.len() < STALLS_MAX {
                self.found.stalls.push(Stall { began: self.turned_at, lasted_ns, cause });
            } else {
                self.found.left_out += 1;
            }
        }
        self.before = counted;
        self.polled_at = now;
        self.turned_at = self.clock.now(); // looking is no stall of who is watched
        Ok(())
    }

    /// What it has seen.
    pub fn end(self) -> Stalls {
        self.found
    }
}

/// A message that came late.
#[derive(Clone, Copy, Debug)]
pub struct Slow {
    /// When it was due.
    pub due: Nanos,
    /// When it came.
    pub came: Nanos,
}

/// What several rounds of one contestant went through: who stalled by what, and which of it made messages
/// late.
#[derive(Default)]
pub struct Tally {
    /// Stalls of each process and cause: how many, how long together, the longest; messages that were late by
    /// it.
    pub of: std::collections::BTreeMap<(&'static str, Cause), [u64; 4]>,
    /// What the machine would have done to turns with work: by process.
    by_chance: std::collections::BTreeMap<&'static str, f64>,
    slow: u64,
    /// Slow messages that met no stall.
    pub unexplained: u64,
    messages: u64,
    counted_ns: Nanos,
    left_out: u64,
}

impl Tally {
    /// Adds a round of `counted_ns` in which of `messages` those in `slow` were late.
    pub fn add(
        &mut self,
        processes: &[(&'static str, Stalls)],
        slow: &[Slow],
        messages: u64,
        [from, to]: [Nanos; 2],
    ) {
        self.messages += messages;
        self.slow += slow.len() as u64;
        self.counted_ns += to - from;
        let is_counted = |stall: &&Stall| stall.began + stall.lasted_ns > from && stall.began < to;
        for (process, stalls) in processes {
            self.left_out += stalls.left_out;
            let mut by_machine = 0;
            for stall in stalls.stalls.iter().filter(is_counted) {
                let [count, lasted, longest, _] = self.of.entry((process, stall.cause)).or_default();
                (*count, *lasted) = (*count + 1, *lasted + stall.lasted_ns);
                *longest = (*longest).max(stall.lasted_ns);
                by_machine += u64::from(stall.cause == Cause::Machine);
            }
            let chance = by_machine as f64 * stalls.busy_ns as f64 / stalls.idle_ns.max(1) as f64;
            *self.by_chance.entry(process).or_default() += chance;
        }
        for message in slow {
            // The longest one that it met, or that those before it had to wait for.
            let met = |stall: &Stall| {
                stall.began < message.came && stall.began + stall.lasted_ns + BEHIND_NS > message.due
            };
            let of = |(process, stalls): &(&'static str, Stalls)| {
                let process = *process;
                let first = stalls
                    .stalls
                    .partition_point(|stall| stall.began + stall.lasted_ns + BEHIND_NS <= message.due);
                let last = stalls.stalls.partition_point(|stall| stall.began < message.came);
                let met: Vec<(Nanos, &'static str, Cause)> = stalls.stalls[first.min(last)..last]
                    .iter()
                    .filter(|stall| met(stall))
                    .map(|stall| (stall.lasted_ns, process, stall.cause))
                    .collect();
                met.into_iter().max()
            };
            match processes.iter().filter_map(of).max() {
                Some((_, process, cause)) => self.of.entry((process, cause)).or_default()[3] += 1,
                None => self.unexplained += 1,
            }
        }
    }

    /// As lines of text, of the contestant called `words`.
    pub fn lines(&self, words: &str) -> Vec<String> {
        let seconds = self.counted_ns.max(1) as f64 / 1e9;
        let share = |count: u64| 100.0 * count as f64 / self.slow.max(1) as f64;
        let mut lines = vec![format!(
            "{words}: {} of {} messages took {} us or more; of those this share met a stall:",
            self.slow,
            self.messages,
            STALL_NS / 1_000
        )];
        lines.push(format!(
            "  {:<10} {:<12} {:>12} {:>14} {:>12} {:>12}",
            "process", "stalled by", "a second", "us a second", "longest us", "% of slow"
        ));
        for ((process, cause), [count, lasted, longest, late]) in &self.of {
            lines.push(format!(
                "  {process:<10} {:<12} {:>12.2} {:>14.1} {:>12.0} {:>12.1}",
                cause.name(),
                *count as f64 / seconds,
                *lasted as f64 / 1e3 / seconds,
                *longest as f64 / 1e3,
                share(*late)
            ));
        }
        lines.push(format!("  {:<10} {:<12} {:>53.1}", "-", "no stall", share(self.unexplained)));
        let of = |causes: &[Cause]| -> f64 {
            let late =
                self.of.iter().filter(|((_, cause), _)| causes.contains(cause)).map(|(_, [.., late])| *late);
            share(late.sum())
        };
        let [ours, machines] = [
            of(&[Cause::SideThread, Cause::PageFault, Cause::RollOver, Cause::Flush, Cause::Ours]),
            of(&[Cause::Scheduler, Cause::Machine]),
        ];
        lines.push(format!(
            "  share of the tail: its own processes {ours:.1} % at most, scheduler and machine {machines:.1} %, no stall \
             {:.1} %",
            share(self.unexplained)
        ));
        for (process, chance) in &self.by_chance {
            let ours = self.of.get(&(*process, Cause::Ours)).map_or(0, |[count, ..]| *count);
            lines.push(format!(
                "  {process}: {:.2} a second in turns with work; the machine alone would do {:.2} there",
                ours as f64 / seconds,
                chance / seconds
            ));
        }
        if self.left_out > 0 {
            lines.push(format!("  {} more stalls were not kept", self.left_out));
        }
        lines
    }
}
