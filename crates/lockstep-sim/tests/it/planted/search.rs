//! Looks for a mutation without knowing where it shows: seeds, all interleavings, walks, the exploration of
//! the proof.

use super::Witness;
use crate::proof::scope_of_lane;
use lockstep_core::engine::subscriber::Delivery;
use lockstep_core::proto::planted::{Mutation, with_planted};
use lockstep_sim::explore::{ExploreScope, Explored, explore, walk};
use lockstep_sim::many::run_many;
use lockstep_sim::proof;
use lockstep_sim::{Plan, discards_unfinished, has_rejoiners};
use lockstep_wire::Change;
use std::time::{Duration, Instant};

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

/// What only orders that are given half, or twice, can find.
const OF_ORDERS: &[Mutation] = &[Mutation::ReplicaListedTwice, Mutation::LateOrderTaken];

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
const SEEDS_OF_SOME: u64 = 20_000;

/// A mutation is found.
pub(super) struct Found {
    /// The one that finds it soonest by itself.
    pub(super) witness: Witness,
    /// After how much.
    pub(super) after: String,
    /// What it says.
    pub(super) how: String,
}

/// How looking for a mutation ended.
pub(super) enum SearchResult {
    Found(Found),
    /// All of the states, steps and seeds were tried.
    Nowhere,
    /// A slow machine: not all of the seeds were tried in their time.
    TimeOver,
}

impl From<Option<Found>> for SearchResult {
    fn from(found: Option<Found>) -> Self {
        found.map_or(Self::Nowhere, Self::Found)
    }
}

/// Looks for the mutation everywhere; seeds that must be picked take so long at most.
pub(super) fn search(mutation: Mutation, rule: &str, seed_time: Duration) -> SearchResult {
    with_planted(Some(mutation), || match needs(mutation, rule) {
        _ if OF_PROOF.contains(&mutation) => found_by(Witness::Proof).into(),
        // The explorer has no edges and no disks that are full.
        Some((what, has)) => match some_seeds(what, has, seed_time) {
            SearchResult::Nowhere if !["edge", "vanished", "PARTS-1"].contains(&rule) => {
                small_states().into()
            }
            result => result,
        },
        // Only the simulator judges these.
        None if SIMULATED.contains(&rule) => seeds(SEEDS, seed_time),
        // Most are found by a few seeds, which take less time than all small states.
        None => match seeds(SEEDS_FIRST, seed_time) {
            SearchResult::Found(found) => SearchResult::Found(found),
            _ => small_states().map_or_else(|| seeds(SEEDS, seed_time), SearchResult::Found),
        },
    })
}

/// What the witness says of what is planted on this thread.
pub(super) fn found_by(witness: Witness) -> Option<Found> {
    match witness {
        Witness::Seed(seed) => {
            let failure = run_many(seed, 1, 1, 1, |_| true).failures.into_iter().next()?;
            Some(Found { witness, after: "one seed".to_owned(), how: failure.violation })
        }
        Witness::Interleavings(scope) => in_story(witness, explore(&scope.of_interleavings())),
        Witness::Walk(scope, seed) => in_story(witness, walk(&scope.of_walks(), seed, scope.walk_steps())),
        Witness::Proof => {
            let how = proof::explore(&scope_of_lane()).err()?;
            let how = how.lines().next().unwrap_or_default().to_string();
            Some(Found { witness, after: "at most two generations".to_string(), how })
        }
        Witness::Test(_) | Witness::Story(_) | Witness::Night => None,
    }
}

fn in_story(witness: Witness, found: Result<Explored, String>) -> Option<Found> {
    match found {
        Err(how) => Some(Found { witness, after: "before the first step".into(), how }),
        Ok(found) => found.story.map(|story| {
            let after =
                format!("{} states, {} steps, depth {}", found.states, found.steps, story.steps.len());
            Found { witness, after, how: story.violation }
        }),
    }
}

/// What the explorer finds: first memberships that stay, then those that change.
fn small_states() -> Option<Found> {
    let witnesses = [
        Witness::Interleavings(Scope::Small),
        Witness::Interleavings(Scope::Losses),
        Witness::Interleavings(Scope::Committed),
        Witness::Interleavings(Scope::Stamped),
        Witness::Walk(Scope::Stamped, 0),
        Witness::Walk(Scope::Committed, 1),
        Witness::Walk(Scope::Small, 2),
        Witness::Interleavings(Scope::Changes(2)),
        Witness::Walk(Scope::Changes(2), 0),
        Witness::Interleavings(Scope::Changes(3)),
        Witness::Walk(Scope::Changes(3), 1),
        Witness::Interleavings(Scope::Changes(4)),
        Witness::Walk(Scope::Changes(4), 2),
        Witness::Interleavings(Scope::Heir),
        Witness::Walk(Scope::Heir, 3),
    ];
    witnesses.into_iter().find_map(found_by)
}

/// A small cluster that is explored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scope {
    Small,
    /// Machines are lost.
    Losses,
    /// With a reader of what is committed.
    Committed,
    /// With a reader of what is stamped.
    Stamped,
    /// One joins and two leave so many.
    Changes(usize),
    /// A replica's next life takes the place of the one before.
    Heir,
}

impl Scope {
    fn of_interleavings(self) -> ExploreScope {
        match self {
            Self::Small => ExploreScope { depth: 6, ..self.cluster() },
            Self::Losses => ExploreScope { depth: 5, losses: 1, ..self.cluster() },
            Self::Committed | Self::Stamped => ExploreScope { depth: 5, ..self.cluster() },
            Self::Changes(_) | Self::Heir => ExploreScope { depth: 7, ..self.cluster() },
        }
    }

    fn of_walks(self) -> ExploreScope {
        match self {
            Self::Changes(_) | Self::Heir => {
                ExploreScope { heartbeats: true, crashes: 1, round_max: 5, ..self.cluster() }
            }
            _ => ExploreScope {
                values: 3,
                heartbeats: true,
                crashes: 2,
                losses: 1,
                round_max: 4,
                ..self.cluster()
            },
        }
    }

    fn walk_steps(self) -> u64 {
        match self {
            Self::Changes(_) | Self::Heir => WALK_STEPS,
            _ => WALK_STEPS / 3,
        }
    }

    fn cluster(self) -> ExploreScope {
        use Change::{Add, Remove, Replace};
        let changing = |members, replicas, changes| ExploreScope {
            replicas,
            members,
            changes,
            values: 1,
            crashes: 0,
            ..ExploreScope::default()
        };
        let two = ExploreScope { values: 2, ..ExploreScope::default() };
        match self {
            Self::Small => ExploreScope::default(),
            Self::Losses => two,
            Self::Committed => ExploreScope { reader: Some(Delivery::Committed), ..two },
            Self::Stamped => ExploreScope { reader: Some(Delivery::Stamped), ..two },
            Self::Changes(2) => changing(2, 3, vec![(Add, 2), (Remove, 0), (Remove, 1)]),
            Self::Changes(3) => changing(3, 4, vec![(Add, 3), (Remove, 0), (Remove, 1)]),
            Self::Changes(members) => {
                changing(members, members + 1, vec![(Add, members), (Remove, 1), (Remove, 2)])
            }
            Self::Heir => ExploreScope { heirs: true, ..changing(3, 4, vec![(Replace, 3)]) },
        }
    }
}

/// A seed below `seeds` that fails with the mutation and not without it.
fn seeds(seeds: u64, limit: Duration) -> SearchResult {
    let begun = Instant::now();
    let mut first = 0;
    loop {
        let tally = run_many(first, seeds - first, 2, 1, |_| begun.elapsed() < limit);
        let Some(failure) = tally.failures.into_iter().next() else {
            return if first + tally.runs < seeds { SearchResult::TimeOver } else { SearchResult::Nowhere };
        };
        if is_clean(failure.seed) {
            let after = format!("{} seeds", failure.seed + 1);
            let witness = Witness::Seed(failure.seed);
            return SearchResult::Found(Found { witness, after, how: failure.violation });
        }
        first = failure.seed + 1;
    }
}

/// Whether a seed is clean with nothing planted.
pub(super) fn is_clean(seed: u64) -> bool {
    with_planted(None, || run_many(seed, 1, 1, 1, |_| true).failures.is_empty())
}

/// Seeds that can find a mutation: what they are called, and which they are.
type Seeds = (&'static str, fn(&Plan) -> bool);

/// Which seeds can find a mutation; none where all of them may.
fn needs(mutation: Mutation, rule: &str) -> Option<Seeds> {
    match rule {
        "edge" => Some(("with an edge", |plan| plan.edges.is_some())),
        "vanished" => Some(("with files that vanish", Plan::loses_files)),
        "PARTS-1" => Some(("with small bounds of what is unfinished", discards_unfinished)),
        "REJOIN-1" => Some(("with replicas that rejoin", has_rejoiners)),
        _ if rule.starts_with("LINEAGE") || OF_FOUNDING.contains(&mutation) => {
            Some(("with a founding", Plan::may_found))
        }
        _ if OF_FULL_DISKS.contains(&mutation) => Some(("of a drought", Plan::has_full_disks)),
        _ if OF_COPIES.contains(&mutation) => Some(("with journals that are rolled back", Plan::rolls_back)),
        _ if OF_ORDERS.contains(&mutation) => Some(("with orders given half or twice", Plan::repeats_orders)),
        _ if OF_SECONDS.contains(&mutation) => Some(("with a second process", Plan::has_second)),
        _ if OF_DAYS.contains(&mutation) => Some(("that last for days", Plan::is_long)),
        _ => None,
    }
}

/// A seed of those that can find the mutation: the others are passed over, and not counted as tried.
fn some_seeds(what: &str, has: fn(&Plan) -> bool, limit: Duration) -> SearchResult {
    let begun = Instant::now();
    let mut tried = 0;
    for seed in (0..SEEDS_OF_SOME).filter(|seed| has(&Plan::of_seed(*seed))) {
        if begun.elapsed() >= limit {
            return SearchResult::TimeOver;
        }
        tried += 1;
        let Some(found) = found_by(Witness::Seed(seed)) else { continue };
        if is_clean(seed) {
            let after = format!("{} seeds, {tried} {what}", seed + 1);
            return SearchResult::Found(Found { after, ..found });
        }
    }
    SearchResult::Nowhere
}
