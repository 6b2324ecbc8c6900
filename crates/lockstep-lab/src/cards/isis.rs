//! The toolkit of process groups (Birman and Joseph 1987).

mod abcast;
mod cbcast;
mod gbcast;
mod view_manager;

pub use abcast::{Abcast, AbcastMessage};
pub use cbcast::{Cbcast, CbcastTo, Packet};
pub use gbcast::{Gbcast, GbcastEntry, GbcastMessage, GroupRequest};
pub use view_manager::{ViewManager, ViewMessage};

use crate::check::Entry;
use crate::{Pid, Value};

/// A message of `.0`.
type Of<M> = (Pid, M);

/// Its cards, in the order of the tour.
pub(super) static ENTRIES: &[Entry] = &[
    Entry::of::<Abcast<Value>>(),
    Entry::of::<Cbcast<Value>>(),
    Entry::of::<Gbcast>(),
    Entry::of::<ViewManager>(),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::property::{AGREEMENT, Property, TOTAL_ORDER, VALIDITY};
    use crate::space::Lab;
    use crate::{Ask, Model, Subject};
    use lockstep_sim::explore::random_walks;

    const STEPS: u64 = 400_000;

    /// Whether walks among four processes, of which two may fail, lose one of these properties.
    fn is_lost_among_four<P: Subject>(
        asks: &[(Pid, Ask)],
        dropped: Option<&'static str>,
        properties: &[&'static Property],
    ) -> bool {
        let model = Model { failures: FAILURES, ..P::CARD.model.of(4, 2) };
        let mut lab = Lab::<P>::new(model, asks, dropped, properties.to_vec(), true);
        let found = random_walks(&mut lab, 7, STEPS).violation;
        if let Some(found) = &found {
            eprintln!("{} in {} steps", found.what, found.steps.len());
            for step in &found.steps {
                eprintln!("  {}", lockstep_sim::explore::Space::words(&lab, *step));
            }
        }
        found.is_some()
    }

    const FAILURES: crate::Failures = crate::Failures::Stop { crashes: 2, filter: true };

    #[test]
    fn xexperiment() {
        for entry in ENTRIES {
            let now = std::time::Instant::now();
            let done = entry.check();
            eprintln!("{}: {} {:?}", entry.card.name, done.explored, now.elapsed());
            for broken in &done.breaks {
                eprintln!("  {} {:?}", broken.name, broken.story.as_ref().map(|story| story.rows.len()));
            }
            for error in done.errors() {
                eprintln!("ERROR {error}");
            }
        }
        let base = ViewManager::CARD.model;
        for (model, dropped) in [
            (base.of(4, 2), Some("majority")),
            (Model { links: crate::Links::Perfect, ..base.of(4, 2) }, Some("majority")),
            (
                Model {
                    detector: crate::Detector::EventuallyPerfect { mistakes: 3 },
                    failures: crate::Failures::None,
                    ..base.of(3, 1)
                },
                None,
            ),
            (
                Model {
                    detector: crate::Detector::EventuallyPerfect { mistakes: 2 },
                    failures: crate::Failures::None,
                    ..base.of(4, 1)
                },
                None,
            ),
        ] {
            let properties = vec![&crate::property::UNIFORM_VIEW_AGREEMENT, &crate::property::VIEW_ORDER];
            let mut lab = Lab::<ViewManager>::new(model, &[], dropped, properties, true);
            let found = lockstep_sim::explore::breadth_first(
                &mut lab,
                lockstep_sim::explore::Bounds { depth: u32::MAX, states_max: 600_000 },
            );
            eprintln!("{model:?}: {} {} {:?}", found.states, found.whole, found.violation.map(|v| v.what));
        }
    }

    #[test]
    fn two_processes_may_take_over_at_once_if_each_answers_one() {
        let asks = [(0, Ask::Broadcast(Value(0))), (3, Ask::Broadcast(Value(1)))];
        let properties: [&Property; 3] = [&VALIDITY, &AGREEMENT, &TOTAL_ORDER];
        assert!(!is_lost_among_four::<Abcast<Value>>(&asks, None, &properties));
        assert!(is_lost_among_four::<Abcast<Value>>(&asks, Some("one coordinator"), &properties));
    }
}
