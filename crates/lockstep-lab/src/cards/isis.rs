//! The toolkit of process groups (Birman and Joseph 1987).

mod abcast;
mod abcast_uniform;
mod cbcast;
mod coordinator_cohort;
mod flush_store;
mod gbcast;
mod registered_read;
mod replicated_data;
mod view_manager;
mod windowed_channel;

pub use abcast::{Abcast, AbcastMessage};
pub use abcast_uniform::UniformAbcast;
pub use cbcast::{Cbcast, CbcastTo, Packet};
pub use coordinator_cohort::{CoordinatorCohort, Operation};
pub use flush_store::{FlushIndication, FlushMessage, FlushStore};
pub use gbcast::{Gbcast, GbcastEntry, GbcastMessage, GroupRequest};
pub use registered_read::{ReadMessage, ReadStep, RegisteredRead};
pub use replicated_data::{DataMessage, LockStep, ReplicatedData};
pub use view_manager::{ViewManager, ViewMessage};
pub use windowed_channel::{ChannelMessage, WindowedChannel};

use crate::check::Entry;
use crate::{Pid, Value};

/// A message of `.0`.
type Of<M> = (Pid, M);

/// Its cards, in the order of the tour.
pub(super) static ENTRIES: &[Entry] = &[
    Entry::of::<Abcast<Value>>(),
    Entry::of::<UniformAbcast<Value>>(),
    Entry::of::<Cbcast<Value>>(),
    Entry::of::<Gbcast>(),
    Entry::of::<ViewManager>(),
    Entry::of::<FlushStore<Value>>(),
    Entry::of::<CoordinatorCohort>(),
    Entry::of::<ReplicatedData>(),
    Entry::of::<RegisteredRead>(),
    Entry::of::<WindowedChannel>(),
];

#[cfg(test)]
pub(in crate::cards::isis) mod tests {
    use super::*;
    use crate::cards::searches::Searched;
    use crate::property::{
        AGREEMENT, CAUSAL_ORDER, NO_DUPLICATION, NOTHING_AFTER_FAILURE, Property, RELIABLE_DELIVERY,
        TOTAL_ORDER, UNIFORM_AGREEMENT, UNIFORM_TOTAL_ORDER, UNIFORM_VIEW_AGREEMENT, VALIDITY, VIEW_ORDER,
        VIEW_SYNCHRONY_OF_CORRECT,
    };
    use crate::{Ask, Detector, Failures, Model, Subject};

    /// Steps of walks in a space that is too large to be explored whole.
    const WALK_STEPS: u64 = 300_000;
    const WALKS_SEED: u64 = 7;
    const STATES_MAX: u64 = 300_000;

    /// What walks among four processes, of which two may fail, find against these properties.
    pub fn lost_among_four<P: Subject>(
        asks: &[(Pid, Ask)],
        dropped: Option<&'static str>,
        properties: &[&'static Property],
    ) -> Option<String> {
        let failures = Failures::Stop { crashes: 2, filter: true };
        let model = Model { failures, ..P::CARD.model.of(4, 2) };
        Searched { model, asks, dropped, properties }.lost_on_walks::<P>(WALKS_SEED, WALK_STEPS)
    }

    #[test]
    fn two_processes_may_take_over_an_abcast_if_each_recipient_answers_one() {
        let asks = [(0, Ask::Broadcast(Value(0))), (3, Ask::Broadcast(Value(1)))];
        let properties: [&Property; 3] = [&VALIDITY, &AGREEMENT, &TOTAL_ORDER];
        assert_eq!(lost_among_four::<Abcast<Value>>(&asks, None, &properties), None);
        let found = lost_among_four::<Abcast<Value>>(&asks, Some("one coordinator"), &properties);
        assert!(found.is_some());
    }

    #[test]
    fn the_additional_phase_makes_an_abcast_uniform() {
        let asks = [(0, Ask::Broadcast(Value(0))), (3, Ask::Broadcast(Value(1)))];
        let properties: [&Property; 3] = [&VALIDITY, &UNIFORM_AGREEMENT, &UNIFORM_TOTAL_ORDER];
        assert_eq!(lost_among_four::<UniformAbcast<Value>>(&asks, None, &properties), None);
        assert!(lost_among_four::<Abcast<Value>>(&asks, None, &properties).is_some());
    }

    #[test]
    fn a_cbcast_may_travel_over_processes_that_it_is_not_for() {
        let asks = [(0, Ask::Send(2, Value(0))), (0, Ask::Send(1, Value(1))), (1, Ask::Send(2, Value(2)))];
        let properties: [&Property; 3] = [&RELIABLE_DELIVERY, &NO_DUPLICATION, &CAUSAL_ORDER];
        let model = Cbcast::CARD.model;
        let searched = Searched { model, asks: &asks, dropped: None, properties: &properties };
        assert_eq!(searched.lost::<Cbcast<Value>>(STATES_MAX), None);
    }

    #[test]
    fn a_failure_is_delivered_once_and_last_although_two_of_four_fail() {
        let broadcasts = [(3, 0), (3, 13), (2, 1), (0, 14)].map(|(pid, of)| (pid, Ask::Broadcast(Value(of))));
        let properties: [&Property; 7] = [
            &VALIDITY,
            &AGREEMENT,
            &NO_DUPLICATION,
            &NOTHING_AFTER_FAILURE,
            &VIEW_SYNCHRONY_OF_CORRECT,
            &UNIFORM_VIEW_AGREEMENT,
            &VIEW_ORDER,
        ];
        assert_eq!(lost_among_four::<Gbcast>(&broadcasts, None, &properties), None);
        let abcasts = [(3, 13), (2, 14), (0, 15)].map(|(pid, of)| (pid, Ask::Broadcast(Value(of))));
        let total: [&Property; 1] = [&TOTAL_ORDER];
        assert_eq!(lost_among_four::<Gbcast>(&abcasts, None, &total), None);
    }

    #[test]
    fn a_majority_is_enough_for_one_group_whatever_is_suspected() {
        for (n, mistakes) in [(3, 4), (4, 3)] {
            let model = Model::PLAIN.of(n, 1).detector(Detector::EventuallyPerfect { mistakes });
            let properties: &[&Property] = &[&UNIFORM_VIEW_AGREEMENT, &VIEW_ORDER];
            let searched = Searched { model, asks: &[], dropped: None, properties };
            assert_eq!(searched.lost::<ViewManager>(STATES_MAX), None);
        }
    }
}
