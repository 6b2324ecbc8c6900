//! The steps that mend a cause: those of `docs/RUNBOOK.md`, with the names of this cluster.

use lockstep_client::internal::{ClusterHealth, Health, NodeStatus, Reason};
use lockstep_daemon::config::CoordinatorConfig;
use lockstep_wire::{AgreedOwner, Condition, Identity, KeyDifference};
use std::fmt;
use std::io::Write;

/// Where a step is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StepHost {
    /// On this host, or on any other.
    Here,
    /// On the host of this node.
    Of(String),
}

/// A command, and what it will do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MendStep {
    /// Where it is done.
    pub host: StepHost,
    /// The command as it is typed.
    command: String,
    /// What it does.
    pub does: String,
}

impl fmt::Display for MendStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.command)
    }
}

impl MendStep {
    fn here(command: impl Into<String>, does: impl Into<String>) -> Self {
        Self { host: StepHost::Here, command: command.into(), does: does.into() }
    }

    fn of(node: &str, command: impl Into<String>, does: impl Into<String>) -> Self {
        Self { host: StepHost::Of(node.to_owned()), command: command.into(), does: does.into() }
    }

    /// The arguments of a command of this program that is known to the last word; `None` where the operator
    /// has to fill something in, or where it is another program.
    pub fn arguments(&self) -> Option<Vec<&str>> {
        let arguments: Vec<_> = self.command.strip_prefix("lockstep ")?.split(' ').collect();
        // A word of capitals is to be filled in: NEW, N, FILE. A code has digits.
        let is_known = |word: &&str| !word.chars().all(|c| c.is_ascii_uppercase());
        arguments.iter().all(is_known).then_some(arguments)
    }
}

/// Prints a step, and what it does.
pub fn write_step(out: &mut impl Write, step: &MendStep) -> std::io::Result<()> {
    let MendStep { host, does, .. } = step;
    let place = match host {
        StepHost::Here => String::new(),
        StepHost::Of(node) => format!("on the host of {node}: "),
    };
    writeln!(out, "  {place}{step}\n      {does}")
}

/// The steps where no replica leads.
pub fn without_leader(health: &Health) -> Vec<MendStep> {
    match health.health {
        ClusterHealth::Healthy | ClusterHealth::Degraded => Vec::new(),
        ClusterHealth::NoLeader => vec![MendStep::here(
            "lockstep doctor --probe",
            "shows which host does not receive from which: it must run on all hosts at the same time",
        )],
        ClusterHealth::NoQuorum => {
            let start = |number: &u32| start_of(&format!("replica {number}"), "sequencer", *number);
            let mut steps: Vec<_> = health.silent.iter().map(start).collect();
            steps.push(MendStep::here(
                "lockstep recover --compare FILE",
                "where journals are lost for good: shows which of the remaining ones holds most (RUNBOOK, No leader)",
            ));
            steps
        }
        ClusterHealth::NoHistory => vec![MendStep::of(
            "one replica",
            "lockstep bootstrap --replica N",
            "founds the stream: once in the life of a cluster, and never where a journal holds one",
        )],
    }
}

/// The steps that mend what `reason` says.
pub fn steps(reason: &Reason, leader: Option<&NodeStatus>) -> Vec<MendStep> {
    match reason {
        Reason::Silent { identity, number, is_archiver, .. } => {
            let number = number.or(identity.map(|identity| identity.replica)).unwrap_or(0);
            let unit = if *is_archiver { "archiver" } else { "sequencer" };
            let who = format!("{} {number}", if *is_archiver { "archiver" } else { "replica" });
            if reason.reaches_leader() {
                let does = "shows why this host does not reach it: it runs, and the leader receives from it";
                return vec![MendStep::here("lockstep doctor --probe", does)];
            }
            let mut steps = vec![start_of(&who, unit, number)];
            if let (Some(identity), false) = (identity, is_archiver) {
                steps.push(MendStep::of(
                    &who,
                    format!("lockstep format --replica {number}"),
                    "only where it does not rejoin by itself and its log says why: in an empty folder, makes a journal \
                     under an identity that it prints as NEW",
                ));
                steps.push(MendStep::here(
                    format!("lockstep membership replace {identity} NEW"),
                    format!("gives {identity}'s place to NEW; what was acknowledged stays with the others"),
                ));
            }
            steps
        }
        Reason::MissesLeader { .. } => vec![MendStep::here(
            "lockstep doctor --probe",
            "shows which direction and which port fails between the two: it must run on all hosts at the same time",
        )],
        Reason::Blank(identity) | Reason::NoMember(identity) => vec![admit(*identity, leader)],
        Reason::ChangePending => {
            vec![MendStep::here("lockstep wait --for quorum", "waits until a quorum holds the change")]
        }
        Reason::KeysOverdue(_) => vec![MendStep::here(
            "lockstep keys rotate",
            "begins the change of keys; SECURITY.md, Rotation, describes all of it, and the stream continues meanwhile",
        )],
        Reason::OtherHistory(identity, _) | Reason::OtherLeader(identity, _) => vec![MendStep::of(
            &format!("replica {}", identity.replica),
            "lockstep recover --replica N",
            "shows what its journal holds, and changes nothing: compare it with the others' before anything is stopped",
        )],
        Reason::PathLost(_) => vec![probe_both()],
        Reason::FilesDiffer(difference) if difference.has_culprits() => {
            difference.culprits().iter().flat_map(|owner| correct_file(*owner, difference)).collect()
        }
        Reason::FilesDiffer(_) | Reason::FileHereDiffers(_) => vec![MendStep::here(
            "lockstep check --diff FILE",
            "compares this host's file with FILE, another host's: shows which keys differ and what the change needs",
        )],
        Reason::Condition(identity, active) => of_condition(active.condition, *identity, leader),
    }
}

fn start_of(who: &str, unit: &str, number: u32) -> MendStep {
    MendStep::of(
        who,
        format!("systemctl start lockstep-{unit}@{number}"),
        "starts it; a start that is refused says in its log what to do instead",
    )
}

fn failed_leaders() -> Vec<MendStep> {
    vec![
        MendStep::here(
            "lockstep events --code LS1004",
            "shows when which leader was missed and why: by silence, by its death, or as it made no progress",
        ),
        MendStep::here(
            "lockstep doctor",
            "at the host of a leader that was silent: shows what takes the core of its hot thread",
        ),
    ]
}

fn probe_both() -> MendStep {
    MendStep::here(
        "lockstep doctor --probe",
        "shows which direction, size and group fails between the two: it must run on all hosts at the same time",
    )
}

/// The host of a node whose file differs from the others'.
/// The key gets the value that most have, and the process takes it when it starts.
fn correct_file(owner: AgreedOwner, difference: &KeyDifference) -> [MendStep; 2] {
    let key = &difference.key;
    let does = match difference.usual() {
        Some((Some(row), _)) => format!("gives {key} the value {}, which most have", row.text()),
        _ => format!("removes {key}, which most do not have"),
    };
    let who = owner_name(owner);
    [MendStep::of(&who, "edit /etc/lockstep/lockstep.toml", does), restart_with_file(owner)]
}

fn restart_with_file(owner: AgreedOwner) -> MendStep {
    let unit = if owner.is_archiver { "archiver" } else { "sequencer" };
    MendStep::of(
        &owner_name(owner),
        format!("systemctl restart lockstep-{unit}@{}", owner.number),
        "once its file has the key as the others have it: the process takes the value when it starts",
    )
}

fn owner_name(owner: AgreedOwner) -> String {
    let kind = if owner.is_archiver { "archiver" } else { "replica" };
    format!("{kind} {}", owner.number)
}

/// A node that is formatted takes the place of the member with its number, or a place of its own.
fn admit(identity: Identity, leader: Option<&NodeStatus>) -> MendStep {
    let previous =
        leader.and_then(|leader| leader.member(identity.replica)).map(|listed| listed.member.identity());
    match previous {
        Some(previous) => MendStep::here(
            format!("lockstep membership replace {previous} {identity}"),
            format!("gives {previous}'s place to it, once it holds the stream"),
        ),
        None => MendStep::here(
            format!("lockstep membership add {identity}"),
            "lets it vote, once it holds the stream",
        ),
    }
}

fn of_condition(condition: Condition, identity: Identity, leader: Option<&NodeStatus>) -> Vec<MendStep> {
    let number = identity.replica;
    let who = &format!("replica {number}");
    let is_leader = leader.is_some_and(|leader| leader.identity == identity);
    match condition {
        Condition::DiskFull | Condition::FilesRefused | Condition::DeviceStalled | Condition::JournalFull => {
            let mut steps = Vec::new();
            if is_leader {
                steps.push(MendStep::here(
                    "lockstep handover",
                    "another replica leads, and this one can be looked after",
                ));
            }
            let does = "shows room, files and device of its journal, and what mends each";
            steps.push(MendStep::of(who, "lockstep doctor", does));
            steps
        }
        Condition::Damaged => vec![MendStep::of(
            who,
            format!("lockstep journal verify --replica {number}"),
            "names each damaged file, byte and seq; what another journal has is mended by the node itself",
        )],
        Condition::LogGone => vec![
            MendStep::of(
                who,
                format!("lockstep format --replica {number}"),
                "where it does not rejoin by itself: behind a stop and with its folder and tail moved away, an empty \
                 journal, under an identity NEW",
            ),
            MendStep::here(
                format!("lockstep membership replace {identity} NEW"),
                "NEW begins with the tables of the oldest entry that is kept, and takes its place",
            ),
        ],
        Condition::ClockAhead | Condition::ClockApart => vec![
            MendStep::here(
                "lockstep time",
                "shows the stream's time beside the clock of each node, and changes nothing",
            ),
            MendStep::of(
                who,
                "timedatectl status",
                "shows whether its clock is synchronized: correct it first",
            ),
        ],
        Condition::PathLost => vec![probe_both()],
        Condition::TakeoversOften => failed_leaders(),
        Condition::OlderKeys => vec![MendStep::here(
            "lockstep keys show",
            "has the key's name: give the program of that name the present file, and let it read that",
        )],
        Condition::AddressTwice => vec![MendStep::of(
            who,
            "ip neigh",
            "shows the card at each address: the one that is not the node's is the other machine's",
        )],
        Condition::MulticastLost | Condition::LineLost => vec![MendStep::here(
            "lockstep doctor --probe",
            "shows which group, line and direction fails: it must run on all hosts at the same time",
        )],
        Condition::FilesDiffer => vec![restart_with_file(AgreedOwner { number, is_archiver: false })],
        Condition::WatcherGone => vec![MendStep::of(
            who,
            format!("systemctl restart lockstep-sequencer@{number}"),
            "starts node and watcher anew; where it leads, `lockstep handover` first",
        )],
        _ => Vec::new(),
    }
}

/// The steps that mend a condition of a set, whose cause is `stream` if one is.
pub fn of_set(
    condition: Condition,
    stream: Option<&str>,
    coordinators: &[CoordinatorConfig],
) -> Vec<MendStep> {
    match (condition, stream) {
        (Condition::MergeStalled, Some(stream)) => vec![
            MendStep::here(
                format!("lockstep why --stream {stream}"),
                "says whether the stream has a leader, and what mends that",
            ),
            MendStep::of(
                "each coordinator",
                format!("lockstep doctor --stream {stream}"),
                "where the stream has a leader: shows why the coordinator does not receive its groups",
            ),
        ],
        (Condition::MergeStalled, None) => {
            let start = |one: &CoordinatorConfig| {
                MendStep::of(
                    &format!("coordinator {} ({})", one.id, one.host),
                    format!("systemctl restart lockstep-coordinator@{}", one.id),
                    "starts it; its log says why it publishes nothing",
                )
            };
            let show =
                MendStep::here("lockstep streams show", "shows who has published cuts, and the last one");
            coordinators.iter().map(start).chain([show]).collect()
        }
        (Condition::CutAhead, Some(stream)) => vec![
            MendStep::here(
                format!("lockstep events --stream {stream}"),
                "shows when the stream was founded anew, or which journals were lost",
            ),
            MendStep::here(
                "lockstep streams show",
                "shows whether a newer cut covers what the stream has now",
            ),
        ],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
