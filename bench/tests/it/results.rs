//! Every measure that needs no cluster of its own network, short: it tells one object, with a floor beside
//! each subject.

use crate::support::measured;
use lockstep_bench::results::Results;

#[test]
fn each_subject_has_a_ratio_to_a_floor_that_was_measured_as_often() {
    for arguments in [
        &["throughput", "--rounds", "2", "--milliseconds", "50"][..],
        &["replay", "--rounds", "2", "--mebibytes", "8"],
        &["down", "--kills", "2", "--mib", "1"],
    ] {
        let Some(results) = measured::<Results>(arguments) else { continue };
        assert_eq!(results.measure, arguments[0]);
        assert!(results.wrongs.is_empty() && results.method.contains_key("clock"), "{arguments:?}");
        for row in &results.rows {
            assert_eq!(row.rounds.len(), 2, "{arguments:?}: {}", row.subject);
        }
        let ratios = results.ratios();
        assert!(results.rows.iter().any(|row| row.floor) && !ratios.is_empty(), "{arguments:?}");
        for ratio in ratios {
            assert!(ratio.figures["value"].min > 0.0, "{arguments:?}: {ratio:?}");
        }
    }
}
