//! The verdict in one line, and its causes: each once, however many nodes report it, the gravest first.
//!
//! ```text
//!  reasons ─▶ the same of several nodes becomes one ─▶ what follows from another cause is left out
//!          ─▶ the gravest:  degraded: replica 3: the disk is full for 4m; 2 of 3 hold the log, no member may crash
//! ```

use super::{ClusterHealth, Health, Reason};
use crate::conditions::ActiveCondition;
use crate::paths::{LostPath, LostWay};
use lockstep_wire::{AgreedOwner, Condition};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

/// The longest first line, in characters: it fits a page of a telephone, and a terminal.
pub const LINE_MAX: usize = 120;

/// A cause, once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HealthCause {
    /// The nodes that are at fault, or else those that report it: `replica 3`, `replicas 1 and 2`.
    pub who: String,
    /// One sentence with its subject.
    pub says: String,
    /// Its duration, if known.
    pub since: Option<Duration>,
    /// The reasons that belong to it, at least one.
    pub reasons: Vec<Reason>,
}

impl HealthCause {
    /// The name for programs, and for `lockstep fix`.
    pub fn name(&self) -> &'static str {
        self.reasons[0].name()
    }

    /// Whether a node cannot catch up, because no journal that answers has what it lacks.
    fn lacks_log(&self) -> bool {
        matches!(&self.reasons[0], Reason::Condition(_, active) if active.condition == Condition::LogGone)
    }
}

impl fmt::Display for HealthCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.says)?;
        match self.since.filter(|since| since.as_secs() > 0) {
            Some(since) => write!(f, ", for {}", short(since)),
            None => Ok(()),
        }
    }
}

impl Health {
    /// The causes, the gravest first, each once.
    pub fn causes(&self) -> Vec<HealthCause> {
        let mut grouped: Vec<Vec<&Reason>> = Vec::new();
        for reason in &self.reasons {
            match grouped.iter_mut().find(|group| group[0].is_the_same(reason)) {
                Some(group) => group.push(reason),
                None => grouped.push(vec![reason]),
            }
        }
        let is_alone = grouped.len() == 1;
        // A consequence of another cause is left out.
        grouped.retain(|group| is_alone || !is_consequence(group[0]));
        grouped.sort_by_key(|group| (rank(group[0]), Reverse(group.len())));
        grouped.iter().map(|group| self.cause(group)).collect()
    }

    fn cause(&self, group: &[&Reason]) -> HealthCause {
        let reason = group[0];
        let numbers: Vec<_> = group.iter().filter_map(|reason| reason.number()).collect();
        let (who, says, since) = match reason {
            Reason::Silent { address, last_contact, is_archiver, .. } => {
                let who = match numbers.first() {
                    Some(number) if *is_archiver => format!("archiver {number}"),
                    Some(number) => format!("replica {number}"),
                    None => "a replica".to_owned(),
                };
                let beside = if reason.reaches_leader() { ", seen by the leader" } else { "" };
                let says = format!("{who} does not answer at {address}{beside}");
                (who, says, last_contact.filter(|ago| ago.as_secs() > 0))
            }
            Reason::FilesDiffer(difference) => {
                let who = if difference.has_culprits() {
                    owner_names(&difference.culprits())
                } else {
                    String::new()
                };
                (who, of_several(reason, group.len()), None)
            }
            Reason::FileHereDiffers(_) => (String::new(), of_several(reason, group.len()), None),
            Reason::PathLost(path) => {
                // Several paths to one node: it is at its port.
                let ends = [path.to, path.from];
                let who = self.names(if group.len() > 1 { &ends[..1] } else { &ends });
                (who, of_paths(path, group), None)
            }
            Reason::Condition(_, active) => {
                let (who, says) = self.culprit(active, &numbers);
                (who, says, group.iter().filter_map(|reason| reason.age()).max())
            }
            other => {
                let who = self.names(&numbers);
                let says = if who.is_empty() { other.brief() } else { format!("{who} {}", other.brief()) };
                (who, says, group.iter().filter_map(|reason| reason.age()).max())
            }
        };
        let reasons = group.iter().map(|reason| (*reason).clone()).collect();
        HealthCause { who, says, since, reasons }
    }

    /// The node at fault if these report a condition, and the problem.
    fn culprit(&self, active: &ActiveCondition, reporters: &[u32]) -> (String, String) {
        let others: Vec<u32> =
            self.answering.iter().copied().filter(|number| !reporters.contains(number)).collect();
        match active.condition {
            // The wrong clock is the one that differs from the majority.
            Condition::ClockAhead if reporters.len() > others.len() && !others.is_empty() => {
                let ahead = short(Duration::from_nanos(active.a));
                let whom: Vec<_> = reporters.iter().map(u32::to_string).collect();
                let who = self.names(&others);
                let says = format!("{who}: its clock is, or was, {ahead} ahead of {}", listed(&whom));
                (who, says)
            }
            // The leader that failed is at fault, not those that report it.
            Condition::TakeoversOften if active.b != 0 => (self.names(&[active.b as u32]), active.what()),
            Condition::TakeoversOften => (String::new(), active.what()),
            Condition::RedundancyLost if !self.lacking.is_empty() => {
                let who = self.names(&self.lacking);
                let says = format!("{who}: lags behind the leader, or does not reach it");
                (who, says)
            }
            // The reader is at fault, not the leader that it asked.
            Condition::ReaderAhead if active.is_of_one_reader() => (String::new(), active.brief()),
            // The program is at fault, not the nodes to which it sent.
            Condition::OlderKeys => (String::new(), active.brief()),
            // The node whose address it is, not those that see two nodes there.
            Condition::AddressTwice => {
                let address = Ipv4Addr::from_bits(active.a as u32);
                let owners = self.nodes.iter().filter(|(_, node)| *node.ip() == address);
                let owners: Vec<_> = owners.map(|(owner, _)| owner.number).collect();
                match self.names(&owners) {
                    who if who.is_empty() => (who, active.brief()),
                    who => (who.clone(), format!("{who}: {}", active.brief())),
                }
            }
            _ => {
                let who = self.names(reporters);
                let says = format!("{who}: {}", active.brief());
                (who, says)
            }
        }
    }

    /// The nodes that do not answer: `replica 1 or archiver 101`.
    fn who_may_have_it(&self) -> Option<String> {
        let name = |reason: &Reason| match reason {
            Reason::Silent { is_archiver, .. } => {
                Some(owner_names(&[AgreedOwner { number: reason.number()?, is_archiver: *is_archiver }]))
            }
            _ => None,
        };
        let names: Vec<_> = self.reasons.iter().filter_map(name).collect();
        (!names.is_empty()).then(|| names.join(" or "))
    }

    /// `replica 3`, `replicas 1 and 2, archiver 101`.
    fn names(&self, numbers: &[u32]) -> String {
        let is_archiver =
            |number: u32| self.nodes.iter().any(|(owner, _)| owner.is_archiver && owner.number == number);
        let owner = |number: u32| AgreedOwner { number, is_archiver: is_archiver(number) };
        let owners: BTreeSet<_> = numbers.iter().copied().map(owner).collect();
        owner_names(&owners.into_iter().collect::<Vec<_>>())
    }
}

/// `replica 3`, `replicas 1 and 2`.
fn names(numbers: &[u32]) -> String {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    let words: Vec<_> = numbers.iter().map(u32::to_string).collect();
    match words.len() {
        0 => String::new(),
        1 => format!("replica {}", words[0]),
        _ => format!("replicas {}", listed(&words)),
    }
}

/// A lost path, with all nodes from which it is lost.
fn of_paths(path: &LostPath, group: &[&Reason]) -> String {
    let from = group.iter().filter_map(|reason| match reason {
        Reason::PathLost(path) => Some(path.from.to_string()),
        _ => None,
    });
    let from: Vec<_> = from.collect();
    match path.way {
        LostWay::Both | LostWay::LargeBoth if from.len() > 1 => {
            path.way.between(path.to, format!("each of {}", listed(&from)))
        }
        way => way.between(listed(&from), path.to),
    }
}

/// The first of several keys that differ, and the number of the others.
fn of_several(first: &Reason, count: usize) -> String {
    match count {
        1 => first.to_string(),
        count => format!("{first} (+{} keys)", count - 1),
    }
}

/// `replicas 1 and 2, archiver 101`.
pub(super) fn owner_names(owners: &[AgreedOwner]) -> String {
    let of = |is_archiver| {
        owners.iter().filter(move |owner| owner.is_archiver == is_archiver).map(|owner| owner.number)
    };
    let replicas = names(&of(false).collect::<Vec<_>>());
    let archivers = of(true).map(|number| format!("archiver {number}"));
    let all: Vec<_> = Some(replicas).into_iter().filter(|text| !text.is_empty()).chain(archivers).collect();
    all.join(", ")
}

/// `1`, `1 and 2`, `1, 2 and 3`.
fn listed(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}

/// A duration in one unit or two.
fn short(time: Duration) -> String {
    match (time.as_secs(), time.subsec_millis()) {
        (0, millis) => format!("{millis}ms"),
        (seconds @ ..60, _) => format!("{seconds}s"),
        (seconds @ ..3_600, _) => format!("{}m{:02}s", seconds / 60, seconds % 60),
        (seconds @ ..86_400, _) => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        (seconds, _) => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Whether it only states the cost of another cause.
fn is_consequence(reason: &Reason) -> bool {
    matches!(reason, Reason::Condition(_, active) if active.condition == Condition::RedundancyLost)
}

/// The gravest first: what endangers the stream, then missing nodes, then the rest.
fn rank(reason: &Reason) -> (u8, usize) {
    match reason {
        Reason::OtherLeader(..) => (0, 0),
        Reason::OtherHistory(..) => (1, 0),
        // Nodes that do not receive each other for this reason also miss the leader, acks and redundancy.
        Reason::FilesDiffer(_) => (1, 1),
        Reason::Condition(_, active) => {
            let index = active.condition.index();
            match active.condition {
                // A full disk fills the journal.
                Condition::DiskFull => (2, 0),
                // A node that lost its address is silent.
                Condition::AddressTwice => (2, 999),
                Condition::JournalFull | Condition::Damaged | Condition::LogGone => (2, 1 + index),
                _ => (5, index),
            }
        }
        Reason::Silent { is_archiver: false, .. } => (3, 0),
        Reason::MissesLeader { .. } => (3, 1),
        Reason::Blank(_) | Reason::NoMember(_) => (4, 0),
        Reason::Silent { is_archiver: true, .. } => (6, 0),
        Reason::PathLost(_) => (3, 2),
        Reason::FileHereDiffers(_) => (4, 1),
        Reason::ChangePending => (6, 1),
        Reason::KeysOverdue(_) => (6, 2),
    }
}

impl Reason {
    /// Whether both are one cause, reported by two nodes.
    fn is_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Condition(_, one), Self::Condition(_, two)) => one.condition == two.condition,
            (Self::OtherHistory(_, one), Self::OtherHistory(_, two)) => one == two,
            (Self::FilesDiffer(one), Self::FilesDiffer(two)) => one.culprits() == two.culprits(),
            (Self::FileHereDiffers(_), Self::FileHereDiffers(_)) => true,
            (Self::PathLost(one), Self::PathLost(two)) => (one.way, one.to) == (two.way, two.to),
            (Self::NoMember(_), Self::NoMember(_))
            | (Self::Blank(_), Self::Blank(_))
            | (Self::MissesLeader { .. }, Self::MissesLeader { .. }) => true,
            _ => false,
        }
    }

    /// The number of the node that it names.
    fn number(&self) -> Option<u32> {
        match self {
            Self::Silent { identity, number, .. } => number.or(identity.map(|identity| identity.replica)),
            Self::Condition(identity, _)
            | Self::OtherHistory(identity, _)
            | Self::OtherLeader(identity, _)
            | Self::MissesLeader { identity, .. }
            | Self::NoMember(identity)
            | Self::Blank(identity) => Some(identity.replica),
            Self::FilesDiffer(_)
            | Self::FileHereDiffers(_)
            | Self::PathLost(_)
            | Self::ChangePending
            | Self::KeysOverdue(_) => None,
        }
    }

    fn age(&self) -> Option<Duration> {
        match self {
            Self::Condition(_, active) => Some(active.age),
            Self::MissesLeader { ago, .. } => Some(*ago),
            _ => None,
        }
    }

    /// The reason in a few words, without the node.
    pub fn brief(&self) -> String {
        match self {
            Self::OtherHistory(_, history) => format!("holds another history, {history:016x}"),
            Self::OtherLeader(_, history) => {
                format!("leads another history, {history:016x}: two histories are active")
            }
            Self::MissesLeader { leader, .. } => {
                format!("receives nothing from the leader {}, which others follow", leader.replica)
            }
            Self::NoMember(_) => "is no member".to_owned(),
            Self::Blank(_) => "holds nothing yet and is no member".to_owned(),
            _ => self.to_string(),
        }
    }
}

/// The verdict: what it is, which node is at fault and why, since when, and the present cost. At most
/// [`LINE_MAX`] characters.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { health, listed, there, .. } = self;
        match health {
            ClusterHealth::Healthy => {
                let may_crash = self.may_crash();
                write!(
                    f,
                    "healthy: {there} of {listed} members answer and hold the log, {may_crash} may crash"
                )
            }
            ClusterHealth::Degraded => {
                let cost = match (self.may_crash(), there < listed) {
                    (0, true) => "no member may crash".to_owned(),
                    (may_crash, _) => format!("{may_crash} may crash"),
                };
                let causes = self.causes();
                let cause =
                    causes.first().map_or_else(|| "a member is missing".to_owned(), HealthCause::to_string);
                let more = match causes.len() {
                    0 | 1 => String::new(),
                    count => format!(" (+{})", count - 1),
                };
                let mut ends = format!("{more}; {there} of {listed} hold the log");
                let begins = "degraded: ";
                let left = LINE_MAX.saturating_sub(begins.len() + ends.len() + ", ".len() + cost.len());
                // Both values of a key are more useful than the cost.
                let has_values = causes.first().is_some_and(|cause| has_values(&cause.reasons[0]));
                if !has_values || cause.chars().count() <= left {
                    ends = format!("{ends}, {cost}");
                }
                write!(f, "{begins}{}{ends}", cut(&cause, LINE_MAX - begins.len() - ends.len()))
            }
            ClusterHealth::NoLeader => self.write_no_leader(f),
            ClusterHealth::NoQuorum => self.write_no_quorum(f),
            ClusterHealth::NoHistory => write!(
                f,
                "no history: {there} of {listed} replicas answer and hold none: `lockstep bootstrap`, or start those that do"
            ),
        }
    }
}

impl Health {
    fn write_no_leader(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listed, there, .. } = self;
        // A replica that could lead lacks entries of nodes that do not answer.
        if let Some(cause) = self.causes().into_iter().find(HealthCause::lacks_log) {
            let begins = format!("no leader: {there} of {listed} answer; ");
            let ends = self.who_may_have_it().map_or_else(String::new, |whom| format!(": start {whom}"));
            let left = LINE_MAX.saturating_sub(begins.len() + ends.len());
            return write!(f, "{begins}{}{ends}", cut(&cause.says, left));
        }
        match self.lost_leader {
            // The takeover takes a moment.
            Some(number) => write!(
                f,
                "no leader: replica {number} led and does not answer; {there} of {listed} do: await a takeover, then \
                 check the network"
            ),
            None => write!(
                f,
                "no leader: {there} of {listed} members answer, and none of them leads: check the network between them"
            ),
        }
    }

    fn write_no_quorum(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self { listed, there, .. }, quorum) = (self, self.quorum());
        if let Some(whom) = super::start(&self.silent, quorum.saturating_sub(*there)) {
            return write!(f, "no quorum: {there} of {listed} answer, {quorum} needed: start {whom}");
        }
        // Enough of them answer here; what they hold, the leader knows.
        let begins = format!("no quorum: {there} of {listed} hold the log, {quorum} needed: ");
        let says = match (self.names(&self.blank), self.names(&self.lacking)) {
            (blank, lacking) if blank.is_empty() => {
                format!("the leader does not receive from {lacking}; check the network")
            }
            (blank, _) => format!("nothing is at {blank} yet, and the log is copied there"),
        };
        write!(f, "{begins}{}", cut(&says, LINE_MAX.saturating_sub(begins.len())))
    }
}

/// Whether it names both values of a key.
fn has_values(reason: &Reason) -> bool {
    matches!(reason, Reason::FilesDiffer(_) | Reason::FileHereDiffers(_))
}

/// At most `most` characters of `text`, cut after a word.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let taken: String = text.chars().take(most - 1).collect();
    let words = taken.rsplit_once(' ').map_or(taken.as_str(), |(words, _)| words);
    format!("{}…", words.trim_end_matches([',', ';', ':']))
}
