//! What somebody waits for at a cluster, and whether it holds: a leader, a quorum, members that have caught
//! up, a cluster of which nothing is amiss.

use crate::OperationError;
use crate::commands::CommandClient;
use lockstep_client::internal::{ClusterHealth, Health, NodeStatus, QueryResult, leader_of};
use lockstep_config::{Config, grouped};
use lockstep_wire::{Condition, DAY_LEN_MAX, DayMark, Seq};
use std::fmt;
use std::str::FromStr;

/// The state that a command waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WaitGoal {
    /// A replica leads.
    Leader,
    /// A replica leads, and a quorum of the members is there.
    Quorum,
    /// Members have everything that is committed.
    CaughtUp,
    /// This seq is committed.
    Seq(Seq),
    /// The trading day of this name has begun.
    Day(String),
}

impl FromStr for WaitGoal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_day = |name: &&str| DayMark::is_name(name);
        match (text, text.split_once('=')) {
            ("leader", _) => Ok(Self::Leader),
            ("quorum", _) => Ok(Self::Quorum),
            ("caught-up", _) => Ok(Self::CaughtUp),
            (_, Some(("seq", seq))) => match seq.parse() {
                Ok(seq) if seq > 0 => Ok(Self::Seq(seq)),
                _ => Err(format!("'{seq}' is no seq: write a number from 1 on")),
            },
            (_, Some(("day", name))) => match Some(name).filter(is_day) {
                Some(name) => Ok(Self::Day(name.to_owned())),
                None => Err(format!("'{name}' is no day's name: 1 to {DAY_LEN_MAX} letters and digits")),
            },
            _ => Err("write leader, quorum, caught-up, seq=N or day=NAME".to_owned()),
        }
    }
}

impl fmt::Display for WaitGoal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leader => f.write_str("leader"),
            Self::Quorum => f.write_str("quorum"),
            Self::CaughtUp => f.write_str("caught-up"),
            Self::Seq(seq) => write!(f, "seq={seq}"),
            Self::Day(name) => write!(f, "day={name}"),
        }
    }
}

/// Queries the nodes until the goal holds, or the client's time is over: what holds, or else what was
/// missing. Days are marks in the stream, and never hold here.
///
/// # Errors
/// Nobody knows the replica.
pub fn await_goal(
    operator: &mut CommandClient,
    goal: &WaitGoal,
    replica: Option<u32>,
) -> Result<Result<String, String>, OperationError> {
    let (mut missing, mut committed) = (String::new(), None);
    let found = operator.wait(&goal.to_string(), |operator, statuses| {
        let answers =
            Answers { asked: &operator.nodes.asked(statuses), leader: leader_of(statuses), committed };
        if let Some(replica) =
            replica.filter(|replica| answers.leader.is_some() && answers.of(*replica).is_none())
        {
            let what = format!("--replica {replica}: neither the file nor the membership has it");
            return Err(OperationError::Refused(what));
        }
        let outcome = answers.judge(goal, replica);
        committed = answers.leader.map(|leader| leader.commit_next).or(committed);
        outcome.map(Some).or_else(|lacks| {
            // The last look may have had no time for answers.
            if missing.is_empty() || !operator.left().is_zero() {
                missing = lacks;
            }
            Ok(None)
        })
    });
    match found {
        Ok(what) => Ok(Ok(what)),
        Err(OperationError::NotReady(_)) => Ok(Err(missing)),
        Err(error) => Err(error),
    }
}

/// The answers to one look.
pub struct Answers<'a> {
    /// Of all nodes.
    pub asked: &'a [QueryResult],
    /// The replica that leads.
    pub leader: Option<&'a NodeStatus>,
    /// How far the leader of an earlier look knew the stream to be committed.
    pub committed: Option<Seq>,
}

impl Answers<'_> {
    /// Says what holds.
    ///
    /// # Errors
    /// The missing part, in words.
    pub fn judge(&self, goal: &WaitGoal, replica: Option<u32>) -> Result<String, String> {
        let health = Health::judge(self.asked);
        let leader = self.leader.ok_or_else(|| health.to_string());
        match *goal {
            WaitGoal::Leader => leader.map(leads),
            WaitGoal::Quorum => {
                let leader = leader?;
                if health.there >= health.quorum() {
                    Ok(format!("{}; {} of {} members", leads(leader), health.there, health.listed))
                } else {
                    Err(health.to_string())
                }
            }
            WaitGoal::CaughtUp => self.caught_up(leader?, replica),
            WaitGoal::Seq(seq) => self.committed(seq, replica),
            WaitGoal::Day(_) => Err("days are read from the stream".to_owned()),
        }
    }

    /// The node with this number.
    pub fn of(&self, replica: u32) -> Option<&QueryResult> {
        let answers = |node: &&QueryResult| {
            node.status.as_ref().is_some_and(|status| status.identity.replica == replica)
        };
        let in_file = |node: &&QueryResult| node.number == Some(replica);
        self.asked.iter().find(answers).or_else(|| self.asked.iter().find(in_file))
    }

    /// Members have caught up with what was committed at the look before: so a stream that goes on is caught
    /// up with as well.
    fn caught_up(&self, leader: &NodeStatus, replica: Option<u32>) -> Result<String, String> {
        let target = self.committed.unwrap_or(leader.commit_next);
        let members = leader.members.iter().map(|listed| listed.member.replica);
        let wanted: Vec<u32> = replica.map_or_else(|| members.collect(), |replica| vec![replica]);
        let lacks = |replica: &u32| self.lacks(leader, *replica, target);
        let missing: Vec<_> = wanted.iter().filter_map(lacks).collect();
        if !missing.is_empty() {
            return Err(missing.join("; "));
        }
        let names: Vec<_> = wanted.iter().map(|replica| format!("replica {replica}")).collect();
        let have = if names.len() == 1 { "has" } else { "have" };
        let last = target.saturating_sub(1);
        Ok(format!("{} {have} everything up to seq {last}", names.join(", ")))
    }

    /// Names what this replica lacks of everything below `target`.
    fn lacks(&self, leader: &NodeStatus, replica: u32, target: Seq) -> Option<String> {
        let status = match self.of(replica) {
            Some(QueryResult { status: Some(status), .. }) => status,
            Some(QueryResult { address, .. }) => {
                return Some(format!("replica {replica} does not answer at {address}"));
            }
            None => return Some(format!("replica {replica} does not answer")),
        };
        let identity = status.identity;
        if status.history == 0 {
            Some(format!("replica {replica} ({identity}) holds nothing yet"))
        } else if status.history != leader.history {
            Some(format!("replica {replica} ({identity}) holds another history"))
        } else if status.accept_next < target {
            let entries = grouped(target - status.accept_next);
            Some(format!("replica {replica} ({identity}) lacks {entries} entries"))
        } else {
            // A log of an older epoch may end with entries that were never committed.
            (status.accepted != leader.accepted && status.commit_next < target).then(|| {
                let (own, epoch) = (status.accepted, leader.accepted);
                format!(
                    "replica {replica} ({identity}) holds the log of epoch {own}, and not yet that of {epoch}"
                )
            })
        }
    }

    /// A seq is committed if a replica of the newest history knows it.
    fn committed(&self, seq: Seq, replica: Option<u32>) -> Result<String, String> {
        let answers = || self.asked.iter().filter_map(|node| node.status.as_ref());
        let history = answers().max_by_key(|status| status.accepted).map_or(0, |newest| newest.history);
        let counts = |status: &&NodeStatus| {
            let is_wanted = replica.is_none_or(|replica| status.identity.replica == replica);
            history != 0 && status.history == history && is_wanted
        };
        match answers().filter(counts).map(|status| status.commit_next).max() {
            Some(next) if next > seq => Ok(format!("seq {seq} is committed")),
            Some(next) => {
                let (last, more) = (next.saturating_sub(1), grouped((seq + 1).saturating_sub(next)));
                Err(format!("the last committed seq is {last}, {more} before seq {seq}"))
            }
            None => Err(match replica {
                Some(replica) => format!("replica {replica} does not answer, or holds another history"),
                None => Health::judge(self.asked).to_string(),
            }),
        }
    }
}

fn leads(leader: &NodeStatus) -> String {
    format!("{} leads, epoch {}", leader.identity, leader.accepted)
}

/// Whether the membership lists this replica; of a stream without a leader, the file alone is known.
fn is_member(leader: Option<&NodeStatus>, replica: u32) -> bool {
    leader.is_none_or(|leader| leader.members.iter().any(|listed| listed.member.replica == replica))
}

/// The configuration with those replicas alone that are members: one that the file names and that was never
/// added is no part of the stream.
pub fn members_of(config: &Config, leader: Option<&NodeStatus>) -> Config {
    let mut config = config.clone();
    config.replicas.retain(|replica| is_member(leader, replica.id));
    config
}

/// The answers of members and archivers.
pub fn of_members(asked: Vec<QueryResult>, leader: Option<&NodeStatus>) -> Vec<QueryResult> {
    let counts = |node: &QueryResult| {
        let number = node.status.as_ref().map(|status| status.identity.replica).or(node.number);
        node.is_archiver || number.is_none_or(|number| is_member(leader, number))
    };
    asked.into_iter().filter(counts).collect()
}

/// The answers without what programs do wrong: a step at a node waits for no program.
fn without_programs(mut asked: Vec<QueryResult>) -> Vec<QueryResult> {
    for status in asked.iter_mut().filter_map(|node| node.status.as_mut()) {
        status.conditions.retain(|active| active.condition != Condition::OlderKeys);
    }
    asked
}

/// The verdict where every member has what was committed at the look before and there is no problem.
///
/// # Errors
/// A member lacks entries, or something is amiss, in words.
pub fn is_whole(
    operator: &CommandClient,
    statuses: &[Option<NodeStatus>],
    committed: &mut Option<Seq>,
) -> Result<Health, String> {
    let leader = leader_of(statuses);
    let asked = of_members(operator.nodes.asked(statuses), leader);
    let answers = Answers { asked: &asked, leader, committed: *committed };
    let caught_up = answers.judge(&WaitGoal::CaughtUp, None);
    *committed = leader.map(|leader| leader.commit_next).or(*committed);
    caught_up?;
    let health = Health::judge(&without_programs(asked));
    if health.health == ClusterHealth::Healthy { Ok(health) } else { Err(health.to_string()) }
}

#[cfg(test)]
mod tests;
