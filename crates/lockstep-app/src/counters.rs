//! The counters of an application, which `lockstep counters` and `top` show beside those of its handles.

use lockstep_client::CounterRow;
use lockstep_machine::{MachineReplica, StateMachine};

/// The counters, in the order of [`values`].
pub(crate) const ROWS: &[CounterRow] = &[
    CounterRow::count("app_inputs", "Inputs that this process has applied."),
    CounterRow::gauge("app_next", "The next seq that is applied."),
    CounterRow::count("app_outputs", "Outputs of the machine that are in the stream, since its beginning."),
    CounterRow::gauge("app_outputs_waiting", "Outputs that wait for room in the publisher's window."),
    CounterRow::gauge("app_timers", "Timers that are pending."),
    CounterRow::count("app_partings", "Digests of other replicas that differed from this state's."),
    CounterRow::gauge(
        "app_snapshot_next",
        "Every entry below is in the newest snapshot of this process; 0: there is none.",
    ),
    CounterRow::count("app_snapshots_failed", "Snapshots that could not be written."),
    CounterRow::count("app_queries", "Queries that were answered."),
    CounterRow::count("app_take_overs_refused", "Requests to put this version in force that proved nothing."),
    CounterRow::count(
        "app_rollbacks",
        "States that were restored from a snapshot, as a takeover took back what was applied.",
    ),
    CounterRow::gauge("app_ready", "1 once the stream was read up to its end, and the state is proven."),
    CounterRow::state(
        "app_version",
        "in_force|shadow",
        "Whether this replica's version of the machine is in force, or runs beside the one that is.",
    ),
];

/// The counts of a replica's owner.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AppCounts {
    pub snapshot_next: u64,
    pub snapshots_failed: u64,
    pub queries: u64,
    pub take_overs_refused: u64,
    pub rollbacks: u64,
}

/// The values of all counters.
pub(crate) fn values<M: StateMachine>(replica: &MachineReplica<M>, counts: AppCounts) -> [u64; 13] {
    let core = &replica.core;
    [
        core.inputs(),
        core.next(),
        core.outputs.count(),
        core.outputs.backlog() as u64,
        core.timers() as u64,
        replica.partings().0,
        counts.snapshot_next,
        counts.snapshots_failed,
        counts.queries,
        counts.take_overs_refused,
        counts.rollbacks,
        u64::from(replica.is_caught_up() && replica.unproven().is_none()),
        u64::from(replica.is_shadow()),
    ]
}

const _: () = assert!(ROWS.len() == 13);
