//! Latency against load: which rates are tried, who keeps up, and where the knee is.

use crate::probe::Found;
use crate::results::{Results, Row};

/// A subject that carries a smaller share of what is due is saturated.
const CARRIED_MIN: f64 = 0.97;
/// Beyond the knee, the median latency is more than so many times that at the lowest rate.
const KNEE_RATIO: f64 = 2.0;
/// The axis that marks a knee.
pub const KNEE: &str = "knee";

/// The rate behind `rate`: a half more, in two digits.
pub fn next(rate: u64) -> u64 {
    let next = rate as f64 * 1.5;
    let unit = 10_f64.powf(next.log10().floor() - 1.0).max(1.0);
    ((next / unit).round() * unit) as u64
}

/// Whether a contestant did not keep up.
pub fn is_saturated(found: &Found) -> bool {
    found.target().is_some_and(|target| found.achieved() < target * CARRIED_MIN)
}

/// Marks the greatest rate of each subject that it carried without its median latency doubling, where a
/// greater one was tried, and says so.
pub fn mark_knees(results: &mut Results) {
    let family = |row: &Row| {
        (
            row.case.split(", ").filter(|part| !part.ends_with("/s")).collect::<Vec<_>>().join(", "),
            row.subject.clone(),
        )
    };
    let split = |row: &Row| row.case.ends_with(" the stamp") || row.case.ends_with(" the kernel");
    let mut families: Vec<_> = results.rows.iter().map(family).collect();
    families.dedup();
    families.sort_unstable();
    families.dedup();
    for one in families {
        let of_family = |row: &&mut Row| family(row) == one && row.axes.contains_key("rate") && !split(row);
        let mut rows: Vec<&mut Row> = results.rows.iter_mut().filter(of_family).collect();
        rows.sort_by(|a, b| a.axes["rate"].total_cmp(&b.axes["rate"]));
        let median = |row: &Row| row.spread("p50").map(|spread| spread.median);
        let Some(lowest) = rows.first().and_then(|row| median(row)) else { continue };
        let carries = |row: &Row| {
            let sent = row.rounds.iter().filter_map(|round| Some(round.achieved? / round.target?));
            let shares: Vec<f64> = sent.collect();
            let carried = shares.iter().filter(|share| **share >= CARRIED_MIN).count() * 2 > shares.len();
            carried && median(row).is_some_and(|p50| p50 <= lowest * KNEE_RATIO)
        };
        let carried = rows.iter().take_while(|row| carries(row)).count();
        // Without a rate beyond it nothing shows that it is the knee.
        if rows.len() < 2 || carried == 0 || carried == rows.len() {
            continue;
        }
        let knee = &mut rows[carried - 1];
        knee.axes.insert(KNEE.to_owned(), 1.0);
        let rate = knee.axes["rate"];
        let words = format!(
            "{}, {}: the knee is at {rate} messages/s: beyond it the median latency is more than {KNEE_RATIO} times \
             that at the lowest rate, or less than {CARRIED_MIN} of what is due is carried",
            one.0, one.1
        );
        results.notes.push(words);
    }
}
