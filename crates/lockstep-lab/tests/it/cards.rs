//! Every card holds in its model, each of its breaks is found again, and its price is what is measured.

use crate::{LONG_SEARCHES, is_searched};
use lockstep_lab::cards::ALL;
use lockstep_lab::{Break, Price, Prices};
use lockstep_testkit::lane::amount;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// States up to which each model is explored on each change.
const STATES: u64 = 10_000;

#[test]
fn every_card_holds_and_each_of_its_breaks_is_found() {
    let entries: Vec<_> = ALL.entries().collect();
    let next = AtomicUsize::new(0);
    // One after the other they are the longest test of all.
    let errors: Vec<String> = thread::scope(|scope| {
        let workers = [(); 2].map(|()| {
            scope.spawn(|| {
                let mut errors = Vec::new();
                while let Some(entry) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let is_searched = |broken: &Break| is_searched(entry.card.name, broken.name);
                    let checked = entry.check_up_to(amount(STATES, u64::MAX), is_searched);
                    let mut text = format!("{}: {}", checked.card.name, checked.explored);
                    for broken in &checked.breaks {
                        let steps = broken.story.as_ref().map_or(0, |story| story.rows.len());
                        text += &format!("\n    {}: {steps} steps", broken.name);
                    }
                    println!("{text}");
                    errors.extend(checked.errors());
                }
                errors
            })
        });
        workers
            .into_iter()
            .flat_map(|worker| worker.join().expect("a check that panics has said why"))
            .collect()
    });
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn the_searches_of_the_night_are_of_cards() {
    for (card, broken) in LONG_SEARCHES {
        let breaks = ALL.get(card).expect("a card").card.breaks;
        assert!(breaks.iter().any(|known| known.name == broken), "{card} has no break {broken}");
        let is_short = |known: &Break| !LONG_SEARCHES.contains(&(card, known.name));
        assert!(breaks.iter().any(is_short), "each change searches no break of {card}");
    }
}

#[test]
fn every_card_has_a_planted_mutation() {
    let without = ALL.entries().filter(|entry| !entry.card.breaks.iter().any(|broken| broken.planted));
    let names: Vec<_> = without.map(|entry| entry.card.name).collect();
    assert!(names.is_empty(), "no planted mutation: {names:?}");
}

/// Requests that nothing answers: a client that leaves, or returns its lock.
const WITHOUT_ANSWER: [&str; 2] = ["leave", "release"];

#[test]
fn every_card_has_a_price_of_each_kind_of_request_or_says_why_it_has_none() {
    for card in ALL.entries().map(|entry| entry.card) {
        let prices = match card.prices {
            Prices::Of(prices) => prices,
            Prices::None(why) => {
                assert!(!why.is_empty(), "{}", card.name);
                continue;
            }
        };
        let priced: BTreeSet<_> = prices.iter().map(Price::request).collect();
        assert!(!priced.is_empty() && priced.len() == prices.len(), "{}: {priced:?}", card.name);
        let mut asked = card.asks.iter().map(|(_, ask)| ask.name());
        let missing = asked.find(|name| !priced.contains(name) && !WITHOUT_ANSWER.contains(name));
        assert_eq!(missing, None, "{}", card.name);
    }
}
