//! The judgement of a state, and its parts in words.

use super::{Lab, State, Step};
use crate::Subject;
use crate::property::{History, Judged};
use crate::protocol::Pid;
use crate::vocabulary::{Ask, Event};

impl<P: Subject> Lab<P> {
    /// Judges a state: after every step, and where the run is over.
    pub fn judge(&self, state: &State, has_new_events: bool) -> Result<(), String> {
        let is_over = self.must_steps(state).is_empty();
        if !is_over && !has_new_events {
            return Ok(());
        }
        let mut order = Vec::new();
        let mut at = state.order;
        while at != 0 {
            let (before, pid) = self.orders[at as usize];
            order.push(pid);
            at = before;
        }
        order.reverse();
        let locals: Vec<_> = (0..self.model.n).map(|pid| self.local(state, pid).clone()).collect();
        let events: Vec<&[Event]> = locals.iter().map(|local| local.events.as_slice()).collect();
        let history = History {
            n: self.model.n,
            events: &events,
            order: &order,
            correct: self.correct(state),
            crashed: state.crashed,
            liars: self.liars(),
        };
        for property in &self.properties {
            let now = match property.judged {
                Judged::Always => has_new_events,
                Judged::AtTheEnd => is_over,
            };
            if now {
                (property.holds)(&history).map_err(|why| format!("{}: {why}", property.name))?;
            }
        }
        Ok(())
    }

    /// The steps that must happen in the end; where there is none, the run is over.
    pub fn must_steps(&self, state: &State) -> Vec<Step> {
        let mut steps = Vec::new();
        self.must(state, &mut steps);
        steps
    }

    /// The sender of a message.
    pub fn sender(&self, number: u32) -> Pid {
        self.message(number).0
    }

    /// The processes of the message that a step is about: its sender and its receiver.
    pub fn route(&self, step: Step) -> Option<(Pid, Pid)> {
        match step {
            Step::Receive(number) | Step::Repeat(number) | Step::Lose(number) => {
                let (from, to, _) = self.message(number);
                Some((*from, *to))
            }
            Step::Lie { by, to, .. } => Some((by, to)),
            _ => None,
        }
    }

    /// The message that a step is about, in words.
    pub fn message_words(&self, step: Step) -> Option<String> {
        match step {
            Step::Receive(number) | Step::Repeat(number) | Step::Lose(number) => {
                Some(format!("{:?}", self.message(number).2))
            }
            Step::Lie { by, index, .. } => {
                Some(format!("{:?}", self.forgeries[usize::from(by)][usize::from(index)]))
            }
            _ => None,
        }
    }

    /// The number of processes.
    pub fn processes(&self) -> u8 {
        self.model.n
    }

    /// The messages under way, by number, a copy each.
    pub fn under_way(&self, state: &State) -> Vec<u32> {
        state.flying.iter().map(|(number, _)| *number).collect()
    }

    /// The process whose step it is.
    pub fn process_of(&self, step: Step) -> Option<Pid> {
        match step {
            Step::Ask(pid)
            | Step::Timeout(pid, _)
            | Step::Detect(pid, _)
            | Step::Recover(pid)
            | Step::Crash(pid) => Some(pid),
            Step::Receive(_) | Step::Repeat(_) | Step::Lie { .. } => self.route(step).map(|(_, to)| to),
            Step::Lose(_) | Step::Tick => None,
        }
    }

    /// The request that a step makes in `state`.
    pub fn ask_of(&self, state: &State, step: Step) -> Option<Ask> {
        let Step::Ask(pid) = step else { return None };
        self.asks[usize::from(pid)].get(usize::from(state.asked[usize::from(pid)])).copied()
    }
}
