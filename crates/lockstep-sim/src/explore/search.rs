//! The search through a space of states, whatever the states are of.

use super::digest::Seen;
use crate::rng::Rng;

/// States of a system of processes, and the steps between them.
///
/// A space computes each step of a process once and remembers it, so that its methods take it mutably.
pub trait Space {
    /// A state of the whole.
    type State;
    /// One step: an input of one process.
    type Step: Copy;
    /// What one random walk prefers.
    type Bias;

    /// The state in which every story begins.
    fn first(&self) -> Self::State;

    /// A digest of 64 bits: states of one digest are taken for one.
    fn digest(state: &Self::State) -> u64;

    /// Every possible next step, into `out`, which is cleared first.
    fn steps(&mut self, state: &Self::State, out: &mut Vec<Self::Step>);

    /// Whether `step` can be taken in `state`. It may be one of another story.
    fn is_possible(&self, state: &Self::State, step: Self::Step) -> bool;

    /// The state after a possible step; `None` if nothing changes.
    fn apply(&mut self, state: &Self::State, step: Self::Step) -> Option<Result<Self::State, String>>;

    /// Whether all that must happen happens in the end, once nothing fails any more. The steps that were
    /// taken for that follow those in `trace`.
    ///
    /// # Errors
    /// What does not happen, in words.
    fn settle(&mut self, state: &Self::State, trace: &mut Vec<Self::Step>) -> Result<(), String>;

    /// A step in words.
    fn words(&self, step: Self::Step) -> String;

    /// Draws what a walk prefers.
    fn draw_bias(&self, rng: &mut Rng) -> Self::Bias;

    /// Draws a step that may change the state.
    fn draw(&mut self, rng: &mut Rng, state: &Self::State, bias: &Self::Bias) -> Option<Self::Step>;
}

/// Where a search breadth first ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Steps in a row.
    pub depth: u32,
    /// The most states.
    pub states_max: u64,
}

/// A violation and the steps that lead to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation<Step> {
    /// The broken rule, in words.
    pub what: String,
    /// The steps from the first state on.
    pub steps: Vec<Step>,
}

/// The result of a search.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Searched<Step> {
    /// Different states, the first one included; or walks.
    pub states: u64,
    /// Steps that led to one of them.
    pub steps: u64,
    /// Steps in a row up to which every interleaving was searched.
    pub depth: u32,
    /// Whether no state has a step that leads on: the whole space, whatever the depth.
    pub whole: bool,
    /// States from which everything was brought to its end.
    pub settled: u64,
    /// The violation, if any: the shortest of a search breadth first.
    pub violation: Option<Violation<Step>>,
}

impl<Step> Default for Searched<Step> {
    fn default() -> Self {
        Self { states: 0, steps: 0, depth: 0, whole: false, settled: 0, violation: None }
    }
}

/// In every so many states the search checks that a healed system brings everything to an end.
const CHECK_EACH: u64 = 4_096;

/// The steps by which states were found first: that of state n, and the state before it, stand at n - 1.
/// State 0 is the first one.
struct Found<Step>(Vec<(u32, Step)>);

impl<Step: Copy> Found<Step> {
    fn add(&mut self, parent: u32, step: Step) -> u32 {
        self.0.push((parent, step));
        self.0.len() as u32
    }

    /// The steps that led to the state `at`, and `step`.
    fn path(&self, mut at: u32, step: Step) -> Vec<Step> {
        let mut steps = vec![step];
        while at != 0 {
            let (parent, step) = self.0[at as usize - 1];
            steps.push(step);
            at = parent;
        }
        steps.reverse();
        steps
    }
}

/// All interleavings, breadth first: the story of a violation is the shortest there is.
pub fn breadth_first<S: Space>(space: &mut S, bounds: Bounds) -> Searched<S::Step> {
    let mut seen = Seen::default();
    let mut parents = Found(Vec::new());
    let mut found = Searched { states: 1, ..Searched::default() };
    let first = space.first();
    seen.insert(S::digest(&first));
    let mut layer = vec![(0, first)];
    let mut steps = Vec::new();
    while found.depth < bounds.depth && !layer.is_empty() {
        let last = found.depth + 1 == bounds.depth;
        let mut next_layer = Vec::new();
        for (index, state) in layer {
            space.steps(&state, &mut steps);
            for &step in &steps {
                let Some(next) = space.apply(&state, step) else { continue };
                found.steps += 1;
                let next = match next {
                    Ok(next) => next,
                    Err(what) => {
                        found.violation = Some(Violation { what, steps: parents.path(index, step) });
                        return found;
                    }
                };
                if !seen.insert(S::digest(&next)) {
                    continue;
                }
                found.states += 1;
                if found.states.is_multiple_of(CHECK_EACH) {
                    found.settled += 1;
                    let mut trace = parents.path(index, step);
                    if let Err(what) = space.settle(&next, &mut trace) {
                        found.violation = Some(shortened(space, Violation { what, steps: trace }));
                        return found;
                    }
                }
                if found.states >= bounds.states_max {
                    return found;
                }
                if !last {
                    next_layer.push((parents.add(index, step), next));
                }
            }
        }
        layer = next_layer;
        found.depth += 1;
        found.whole = layer.is_empty() && !last;
    }
    found
}

/// Steps of one random walk before the next one begins.
const WALK_STEPS: u32 = 80;

/// Random walks from the first state, for states deeper than all interleavings can be explored. A story that
/// is found is made short.
pub fn random_walks<S: Space>(space: &mut S, seed: u64, steps_max: u64) -> Searched<S::Step> {
    let mut rng = Rng::new(seed);
    let mut found = Searched::default();
    while found.steps < steps_max {
        let mut state = space.first();
        let mut trace = Vec::new();
        let bias = space.draw_bias(&mut rng);
        for _ in 0..WALK_STEPS {
            let Some(step) = space.draw(&mut rng, &state, &bias) else { break };
            found.steps += 1;
            trace.push(step);
            match space.apply(&state, step) {
                None => {}
                Some(Ok(next)) => state = next,
                Some(Err(what)) => {
                    found.violation = Some(shortened(space, Violation { what, steps: trace }));
                    return found;
                }
            }
        }
        found.states += 1;
        if found.states.is_multiple_of(8) {
            found.settled += 1;
            if let Err(what) = space.settle(&state, &mut trace) {
                found.violation = Some(shortened(space, Violation { what, steps: trace }));
                return found;
            }
        }
    }
    found
}

/// The violation without each step that it does not need.
fn shortened<S: Space>(space: &mut S, mut violation: Violation<S::Step>) -> Violation<S::Step> {
    let mut at = 0;
    while at < violation.steps.len() {
        let mut shorter = violation.steps.clone();
        shorter.remove(at);
        match replay(space, shorter) {
            Some(other) => violation = other,
            None => at += 1,
        }
    }
    violation
}

/// The violation to which these steps lead, those left out that are not possible.
fn replay<S: Space>(space: &mut S, mut steps: Vec<S::Step>) -> Option<Violation<S::Step>> {
    let mut state = space.first();
    for index in 0..steps.len() {
        if !space.is_possible(&state, steps[index]) {
            continue;
        }
        match space.apply(&state, steps[index]) {
            None => {}
            Some(Ok(next)) => state = next,
            Some(Err(what)) => {
                steps.truncate(index + 1);
                return Some(Violation { what, steps });
            }
        }
    }
    None
}
