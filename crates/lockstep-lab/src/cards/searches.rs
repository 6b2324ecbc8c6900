//! Searches of the tests, beside those of the cards: other models, requests or properties.

use crate::property::Property;
use crate::space::Lab;
use crate::{Ask, Model, Pid, Subject};
use lockstep_sim::explore::{Bounds, breadth_first, random_walks};

/// A search: a model, requests and properties of its own.
#[derive(Clone, Copy)]
pub(super) struct Searched<'a> {
    pub model: Model,
    pub asks: &'a [(Pid, Ask)],
    /// The part of the algorithm that is left out.
    pub dropped: Option<&'static str>,
    pub properties: &'a [&'static Property],
}

impl Searched<'_> {
    fn lab<P: Subject>(self) -> Lab<P> {
        Lab::new(self.model, self.asks, self.dropped, self.properties.to_vec(), true)
    }

    /// The property that walks of so many steps find lost, where the space is too large to be explored whole.
    pub fn lost_on_walks<P: Subject>(self, seed: u64, steps: u64) -> Option<String> {
        random_walks(&mut self.lab::<P>(), seed, steps).violation.map(|violation| violation.what)
    }

    /// The property that is lost in the whole space, which has at most so many states.
    pub fn lost<P: Subject>(self, states_max: u64) -> Option<String> {
        let found = breadth_first(&mut self.lab::<P>(), Bounds { depth: u32::MAX, states_max });
        assert!(found.whole || found.violation.is_some(), "{}: {} states", P::CARD.name, found.states);
        found.violation.map(|violation| violation.what)
    }
}
