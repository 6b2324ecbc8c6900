//! The losses of links.

use lockstep_sim::netsim::Pattern;
use lockstep_sim::netsim::links::Links;
use lockstep_sim::rng::Rng;

#[test]
fn bursts_lose_as_much_as_independent_losses_in_runs_of_five() {
    for loss in [1_000, 10_000, 300_000] {
        let mut links = Links::new(Pattern::Bursts, loss, 1, Rng::new(1));
        let lost: Vec<_> = (0..1_000_000).map(|_| links.loses_to(0)).collect();
        let count = lost.iter().filter(|lost| **lost).count() as f64;
        let runs = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count() as f64;
        assert!((count / f64::from(loss) - 1.0).abs() < 0.2, "{count} of {loss}");
        assert!((count / runs - 5.0).abs() < 0.6, "{count} in {runs} runs");
    }
}
