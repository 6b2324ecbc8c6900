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
mod tests {
    use super::*;
    use crate::property::{
        AGREEMENT, CAUSAL_ORDER, NO_DUPLICATION, NOTHING_AFTER_FAILURE, Property, RELIABLE_DELIVERY,
        TOTAL_ORDER, UNIFORM_AGREEMENT, UNIFORM_TOTAL_ORDER, UNIFORM_VIEW_AGREEMENT, VALIDITY, VIEW_ORDER,
        VIEW_SYNCHRONY_OF_CORRECT,
    };
    use crate::space::Lab;
    use crate::{Ask, Detector, Failures, Model, Subject};
    use lockstep_sim::explore::{Bounds, breadth_first, random_walks};

    /// Steps of walks in a space that is too large to be explored whole.
    const WALK_STEPS: u64 = 300_000;
    const WALKS_SEED: u64 = 7;
    const STATES_MAX: u64 = 300_000;

    /// What walks among four processes, of which two may fail, find against these properties.
    fn lost_among_four<P: Subject>(
        asks: &[(Pid, Ask)],
        dropped: Option<&'static str>,
        properties: &[&'static Property],
    ) -> Option<String> {
        let failures = Failures::Stop { crashes: 2, filter: true };
        let model = Model { failures, ..P::CARD.model.of(4, 2) };
        let mut lab = Lab::<P>::new(model, asks, dropped, properties.to_vec(), true);
        random_walks(&mut lab, WALKS_SEED, WALK_STEPS).violation.map(|violation| violation.what)
    }

    /// What the whole space has against these properties.
    fn lost<P: Subject>(
        model: Model,
        asks: &[(Pid, Ask)],
        properties: &[&'static Property],
    ) -> Option<String> {
        let mut lab = Lab::<P>::new(model, asks, None, properties.to_vec(), true);
        let found = breadth_first(&mut lab, Bounds { depth: u32::MAX, states_max: STATES_MAX });
        assert!(found.whole || found.violation.is_some(), "{} states", found.states);
        found.violation.map(|violation| violation.what)
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
        assert_eq!(lost::<Cbcast<Value>>(Cbcast::CARD.model, &asks, &properties), None);
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
            let found = lost::<ViewManager>(model, &[], &[&UNIFORM_VIEW_AGREEMENT, &VIEW_ORDER]);
            assert_eq!(found, None);
        }
    }
}
