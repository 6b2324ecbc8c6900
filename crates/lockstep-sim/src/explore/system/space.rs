//! The cluster as a space of states that is explored.

use super::{CAMPAIGN, CRASH, Effect, HEAL, HEARTBEAT, LOSE, RECEIVE, System, SystemState, SystemStep};
use crate::explore::Space;
use crate::rng::Rng;

impl System {
    /// A step without a datagram, in words.
    pub(super) fn does(&self, input: u32) -> &'static str {
        match input {
            CAMPAIGN | HEAL => "campaigns",
            HEARTBEAT => "beats",
            CRASH => "crashes and comes back",
            LOSE if self.scope.restores_snapshots => "is rolled back to the snapshot of its beginning",
            LOSE => "loses its machine",
            RECEIVE.. => "hears",
        }
    }
}

impl Space for System {
    type State = SystemState;
    type Step = SystemStep;
    /// How well each process receives, in hundredths.
    type Bias = Vec<u64>;

    fn first(&self) -> SystemState {
        self.first.clone()
    }

    fn digest(state: &SystemState) -> u64 {
        state.digest()
    }

    fn steps(&mut self, state: &SystemState, out: &mut Vec<SystemStep>) {
        out.clear();
        for node in 0..self.locals.len() {
            let mut add = |input| out.push(SystemStep { node: node as u8, input });
            for &number in &state.bag {
                if self.hears(state, node, number) {
                    add(RECEIVE + number);
                }
            }
            if node < self.scope.replicas {
                let facts = self.facts(state, node);
                if facts.campaigns {
                    add(CAMPAIGN);
                }
                if self.scope.heartbeats && facts.leads.is_some() {
                    add(HEARTBEAT);
                }
                if state.crashes > 0 {
                    add(CRASH);
                }
                if state.losses > 0 {
                    add(LOSE);
                }
            }
        }
    }

    fn is_possible(&self, state: &SystemState, step: SystemStep) -> bool {
        match step.input {
            CRASH => state.crashes > 0,
            LOSE => state.losses > 0,
            RECEIVE.. => state.bag.binary_search(&(step.input - RECEIVE)).is_ok(),
            _ => true,
        }
    }

    fn apply(&mut self, state: &SystemState, step: SystemStep) -> Option<Result<SystemState, String>> {
        let node = usize::from(step.node);
        let effect = self.effect(node, state.nodes[node], step.input);
        let (local, sent) = match effect {
            Effect::Nothing => return None,
            Effect::Wrong(wrong) => return Some(Err(wrong)),
            Effect::Next { local, sent } => (local, sent),
        };
        if local == state.nodes[node] && sent.iter().all(|number| state.bag.binary_search(number).is_ok()) {
            return None;
        }
        let mut next = state.clone();
        next.nodes[node] = local;
        match step.input {
            CRASH => next.crashes -= 1,
            LOSE => next.losses -= 1,
            _ => {}
        }
        for number in sent {
            if let Err(at) = next.bag.binary_search(&number) {
                next.bag.insert(at, number);
            }
        }
        Some(self.check(state, &mut next, node).map(|()| next))
    }

    fn settle(&mut self, state: &SystemState, trace: &mut Vec<SystemStep>) -> Result<(), String> {
        self.bring_to_an_end(state, trace)
    }

    fn words(&self, step: SystemStep) -> String {
        let who = usize::from(step.node) + 1;
        match step.input.checked_sub(RECEIVE) {
            None => format!("{who} {}", self.does(step.input)),
            Some(number) => {
                let sent = &self.sent[number as usize];
                format!("{who} hears {}: {}", sent.from + 1, sent.datagrams)
            }
        }
    }

    fn draw_bias(&self, rng: &mut Rng) -> Vec<u64> {
        (0..self.locals.len()).map(|_| [1, 8, 30, 100][rng.below(4) as usize]).collect()
    }

    fn draw(&mut self, rng: &mut Rng, state: &SystemState, bias: &Vec<u64>) -> Option<SystemStep> {
        for _ in 0..200 {
            let node = rng.below(self.locals.len() as u64) as usize;
            let step = |input| Some(SystemStep { node: node as u8, input });
            let may = node < self.scope.replicas;
            match rng.below(100) {
                0..4 if may && self.facts(state, node).campaigns => return step(CAMPAIGN),
                4 if may && state.crashes > 0 => return step(CRASH),
                5 if may && state.losses > 0 => return step(LOSE),
                6..9 if may && self.scope.heartbeats && self.facts(state, node).leads.is_some() => {
                    return step(HEARTBEAT);
                }
                9.. if rng.below(100) < bias[node] => {
                    // Newer datagrams more often than older ones: else old ones fill the walk.
                    let back =
                        rng.below(state.bag.len() as u64).min(rng.below(state.bag.len() as u64)) as usize;
                    let number = state.bag[state.bag.len() - 1 - back];
                    let input = RECEIVE + number;
                    if self.hears(state, node, number)
                        && !matches!(self.effect(node, state.nodes[node], input), Effect::Nothing)
                    {
                        return step(input);
                    }
                }
                _ => {}
            }
        }
        None
    }
}
