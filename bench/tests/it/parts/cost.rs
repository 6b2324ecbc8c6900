//! Processor time for a million messages.

use lockstep_bench::cost::Cost;

#[test]
fn a_cost_is_seconds_of_each_process_for_a_million_messages() {
    let cost = Cost { cpu_ns: [1, 2, 3].map(|s| s * 1_000_000_000), messages: 2e6, lasted_ns: 1 };
    let expected = [("leader", 0.5), ("standby", 1.0), ("client", 1.5), ("all together", 3.0)];
    assert_eq!(cost.costs(), expected);
}
