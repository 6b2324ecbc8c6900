//! The graph of all states, and endless runs in it.
//!
//! A run without an end is a loop of states. It is *fair* if nothing that must happen starves: each step that
//! must happen is taken somewhere in the loop, or is not there somewhere in the loop. In a strongly connected
//! part of the graph one can go round through all of its steps, so the part as a whole is fair if each of its
//! steps that must happen is taken inside, or is not there in one of its states.
//!
//! Links with endless losses ask for more: a message that is under way again and again arrives again and
//! again. So the states in which such a message is under way that never arrives there are left out of a part,
//! and what remains is taken apart once more.

use crate::space::{Lab, State, Step};
use crate::vocabulary::{Event, Fact};
use lockstep_sim::explore::Space;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A step between two states, and whether it indicates what is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    pub step: Step,
    pub to: usize,
    pub marked: bool,
}

/// The states that were found, and the steps between them.
pub(crate) struct Graph {
    pub states: Vec<State>,
    pub edges: Vec<Vec<Edge>>,
    /// Whether it has all of them.
    pub whole: bool,
}

impl Graph {
    /// Explores breadth first up to `states_max`. `marks` names the facts that mark an edge; those edges are
    /// left out where `leaves_out` is set.
    pub fn explore(
        lab: &mut Lab,
        states_max: usize,
        marks: impl Fn(&Fact) -> bool,
        leaves_out: bool,
    ) -> Self {
        let first = lab.first();
        let mut numbers = BTreeMap::from([(Lab::digest(&first), 0)]);
        let mut graph = Self { states: vec![first], edges: Vec::new(), whole: true };
        let mut steps = Vec::new();
        let mut at = 0;
        while at < graph.states.len() {
            let state = graph.states[at].clone();
            lab.steps(&state, &mut steps);
            let mut edges = Vec::new();
            let musts = lab.must_steps(&state).len();
            for (index, step) in steps.iter().enumerate() {
                let Some((next, events)) = lab.advance(&state, *step) else {
                    // What must happen happens, and changes nothing.
                    if index < musts {
                        edges.push(Edge { step: *step, to: at, marked: false });
                    }
                    continue;
                };
                let marked = events.iter().any(|event| matches!(event, Event::Did(fact) if marks(fact)));
                if marked && leaves_out {
                    continue;
                }
                let digest = Lab::digest(&next);
                let to = match numbers.get(&digest) {
                    Some(number) => *number,
                    None if graph.states.len() < states_max => {
                        numbers.insert(digest, graph.states.len());
                        graph.states.push(next);
                        graph.states.len() - 1
                    }
                    None => {
                        graph.whole = false;
                        continue;
                    }
                };
                edges.push(Edge { step: *step, to, marked });
            }
            graph.edges.push(edges);
            at += 1;
        }
        graph
    }

    /// The strongly connected parts in which each message that is under way arrives, if links lose messages
    /// for ever; else all of them.
    pub fn parts(&self, lab: &Lab) -> Vec<BTreeSet<usize>> {
        let mut found = Vec::new();
        let mut rest: Vec<BTreeSet<usize>> = Self::connected(&self.edges);
        while let Some(part) = rest.pop() {
            let inside = |edge: &&Edge| part.contains(&edge.to);
            let taken: BTreeSet<Step> = part
                .iter()
                .flat_map(|from| self.edges[*from].iter().filter(inside).map(|edge| edge.step))
                .collect();
            let arrives = |state: &usize| {
                lab.insistent_steps(&self.states[*state]).iter().all(|step| taken.contains(step))
            };
            let remaining: Vec<usize> = part.iter().copied().filter(arrives).collect();
            if remaining.len() == part.len() {
                found.push(part);
                continue;
            }
            // Those states alone, numbered anew.
            let renumbered =
                |edge: &Edge| Some(Edge { to: remaining.binary_search(&edge.to).ok()?, ..*edge });
            let edges: Vec<Vec<Edge>> = remaining
                .iter()
                .map(|from| self.edges[*from].iter().filter_map(renumbered).collect())
                .collect();
            let smaller = Self::connected(&edges).into_iter();
            rest.extend(smaller.map(|part| part.into_iter().map(|state| remaining[state]).collect()));
        }
        found.sort_unstable_by_key(|part: &BTreeSet<usize>| part.first().copied());
        found
    }

    /// The strongly connected parts of more than one state, or with an edge to itself (Tarjan 1972, without
    /// recursion).
    fn connected(edges: &[Vec<Edge>]) -> Vec<BTreeSet<usize>> {
        let count = edges.len();
        let (mut index, mut low) = (vec![usize::MAX; count], vec![0; count]);
        let mut on_stack = vec![false; count];
        let (mut stack, mut parts, mut next) = (Vec::new(), Vec::new(), 0);
        for root in 0..count {
            if index[root] != usize::MAX {
                continue;
            }
            let mut calls = vec![(root, 0)];
            while let Some((at, edge)) = calls.last_mut() {
                let at = *at;
                if *edge == 0 && index[at] == usize::MAX {
                    (index[at], low[at]) = (next, next);
                    next += 1;
                    stack.push(at);
                    on_stack[at] = true;
                }
                if let Some(to) = edges[at].get(*edge).map(|edge| edge.to) {
                    *edge += 1;
                    if index[to] == usize::MAX {
                        calls.push((to, 0));
                    } else if on_stack[to] {
                        low[at] = low[at].min(index[to]);
                    }
                    continue;
                }
                calls.pop();
                if let Some((parent, _)) = calls.last() {
                    low[*parent] = low[*parent].min(low[at]);
                }
                if low[at] == index[at] {
                    let mut part = BTreeSet::new();
                    while let Some(state) = stack.pop() {
                        on_stack[state] = false;
                        part.insert(state);
                        if state == at {
                            break;
                        }
                    }
                    let is_loop = part.len() > 1 || edges[at].iter().any(|edge| edge.to == at);
                    if is_loop {
                        parts.push(part);
                    }
                }
            }
        }
        parts
    }

    /// The shortest way from `from` to a state for which `reached`, within `inside` (or anywhere).
    fn way(
        &self,
        from: usize,
        inside: Option<&BTreeSet<usize>>,
        reached: impl Fn(usize) -> bool,
    ) -> Option<Vec<Step>> {
        let mut parents: BTreeMap<usize, (usize, Step)> = BTreeMap::new();
        let mut queue = VecDeque::from([from]);
        while let Some(at) = queue.pop_front() {
            if reached(at) {
                let mut way = Vec::new();
                let mut state = at;
                while state != from {
                    let (parent, step) = parents[&state];
                    way.push(step);
                    state = parent;
                }
                way.reverse();
                return Some(way);
            }
            for edge in &self.edges[at] {
                let allowed = inside.is_none_or(|inside| inside.contains(&edge.to));
                if allowed && edge.to != from && !parents.contains_key(&edge.to) {
                    parents.insert(edge.to, (at, edge.step));
                    queue.push_back(edge.to);
                }
            }
        }
        None
    }

    /// The run that comes to `start` and goes round in `cycle`.
    pub fn lasso(&self, (start, cycle): (usize, Vec<Step>)) -> Option<Lasso> {
        Some(Lasso { stem: self.way(0, None, |state| state == start)?, cycle })
    }

    /// A way round by these edges and these states, back to the first edge's state: its steps, and its
    /// states.
    fn tour(
        &self,
        edges: &[(usize, Edge)],
        visits: &BTreeSet<usize>,
        inside: &BTreeSet<usize>,
    ) -> Option<(Vec<Step>, Vec<usize>)> {
        let start = edges.first()?.0;
        let (mut cycle, mut states) = (Vec::new(), vec![start]);
        let go = |to: usize, cycle: &mut Vec<Step>, states: &mut Vec<usize>| {
            for step in self.way(*states.last()?, Some(inside), |state| state == to)? {
                let at = *states.last()?;
                states.push(self.edges[at].iter().find(|edge| edge.step == step)?.to);
                cycle.push(step);
            }
            Some(())
        };
        for (from, edge) in edges {
            go(*from, &mut cycle, &mut states)?;
            cycle.push(edge.step);
            states.push(edge.to);
        }
        for visit in visits {
            go(*visit, &mut cycle, &mut states)?;
        }
        go(start, &mut cycle, &mut states)?;
        Some((cycle, states))
    }
}

/// An endless run: the steps to its loop, and the loop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Lasso {
    pub stem: Vec<Step>,
    pub cycle: Vec<Step>,
}

/// A fair endless run without any marked edge (the graph was explored without those), or one that has a
/// marked edge if `wants_mark`. The run with the shortest loop of all fair parts.
pub(crate) fn fair_lasso(lab: &Lab, graph: &Graph, wants_mark: bool) -> Option<Lasso> {
    let mut best: Option<Lasso> = None;
    for inside in graph.parts(lab) {
        let Some(lasso) = loop_of(lab, graph, &inside, wants_mark).and_then(|found| graph.lasso(found))
        else {
            continue;
        };
        if best
            .as_ref()
            .is_none_or(|best| lasso.cycle.len() + lasso.stem.len() < best.cycle.len() + best.stem.len())
        {
            best = Some(lasso);
        }
    }
    best
}

/// The tour of one part, if it is fair, and the state in which it begins.
pub(crate) fn loop_of(
    lab: &Lab,
    graph: &Graph,
    inside: &BTreeSet<usize>,
    wants_mark: bool,
) -> Option<(usize, Vec<Step>)> {
    let musts =
        |state: usize| -> BTreeSet<Step> { lab.must_steps(&graph.states[state]).into_iter().collect() };
    let in_all = |states: &mut dyn Iterator<Item = usize>| {
        states.map(musts).reduce(|all, here| &all & &here).unwrap_or_default()
    };
    let edge_inside = |is_wanted: &dyn Fn(&Edge) -> bool| {
        inside.iter().find_map(|&from| {
            let mut edges = graph.edges[from].iter().filter(|edge| inside.contains(&edge.to));
            edges.find(|edge| is_wanted(edge)).map(|edge| (from, *edge))
        })
    };
    // A step that must happen in every state of the part and is never taken there starves.
    let mut always = in_all(&mut inside.iter().copied());
    always.extend(inside.iter().flat_map(|state| lab.insistent_steps(&graph.states[*state])));
    let mut edges: Vec<_> =
        always.iter().map(|step| edge_inside(&|edge| edge.step == *step)).collect::<Option<_>>()?;
    if wants_mark {
        edges.push(edge_inside(&|edge| edge.marked)?);
    }
    if edges.is_empty() {
        edges.push(edge_inside(&|_| true)?);
    }
    let mut visits = BTreeSet::new();
    loop {
        let (cycle, states) = graph.tour(&edges, &visits, inside)?;
        // A step that is not there everywhere in the part may be there everywhere on the tour: it goes round
        // by a state without it.
        let starving = in_all(&mut states.iter().copied()).into_iter().find(|step| !cycle.contains(step));
        let Some(step) = starving else { return Some((edges[0].0, cycle)) };
        visits.insert(*inside.iter().find(|state| !musts(**state).contains(&step))?);
    }
}
