//! The checkers prove themselves: with each mutation of `lockstep_wire::planted` put into the code, the
//! exploration of the proof of completeness, the explorer or the simulator must find it.
//!
//! Each change tries each mutation with the witness that is known to find it ([`witnesses`]). `.ci/night` looks
//! for it everywhere, as if nothing were known, and says who found what, after how many states, steps or seeds:
//! `LOCKSTEP_NIGHT=1 cargo test --release -p lockstep-sim --test it planted -- --nocapture` with debug assertions
//! (`CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true`). `LOCKSTEP_PLANTED=Name,Name` tries only those,
//! `LOCKSTEP_PLANTED_SEED_SECONDS` gives each so long instead of 40 s of seeds, `LOCKSTEP_PLANTED_SECONDS` ends it
//! when they are over and says what was not tried.

#![allow(clippy::disallowed_methods, reason = "the harness is given so many seconds, and says what it took")]

mod search;
mod witnesses;

use crate::seeds::EACH_CHANGE;
use lockstep_core::proto::planted::{Mutation, with_planted};
use lockstep_testkit::lane;
use search::{Found, Scope, SearchResult, found_by, is_clean, search};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use witnesses::WITNESSES;

/// What finds a mutation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Witness {
    /// A seed that fails with the mutation and is clean without it.
    Seed(u64),
    /// All interleavings of a small cluster.
    Interleavings(Scope),
    /// Random walks through a small cluster, from this seed on.
    Walk(Scope, u64),
    /// The exploration of the proof of completeness.
    Proof,
    /// The search of a night finds it; nobody has written down yet where.
    Night,
    /// This story or test of engines or journals, which is run with the rule broken; so does the search of a night.
    Held(&'static str),
    /// A test, as the sentence says; the search is not expected to find it. Those of the engines and of a founding
    /// are run with the rule broken.
    Test(&'static str),
}

/// Only these, where the environment names some.
fn is_wanted(mutation: Mutation) -> bool {
    std::env::var("LOCKSTEP_PLANTED")
        .map_or(true, |names| names.split(',').any(|name| format!("{mutation:?}") == name))
}

fn seconds(name: &str) -> Option<Duration> {
    Some(Duration::from_secs(std::env::var(name).ok()?.parse().ok()?))
}

fn witness(mutation: Mutation) -> Option<Witness> {
    WITNESSES.iter().find(|(known, _)| *known == mutation).map(|(_, witness)| *witness)
}

#[test]
fn every_planted_bug_has_one_witness() {
    let known: BTreeSet<Mutation> = WITNESSES.iter().map(|(mutation, _)| *mutation).collect();
    assert_eq!(known.len(), WITNESSES.len(), "one of them twice");
    let missing: Vec<_> = Mutation::ALL.iter().filter(|(mutation, ..)| !known.contains(mutation)).collect();
    assert!(missing.is_empty(), "nobody is known to find {missing:?}");
}

#[test]
fn every_planted_bug_is_found() {
    lockstep_io::choose_instructions();
    lane::amount(by_witnesses as fn(), by_search)();
}

/// Each mutation with what is known to find it.
fn by_witnesses() {
    let mut missed = Vec::new();
    for (mutation, ..) in Mutation::ALL.iter().filter(|(mutation, ..)| is_wanted(*mutation)) {
        let Some(witness) = witness(*mutation) else { continue };
        let begun = Instant::now();
        let found = with_planted(Some(*mutation), || found_by(witness));
        let is_found = match witness {
            Witness::Test(_) | Witness::Held(_) | Witness::Night => true,
            // Each change runs the first ones with nothing planted, and all of them are clean.
            Witness::Seed(seed) => found.is_some() && (seed < EACH_CHANGE || is_clean(seed)),
            _ => found.is_some(),
        };
        println!("{mutation:?}: {witness:?}, {:.1?}", begun.elapsed());
        if !is_found {
            missed.push((mutation, witness));
        }
    }
    assert!(missed.is_empty(), "not found any more, `LOCKSTEP_NIGHT=1` searches: {missed:?}");
}

/// Each mutation as if nothing were known of it.
fn by_search() {
    let (begun, limit) = (Instant::now(), seconds("LOCKSTEP_PLANTED_SECONDS"));
    let seed_time = seconds("LOCKSTEP_PLANTED_SEED_SECONDS").unwrap_or(Duration::from_secs(40));
    let (mut missed, mut untried) = (Vec::new(), Vec::new());
    for &(mutation, rule, what) in Mutation::ALL.iter().filter(|(mutation, ..)| is_wanted(*mutation)) {
        if limit.is_some_and(|limit| begun.elapsed() >= limit) {
            untried.push(mutation);
            continue;
        }
        let begun = Instant::now();
        match (search(mutation, rule, seed_time), witness(mutation)) {
            (SearchResult::TimeOver, _) => untried.push(mutation),
            (SearchResult::Found(Found { witness, after, how }), known) => {
                let how: String = how.lines().next().unwrap_or_default().chars().take(110).collect();
                let all = if matches!(known, Some(Witness::Test(_))) { " after all" } else { "" };
                let took = begun.elapsed();
                println!(
                    "| {rule} | {mutation:?}: {what} | {witness:?}{all} | {after} | {how} | {took:.1?} |"
                );
            }
            (SearchResult::Nowhere, Some(Witness::Test(why))) => {
                println!("| {rule} | {mutation:?}: {what} | nobody | {why} | | |");
            }
            (SearchResult::Nowhere, _) => {
                println!("| {rule} | {mutation:?}: {what} | NOBODY | | | {:.1?} |", begun.elapsed());
                missed.push(mutation);
            }
        }
    }
    println!("not tried, or not to the end, as the time was over: {untried:?}");
    assert!(missed.is_empty(), "nobody found {missed:?}");
}
