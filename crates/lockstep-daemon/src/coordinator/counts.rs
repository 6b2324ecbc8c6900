//! What a coordinator counts.

use super::watch;
use lockstep_core::engine::counters::{CounterRow, Described, counter_group};

counter_group! {
    /// The counts of a coordinator.
    pub struct CoordinatorCounts {
        ready gauge "coordinator_ready" "1 once the coordinator has read the home stream up to its end.",
        written count "coordinator_cuts_written" "Cuts that this coordinator published.",
        read count "coordinator_cuts_read" "Cuts of any coordinator that this one has read, those that did not count among them.",
        voided gauge "coordinator_cuts_void" "Cuts that did not count, of those that this coordinator has read since it began: another one was before them.",
        refused count "coordinator_refused" "Times that the leader of the home stream refused a cut or the coordinator's name, as its key does not allow it.",
        list gauge "coordinator_list" "The number of the list of streams that is in force; 0 while there is none.",
        last gauge "coordinator_cut_seq" "The seq of the last cut that counts; 0 while there is none.",
        lag gauge "coordinator_lag_ns" "How long the oldest entry has waited that is committed in another stream and that no cut covers; 0 if none waits.",
        stands gauge "coordinator_merge_stands" "1 while the whole merged order stands still: the condition `merge_stalled` names the stream that is waited for, the home stream where no cut comes.",
        rank gauge "coordinator_rank" "How many other coordinators publish a cut before this one: 0 of the one beside the home stream's leader.",
    }
}

counter_group! {
    /// What a coordinator counts of one stream, the home stream among them.
    pub struct CoordinatedCounts {
        connected gauge "coordinator_stream_connected" "1 while the coordinator follows the stream's leader.",
        read_next gauge "coordinator_stream_read_next" "The exclusive end of what is committed of the stream, as the coordinator knows it.",
        row_next gauge "coordinator_stream_row_next" "The exclusive end of what is merged of the stream, by the last cut that counts.",
        begun count "coordinator_stream_begun" "Times that the coordinator began to read the stream.",
    }
}

/// The rows of both groups, and of the conditions; those of a stream have its name as label.
pub fn counters(streams: &[&str]) -> Vec<Described> {
    let of = |name: &&str| {
        let label = format!("stream=\"{name}\"");
        CoordinatedCounts::ROWS.iter().map(move |row: &CounterRow| row.labelled(&label))
    };
    let own = CoordinatorCounts::ROWS.iter().map(|row| Described::from(*row));
    own.chain(streams.iter().flat_map(of)).chain(watch::counters(streams)).collect()
}
