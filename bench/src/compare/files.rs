//! Two files of results: compared only where their floors agree, as nothing else says that the machine was as
//! fast.

use super::statistics::{Compared, Found, Judged, Rules, found, unpaired};
use super::{Common, in_common};
use crate::results::{Results, Row};

/// A difference has to exceed what floors may differ by; five rounds of each tell no more than these alarms,
/// for each figure.
pub const RULES: Rules = Rules { alarms: 0.01, least: 0.05 };

/// B/A of every figure that both files have, and what that says: subjects over their floors, round by round.
///
/// # Errors
/// A case without a floor; too few rounds.
pub fn judge(a: &Results, b: &Results) -> Result<(Vec<Compared>, Vec<Judged>), String> {
    let common = in_common(a, b);
    let mut compared = Vec::new();
    let mut judged = Vec::new();
    for one in &common {
        let floors: Vec<&Common> =
            common.iter().filter(|other| other.a.floor && other.a.case == one.a.case).collect();
        if floors.is_empty() {
            return Err(format!(
                "{}: it has no floor, which two files need; compare the programs",
                one.a.case
            ));
        }
        let agree = floors.iter().all(|floor| {
            let most = 1.0 + RULES.least;
            floor.ratio().is_some_and(|ratio| (1.0 / most..=most).contains(&ratio))
        });
        let of_a: Vec<_> = floors.iter().map(|floor| floor.a.column(floor.figure)).collect();
        let of_b: Vec<_> = floors.iter().map(|floor| floor.b.column(floor.figure)).collect();
        let (of_a, of_b) = (over(one.a, one.figure, &of_a), over(one.b, one.figure, &of_b));
        let shift = unpaired(&of_a, &of_b, RULES.alarms).ok_or_else(|| {
            let (case, subject, a, b) = (&one.a.case, &one.a.subject, of_a.len(), of_b.len());
            format!(
                "{case}, {subject}, {}: {a} and {b} rounds cannot tell; files need five of each",
                one.figure
            )
        })?;
        let result = match one.a.floor {
            _ if !agree => Found::NotComparable,
            true => Found::Same,
            false => found(shift, one.a.unit, RULES.least),
        };
        let corrected = if one.a.floor { 0.0 } else { 1.0 };
        judged.push(Judged { shift, corrected, pairs: of_a.len().min(of_b.len()), found: result });
        compared.push(Compared { ratios: vec![one.ratio()], ..one.compared() });
    }
    Ok((compared, judged))
}

/// Logarithms of a row's figure, of a subject's over the mean of its floors in the same round.
fn over(row: &Row, figure: &str, floors: &[Vec<Option<f64>>]) -> Vec<f64> {
    let logs = row.column(figure).into_iter().enumerate().filter_map(|(round, value)| {
        let of_floors: Option<Vec<f64>> =
            floors.iter().map(|floor| floor.get(round).copied().flatten().map(f64::ln)).collect();
        let of_floors = of_floors?;
        let mean = of_floors.iter().sum::<f64>() / of_floors.len() as f64;
        Some(value?.ln() - if row.floor { 0.0 } else { mean })
    });
    logs.filter(|log| log.is_finite()).collect()
}
