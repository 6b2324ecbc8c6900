//! Growth of memory and descriptors.

use lockstep_bench::day::flat::{Bound, Level, growths};
use lockstep_bench::usage::Usage;

const BOUND: Bound = Bound { bytes: 2 << 20, share: 0.02 };

fn usage(resident: u64, descriptors: u64) -> Usage {
    Usage { resident, anonymous: resident / 2, descriptors, threads: 3 }
}

fn level(samples: &[(u64, u64)]) -> Level {
    let samples: Vec<Usage> = samples.iter().map(|&(mib, count)| usage(mib << 20, count)).collect();
    Level::of(&samples).expect("samples")
}

fn found(second: &[(u64, u64)], last: &[(u64, u64)]) -> Vec<String> {
    growths("the gateway", [&level(second), &level(last)], BOUND)
}

#[test]
fn a_planted_growth_of_memory_is_found_and_one_within_the_bound_is_none() {
    let before = [(100, 20), (101, 20), (99, 20)];
    assert!(found(&before, &before).is_empty());
    assert!(found(&before, &[(104, 20); 3]).is_empty(), "2 MiB and 2 %");
    let grown = found(&before, &[(105, 20); 3]);
    assert_eq!(grown.len(), 1);
    assert!(grown[0].starts_with("the memory of the gateway grew from 100.0 to 105.0 MiB"), "{grown:?}");
    assert!(found(&before, &[(100, 20), (300, 20), (100, 20)]).is_empty(), "a moment is no growth");
    assert!(found(&before, &[(50, 20); 3]).is_empty(), "less is none");
}

#[test]
fn a_descriptor_that_stays_open_is_found_and_one_of_a_moment_is_none() {
    let before = [(100, 20), (100, 22), (100, 21)];
    assert!(found(&before, &[(100, 22), (100, 40), (100, 23)]).is_empty());
    let grown = found(&before, &[(100, 23), (100, 24), (100, 25)]);
    assert_eq!(grown, ["the open descriptors of the gateway grew from at most 22 to at least 23"]);
    assert_eq!(found(&before, &[(200, 23); 3]).len(), 2);
}

#[test]
fn a_level_is_of_the_median_and_no_sample_has_none() {
    let level = level(&[(9, 7), (1, 5), (2, 6)]);
    assert_eq!((level.resident, level.descriptors, level.threads), (2 << 20, [5, 7], 3));
    assert_eq!(level.anonymous, 1 << 20);
    assert_eq!(Level::of(&[]), None);
    assert_eq!(BOUND.to_string(), "2.0 MiB and 2.0 %");
}
