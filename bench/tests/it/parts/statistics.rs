//! The test that judges two programs.

use lockstep_bench::compare::statistics::{Compared, Found, Rules, edge, judge, rank_sums, signed_ranks};
use lockstep_bench::results::Unit;
use lockstep_memory::rng::Rng;

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
