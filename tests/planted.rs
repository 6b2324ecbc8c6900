//! The checkers prove themselves: with each mutation of `lockstep_wire::planted` put into the code, the
//! exploration of the proof of completeness, the explorer or the simulator must find it. Prints who found
//! what, after how many states, steps or seeds.
//!
//! `RUSTFLAGS="--cfg lockstep_planted" cargo test --release --test planted -- --nocapture`;
//! `LOCKSTEP_PLANTED=Name,Name` tries only those, `LOCKSTEP_PLANTED_SEED_SECONDS` gives each so long instead
//! of 40 s of seeds, `LOCKSTEP_PLANTED_SECONDS` ends it when they are over and says what was not tried.

#![cfg(lockstep_planted)]
#![allow(clippy::disallowed_methods, reason = "the harness is given so many seconds, and says what it took")]

use lockstep_core::engine::subscriber::Delivery;
use lockstep_core::proto::planted::{Mutation, plant};
use lockstep_sim::Plan;
use lockstep_sim::explore::{ExploreScope, Explored, explore, walk};
use lockstep_sim::many::run_many;
use lockstep_sim::proof;
use lockstep_wire::Change;
use std::time::{Duration, Instant};

/// What neither finds, and why; and the test that holds it. Those of the engines and of a founding are run
/// with the rule broken: `found_by.rs` and `founding.rs` of the tests of `lockstep-core` and `lockstep-replica`.
const NOT_FOUND: &[(Mutation, &str)] = &[
    (
        Mutation::UnlistedLeads,
        "who is not listed is a learner already, which never campaigns; proto/election/tests.rs",
    ),
    (
        Mutation::PrefixNotProven,
        "nobody gives it (S11), and no other prefix fits the chain; engine/readers.rs",
    ),
    (
        Mutation::AncestorUnbounded,
        "no reader of 500 runs that found a history is given such a frame; the tests of proto/lineage.rs",
    ),
    (
        Mutation::OtherRepairersReportTaken,
        "no reader of the runs that found a history among 10,000 seeds is given one; engine/histories.rs",
    ),
    (
        Mutation::BlankAbstains,
        "a founder that loses the start of its first epoch is rare; engine/takeover.rs",
    ),
    (
        Mutation::OutputBeforeCommit,
        "a cause that a takeover takes back is mostly sent again; engine/outputs.rs",
    ),
    (Mutation::OneDatagramDiverges, "nobody forges in the simulator; engine/receiver.rs"),
    (Mutation::PromisedCommitLost, "the first commit of the new epoch makes up for it; engine/found.rs"),
    (Mutation::HistoryChangesAnywhere, "no run that founds a history dies there; founding.rs"),
    (Mutation::FoundedOnUnsynced, "no run that founds a history dies there; founding.rs"),
    (Mutation::FounderFirst, "no run that founds a history dies there; founding.rs"),
    (Mutation::EvidenceIsLoss, "no run that founds a history dies there; founding.rs"),
    (Mutation::LeaderRepairs, "costs the leader, and no rule of the order; engine/repair.rs"),
    (Mutation::MemberByName, "nobody uses a member's name in the simulator; engine/repair.rs"),
    (Mutation::RepeatsAnswered, "costs the network, and no rule of the order; engine/repair.rs"),
    (Mutation::EachAlone, "costs the network, and no rule of the order; engine/repair.rs, netsim"),
    (Mutation::NoBudget, "costs the repairer, and no rule of the order; engine/repair.rs"),
    (
        Mutation::FoundationRemoved,
        "an exchange behind the only sealed segment, and its removal: one seed in ten thousand; journal/tests/segments.rs",
    ),
    (Mutation::OpenFrameNotDropped, "no leader stops with an open frame in 500 seeds; engine/found.rs"),
    (
        Mutation::UnreadNamesNobodys,
        "a gateway of the newest day, beside a name of the day before: regression 20261127003978 of tests/sim.rs",
    ),
    (Mutation::WaitsForRemembered, "one seed in ten thousand: regression 20261122423359 of tests/sim.rs"),
    (Mutation::LateOrderTaken, "not tried to the end; engine/membership.rs"),
    (Mutation::ReplicaListedTwice, "not tried to the end; engine/membership.rs"),
    (Mutation::LeaderRemoved, "not tried to the end; proto/membership/tests.rs"),
    (Mutation::LastMemberRemoved, "not tried to the end; proto/membership/tests.rs"),
    (
        Mutation::RequestsWithoutRoom,
        "a disk full for days, one seed in twenty thousand: regression 20261122738366; engine/full.rs",
    ),
    (Mutation::RecipientsIgnored, "engine/rights.rs"),
    (Mutation::RightsIgnored, "one seed in five thousand; engine/rights.rs"),
    (Mutation::AnyoneAttests, "nobody poses as a notary in the simulator; engine/rights.rs"),
    (
        Mutation::TablesOfHalfASuffix,
        "a bit of a frame that waits beside a log: one seed in ten thousand; engine/exchange.rs",
    ),
    (Mutation::StalledLeaderSpeaks, "all others fence it; engine/shipped.rs"),
    (Mutation::AnyCommitProves, "no seed of 400, and no walk of 150,000 steps; engine/catch_up.rs"),
    (Mutation::RoundsJump, "nobody forges in the simulator; proto/rounds.rs"),
];

/// What the exploration of the proof must find by itself.
const OF_PROOF: &[Mutation] = &[
    Mutation::OwnDurabilityIgnored,
    Mutation::AnyRingIsOwn,
    Mutation::CleanBeforeSynced,
    Mutation::MarkedFirst,
    Mutation::MarkedBeforeLabel,
    Mutation::MarkedInOneCopy,
    Mutation::BlankIsTorn,
    Mutation::RingNumberTwice,
    Mutation::OlderNotSynced,
    Mutation::OlderCountedDurable,
    Mutation::DurabilityForgotten,
    Mutation::ProvenTooEarly,
];

/// What only a run that founds a history can find, beside LINEAGE-1 to LINEAGE-3.
const OF_FOUNDING: &[Mutation] = &[
    Mutation::MemberGoesOver,
    Mutation::FoundedOnUnsynced,
    Mutation::FounderFirst,
    Mutation::FounderInherits,
    Mutation::EvidenceIsLoss,
    Mutation::AnyFoundingIsOurs,
];

/// What only full disks of a majority can find.
const OF_FULL_DISKS: &[Mutation] =
    &[Mutation::TableEnds, Mutation::FullMissesLeader, Mutation::FullCampaigns];

/// What only a run that lasts for days can find.
const OF_DAYS: &[Mutation] = &[Mutation::HeartbeatsMadeUp];

/// What only a journal that is rolled back can find.
const OF_COPIES: &[Mutation] = &[Mutation::OlderCopyIsTorn];

/// What only a second process of an identity can find.
const OF_SECONDS: &[Mutation] = &[Mutation::DuplicateStays, Mutation::VotesUnlooked];

/// Rules whose judges the explorer does not call: it would look in vain.
const SIMULATED: &[&str] = &[
    "events", "idle", "replies", "stable", "handover", "pools", "REPAIR-3", "REPAIR-4", "PROOF-1", "replays",
];

/// Steps of random walks, and seeds, that are spent on one mutation at most.
const WALK_STEPS: u64 = 900_000;
const SEEDS: u64 = 10_000;
/// Seeds before anything else is tried.
const SEEDS_FIRST: u64 = 100;
/// The same where most seeds are passed over.
const SEEDS_OF_SOME: u64 = 10_000;

/// Seconds for the seeds of one mutation.
fn seed_seconds() -> u64 {
    let setting = std::env::var("LOCKSTEP_PLANTED_SEED_SECONDS").ok();
    setting.and_then(|seconds| seconds.parse().ok()).unwrap_or(40)
}

struct Found {
    by: &'static str,
    after: String,
    how: String,
}

fn in_story(by: &'static str, found: Result<Explored, String>, deep: bool) -> Option<Found> {
    match found {
        Err(how) => Some(Found { by, after: "before the first step".into(), how }),
        Ok(found) => found.story.map(|story| {
            let after = if deep {
                format!("{} steps", found.steps)
            } else {
                format!("{} states, depth {}", found.states, story.steps.len())
            };
            Found { by, after, how: story.violation }
        }),
    }
}

/// Runs of a replica on its journal: for what only they can meet (S9).
fn runs() -> Option<Found> {
    let how = proof::explore(&proof::ProofScope { generations: 2, stride: 64, jobs: 2 }).err()?;
    let how = how.lines().next().unwrap_or_default().to_string();
    Some(Found { by: "proof", after: "at most two generations".to_string(), how })
}

fn all_interleavings() -> Option<Found> {
    let scopes = [
        ExploreScope { depth: 6, ..ExploreScope::default() },
        ExploreScope { depth: 5, values: 2, losses: 1, ..ExploreScope::default() },
        ExploreScope { depth: 5, values: 2, reader: Some(Delivery::Committed), ..ExploreScope::default() },
        ExploreScope { depth: 5, values: 2, reader: Some(Delivery::Stamped), ..ExploreScope::default() },
    ];
    scopes.iter().find_map(|scope| in_story("explorer", explore(scope), false))
}

fn walks() -> Option<Found> {
    let readers = [Some(Delivery::Stamped), Some(Delivery::Committed), None];
    readers.into_iter().enumerate().find_map(|(seed, reader)| {
        let scope = ExploreScope {
            reader,
            heartbeats: true,
            crashes: 2,
            losses: 1,
            round_max: 4,
            ..ExploreScope::default()
        };
        in_story("walks", walk(&scope, seed as u64, WALK_STEPS / 3), true)
    })
}

/// Memberships that change: of two, three and four.
fn changes() -> Option<Found> {
    use Change::{Add, Remove, Replace};
    let scopes = [
        (2, 3, vec![(Add, 2), (Remove, 0), (Remove, 1)], false),
        (3, 4, vec![(Add, 3), (Remove, 0), (Remove, 1)], false),
        (4, 5, vec![(Add, 4), (Remove, 1), (Remove, 2)], false),
        (3, 4, vec![(Replace, 3)], true),
    ];
    scopes.into_iter().enumerate().find_map(|(seed, (members, replicas, changes, heirs))| {
        let small = ExploreScope {
            replicas,
            members,
            changes,
            heirs,
            values: 1,
            crashes: 0,
            ..ExploreScope::default()
        };
        let all = explore(&ExploreScope { depth: 7, ..small.clone() });
        in_story("explorer", all, false).or_else(|| {
            let wide = ExploreScope { heartbeats: true, crashes: 1, round_max: 5, ..small };
            in_story("walks", walk(&wide, seed as u64, WALK_STEPS), true)
        })
    })
}

/// What the explorer finds.
fn small_states() -> Option<Found> {
    all_interleavings().or_else(walks).or_else(changes)
}

/// How looking for a mutation ended.
enum SearchResult {
    Found(Found),
    /// All of the states, steps and seeds were tried.
    Nowhere,
    /// A slow machine: not all of the seeds were tried in their time.
    TimeOver,
}

/// A seed below `seeds` that fails with the mutation and not without it.
fn seeds(mutation: Mutation, seeds: u64) -> SearchResult {
    let begun = Instant::now();
    let limit = Duration::from_secs(seed_seconds());
    let mut first = 0;
    loop {
        let tally = run_many(first, seeds - first, 2, 1, |_| begun.elapsed() < limit);
        let Some(failure) = tally.failures.into_iter().next() else {
            return if first + tally.runs < seeds { SearchResult::TimeOver } else { SearchResult::Nowhere };
        };
        plant(None);
        let fails_anyway = !run_many(failure.seed, 1, 1, 1, |_| true).failures.is_empty();
        plant(Some(mutation));
        if !fails_anyway {
            let after = format!("{} seeds", failure.seed + 1);
            return SearchResult::Found(Found { by: "simulator", after, how: failure.violation });
        }
        first = failure.seed + 1;
    }
}

/// Seeds that can find a mutation: what they are called, and which they are.
type Seeds = (&'static str, fn(&Plan) -> bool);

/// Which seeds can find a mutation; none where all of them may.
fn needs(mutation: Mutation, rule: &str) -> Option<Seeds> {
    match rule {
        "edge" => Some(("with an edge", |plan| plan.edges.is_some())),
        _ if rule.starts_with("LINEAGE") || OF_FOUNDING.contains(&mutation) => {
            Some(("with a founding", Plan::may_found))
        }
        _ if OF_FULL_DISKS.contains(&mutation) => Some(("of a drought", Plan::has_full_disks)),
        _ if OF_COPIES.contains(&mutation) => Some(("with journals that are rolled back", Plan::rolls_back)),
        _ if OF_SECONDS.contains(&mutation) => Some(("with a second process", Plan::has_second)),
        _ if OF_DAYS.contains(&mutation) => Some(("that last for days", Plan::is_long)),
        _ => None,
    }
}

/// A seed of those that can find the mutation: the others are passed over, and not counted as tried.
fn some_seeds(mutation: Mutation, what: &str, has: fn(&Plan) -> bool) -> SearchResult {
    let begun = Instant::now();
    let mut tried = 0;
    for seed in (0..SEEDS_OF_SOME).filter(|seed| has(&Plan::of_seed(*seed))) {
        if begun.elapsed() >= Duration::from_secs(seed_seconds()) {
            return SearchResult::TimeOver;
        }
        tried += 1;
        let Some(failure) = run_many(seed, 1, 1, 1, |_| true).failures.into_iter().next() else { continue };
        plant(None);
        let fails_anyway = !run_many(seed, 1, 1, 1, |_| true).failures.is_empty();
        plant(Some(mutation));
        if !fails_anyway {
            let after = format!("{} seeds, {tried} {what}", seed + 1);
            return SearchResult::Found(Found { by: "simulator", after, how: failure.violation });
        }
    }
    SearchResult::Nowhere
}

/// Only these, where the environment names some.
fn is_wanted(mutation: Mutation) -> bool {
    std::env::var("LOCKSTEP_PLANTED")
        .map_or(true, |names| names.split(',').any(|name| format!("{mutation:?}") == name))
}

#[test]
fn every_planted_bug_is_found() {
    lockstep_io::choose_instructions();
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    let mut untried = Vec::new();
    let begun = Instant::now();
    let limit = std::env::var("LOCKSTEP_PLANTED_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    for &(mutation, rule, what) in Mutation::ALL.iter().filter(|(mutation, ..)| is_wanted(*mutation)) {
        if limit.is_some_and(|seconds| begun.elapsed() >= Duration::from_secs(seconds)) {
            untried.push(mutation);
            continue;
        }
        plant(Some(mutation));
        let begun = Instant::now();
        let found = match needs(mutation, rule) {
            _ if OF_PROOF.contains(&mutation) => runs().map_or(SearchResult::Nowhere, SearchResult::Found),
            // The explorer has no edges and no disks that are full.
            Some((what, has)) => match some_seeds(mutation, what, has) {
                SearchResult::Nowhere if rule != "edge" => {
                    small_states().map_or(SearchResult::Nowhere, SearchResult::Found)
                }
                result => result,
            },
            // Only the simulator judges these.
            None if SIMULATED.contains(&rule) => seeds(mutation, SEEDS),
            // Most are found by a few seeds, which take less time than all small states.
            None => match seeds(mutation, SEEDS_FIRST) {
                SearchResult::Found(found) => SearchResult::Found(found),
                _ => small_states().map_or_else(|| seeds(mutation, SEEDS), SearchResult::Found),
            },
        };
        let excused = NOT_FOUND.iter().find(|(known, _)| *known == mutation);
        match (found, excused) {
            (SearchResult::TimeOver, _) => untried.push(mutation),
            (SearchResult::Found(found), None) => {
                let how: String = found.how.chars().take(110).collect();
                let Found { by, after, .. } = found;
                let took = begun.elapsed();
                println!("| {rule} | {mutation:?}: {what} | {by} | {after} | {how} | {took:.1?} |");
            }
            (SearchResult::Nowhere, Some((_, why))) => {
                println!("| {rule} | {mutation:?}: {what} | nobody | {why} | | |")
            }
            (SearchResult::Nowhere, None) => {
                println!("| {rule} | {mutation:?}: {what} | NOBODY | | | {:.1?} |", begun.elapsed());
                missed.push(mutation);
            }
            (SearchResult::Found(found), Some(_)) => {
                let Found { by, after, how } = found;
                println!("| {rule} | {mutation:?}: {what} | {by}, after all | {after} | {how} | |");
            }
        }
    }
    plant(None);
    let _ = std::panic::take_hook();
    println!("not tried, or not to the end, as the time was over: {untried:?}");
    assert!(missed.is_empty(), "nobody found {missed:?}");
}
