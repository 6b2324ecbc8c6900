//! Searches beside those of the cards: a protocol under another model, with other requests or properties.

use crate::Subject;
use crate::card::Model;
use crate::erased::KindOf;
use crate::property::Property;
use crate::protocol::Pid;
use crate::space::Lab;
use crate::vocabulary::Ask;
use lockstep_sim::explore::{Bounds, breadth_first, random_walks};
use std::marker::PhantomData;

/// The subject of a search.
#[derive(Clone, Copy, Debug)]
pub struct Searched<'a> {
    /// The model.
    pub model: Model,
    /// The requests.
    pub asks: &'a [(Pid, Ask)],
    /// The part of the algorithm that is left out: see [`Process::lacks`](crate::protocol::Process::lacks).
    pub dropped: Option<&'static str>,
    /// The properties by which it is judged.
    pub properties: &'a [&'static Property],
}

impl Searched<'_> {
    fn lab<P: Subject>(self) -> Lab {
        let kind = &KindOf::<P>(PhantomData);
        Lab::new(kind, self.model, self.asks, self.dropped, self.properties.to_vec(), true)
    }

    /// The property that random walks of so many steps find lost, where the space is too large to be explored
    /// whole.
    pub fn lost_on_walks<P: Subject>(self, seed: u64, steps: u64) -> Option<String> {
        random_walks(&mut self.lab::<P>(), seed, steps).violation.map(|violation| violation.what)
    }

    /// The property that is lost in the whole space.
    ///
    /// # Panics
    /// The space has more than `states_max` states, and no property is lost in these.
    pub fn lost<P: Subject>(self, states_max: u64) -> Option<String> {
        let found = breadth_first(&mut self.lab::<P>(), Bounds { depth: u32::MAX, states_max });
        assert!(found.whole || found.violation.is_some(), "{}: {} states", P::CARD.name, found.states);
        found.violation.map(|violation| violation.what)
    }
}
