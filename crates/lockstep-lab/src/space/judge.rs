//! The judgement of a state, and its parts in words.

use super::{Lab, State, Step};
use crate::property::{History, Judged};
use crate::protocol::Pid;
use crate::vocabulary::{Ask, Event, Fact};
use std::collections::BTreeSet;

impl Lab {
    /// Judges a state: after every step, and where the run is over.
    pub fn judge(&self, state: &State, has_new_events: bool) -> Result<(), String> {
        let is_over = self.must_steps(state).is_empty();
        if !is_over && !has_new_events {
            return Ok(());
        }
        self.judge_as(state, |judged| match judged {
            Judged::Always => has_new_events,
            Judged::AtTheEnd => is_over,
            Judged::ForEver => false,
        })
    }

    /// Judges a state in which a run stays for ever: nothing new is indicated any more.
    pub fn judge_end(&self, state: &State) -> Result<(), String> {
        self.judge_as(state, |judged| judged == Judged::AtTheEnd)
    }

    fn judge_as(&self, state: &State, is_wanted: impl Fn(Judged) -> bool) -> Result<(), String> {
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
        self.judge_history(state, &events, &order, is_wanted)
    }

    /// Judges an endless run by what was asked until `state`, and by what is indicated for ever.
    pub fn judge_for_ever(&self, state: &State, facts: &BTreeSet<(Pid, Fact)>) -> Result<(), String> {
        let events_of = |pid: Pid| -> Vec<Event> {
            let at = usize::from(pid);
            let asks = self.asks[at][..usize::from(state.asked[at])].iter().copied().map(Event::Asked);
            let facts = facts.iter().filter(|(of, _)| *of == pid).map(|(_, fact)| Event::Did(fact.clone()));
            asks.chain(facts).collect()
        };
        let events: Vec<_> = (0..self.model.n).map(events_of).collect();
        let events: Vec<&[Event]> = events.iter().map(Vec::as_slice).collect();
        self.judge_history(state, &events, &[], |judged| judged == Judged::ForEver)
    }

    fn judge_history(
        &self,
        state: &State,
        events: &[&[Event]],
        order: &[Pid],
        is_wanted: impl Fn(Judged) -> bool,
    ) -> Result<(), String> {
        let history = History {
            n: self.model.n,
            events,
            order,
            correct: self.correct(state),
            crashed: state.crashed,
            liars: self.liars(),
        };
        for property in self.properties.iter().filter(|property| is_wanted(property.judged)) {
            (property.holds)(&history).map_err(|why| format!("{}: {why}", property.name))?;
        }
        Ok(())
    }

    /// The steps that must happen again and again where they can happen again and again: on links with
    /// endless losses a message that is sent for ever arrives for ever.
    pub fn insistent_steps(&self, state: &State) -> Vec<Step> {
        if !self.has_endless_losses() {
            return Vec::new();
        }
        let steps = self.must_steps(state).into_iter();
        steps.filter(|step| matches!(step, Step::Receive(_))).collect()
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
                Some(format!("{:?}", self.forgeries[usize::from(by)][usize::from(index)].message))
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
