//! The effect of a step.

use super::{Key, Lab, State, Step};
use crate::card::{ENDLESS, Failures, Links, Time};
use crate::local::Local;
use crate::protocol::{Detection, Pid, Pids};
use crate::vocabulary::Event;

impl Lab {
    /// Takes a message from those under way: its oldest copy.
    fn take(&self, state: &mut State, number: u32) -> bool {
        let is_copy = |entry: &(u32, u8)| entry.0 == number;
        let oldest = match self.model.links {
            Links::Fifo | Links::LossyFifo { .. } => state.flying.iter().position(is_copy),
            // Copies of one message stand by age.
            Links::Perfect | Links::FairLoss { .. } => state.flying.iter().rposition(is_copy),
        };
        oldest.map(|at| state.flying.remove(at)).is_some()
    }

    /// The effect of `step`, without judging it; `None` if it cannot be taken or changes nothing.
    pub fn advance(&mut self, state: &State, step: Step) -> Option<(State, Vec<Event>)> {
        let mut next = state.clone();
        let (pid, key) = match step {
            Step::Crash(pid) => {
                self.crash(&mut next, pid);
                return Some((self.canonical(next), Vec::new()));
            }
            Step::Lose(number) => {
                next.losses_left -= u8::from(state.losses_left != ENDLESS);
                return self.take(&mut next, number).then(|| (self.canonical(next), Vec::new()));
            }
            Step::Tick => {
                if !self.can_tick(state) {
                    return None;
                }
                self.tick(state, &mut next);
                return Some((self.canonical(next), Vec::new()));
            }
            Step::Ask(pid) => {
                let at = usize::from(pid);
                next.asked[at] += 1;
                (pid, Key::Ask(state.asked[at]))
            }
            Step::Receive(number) => {
                if !self.take(&mut next, number) {
                    return None;
                }
                (self.message(number).1, Key::Receive(number))
            }
            Step::Repeat(number) => {
                next.duplicates_left -= u8::from(state.duplicates_left != ENDLESS);
                (self.message(number).1, Key::Receive(number))
            }
            Step::Timeout(pid, timer) => {
                let left = &mut next.timeouts_left[usize::from(pid)];
                *left -= u8::from(*left != ENDLESS && self.delay_max().is_none());
                (pid, Key::Timeout(timer))
            }
            Step::Detect(pid, detection) => {
                self.detect(state, &mut next, pid, detection);
                (pid, Key::Detect(detection))
            }
            Step::Recover(pid) => {
                next.crashed.remove(pid);
                next.suspected[usize::from(pid)] = Pids::default();
                next.leaders[usize::from(pid)] = 0;
                (pid, Key::Recover)
            }
            Step::Lie { by, to, index } => {
                next.lied[usize::from(by)] |= 1 << self.lie_bit(to, index);
                next.lies_left[usize::from(by)] -= 1;
                let forgery = &self.forgeries[usize::from(by)][usize::from(index)];
                let (message, digest) = (forgery.message.clone(), forgery.digest);
                let number = self.number_message(by, to, &message, digest);
                (to, Key::Receive(number))
            }
        };
        let at = usize::from(pid);
        let done = self.done(pid, state.locals[at], key);
        next.locals[at] = done.local;
        done.sent.iter().for_each(|number| self.post(&mut next, *number));
        if self.real_time && self.remembers {
            done.events.iter().for_each(|_| self.add_to_order(&mut next, pid));
        }
        let next = self.canonical(next);
        (next != *state).then(|| (next, done.events.clone()))
    }

    /// One more event of `pid` in the order of all events.
    fn add_to_order(&mut self, next: &mut State, pid: Pid) {
        let fresh = self.orders.len() as u32;
        let number = *self.order_numbers.entry((next.order, pid)).or_insert(fresh);
        if number == fresh {
            self.orders.push((next.order, pid));
        }
        next.order = number;
    }

    /// A process stops. States that no process can distinguish become one.
    fn crash(&self, next: &mut State, pid: Pid) {
        next.crashed.add(pid);
        next.crashes_left -= 1;
        if matches!(self.model.failures, Failures::Stop { .. }) {
            next.flying.retain(|(number, _)| self.message(*number).1 != pid);
            next.suspected[usize::from(pid)] = Pids::default();
            next.leaders[usize::from(pid)] = 0;
            next.timeouts_left[usize::from(pid)] = 0;
        }
    }

    /// The clock goes on.
    fn tick(&mut self, state: &State, next: &mut State) {
        let is_counted = !matches!(self.model.time, Time::Synchronous { ticks: ENDLESS, .. });
        next.now += u8::from(self.remembers && is_counted);
        let delay = self.delay_max().unwrap_or(0);
        next.flying.iter_mut().for_each(|(_, age)| *age = (*age + 1).min(delay));
        for pid in self.correct(state).iter() {
            let mut local = Local::clone(self.local(state, pid));
            local.timers.iter_mut().for_each(|(_, left)| *left = left.saturating_sub(1));
            next.locals[usize::from(pid)] = self.number_local(pid, local);
        }
    }

    /// The detector of a process has something.
    fn detect(&self, state: &State, next: &mut State, pid: Pid, detection: Detection) {
        let at = usize::from(pid);
        match detection {
            Detection::Suspect(other) => {
                next.mistakes_left -= u8::from(!state.crashed.has(other));
                next.suspected[at].add(other);
                if matches!(self.model.failures, Failures::Stop { filter: true, .. }) {
                    next.flying.retain(|(number, _)| {
                        let (from, to, _) = self.message(*number);
                        (*from, *to) != (other, pid)
                    });
                }
            }
            Detection::Restore(other) => next.suspected[at].remove(other),
            Detection::Leader(leader) => {
                let is_right = self.correct(state).lowest() == Some(leader);
                next.mistakes_left -= u8::from(!is_right);
                next.leaders[at] = leader;
            }
        }
    }

    /// In a search for loops: the state with its rounds counted from the lowest one that is still compared,
    /// so that a state that differs by its rounds alone is the same state.
    pub(super) fn canonical(&mut self, mut state: State) -> State {
        if self.remembers {
            return state;
        }
        let correct = self.correct(&state);
        let of_processes = correct.iter().filter_map(|pid| self.local(&state, pid).protocol.lowest_round());
        let of_messages =
            state.flying.iter().filter_map(|(number, _)| self.kind.message_round(&self.message(*number).2));
        let Some(lowest) = of_processes.chain(of_messages).min() else { return state };
        // A round belongs to a process by its remainder, and rounds below n are left for "none".
        let n = u64::from(self.model.n);
        let by = (lowest / n).saturating_sub(1) * n;
        if by == 0 {
            return state;
        }
        for pid in correct.iter() {
            let mut local = Local::clone(self.local(&state, pid));
            local.protocol.renumber(by);
            state.locals[usize::from(pid)] = self.number_local(pid, local);
        }
        for (number, _) in &mut state.flying {
            let (from, to, message) = self.message(*number);
            let (from, to, message) = (*from, *to, self.kind.renumbered(message, by));
            *number = self.number_message(from, to, &message, message.digest());
        }
        if !self.model.links.is_ordered() {
            state.flying.sort_unstable();
        }
        state
    }
}
