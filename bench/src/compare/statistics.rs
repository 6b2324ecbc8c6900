//! # statistics: whether B differs from A, from ratios of what ran side by side
//!
//! A shared machine gets faster and slower in steps of a third, so absolute times say nothing; the two runs
//! of a pair are neighbours in time, and mostly stand on one step. The quantity under judgement is the
//! logarithm of B/A, pair by pair. Where both are the same program, and orders alternate, either sign of it
//! is as likely: that is all that the signed-rank test (Wilcoxon) assumes. It bears the pairs that a step
//! went through, which a mean does not.
//!
//! ```text
//!   ln(B/A) of the subject                   small where the machine is quiet
//!   ln(B/A) of the subject - that of floors  small where the machine's speed moves both
//! ```
//!
//! The less scattered of the two is judged (or that half-way between them). Scatter is the median of absolute
//! values, which no exchange of A and B within a pair changes: so the choice knows nothing of the answer, and
//! raises no more alarms.

use crate::results::Unit;
use crate::stats::Spread;

/// How alarms are raised.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rules {
    /// How often a comparison of a program with itself may find any difference: a share of comparisons.
    pub alarms: f64,
    /// Differences below this share are of no interest, however sure they are.
    pub least: f64,
}

/// A ratio B/A, and what it may as well be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Shift {
    /// The median over all means of two (Hodges and Lehmann).
    pub estimate: f64,
    /// The interval that no sign of a difference is denied in.
    pub least: f64,
    /// Its other end.
    pub greatest: f64,
}

impl Shift {
    /// Whether there is a difference at all.
    pub fn certain(&self) -> bool {
        self.least > 1.0 || self.greatest < 1.0
    }

    /// The greatest difference, as a share, that the interval leaves possible.
    pub fn possible(&self) -> f64 {
        (1.0 - self.least).abs().max((self.greatest - 1.0).abs())
    }
}

/// What was measured of both in every pair.
#[derive(Clone, PartialEq, Debug)]
pub struct Compared {
    /// What was done.
    pub case: String,
    /// The author.
    pub subject: String,
    /// Which figure of it.
    pub figure: String,
    /// Whether it is a floor: the control, which is the same in both.
    pub floor: bool,
    /// Of the figure, which says whether a greater one is better.
    pub unit: Unit,
    /// B/A by pair, where both have it.
    pub ratios: Vec<Option<f64>>,
}

impl Compared {
    /// What share of the alarms it may raise: the figure that is asked for has more than the tail, which
    /// tells little, and the control.
    fn weight(&self) -> f64 {
        if self.floor || self.figure == TAIL { 1.0 } else { 4.0 }
    }
}

/// What the ratios say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Found {
    /// No difference that is sure and large enough.
    Same,
    /// B is worse.
    Worse,
    /// B is better.
    Better,
    /// The floors of both differ: it is not the same machine.
    NotComparable,
}

/// The statement about one figure.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Judged {
    /// How far B lies from A.
    pub shift: Shift,
    /// What share of the floors' own shift was taken off: 0, ½ or 1.
    pub corrected: f64,
    /// Pairs that say so.
    pub pairs: usize,
    /// The verdict.
    pub found: Found,
}

/// The figure of a tail.
const TAIL: &str = "p99";
/// Shares of the floors' shift that may be taken off.
const CORRECTIONS: [f64; 3] = [0.0, 0.5, 1.0];

/// Judges all figures of a comparison at once: each may raise its part of the alarms (Bonferroni, weighted).
///
/// # Errors
/// Too few pairs, and how many are needed.
pub fn judge(compared: &[Compared], rules: &Rules) -> Result<Vec<Judged>, String> {
    let all: f64 = compared.iter().map(Compared::weight).sum();
    let logs = |one: &Compared| -> Vec<Option<f64>> {
        one.ratios.iter().map(|ratio| ratio.map(f64::ln).filter(|log| log.is_finite())).collect()
    };
    let found = |one: &Compared, differences: &[f64], corrected| {
        let alarms = rules.alarms * one.weight() / all;
        let shift = paired(differences, alarms).ok_or_else(|| {
            format!(
                "{}, {}, {}: {} pairs cannot tell a difference at {} % false alarms; {} can",
                one.case,
                one.subject,
                one.figure,
                differences.len(),
                rules.alarms * 100.0,
                pairs_needed(alarms)
            )
        })?;
        let found = found(shift, one.unit, rules.least);
        Ok::<_, String>(Judged { shift, corrected, pairs: differences.len(), found })
    };
    let floors = compared.iter().filter(|one| one.floor).map(|floor| {
        let differences: Vec<f64> = logs(floor).into_iter().flatten().collect();
        Ok((floor, found(floor, &differences, 0.0)?))
    });
    let floors = floors.collect::<Result<Vec<_>, String>>()?;
    let judged = compared.iter().map(|one| {
        if let Some((_, judged)) = floors.iter().find(|(floor, _)| std::ptr::eq(*floor, one)) {
            return Ok(*judged);
        }
        let of_case: Vec<_> = floors.iter().filter(|(floor, _)| floor.case == one.case).collect();
        let agreeing: Vec<Vec<Option<f64>>> = of_case
            .iter()
            .filter(|(_, judged)| judged.found == Found::Same)
            .map(|(floor, _)| logs(floor))
            .collect();
        let subject = logs(one);
        if agreeing.is_empty() {
            let differences: Vec<f64> = subject.into_iter().flatten().collect();
            let judged = found(one, &differences, 0.0)?;
            let found = if of_case.is_empty() { judged.found } else { Found::NotComparable };
            return Ok(Judged { found, ..judged });
        }
        let both: Vec<(f64, f64)> =
            (0..subject.len()).filter_map(|pair| Some((subject[pair]?, mean_of(&agreeing, pair)?))).collect();
        let corrected =
            |share: f64| -> Vec<f64> { both.iter().map(|(ours, floor)| ours - share * floor).collect() };
        let scatter = |share: &f64| median(corrected(*share).into_iter().map(f64::abs).collect());
        let best = CORRECTIONS.into_iter().min_by(|a, b| scatter(a).total_cmp(&scatter(b))).unwrap_or(0.0);
        found(one, &corrected(best), best)
    });
    judged.collect()
}

/// The verdict on a shift.
pub fn found(shift: Shift, unit: Unit, least: f64) -> Found {
    if !shift.certain() || (shift.estimate - 1.0).abs() < least {
        return Found::Same;
    }
    if (shift.estimate > 1.0) == unit.more_is_better() { Found::Better } else { Found::Worse }
}

fn mean_of(columns: &[Vec<Option<f64>>], pair: usize) -> Option<f64> {
    let values: Option<Vec<f64>> = columns.iter().map(|column| *column.get(pair)?).collect();
    values.map(|values| values.iter().sum::<f64>() / values.len() as f64)
}

/// The median; 0 of none.
fn median(values: Vec<f64>) -> f64 {
    Spread::of(values).map_or(0.0, |spread| spread.median)
}

/// How far `differences` (logarithms of ratios) lie from nothing, with an interval that leaves it out in no
/// more than `alarms` of all cases; `None` where they are too few for any.
pub fn paired(differences: &[f64], alarms: f64) -> Option<Shift> {
    let k = edge(&signed_ranks(differences.len()), alarms)?;
    let mut means = Vec::with_capacity(differences.len() * (differences.len() + 1) / 2);
    for (index, one) in differences.iter().enumerate() {
        means.extend(differences[index..].iter().map(|other| f64::midpoint(*one, *other)));
    }
    Some(interval(means, k))
}

/// How far `b` lies from `a` (logarithms), which were measured apart; as [`paired`], by Mann and Whitney.
pub fn unpaired(a: &[f64], b: &[f64], alarms: f64) -> Option<Shift> {
    let k = edge(&rank_sums(a.len(), b.len()), alarms)?;
    Some(interval(a.iter().flat_map(|a| b.iter().map(move |b| b - a)).collect(), k))
}

/// The least number of pairs that can tell anything.
pub fn pairs_needed(alarms: f64) -> usize {
    (1..).find(|pairs| 2.0 * 0.5_f64.powi(*pairs) <= alarms).unwrap_or(1) as usize
}

fn interval(mut logs: Vec<f64>, k: usize) -> Shift {
    logs.sort_unstable_by(f64::total_cmp);
    let (least, greatest) = (logs[k - 1].exp(), logs[logs.len() - k].exp());
    Shift { estimate: median(logs).exp(), least, greatest }
}

/// The place of the interval's end: as many as possible are left out at both ends with `alarms` in all.
pub fn edge(probabilities: &[f64], alarms: f64) -> Option<usize> {
    let mut below = 0.0;
    let left_out = probabilities.iter().take_while(|probability| {
        below += **probability;
        2.0 * below <= alarms
    });
    let k = left_out.count();
    (k > 0).then_some(k.min(probabilities.len() / 2))
}

/// How likely each sum of the ranks of positive ones is among `count`, either sign being as likely.
pub fn signed_ranks(count: usize) -> Vec<f64> {
    let mut probabilities = vec![0.0; count * (count + 1) / 2 + 1];
    probabilities[0] = 1.0;
    let mut most = 0;
    for rank in 1..=count {
        most += rank;
        for sum in (0..=most).rev() {
            let with = if sum >= rank { probabilities[sum - rank] } else { 0.0 };
            probabilities[sum] = f64::midpoint(probabilities[sum], with);
        }
    }
    probabilities
}

/// How likely each number of (a, b) with a > b is, all orders being as likely.
pub fn rank_sums(a: usize, b: usize) -> Vec<f64> {
    // Behind `i` of a and `j` of b: the last of all is one of a, and above all `j`, or one of b.
    let mut by_b: Vec<Vec<f64>> = vec![vec![1.0]; b + 1];
    for i in 1..=a {
        let mut next: Vec<Vec<f64>> = vec![vec![1.0]];
        for j in 1..=b {
            let (last_a, last_b) = (i as f64 / (i + j) as f64, j as f64 / (i + j) as f64);
            let mut sums = vec![0.0; i * j + 1];
            by_b[j].iter().enumerate().for_each(|(sum, p)| sums[sum + j] += last_a * p);
            next[j - 1].iter().enumerate().for_each(|(sum, p)| sums[sum] += last_b * p);
            next.push(sums);
        }
        by_b = next;
    }
    by_b.swap_remove(b)
}
