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
fn edge(probabilities: &[f64], alarms: f64) -> Option<usize> {
    let mut below = 0.0;
    let left_out = probabilities.iter().take_while(|probability| {
        below += **probability;
        2.0 * below <= alarms
    });
    let k = left_out.count();
    (k > 0).then_some(k.min(probabilities.len() / 2))
}

/// How likely each sum of the ranks of positive ones is among `count`, either sign being as likely.
fn signed_ranks(count: usize) -> Vec<f64> {
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
fn rank_sums(a: usize, b: usize) -> Vec<f64> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_sim::rng::Rng;

    const RULES: Rules = Rules { alarms: 0.01, least: 0.01 };

    fn uniform(rng: &mut Rng) -> f64 {
        (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A machine that others use: its speed steps by 15 to 35 % about every thirty runs, every figure has a
    /// noise of 2 % of its own, and one figure in fifty is disturbed by up to half. Forty pairs find 3 %
    /// there, and not everywhere: where it steps every ten runs and disturbs one figure in twenty, in three
    /// of four comparisons; with a noise of 3 % besides, in less than half. Then it takes more pairs.
    struct Machine {
        rng: Rng,
        speed: f64,
    }

    impl Machine {
        /// The times of a floor, and of a subject that takes `factor` of its usual time.
        fn run(&mut self, factor: f64) -> [f64; 3] {
            let rng = &mut self.rng;
            if rng.below(30) == 0 {
                self.speed = if self.speed > 1.0 { 1.0 } else { 1.15 + 0.2 * uniform(rng) };
            }
            let mut own = |time: f64| {
                let normal = (0..12).map(|_| uniform(rng)).sum::<f64>() - 6.0;
                let disturbed = if rng.below(50) == 0 { 1.0 + 0.5 * uniform(rng) } else { 1.0 };
                time * self.speed * (0.02 * normal).exp() * disturbed
            };
            [own(10.0), own(20.0 * factor), own(60.0 * factor)]
        }
    }

    /// Forty pairs in alternating order: a floor, and two figures of the subject.
    fn forty_pairs(seed: u64, factor: f64) -> Vec<Compared> {
        let mut machine = Machine { rng: Rng::new(seed), speed: 1.0 };
        let one = |subject: &str, figure: &str| Compared {
            case: "stamped".into(),
            subject: subject.into(),
            figure: figure.into(),
            floor: subject == "io",
            unit: Unit::Nanos,
            ratios: Vec::new(),
        };
        let mut compared = vec![one("io", "p50"), one("lockstep", "p50"), one("lockstep", "p99")];
        for pair in 0..40 {
            let (a, b) = if pair % 2 == 0 {
                let a = machine.run(1.0);
                (a, machine.run(factor))
            } else {
                let b = machine.run(factor);
                (machine.run(1.0), b)
            };
            for (index, one) in compared.iter_mut().enumerate() {
                one.ratios.push(Some(b[index] / a[index]));
            }
        }
        compared
    }

    #[test]
    fn a_program_is_called_different_from_itself_in_no_more_than_the_stated_share_of_comparisons() {
        let differs = |seed: &u64| {
            let judged = judge(&forty_pairs(*seed, 1.0), &RULES).unwrap();
            judged.iter().any(|judged| judged.found != Found::Same)
        };
        // The stated share is 40 of 4,000; three standard deviations more are chance.
        let alarms = (0..4_000).filter(differs).count();
        assert!(alarms <= 40 + 19, "{alarms} of 4,000");
    }

    #[test]
    fn planted_three_per_cent_are_found_on_a_machine_that_steps_by_a_third() {
        let found = |factor: f64| {
            let of = |seed| judge(&forty_pairs(seed, factor), &RULES).unwrap()[1].found;
            (0..200).map(of).fold([0; 3], |[same, worse, better], found| match found {
                Found::Same | Found::NotComparable => [same + 1, worse, better],
                Found::Worse => [same, worse + 1, better],
                Found::Better => [same, worse, better + 1],
            })
        };
        let ([_, worse, _], [_, _, better]) = (found(1.03), found(1.0 / 1.03));
        assert!(worse >= 180 && better >= 180, "{worse} and {better} of 200");
        assert!(found(1.03)[2] == 0, "called better what is worse");
    }

    #[test]
    fn the_interval_holds_the_planted_shift() {
        let holds = |seed: &u64| {
            let shift = judge(&forty_pairs(*seed, 1.03), &RULES).unwrap()[1].shift;
            shift.least <= 1.03 && 1.03 <= shift.greatest
        };
        assert!((0..200).filter(holds).count() >= 198);
    }

    #[test]
    fn a_sure_difference_below_what_matters_is_none() {
        let compared = |ratio: f64| {
            let mut compared = forty_pairs(1, 1.0);
            compared.iter_mut().for_each(|one| one.ratios.fill(Some(if one.floor { 1.0 } else { ratio })));
            judge(&compared, &RULES).unwrap()[1].found
        };
        assert_eq!((compared(1.003), compared(1.02)), (Found::Same, Found::Worse));
    }

    #[test]
    fn where_every_floor_differs_nothing_is_compared_and_one_that_agrees_is_enough() {
        let mut compared = forty_pairs(1, 1.0);
        compared[0].ratios.iter_mut().flatten().for_each(|ratio| *ratio *= 1.1);
        let judged = judge(&compared, &RULES).unwrap();
        assert_eq!((judged[0].found, judged[1].found), (Found::Worse, Found::NotComparable));
        let agreeing = Compared { subject: "plain".into(), ..forty_pairs(1, 1.0).swap_remove(0) };
        compared.push(agreeing);
        assert_eq!(judge(&compared, &RULES).unwrap()[1].found, Found::Same);
    }

    #[test]
    fn of_messages_per_second_the_greater_is_the_better() {
        let mut compared = forty_pairs(1, 1.0).remove(1);
        (compared.unit, compared.ratios) = (Unit::MessagesPerSecond, vec![Some(0.9); 20]);
        assert_eq!(judge(&[compared], &RULES).unwrap()[0].found, Found::Worse);
    }

    #[test]
    fn too_few_pairs_are_refused_with_the_number_that_is_needed() {
        let mut compared = forty_pairs(1, 1.0);
        compared.iter_mut().for_each(|one| one.ratios.truncate(10));
        let why = judge(&compared, &RULES).unwrap_err();
        assert!(why.contains("10 pairs") && why.contains("11 can"), "{why}");
        compared.iter_mut().for_each(|one| one.ratios.push(Some(1.0)));
        assert!(judge(&compared, &RULES).is_ok());
    }

    #[test]
    fn edges_are_those_of_published_tables() {
        // Wilcoxon's signed ranks, n = 10: 8 at 5 %, 3 at 1 %; Mann and Whitney's U, 5 and 5: 2 at 5 %, 0 at
        // 1 %. An edge is one above the critical value, as the k-th smallest is that of k - 1 left out.
        let signed = |alarms| edge(&signed_ranks(10), alarms);
        assert_eq!((signed(0.05), signed(0.01), signed(0.001)), (Some(9), Some(4), None));
        let sums = |alarms| edge(&rank_sums(5, 5), alarms);
        assert_eq!((sums(0.05), sums(0.01), sums(0.005)), (Some(3), Some(1), None));
    }
}
