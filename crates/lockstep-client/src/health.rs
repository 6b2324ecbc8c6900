//! The health of a cluster, judged from the answers of its nodes: one verdict, and each reason for it.
//!
//! Being listed does not make a member count: one that does not answer may have been dead for a month.
//! Redundancy is counted from the members that answer; the leader reports how many of these store the log.

use super::conditions::{ActiveCondition, FILES_DIFFER_ADVICE, PATH_LOST_ADVICE};
use super::paths::{LostPath, LostWay, lost_paths};
use super::status::{MemberStatus, NodeStatus, leader_of};
use lockstep_core::engine::event::Role;
use lockstep_wire::{
    AgreedOwner, AgreedRow, Condition, FileDifference, Identity, KeyDifference, differences, differs_here,
};
use std::fmt;
use std::net::SocketAddrV4;
use std::time::Duration;

/// A node that has missed its leader for this long, while others follow it, is cut off from it.
const MISSED: Duration = Duration::from_secs(1);

/// A member from which its leader has received within this time lives: members send many times a second.
const LIVES: Duration = Duration::from_millis(200);

/// A queried node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueryResult {
    /// Its address.
    pub address: SocketAddrV4,
    /// Its number in the file; `None` if only a membership names it.
    pub number: Option<u32>,
    /// Whether it is an archiver of the file, and so never a member.
    pub is_archiver: bool,
    /// Its answer.
    pub status: Option<NodeStatus>,
    /// The keys that all files must have alike, as the asker's own file has them; empty if unknown.
    pub asker_file: Vec<AgreedRow>,
}

/// The verdict, the best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ClusterHealth {
    /// A replica leads, every member answers and stores the log, and no condition holds.
    Healthy,
    /// The stream continues, and a condition holds or a member is silent.
    Degraded,
    /// Enough members answer, and none leads: a takeover of some milliseconds, or they do not receive each
    /// other's datagrams.
    NoLeader,
    /// Too few members answer for anything to be committed.
    NoQuorum,
    /// None of the nodes that answer has a history.
    NoHistory,
}

impl ClusterHealth {
    /// The name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::NoLeader => "no_leader",
            Self::NoQuorum => "no_quorum",
            Self::NoHistory => "no_history",
        }
    }
}

/// A reason why a cluster is not healthy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reason {
    /// A member, or a node of the file, does not answer.
    Silent {
        /// The member that is listed there.
        identity: Option<Identity>,
        /// Its number, if the file has it.
        number: Option<u32>,
        /// The address to which the query was sent.
        address: SocketAddrV4,
        /// How long ago its leader last received from it, if it did.
        last_contact: Option<Duration>,
        /// It is an archiver.
        is_archiver: bool,
    },
    /// A condition holds at a node that answers.
    Condition(Identity, ActiveCondition),
    /// A node stores the stream of another history.
    OtherHistory(Identity, u64),
    /// A node leads another history: two histories are active.
    OtherLeader(Identity, u64),
    /// A replica of the file that answers and is not a member.
    NoMember(Identity),
    /// A node that was formatted anew and waits to become a member.
    Blank(Identity),
    /// A node that answers has not received its leader, which others follow, for this long.
    MissesLeader {
        /// The node.
        identity: Identity,
        /// The leader.
        leader: Identity,
        /// The duration.
        ago: Duration,
    },
    /// A key that all files must have alike has different values at nodes that answer.
    FilesDiffer(KeyDifference),
    /// The nodes agree on such a key, and the asker's own file has another value.
    FileHereDiffers(FileDifference),
    /// A path between two nodes that answer is lost.
    PathLost(LostPath),
    /// A change of the membership is not committed yet.
    ChangePending,
    /// The sealing keys of this host should have been replaced this many days ago.
    KeysOverdue(i64),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent { identity, number, address, is_archiver, .. } => {
                match (identity, number) {
                    (_, Some(number)) if *is_archiver => write!(f, "archiver {number}")?,
                    (Some(identity), _) => write!(f, "{identity}")?,
                    (None, Some(number)) => write!(f, "replica {number}")?,
                    (None, None) => f.write_str("a replica")?,
                }
                write!(f, " does not answer at {address}")?;
                if self.reaches_leader() {
                    f.write_str(", although the leader receives from it")
                } else {
                    Ok(())
                }
            }
            Self::Condition(identity, active) => write!(f, "{identity}: {}", active.what()),
            Self::OtherHistory(identity, _) | Self::NoMember(identity) | Self::Blank(identity) => {
                write!(f, "{identity} {}", self.brief())
            }
            Self::OtherLeader(identity, history) => write!(
                f,
                "{identity} leads another history, {history:016x}: two histories are active, and each lacks \
                 what the other acknowledges; stop the founder that holds less (`lockstep recover --compare`)"
            ),
            Self::MissesLeader { identity, leader, .. } => {
                write!(f, "{identity} receives nothing from the leader {leader}, which others follow")
            }
            Self::FilesDiffer(difference) if difference.has_culprits() => {
                write!(f, "{}: {difference}", owner_names(&difference.culprits()))
            }
            Self::FilesDiffer(difference) => write!(f, "the files differ: {difference}"),
            Self::FileHereDiffers(difference) => write!(f, "the file of this host: {difference}"),
            Self::PathLost(path) => path.fmt(f),
            Self::ChangePending => f.write_str("the last change of the membership is not committed yet"),
            Self::KeysOverdue(days) => {
                write!(f, "the keys that seal were to be replaced {days} days ago: `lockstep keys rotate`")
            }
        }
    }
}

impl Reason {
    /// The name for programs, and for `lockstep fix`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Silent { .. } => "silent",
            Self::Condition(_, active) => active.condition.name(),
            Self::OtherHistory(..) => "other_history",
            Self::OtherLeader(..) => "other_leader",
            Self::NoMember(_) => "no_member",
            Self::Blank(_) => "blank",
            Self::MissesLeader { .. } => "misses_leader",
            Self::FilesDiffer(_) => Condition::FilesDiffer.name(),
            Self::FileHereDiffers(_) => "file_here_differs",
            Self::PathLost(_) => Condition::PathLost.name(),
            Self::ChangePending => "change_pending",
            Self::KeysOverdue(_) => "keys_overdue",
        }
    }

    /// The consequence of a condition, and the remedy.
    pub fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Condition(_, active) => Some(active.advice()),
            Self::FilesDiffer(_) | Self::FileHereDiffers(_) => Some(FILES_DIFFER_ADVICE),
            Self::PathLost(_) => Some(PATH_LOST_ADVICE),
            _ => None,
        }
    }

    /// Whether it is a member that does not answer us, and from which its leader receives: only we do not
    /// reach it.
    pub fn reaches_leader(&self) -> bool {
        matches!(self, Self::Silent { last_contact: Some(ago), .. } if *ago < LIVES)
    }
}

/// The verdict with its reasons.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Health {
    /// The verdict in one word.
    pub health: ClusterHealth,
    /// The number of listed members; without an answer, the number of replicas in the file.
    pub listed: usize,
    /// The number of them that answer and store the log.
    pub there: usize,
    /// The listed members that do not answer, by number: some of them must be started if there is no quorum.
    pub silent: Vec<u32>,
    /// All reasons.
    pub reasons: Vec<Reason>,
    /// The nodes that answer, by number.
    pub answering: Vec<u32>,
    /// The members that the leader does not receive or that lag, by number, if it reports lost redundancy.
    pub lacking: Vec<u32>,
    /// The leader of the newest epoch that is known, if it does not answer and no other leads.
    pub lost_leader: Option<u32>,
    /// The members that answer and hold nothing yet, by number.
    pub blank: Vec<u32>,
    /// The queried nodes that have a number, with their addresses.
    pub nodes: Vec<(AgreedOwner, SocketAddrV4)>,
}

impl Health {
    /// Judges the answers.
    pub fn judge(asked: &[QueryResult]) -> Self {
        let answers: Vec<_> = asked.iter().map(|node| node.status.clone()).collect();
        let leader = leader_of(&answers);
        // Without a leader, the newest list of any node.
        let newest = answers.iter().flatten().filter(|status| !status.members.is_empty());
        let source = leader.or_else(|| newest.max_by_key(|status| (status.accepted, status.membership_seq)));
        let Some(source) = source else { return Self::without_members(asked) };
        let members = &source.members;
        let answers = |identity: Identity| {
            asked.iter().filter_map(|node| node.status.as_ref()).any(|status| status.identity == identity)
        };
        let answering = members.iter().filter(|listed| answers(listed.member.identity())).count();
        let listed = members.len();
        // The leader knows which of the live members store the log.
        let holding = leader
            .and_then(|leader| leader.conditions(Condition::RedundancyLost))
            .map(|active| active.a as usize);
        let there = answering.min(holding.unwrap_or(listed));
        let silent: Vec<_> = members
            .iter()
            .filter(|listed| !answers(listed.member.identity()))
            .map(|listed| listed.member.replica)
            .collect();
        let is_blank = |identity: Identity| {
            let statuses = asked.iter().filter_map(|node| node.status.as_ref());
            statuses.filter(|status| status.identity == identity).any(|status| status.role == Role::Blank)
        };
        let blank = members.iter().filter(|listed| is_blank(listed.member.identity()));
        let blank = blank.map(|listed| listed.member.replica).collect();
        let reasons = reasons(asked, source, leader.is_some());
        let quorum = listed / 2 + 1;
        let health = match leader {
            // A leader commits with the members from which it receives, whichever of them answer us.
            Some(_) if holding.unwrap_or(listed) < quorum => ClusterHealth::NoQuorum,
            Some(_) if reasons.is_empty() && there == listed => ClusterHealth::Healthy,
            Some(_) => ClusterHealth::Degraded,
            None if answering < quorum => ClusterHealth::NoQuorum,
            None => ClusterHealth::NoLeader,
        };
        let lacking = leader.map_or_else(Vec::new, lacking);
        let led = source.accepted.leader();
        let lost_leader = Some(led.replica).filter(|_| leader.is_none() && !answers(led));
        let lost_leader = lost_leader.filter(|number| silent.contains(number));
        let (answering, nodes) = (self::answering(asked), nodes(asked));
        Self { health, listed, there, silent, reasons, answering, lacking, lost_leader, blank, nodes }
    }

    /// As [`judge`](Self::judge), if the sealing keys of this host have this many days left: overdue keys are
    /// a reason.
    #[must_use]
    pub fn with_keys(mut self, days_left: Option<i64>) -> Self {
        if let Some(days) = days_left.filter(|days| *days < 0) {
            self.reasons.push(Reason::KeysOverdue(-days));
            self.health = self.health.max(ClusterHealth::Degraded);
        }
        self
    }

    /// No node that answers knows a member: all are blank, or no node answers at all.
    fn without_members(asked: &[QueryResult]) -> Self {
        let replicas = || asked.iter().filter(|node| !node.is_archiver);
        let there = replicas().filter(|node| node.status.is_some()).count();
        let silent = replicas().filter(|node| node.status.is_none()).filter_map(|node| node.number).collect();
        let reasons =
            asked.iter().filter(|node| node.status.is_none()).map(|node| silent_node(node, None)).collect();
        let health = if there == 0 { ClusterHealth::NoQuorum } else { ClusterHealth::NoHistory };
        let (listed, answering, nodes) = (replicas().count(), self::answering(asked), nodes(asked));
        Self {
            health,
            listed,
            there,
            silent,
            reasons,
            answering,
            lacking: Vec::new(),
            lost_leader: None,
            blank: Vec::new(),
            nodes,
        }
    }

    /// The number of members that decide: more than half of those listed.
    pub fn quorum(&self) -> usize {
        self.listed / 2 + 1
    }

    /// The number of available members that may crash while the rest continues to commit.
    pub fn may_crash(&self) -> usize {
        self.there.saturating_sub(self.quorum())
    }
}

/// The replicas to start, if `lacks` of these are needed: `1`, `1 or 2`, `1 and 2`, `2 of 1, 2, 3`.
fn start(silent: &[u32], lacks: usize) -> Option<String> {
    let names: Vec<_> = silent.iter().map(u32::to_string).collect();
    match (lacks, names.len()) {
        (0, _) | (_, 0) => None,
        (1, _) => Some(names.join(" or ")),
        (lacks, all) if lacks >= all => Some(names.join(" and ")),
        _ => Some(format!("{lacks} of {}", names.join(", "))),
    }
}

fn nodes(asked: &[QueryResult]) -> Vec<(AgreedOwner, SocketAddrV4)> {
    let owner =
        |node: &QueryResult| Some(AgreedOwner { number: node.number?, is_archiver: node.is_archiver });
    asked.iter().filter_map(|node| Some((owner(node)?, node.address))).collect()
}

fn silent_node(node: &QueryResult, listed: Option<&MemberStatus>) -> Reason {
    Reason::Silent {
        identity: listed.map(|listed| listed.member.identity()),
        number: node.number,
        address: node.address,
        last_contact: listed.and_then(|listed| listed.last_contact),
        is_archiver: node.is_archiver,
    }
}

fn answering(asked: &[QueryResult]) -> Vec<u32> {
    asked.iter().filter_map(|node| Some(node.status.as_ref()?.identity.replica)).collect()
}

/// The members with the shortest logs, as `leader` reports them: as many as it lacks.
fn lacking(leader: &NodeStatus) -> Vec<u32> {
    let Some(active) = leader.conditions(Condition::RedundancyLost) else { return Vec::new() };
    let mut others: Vec<_> =
        leader.members.iter().filter(|listed| listed.member.identity() != leader.identity).collect();
    let reaches_leader = |listed: &MemberStatus| listed.last_contact.is_some_and(|ago| ago.as_secs() == 0);
    others.sort_by_key(|listed| (reaches_leader(listed), listed.acked_next));
    let missing = active.b.saturating_sub(active.a) as usize;
    others.iter().take(missing).map(|listed| listed.member.replica).collect()
}

/// A node that follows no leader, and has missed its leader for longer than a takeover takes. It may have
/// missed an earlier leader, long ago: it can miss the present one at most for as long as that leads.
fn misses_leader(status: &NodeStatus, leader: &NodeStatus) -> Option<Reason> {
    let ago = status.suspected?.ago.min(leader.epoch_age.unwrap_or(Duration::MAX));
    if ago < MISSED {
        return None;
    }
    let is_blank = status.role == Role::Blank || status.history != leader.history;
    let misses = status.leader.is_none() && !is_blank;
    misses.then_some(Reason::MissesLeader { identity: status.identity, leader: leader.identity, ago })
}

/// The nodes whose files differ in keys that all must have alike.
fn file_reasons(asked: &[QueryResult]) -> Vec<Reason> {
    let of = |node: &QueryResult| {
        let number = node.status.as_ref()?.identity.replica;
        Some(AgreedOwner { number, is_archiver: node.is_archiver })
    };
    let files: Vec<_> =
        asked.iter().filter_map(|node| Some((of(node)?, node.status.as_ref()?.agreed.as_deref()?))).collect();
    let nodes: Vec<_> = files.iter().map(|(_, rows)| *rows).collect();
    let here = asked.first().map_or(&[][..], |node| &node.asker_file);
    let differ = differences(&files).into_iter().map(Reason::FilesDiffer);
    let here = if here.is_empty() { Vec::new() } else { differs_here(here, &nodes) };
    differ.chain(here.into_iter().map(Reason::FileHereDiffers)).collect()
}

/// The lost paths between nodes that answer, and their number; one that a missed leader explains is no reason
/// of its own.
fn path_reasons(asked: &[QueryResult], source: &NodeStatus, is_led: bool) -> (Vec<Reason>, usize) {
    let statuses = || asked.iter().filter_map(|node| node.status.as_ref());
    let nodes: Vec<_> = statuses().map(|status| (status.identity.replica, &status.ways[..])).collect();
    let misses: Vec<u32> = if is_led {
        statuses()
            .filter(|status| misses_leader(status, source).is_some())
            .map(|status| status.identity.replica)
            .collect()
    } else {
        Vec::new()
    };
    let leader = source.identity.replica;
    let is_reported =
        |path: &LostPath| path.way == LostWay::OneWay && path.from == leader && misses.contains(&path.to);
    let lost = lost_paths(&nodes);
    let reasons = lost.iter().filter(|path| !is_reported(path)).copied().map(Reason::PathLost);
    (reasons.collect(), lost.len())
}

fn reasons(asked: &[QueryResult], source: &NodeStatus, is_led: bool) -> Vec<Reason> {
    let mut reasons = file_reasons(asked);
    let is_compared = !reasons.is_empty();
    let (paths, lost) = path_reasons(asked, source, is_led);
    reasons.extend(paths);
    if is_led && !source.is_stable() {
        reasons.push(Reason::ChangePending);
    }
    for node in asked {
        let listed = source.members.iter().find(|listed| listed.member.address() == Some(node.address));
        let Some(status) = &node.status else {
            // Replicas that no membership lists are known from the file alone.
            reasons.push(silent_node(node, listed));
            continue;
        };
        let identity = status.identity;
        if status.history != 0 && status.history != source.history {
            reasons.push(match status.role {
                Role::Leader => Reason::OtherLeader(identity, status.history),
                _ => Reason::OtherHistory(identity, status.history),
            });
        } else if !source.lists(identity) && !node.is_archiver {
            reasons.push(match status.role {
                Role::Blank => Reason::Blank(identity),
                _ => Reason::NoMember(identity),
            });
        }
        reasons.extend(is_led.then(|| misses_leader(status, source)).flatten());
        // What a node reports about its file and its paths is reported here from all nodes together.
        let active = status.conditions.iter();
        let is_reported = |condition| match condition {
            Condition::FilesDiffer => is_compared,
            Condition::PathLost => lost > 0,
            _ => false,
        };
        let active = active.filter(|one| !is_reported(one.condition));
        reasons.extend(active.map(|active| Reason::Condition(identity, *active)));
    }
    // Members that were not queried, because their address is unknown.
    for listed in &source.members {
        let known = |node: &QueryResult| listed.member.address() == Some(node.address);
        if !asked.iter().any(known)
            && !asked
                .iter()
                .filter_map(|node| node.status.as_ref())
                .any(|status| status.identity == listed.member.identity())
            && let Some(address) = listed.member.address()
        {
            let node = QueryResult {
                address,
                number: None,
                is_archiver: false,
                status: None,
                asker_file: Vec::new(),
            };
            reasons.push(silent_node(&node, Some(listed)));
        }
    }
    reasons
}

mod first_line;
use first_line::owner_names;
pub use first_line::{HealthCause, LINE_MAX};

#[cfg(test)]
mod tests;
