//! A replica whose journal no other one continues (LS1107) gives it up without an operator.
//!
//! ```text
//!   runs ── none has what it lacks, for 5 s, and REJOIN-1 would let it rejoin ──▶ mark ──▶ ends, exit code 1
//!   starts ── mark ──▶ waits for REJOIN-1 as one that cannot prove its journal complete
//! ```
//!
//! A running process may not lay its journal aside: it holds the files open, and the system confines it to
//! them.

use super::{LOOK, begin, by_itself, evidence, is_proven, members_of, open};
use crate::Failure;
use crate::config::Config;
use crate::failure::FAILED;
use lockstep_client::internal::{NodeStatus, leader_of};
use lockstep_core::proto::rejoin::RejoinWatch;
use lockstep_io::capabilities;
use lockstep_node::{Node, NodeError, NodeSettings};
use lockstep_process::stop;
use lockstep_wire::{Identity, Seq};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long no journal may have what a replica lacks, beyond the time for which it waits for silent ones.
const PATIENCE: Duration = Duration::from_secs(5);
/// The interval of looks.
const PAUSE: Duration = Duration::from_millis(500);

/// If the journal was given up: waits until it is laid aside. A replica that may not rejoin after all
/// continues with its journal. Returns false if the process must stop before.
pub fn lay_aside(config: &Config, settings: &NodeSettings, stop: &AtomicBool) -> bool {
    if !by_itself(config, settings) || !lockstep_node::is_overtaken(settings) {
        return true;
    }
    let why =
        format!("journal {}: no other journal has the entries that it lacks", settings.journal.display());
    begin(config, settings, NodeError::Unproven { why, remedy: "" }, stop).unwrap_or_else(|failure| {
        tracing::warn!("{failure}; it continues with the journal that it has");
        true
    })
}

/// Ends this process if a thread beside the node finds that its journal must be given up.
///
/// # Errors
/// There is no device, or the system starts no thread.
pub fn watch(
    config: &Config,
    settings: &NodeSettings,
    node: &Node,
    stop: Arc<AtomicBool>,
) -> Result<(), Failure> {
    if !by_itself(config, settings) {
        return Ok(());
    }
    let (own, gone, mut nodes) = (node.identity(), node.log_gone(), open(config)?);
    let (settings, is_proven, begun) = (settings.clone(), is_proven(config, settings), Instant::now());
    let work = move || {
        let mut overtaken = OvertakenWatch::default();
        while !stop.load(Ordering::Acquire) {
            std::thread::sleep(PAUSE);
            let oldest = gone();
            if !overtaken.lasts(begun.elapsed(), oldest) {
                continue;
            }
            let now = begun.elapsed().as_nanos() as u64;
            let Some(dead) = overtaken.look(now, (own, is_proven), &nodes.look(LOOK)) else { continue };
            match lockstep_node::overtake(&settings) {
                Ok(()) => {
                    tracing::warn!(
                        "no journal that answers has the entries that this one lacks, and the oldest seq in \
                         any is {}: this process ends, and its next start lays the journal aside and \
                         rejoins in the place of {dead}",
                        oldest.unwrap_or(0)
                    );
                    return stop::end_for_cause();
                }
                Err(error) => tracing::warn!("{error}: it is tried again"),
            }
        }
    };
    let builder = std::thread::Builder::new().name("lockstep-taken".into());
    capabilities::spawn(builder, work).map(drop).map_err(|error| {
        Failure::new(FAILED, format!("starting the thread that watches for the end of a log failed: {error}"))
    })
}

/// Since when a replica finds that no journal has what it lacks, and that it may rejoin.
#[derive(Default)]
struct OvertakenWatch {
    since: Option<Duration>,
    rejoin: RejoinWatch,
}

impl OvertakenWatch {
    /// Whether that has lasted long enough at `now`. Journals that refuse for another reason than a later
    /// beginning name no seq.
    fn lasts(&mut self, now: Duration, oldest: Option<Seq>) -> bool {
        self.since = oldest.filter(|oldest| *oldest > 0).map(|_| self.since.unwrap_or(now));
        let lasts = self.since.is_some_and(|since| now.saturating_sub(since) >= PATIENCE);
        if !lasts {
            self.rejoin = RejoinWatch::default();
        }
        lasts
    }

    /// The identity that the replica `own` would replace by REJOIN-1 if it were silent.
    fn look(
        &mut self,
        now: u64,
        (own, is_proven): (Identity, bool),
        statuses: &[Option<NodeStatus>],
    ) -> Option<Identity> {
        let leader = leader_of(statuses);
        let mut members = leader.map(members_of).unwrap_or_default();
        for member in members.iter_mut().filter(|member| member.identity == own) {
            member.silent = None;
        }
        let seen = leader.map(|leader| evidence((own.replica, is_proven), leader, &members));
        self.rejoin.look(now, seen.as_ref())?.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_is_overtaken_where_no_journal_has_what_it_lacks_for_five_seconds_without_a_break() {
        let mut watch = OvertakenWatch::default();
        let mut at = |s: u64, oldest: Option<Seq>| watch.lasts(Duration::from_secs(s), oldest);
        assert!(!at(1, Some(9)) && !at(5, Some(9)) && at(6, Some(12)));
        // A journal that has it was started, or none answers.
        assert!(!at(7, None) && !at(8, Some(9)) && !at(12, Some(9)) && at(13, Some(9)));
        // Those that answer are of an earlier release, or lead: that does not show that the log is gone.
        assert!(!at(14, Some(0)));
    }
}
