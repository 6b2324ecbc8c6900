//! The valence of each state of a binary consensus (Fischer, Lynch, Paterson 1985; Guerraoui's course, "FLP
//! Impossibility Result"): the decisions that can still be reached from it.
//!
//! ```text
//!   lemma 1   some initial configuration is bivalent: the network decides what is decided
//!   lemma 2   any message can be delivered, sooner or later, so that a bivalent state is bivalent again
//!   so        a fair run goes from one bivalent state to the next for ever, and nobody decides
//! ```
//!
//! A state is bivalent if both decisions are found after it. The states are without number, as rounds are: a
//! univalent one is univalent as far as the explored ones show.

mod picture;

use crate::card::Valuation;
use crate::erased::Kind;
use crate::graph::{Edge, Graph, fair_lasso};
use crate::protocol::Pid;
use crate::space::{Lab, Step};
use crate::vocabulary::{Ask, Event, Fact, Value};
use lockstep_sim::explore::Space;
use std::collections::BTreeMap;
use std::fmt;

/// States up to which each configuration is explored, breadth first.
const STATES_MAX: usize = 30_000;

/// What a state can still come to. The value 0 is written `a`, the value 1 `b`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Valence {
    /// Only 0 can be decided.
    Zero,
    /// Only 1 can be decided.
    One,
    /// Either can.
    Bivalent,
    /// Nothing can.
    Undecided,
}

impl Valence {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Bivalent, Self::Zero, Self::One, Self::Undecided];

    /// Of what can be decided: the value 0, the value 1.
    fn of(can: [bool; 2]) -> Self {
        match can {
            [true, true] => Self::Bivalent,
            [true, false] => Self::Zero,
            [false, true] => Self::One,
            [false, false] => Self::Undecided,
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Zero => "0-valent",
            Self::One => "1-valent",
            Self::Bivalent => "bivalent",
            Self::Undecided => "without a decision",
        }
    }
}

/// A step of a state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ValuedStep {
    /// In words.
    pub words: String,
    /// Its process.
    pub process: Option<Pid>,
    /// The number of the state that it leads to.
    pub to: usize,
}

/// A state, and what it can come to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ValuedState {
    /// Its valence.
    pub valence: Valence,
    /// Its steps, if it is bivalent: what follows a univalent state is univalent too.
    pub steps: Vec<ValuedStep>,
}

/// A fair run without an end through bivalent states: each of its steps, as the number of a state and the
/// place of its step there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endless {
    /// The way to the loop.
    pub stem: Vec<(usize, usize)>,
    /// The loop.
    pub cycle: Vec<(usize, usize)>,
}

/// The valences of a consensus.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Valences {
    /// The name of the card.
    pub name: &'static str,
    /// What the model is, in words.
    pub says: &'static str,
    /// Each initial configuration: what is proposed, and its valence.
    pub initial: Vec<(String, Valence)>,
    /// The configuration that follows: the first bivalent one.
    pub drawn: usize,
    /// Its bivalent states, and those that one step makes univalent, by their distance from the first one.
    pub states: Vec<ValuedState>,
    /// A fair run that decides nothing, if there is one.
    pub endless: Option<Endless>,
}

impl Valences {
    /// How many of its states have this valence.
    pub fn count(&self, valence: Valence) -> usize {
        self.states.iter().filter(|state| state.valence == valence).count()
    }

    /// A state in short: its number if it is bivalent, or else its valence.
    fn place(&self, state: usize) -> String {
        match self.states[state].valence {
            Valence::Bivalent => {
                let before = &self.states[..state];
                format!("s{}", before.iter().filter(|state| state.valence == Valence::Bivalent).count())
            }
            other => other.words().to_owned(),
        }
    }

    /// The picture (SVG). Equal valences give equal bytes.
    pub fn draw(&self) -> String {
        picture::draw(self)
    }
}

/// The states of one configuration.
struct Valued {
    lab: Lab,
    graph: Graph,
    valences: Vec<Valence>,
}

/// The valences of a protocol, if it has a valuation. `None` if no configuration of it is bivalent.
pub(crate) fn valences(kind: &'static dyn Kind) -> Option<Valences> {
    let valuation = kind.valuation()?;
    let mut initial = Vec::new();
    let mut bivalent = None;
    for (at, asks) in valuation.configurations.iter().enumerate() {
        let valued = Valued::explore(kind, valuation, asks);
        let words = asks.iter().map(|(pid, ask)| format!("p{} {ask:?}", pid + 1));
        initial.push((words.collect::<Vec<_>>().join(", "), valued.valences[0]));
        if valued.valences[0] == Valence::Bivalent && bivalent.is_none() {
            bivalent = Some((at, valued));
        }
    }
    let (drawn, valued) = bivalent?;
    let (states, endless) = valued.shown();
    Some(Valences { name: kind.card().name, says: valuation.says, initial, drawn, states, endless })
}

impl Valued {
    /// Explores the states up to the first decision of each run.
    fn explore(kind: &'static dyn Kind, valuation: &Valuation, asks: &[(Pid, Ask)]) -> Self {
        let mut lab = Lab::new(kind, valuation.model, asks, None, Vec::new(), false);
        lab.ask_first();
        let first = lab.first();
        // A state is another one where something was decided.
        let mut numbers = BTreeMap::from([((Lab::digest(&first), [false; 2]), 0)]);
        let mut graph = Graph { states: vec![first], edges: Vec::new(), whole: true };
        let mut decided = vec![[false; 2]];
        let mut steps = Vec::new();
        while graph.edges.len() < graph.states.len() {
            let at = graph.edges.len();
            graph.edges.push(Vec::new());
            if decided[at] != [false; 2] {
                continue;
            }
            let state = graph.states[at].clone();
            lab.steps(&state, &mut steps);
            for step in &steps {
                let Some((next, events)) = lab.advance(&state, *step) else { continue };
                if lab.under_way(&next).len() > valuation.under_way_max {
                    continue;
                }
                let decides = [0, 1].map(|value| events.contains(&Event::Did(Fact::Decide(Value(value)))));
                let key = (Lab::digest(&next), decides);
                let to = match numbers.get(&key) {
                    Some(number) => *number,
                    None if graph.states.len() < STATES_MAX => {
                        numbers.insert(key, graph.states.len());
                        graph.states.push(next);
                        decided.push(decides);
                        graph.states.len() - 1
                    }
                    None => {
                        graph.whole = false;
                        continue;
                    }
                };
                graph.edges[at].push(Edge { step: *step, to, marked: false });
            }
        }
        let valences = reached(&graph, decided).into_iter().map(Valence::of).collect();
        Self { lab, graph, valences }
    }

    fn is_bivalent(&self, state: usize) -> bool {
        self.valences[state] == Valence::Bivalent
    }

    /// The bivalent states and what one step makes of them, numbered anew, and the endless run.
    fn shown(&self) -> (Vec<ValuedState>, Option<Endless>) {
        // Every state before a bivalent one is bivalent, so that none of them is missing here.
        let mut numbers = BTreeMap::from([(0, 0)]);
        let mut order = vec![0];
        let mut states: Vec<ValuedState> = Vec::new();
        let mut bivalent = Graph { states: Vec::new(), edges: Vec::new(), whole: true };
        while states.len() < order.len() {
            let at = order[states.len()];
            let edges: &[Edge] = if self.is_bivalent(at) { &self.graph.edges[at] } else { &[] };
            let renumbered: Vec<_> = edges
                .iter()
                .map(|edge| {
                    let to = *numbers.entry(edge.to).or_insert_with(|| {
                        order.push(edge.to);
                        order.len() - 1
                    });
                    Edge { to, ..*edge }
                })
                .collect();
            let steps = renumbered.iter().map(|edge| ValuedStep {
                words: self.lab.words(edge.step),
                process: self.lab.process_of(edge.step),
                to: edge.to,
            });
            states.push(ValuedState { valence: self.valences[at], steps: steps.collect() });
            bivalent.states.push(self.graph.states[at].clone());
            bivalent.edges.push(renumbered);
        }
        let is_bivalent = |edge: &Edge| states[edge.to].valence == Valence::Bivalent;
        bivalent.edges.iter_mut().for_each(|edges| edges.retain(is_bivalent));
        let endless = fair_lasso(&self.lab, &bivalent, false).and_then(|lasso| {
            let mut at = 0;
            let mut way = |steps: &[Step]| -> Option<Vec<(usize, usize)>> {
                let mut way = Vec::new();
                for step in steps {
                    let edge = bivalent.edges[at].iter().find(|edge| edge.step == *step)?;
                    let words = self.lab.words(*step);
                    way.push((at, states[at].steps.iter().position(|step| step.words == words)?));
                    at = edge.to;
                }
                Some(way)
            };
            Some(Endless { stem: way(&lasso.stem)?, cycle: way(&lasso.cycle)? })
        });
        (states, endless)
    }
}

/// By state: what was decided in it or can be decided after it.
fn reached(graph: &Graph, decided: Vec<[bool; 2]>) -> Vec<[bool; 2]> {
    let mut reached = decided;
    let mut has_changed = true;
    while has_changed {
        has_changed = false;
        for (from, edges) in graph.edges.iter().enumerate().rev() {
            let here = edges.iter().fold(reached[from], |[zero, one], edge| {
                let after = reached[edge.to];
                [zero || after[0], one || after[1]]
            });
            has_changed |= here != reached[from];
            reached[from] = here;
        }
    }
    reached
}

impl fmt::Display for Valences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}. {}\n\nInitial configurations:", self.name, self.says)?;
        for (words, valence) in &self.initial {
            writeln!(f, "  {words}: {}", valence.words())?;
        }
        writeln!(f, "\nThe states from {}:", self.initial[self.drawn].0)?;
        for valence in Valence::ALL {
            writeln!(f, "  {} {}", self.count(valence), valence.words())?;
        }
        for (number, state) in self.states.iter().enumerate() {
            for ValuedStep { words, to, .. } in &state.steps {
                writeln!(f, "  {}: {words}: {}", self.place(number), self.place(*to))?;
            }
        }
        let Some(endless) = &self.endless else {
            return writeln!(f, "\nEvery fair run decides.");
        };
        writeln!(f, "\nA fair run without a decision:")?;
        for (at, (state, step)) in endless.stem.iter().chain(&endless.cycle).enumerate() {
            if at == endless.stem.len() {
                writeln!(f, "  from here on for ever:")?;
            }
            writeln!(f, "  {}: {}", self.place(*state), self.states[*state].steps[*step].words)?;
        }
        Ok(())
    }
}
