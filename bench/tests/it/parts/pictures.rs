//! Which pictures results have.

use super::sample::{results, row};
use lockstep_bench::report::pictures::{POINTS_MAX, Pictures, thinned};
use lockstep_bench::results::Results;

/// Two sizes and two modes at three rates each, with a floor.
fn sweep() -> Results {
    let mut results = results();
    results.rows.clear();
    for (mode, bytes) in [("stamped", 64), ("stamped", 1344), ("committed", 64)] {
        for rate in [10_000, 20_000, 40_000] {
            for (subject, floor) in [("io", true), ("lockstep", false)] {
                let case = format!("{mode}, {bytes} B, {rate}/s");
                let mut row = row(&case, subject, floor, &[&[9_000; 30]]);
                row.axes =
                    [("rate".to_owned(), f64::from(rate)), ("bytes".to_owned(), f64::from(bytes))].into();
                results.rows.push(row);
            }
        }
    }
    results
}

#[test]
fn every_mode_and_size_of_a_sweep_is_a_picture_over_what_was_offered() {
    let pictures = Pictures::of(&sweep()).unwrap();
    let over_load = pictures.over_axes.iter().filter(|chart| chart.subtitle.contains("over load"));
    let titles: Vec<&str> = over_load.clone().map(|chart| chart.title.as_str()).collect();
    assert_eq!(titles, ["stamped, 64 B", "stamped, 1344 B", "committed, 64 B"]);
    let first = over_load.clone().next().unwrap();
    let names: Vec<&str> = first.lines.iter().map(|line| line.name.as_str()).collect();
    assert_eq!(names, ["lockstep, p50", "io, p50"]);
    let places: Vec<f64> = first.lines[0].points.iter().map(|point| point.0).collect();
    assert_eq!(places, [10_000.0, 20_000.0, 40_000.0]);
}

#[test]
fn the_row_that_is_marked_is_the_knee() {
    let mut sweep = sweep();
    for row in [2, 3, 4] {
        sweep.rows[row].axes.insert("knee".into(), 1.0);
    }
    let pictures = Pictures::of(&sweep).unwrap();
    let knees = [(20_000.0, "knee of lockstep and io: 20 k/s"), (40_000.0, "knee of io: 40 k/s")];
    assert_eq!(pictures.over_axes[0].marks, knees.map(|(at, words)| (at, words.to_owned())));
    assert!(pictures.over_axes[1].marks.is_empty());
}

#[test]
fn a_percentile_curve_ends_where_ten_samples_lie_above_it() {
    let pictures = Pictures::of(&results()).unwrap();
    let curve = pictures.of_cases.iter().find(|chart| chart.subtitle.contains("percentile")).unwrap();
    // 50 samples of all rounds: one in five lies above.
    assert_eq!(curve.lines[0].points.last().unwrap().0, 5.0);
}

#[test]
fn thinning_keeps_every_stall() {
    let points = (0..100_000).map(|i| (f64::from(i), if i % 10_000 == 7 { 9.0 } else { 1.0 })).collect();
    let thin = thinned(points);
    assert!(thin.len() <= POINTS_MAX, "{}", thin.len());
    assert_eq!(thin.iter().filter(|point| point.1 == 9.0).count(), 10);
}
