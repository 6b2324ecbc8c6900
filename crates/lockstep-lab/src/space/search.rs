//! A protocol under a model as the explorer sees it.

use super::{END_STEPS_MAX, Lab, PROCESSES_MAX, State, Step};
use crate::protocol::Detection;
use lockstep_sim::explore::Space;
use lockstep_sim::explore::digest::Digest;
use lockstep_sim::rng::Rng;
use std::hash::{Hash, Hasher};

impl Space for Lab {
    type State = State;
    type Step = Step;
    /// How fast each process receives, in hundredths.
    type Bias = [u64; PROCESSES_MAX];

    fn first(&self) -> State {
        self.first.clone()
    }

    fn digest(state: &State) -> u64 {
        let mut digest = Digest::default();
        state.hash(&mut digest);
        digest.finish()
    }

    fn steps(&mut self, state: &State, out: &mut Vec<Step>) {
        out.clear();
        self.must(state, out);
        self.may(state, out);
    }

    fn is_possible(&self, state: &State, step: Step) -> bool {
        let mut steps = Vec::new();
        self.must(state, &mut steps);
        self.may(state, &mut steps);
        steps.contains(&step)
    }

    fn apply(&mut self, state: &State, step: Step) -> Option<Result<State, String>> {
        let (next, events) = self.advance(state, step)?;
        Some(self.judge(&next, !events.is_empty()).map(|()| next))
    }

    fn settle(&mut self, state: &State, trace: &mut Vec<Step>) -> Result<(), String> {
        if self.is_endless() {
            return Ok(());
        }
        let mut state = state.clone();
        for turn in 0..END_STEPS_MAX {
            let steps = self.must_steps(&state);
            if steps.is_empty() {
                return Ok(());
            }
            // Each kind in turn, so that none starves.
            let step = steps[turn % steps.len()];
            trace.push(step);
            if let Some(next) = self.apply(&state, step) {
                state = next?;
            }
        }
        Err(format!("NO END: nothing fails any more, and the run is not over after {END_STEPS_MAX} steps"))
    }

    fn words(&self, step: Step) -> String {
        let of = |number: u32| {
            let (from, to, message) = self.message(number);
            (format!("p{}", to + 1), format!("{message:?} of p{}", from + 1))
        };
        match step {
            Step::Ask(pid) => format!("p{} is asked", pid + 1),
            Step::Receive(number) => {
                let (to, what) = of(number);
                format!("{to} receives {what}")
            }
            Step::Repeat(number) => {
                let (to, what) = of(number);
                format!("{to} receives {what}, and will once more")
            }
            Step::Lose(number) => {
                let (to, what) = of(number);
                format!("to {to} is lost: {what}")
            }
            Step::Timeout(pid, timer) => format!("timer {timer} of p{} is over", pid + 1),
            Step::Detect(pid, Detection::Suspect(other)) => format!("p{} suspects p{}", pid + 1, other + 1),
            Step::Detect(pid, Detection::Restore(other)) => {
                format!("p{} trusts p{} again", pid + 1, other + 1)
            }
            Step::Detect(pid, Detection::Leader(other)) => {
                format!("p{} takes p{} for the leader", pid + 1, other + 1)
            }
            Step::Recover(pid) => format!("p{} comes back", pid + 1),
            Step::Tick => "the clock ticks".to_owned(),
            Step::Crash(pid) => format!("p{} crashes", pid + 1),
            Step::Lie { by, to, .. } => {
                let what = self.message_words(step).unwrap_or_default();
                format!("p{} receives {what} of the liar p{}", to + 1, by + 1)
            }
        }
    }

    fn draw_bias(&self, rng: &mut Rng) -> [u64; PROCESSES_MAX] {
        std::array::from_fn(|_| [1, 8, 30, 100][rng.below(4) as usize])
    }

    fn draw(&mut self, rng: &mut Rng, state: &State, bias: &[u64; PROCESSES_MAX]) -> Option<Step> {
        let mut steps = Vec::new();
        self.steps(state, &mut steps);
        let weight = |step: &Step| match *step {
            Step::Receive(number) | Step::Repeat(number) => bias[usize::from(self.message(number).1)],
            Step::Ask(_) => 40,
            Step::Tick => 60,
            Step::Detect(..) | Step::Timeout(..) | Step::Recover(_) | Step::Lie { .. } => 12,
            Step::Crash(_) | Step::Lose(_) => 4,
        };
        let mut at = rng.below(steps.iter().map(weight).sum());
        steps.iter().copied().find(|step| {
            let weight = weight(step);
            let found = at < weight;
            at = at.saturating_sub(weight);
            found
        })
    }
}
