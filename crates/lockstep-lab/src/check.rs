//! Checks a card: explores its model, and finds each of its breaks again.

use crate::Subject;
use crate::card::{Break, Card, Price, Search};
use crate::endless;
use crate::erased::{Kind, KindOf};
use crate::graph::{Graph, fair_lasso};
use crate::property::{Judged, Property};
use crate::space::{Lab, Step};
use crate::story::Story;
use crate::timed::{self, Cost, TimedRun, Timing, wrong_prices};
use crate::valence::{Valences, valences};
use lockstep_sim::explore::{Bounds, Violation, breadth_first, random_walks};
use std::fmt;
use std::marker::PhantomData;

/// States up to which an endless run is searched.
const GRAPH_STATES_MAX: usize = 300_000;
/// The seed of random walks: the same stories each time.
pub(crate) const WALKS_SEED: u64 = 1;
/// States up to which a break is searched breadth first.
const BREAK_STATES_MAX: u64 = 5_000_000;

/// What was found under a card's own model.
#[derive(Clone, Debug, Default)]
pub struct Explored {
    /// Different states.
    pub states: u64,
    /// Steps between them.
    pub steps: u64,
    /// Steps in a row up to which every interleaving was explored.
    pub depth: u32,
    /// Whether these are all states of the model.
    pub whole: bool,
    /// A property that does not hold, with its story.
    pub violation: Option<Story>,
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = if self.whole { "whole" } else { "not whole" };
        write!(f, "{} states, {} steps, depth {}, {whole}", self.states, self.steps, self.depth)
    }
}

/// What was found of one break.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The break.
    pub name: &'static str,
    /// Its story, if it was found.
    pub story: Option<Story>,
    /// Why it does not count: not found, another property, too long.
    pub wrong: Option<String>,
}

/// The result of checking a card.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The card.
    pub card: &'static Card,
    /// The number of states up to which its model was explored.
    pub states_max: u64,
    /// Under its own model.
    pub explored: Explored,
    /// Each of its breaks.
    pub breaks: Vec<Broken>,
    /// Where its price is not what was measured.
    pub wrong_prices: Vec<String>,
}

impl Checked {
    /// The errors, a line each; empty if the card holds and each break was found again.
    pub fn errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        let name = self.card.name;
        if let Some(story) = &self.explored.violation {
            errors.push(format!("{name}: a property does not hold:\n{story}"));
        } else if self.card.whole && !self.explored.whole && self.states_max >= self.card.states_max {
            let most = self.card.states_max;
            errors.push(format!("{name}: not whole within {most} states, which the card promises"));
        }
        let wrong = self.breaks.iter().filter_map(|broken| Some((broken.name, broken.wrong.as_ref()?)));
        errors.extend(wrong.map(|(broken, why)| format!("{name}, {broken}: {why}")));
        errors.extend(self.wrong_prices.iter().cloned());
        errors
    }
}

/// One protocol in a catalogue.
#[derive(Clone, Copy)]
pub struct Entry {
    /// Its card.
    pub card: &'static Card,
    runs: Runs,
    /// How its timed runs differ from those of a [`Subject`], if they do.
    pub remark: Option<&'static str>,
}

/// What runs a protocol.
#[derive(Clone, Copy)]
enum Runs {
    /// The lab does.
    Subject(&'static dyn Kind),
    /// These functions do.
    Other {
        explore: fn() -> Explored,
        find: fn(&'static Break) -> Broken,
        timed: fn(&Timing) -> Option<TimedRun>,
    },
}

impl Entry {
    /// The entry of the protocol `P`.
    pub const fn of<P: Subject>() -> Self {
        Self { card: P::CARD, runs: Runs::Subject(&KindOf::<P>(PhantomData)), remark: None }
    }

    /// The entry of something that is no [`Subject`]: how its model is explored, how a break of its card is
    /// found, its timed runs (`None` where it has no such run), and in words how these differ from others.
    pub const fn made_of(
        card: &'static Card,
        explore: fn() -> Explored,
        find: fn(&'static Break) -> Broken,
        timed: fn(&Timing) -> Option<TimedRun>,
        remark: Option<&'static str>,
    ) -> Self {
        Self { card, runs: Runs::Other { explore, find, timed }, remark }
    }

    /// What its model has, explored.
    pub fn explore(&self) -> Explored {
        self.explore_up_to(self.card.states_max)
    }

    fn explore_up_to(&self, states_max: u64) -> Explored {
        match self.runs {
            Runs::Subject(kind) => explore(kind, states_max),
            Runs::Other { explore, .. } => explore(),
        }
    }

    /// What the search for a break of its card finds.
    fn find(&self, broken: &'static Break) -> Broken {
        match self.runs {
            Runs::Subject(kind) => find(kind, broken),
            Runs::Other { find, .. } => find(broken),
        }
    }

    /// The story of the break of this name, searched again.
    pub fn story(&self, name: &str) -> Option<Story> {
        self.find(self.card.breaks.iter().find(|broken| broken.name == name)?).story
    }

    /// The valences of its states, if it has a [`Valuation`](crate::Valuation).
    pub fn valences(&self) -> Option<Valences> {
        match self.runs {
            Runs::Subject(kind) => valences(kind),
            Runs::Other { .. } => None,
        }
    }

    /// What the request of one of its prices costs among `n` processes; `None` if it has no such run.
    pub fn cost(&self, price: &Price, n: u8) -> Option<Cost> {
        Some(self.timed(&Timing::of_price(price, n))?.cost)
    }

    /// A timed run; `None` if it has no such run.
    pub fn timed(&self, timing: &Timing) -> Option<TimedRun> {
        match self.runs {
            Runs::Subject(kind) => Some(timed::run(kind, timing)),
            Runs::Other { timed, .. } => timed(timing),
        }
    }

    /// Explores its model and finds its breaks again.
    pub fn check(&self) -> Checked {
        self.check_up_to(self.card.states_max, |_| true)
    }

    /// As [`check`](Self::check), but at most so many states of its model are explored, and these breaks
    /// alone are searched. A card without a [`Subject`] is explored whole.
    pub fn check_up_to(&self, states_max: u64, is_searched: impl Fn(&Break) -> bool) -> Checked {
        let states_max = states_max.min(self.card.states_max);
        let searched = self.card.breaks.iter().filter(|broken| is_searched(broken));
        let breaks = searched.map(|broken| self.find(broken)).collect();
        let wrong_prices = wrong_prices(self.card, |price, n| self.cost(price, n));
        Checked {
            card: self.card,
            states_max,
            explored: self.explore_up_to(states_max),
            breaks,
            wrong_prices,
        }
    }
}

/// Protocols by name, in groups.
#[derive(Clone, Copy)]
pub struct Catalogue(pub &'static [&'static [Entry]]);

impl Catalogue {
    /// The protocol of this name.
    pub fn get(&self, name: &str) -> Option<&'static Entry> {
        self.entries().find(|entry| entry.card.name == name)
    }

    /// All of them, in order.
    pub fn entries(&self) -> impl Iterator<Item = &'static Entry> {
        self.0.iter().copied().flatten()
    }
}

/// Whether runs without an end are judged too.
fn has_endless_runs(lab: &Lab, properties: &[&'static Property]) -> bool {
    lab.is_endless() || properties.iter().any(|property| property.judged == Judged::ForEver)
}

fn explore(kind: &'static dyn Kind, states_max: u64) -> Explored {
    let card = kind.card();
    let lab = |remembers| Lab::new(kind, card.model, card.asks, None, card.properties.to_vec(), remembers);
    let end = |states_max| endless::judge(lab, card.properties, states_max, card.name);
    let mut lab = lab(true);
    let found = breadth_first(&mut lab, Bounds { depth: u32::MAX, states_max });
    let violation = found
        .violation
        .map(|Violation { what, steps }| Story::of_steps(&mut lab, card.name.to_owned(), &steps, what));
    let mut explored = Explored {
        states: found.states,
        steps: found.steps,
        depth: found.depth,
        whole: found.whole,
        violation,
    };
    if explored.violation.is_none() && has_endless_runs(&lab, card.properties) {
        let endless = end(states_max as usize);
        explored.whole &= endless.whole;
        explored.violation = endless.story;
    }
    explored
}

fn find(kind: &'static dyn Kind, broken: &'static Break) -> Broken {
    let card = kind.card();
    let asks = broken.asks.unwrap_or(card.asks);
    let title = format!("{}, {}", card.name, broken.name);
    // A loop comes back to a state, so that it has no history to be judged.
    let remembers = matches!(broken.search, Search::Breadth | Search::Walks(_));
    let properties = if remembers { vec![broken.loses] } else { Vec::new() };
    let new_lab =
        |remembers| Lab::new(kind, broken.model, asks, broken.dropped, properties.clone(), remembers);
    let mut lab = new_lab(remembers);
    let story_of =
        |lab: &mut Lab, Violation { what, steps }| Story::of_steps(lab, title.clone(), &steps, what);
    let story = match broken.search {
        Search::Breadth => {
            let found = breadth_first(&mut lab, Bounds { depth: u32::MAX, states_max: BREAK_STATES_MAX });
            let story = found.violation.map(|found| story_of(&mut lab, found));
            if story.is_some() || !has_endless_runs(&lab, &properties) {
                story
            } else {
                endless::judge(new_lab, &properties, GRAPH_STATES_MAX, &title).story
            }
        }
        Search::Walks(steps) => {
            let found = random_walks(&mut lab, WALKS_SEED, steps);
            found.violation.map(|found| story_of(&mut lab, found))
        }
        Search::Lasso { progress } => {
            let graph = Graph::explore(&mut lab, GRAPH_STATES_MAX, progress, true);
            let end = format!("{}: what must happen happens, and so for ever", broken.loses.name);
            endless(&mut lab, &graph, false, title, end)
        }
        Search::Recurrence { nuisance } => {
            let graph = Graph::explore(&mut lab, GRAPH_STATES_MAX, nuisance, false);
            let end = format!("{}: it happens again and again, for ever", broken.loses.name);
            endless(&mut lab, &graph, true, title, end)
        }
    };
    Broken::of(broken, story)
}

impl Broken {
    /// What the search for a break found.
    pub(crate) fn of(broken: &'static Break, story: Option<Story>) -> Self {
        let wrong = match &story {
            None => Some(format!("{} is not lost in the model of the card", broken.loses.name)),
            Some(story) if story.rows.len() > broken.steps_max => Some(format!(
                "the story has {} steps, the card promises at most {}:\n{story}",
                story.rows.len(),
                broken.steps_max
            )),
            Some(_) => None,
        };
        Self { name: broken.name, story, wrong }
    }
}

fn endless(lab: &mut Lab, graph: &Graph, wants_mark: bool, title: String, end: String) -> Option<Story> {
    let lasso = fair_lasso(lab, graph, wants_mark)?;
    let steps: Vec<Step> = lasso.stem.iter().chain(&lasso.cycle).copied().collect();
    let mut story = Story::of_steps(lab, title, &steps, end);
    story.loop_from = Some(lasso.stem.len());
    Some(story)
}
