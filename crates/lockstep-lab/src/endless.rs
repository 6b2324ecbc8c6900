//! Runs without an end: what becomes of the promises of a protocol that repeats its messages for ever.
//!
//! What was indicated only grows, so that an endless run in which nothing new is indicated stays in one loop
//! of states with their histories. There it is judged as where a run is over. What a property promises again
//! and again ([`Judged::ForEver`]) is judged on loops of states without their histories.

use crate::graph::{Edge, Graph, Lasso, loop_of};
use crate::property::{Judged, Property};
use crate::protocol::Pid;
use crate::space::{Lab, State};
use crate::story::Story;
use crate::vocabulary::{Event, Fact};
use std::collections::BTreeSet;

/// What a process indicates in a step.
type Facts = BTreeSet<(Pid, Fact)>;

/// What was found of endless runs.
pub(crate) struct Endless {
    /// Whether all of them were judged.
    pub whole: bool,
    /// The first one that loses a property.
    pub story: Option<Story>,
}

/// Judges all endless fair runs of at most `states_max` states. `lab` returns the space, with what happened
/// in its states or without it.
pub(crate) fn judge(
    lab: impl Fn(bool) -> Lab,
    properties: &[&'static Property],
    states_max: usize,
    title: &str,
) -> Endless {
    let story_of = |lab: &mut Lab, lasso: Lasso, why: String| {
        let steps: Vec<_> = lasso.stem.iter().chain(&lasso.cycle).copied().collect();
        let mut story = Story::of_steps(lab, title.to_owned(), &steps, why);
        story.loop_from = (!lasso.cycle.is_empty()).then_some(lasso.stem.len());
        story
    };
    let mut found = Endless { whole: true, story: None };
    for (judged, remembers) in [(Judged::AtTheEnd, true), (Judged::ForEver, false)] {
        if properties.iter().all(|property| property.judged != judged) || found.story.is_some() {
            continue;
        }
        let mut lab = lab(remembers);
        let graph = Graph::explore(&mut lab, states_max, |_| false, false);
        found.whole &= graph.whole;
        let lost = if remembers { at_the_end(&lab, &graph) } else { for_ever(&mut lab, graph) };
        found.story = lost.map(|(lasso, why)| story_of(&mut lab, lasso, why));
    }
    found
}

/// The first loop in which a liveness property does not hold.
fn at_the_end(lab: &Lab, graph: &Graph) -> Option<(Lasso, String)> {
    graph.parts(lab).iter().find_map(|part| {
        let why = lab.judge_end(&graph.states[*part.first()?]).err()?;
        Some((graph.lasso(loop_of(lab, graph, part, false)?)?, why))
    })
}

/// The first run, endless or not, in which something does not happen again and again. Runs that avoid a fact
/// for ever are loops without its steps.
fn for_ever(lab: &mut Lab, mut graph: Graph) -> Option<(Lasso, String)> {
    for (number, state) in graph.states.iter().enumerate() {
        if lab.must_steps(state).is_empty()
            && let Err(why) = lab.judge_for_ever(state, &Facts::new())
        {
            return graph.lasso((number, Vec::new())).map(|lasso| (lasso, why));
        }
    }
    let all = std::mem::take(&mut graph.edges);
    let facts_of = |lab: &mut Lab, states: &[State], from: usize, edge: &Edge| -> Facts {
        let pid = lab.process_of(edge.step);
        let events = lab.advance(&states[from], edge.step).map(|(_, events)| events).unwrap_or_default();
        let did = |event| if let Event::Did(fact) = event { Some((pid?, fact)) } else { None };
        events.into_iter().filter_map(did).collect()
    };
    let labels: Vec<Vec<Facts>> = all
        .iter()
        .enumerate()
        .map(|(from, edges)| edges.iter().map(|edge| facts_of(lab, &graph.states, from, edge)).collect())
        .collect();
    let facts: Facts = labels.iter().flatten().flatten().cloned().collect();
    let avoided = facts.iter().map(Some).chain([None]);
    for fact in avoided {
        let is_avoided = |facts: &Facts| fact.is_some_and(|fact| facts.contains(fact));
        let without = all.iter().zip(&labels).map(|(edges, labels)| {
            let allowed = edges.iter().zip(labels).filter(|(_, facts)| !is_avoided(facts));
            allowed.map(|(edge, _)| *edge).collect()
        });
        graph.edges = without.collect();
        for part in graph.parts(lab) {
            let inside = part.iter().flat_map(|from| all[*from].iter().zip(&labels[*from]));
            let there = inside.filter(|(edge, facts)| part.contains(&edge.to) && !is_avoided(facts));
            let happens: Facts = there.flat_map(|(_, facts)| facts.iter().cloned()).collect();
            let Some(state) = part.first().map(|state| &graph.states[*state]) else { continue };
            let Err(why) = lab.judge_for_ever(state, &happens) else { continue };
            let Some(found) = loop_of(lab, &graph, &part, false) else { continue };
            // The way there may pass what the loop avoids.
            graph.edges = all;
            return graph.lasso(found).map(|lasso| (lasso, why));
        }
    }
    None
}
