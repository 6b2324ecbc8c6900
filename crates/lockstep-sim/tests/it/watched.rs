//! The explored cluster with a judge from outside.

use lockstep_sim::explore::{Bounds, Delivery, ExploreScope, WatchedCluster, WatchedRun, breadth_first};

#[test]
fn a_watched_cluster_has_the_states_of_the_judged_one_and_delivers_in_the_end() {
    let scope =
        ExploreScope { values: 1, crashes: 0, reader: Some(Delivery::Committed), ..ExploreScope::default() };
    let mut ends = 0;
    let mut cluster = WatchedCluster::new(&scope, 1, |run| {
        ends += u64::from(run.is_over && run.delivered.iter().all(|all| all == &[(1, 1)]));
        Ok(())
    })
    .expect("the cluster starts");
    let found = breadth_first(&mut cluster, Bounds { depth: 4, states_max: 10_000 });
    assert!(found.violation.is_none() && found.states > 100, "{found:?}");
    assert!(ends > 0, "nothing was delivered everywhere");
}

#[test]
fn what_the_judge_refuses_is_a_story() {
    let scope = ExploreScope { values: 1, ..ExploreScope::default() };
    let judge = |run: &WatchedRun<'_>| match run.delivered.iter().position(|all| !all.is_empty()) {
        Some(process) => Err(format!("{process} delivers")),
        None => Ok(()),
    };
    let mut cluster = WatchedCluster::new(&scope, 0, judge).expect("the cluster starts");
    let found = breadth_first(&mut cluster, Bounds { depth: 4, states_max: 10_000 });
    let violation = found.violation.expect("a standby of three commits with the leader's frame");
    let rows = cluster.rows(&violation.steps);
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!((rows[0].process, rows[0].sent, rows[0].submitted), (Some(0), None, Some((1, 1))));
    assert_eq!((rows[1].sent, &rows[1].delivered), (Some((0, 0)), &vec![(1, 1)]));
}
