//! The future of a state under a perfect network: every process receives everything, and no state may be
//! stuck.

use super::{HEAL, HEARTBEAT, RECEIVE, Space, System, SystemState, SystemStep};

/// Rounds in which every process receives everything; after them nothing new may be sent.
pub(super) const QUIET_ROUNDS: u32 = 64;

impl System {
    pub(super) fn follow(
        &mut self,
        state: &SystemState,
        step: SystemStep,
        trace: &mut Vec<SystemStep>,
    ) -> Result<SystemState, String> {
        let Some(next) = self.apply(state, step) else { return Ok(state.clone()) };
        trace.push(step);
        next
    }

    /// Delivers everything that was sent to every process, until nothing new is sent.
    pub(super) fn quiet(
        &mut self,
        state: &SystemState,
        trace: &mut Vec<SystemStep>,
    ) -> Result<SystemState, String> {
        let mut state = state.clone();
        let mut steps = Vec::new();
        for _ in 0..QUIET_ROUNDS {
            let before = state.clone();
            self.steps(&state, &mut steps);
            for step in steps.iter().filter(|step| step.input >= RECEIVE) {
                state = self.follow(&state, *step, trace)?;
            }
            if state == before {
                return Ok(state);
            }
        }
        Err(format!("stuck: each answer is answered for ever: {}", self.describe(&state)))
    }

    /// No state is stuck: once the network is whole and one replica after the other campaigns, all values
    /// are committed everywhere. The steps of this check are added to `trace`.
    pub(super) fn bring_to_an_end(
        &mut self,
        state: &SystemState,
        trace: &mut Vec<SystemStep>,
    ) -> Result<(), String> {
        if !self.scope.changes.is_empty() {
            // The needed set, and which members may lead, differ in each state.
            return Ok(());
        }
        let mut state = self.quiet(state, trace)?;
        for attempt in 0..2 * self.scope.replicas {
            for node in 0..self.scope.replicas {
                state = self.follow(&state, SystemStep { node: node as u8, input: HEARTBEAT }, trace)?;
            }
            state = self.quiet(&state, trace)?;
            if self.is_settled(&state) {
                return Ok(());
            }
            let node = (attempt % self.scope.replicas) as u8;
            let leads = self.facts(&state, usize::from(node)).leads.is_some();
            if !leads {
                state = self.follow(&state, SystemStep { node, input: HEAL }, trace)?;
                state = self.quiet(&state, trace)?;
            }
        }
        Err(format!("stuck: {}", self.describe(&state)))
    }

    /// All members have all values as committed. A replica that lost its machine has no vote, and need not.
    fn is_settled(&self, state: &SystemState) -> bool {
        let values = |node: usize| {
            let facts = self.facts(state, node);
            self.book.count_messages(facts.committed.1)
                == self.scope.values * u64::from(self.scope.publishers)
        };
        let lost = usize::from(self.scope.losses - state.losses);
        (0..self.scope.replicas).filter(|node| values(*node)).count() + lost >= self.scope.replicas
    }
}
