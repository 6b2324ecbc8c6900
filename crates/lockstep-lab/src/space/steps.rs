//! The steps of a state: those that must happen in the end, and those that may.

use super::{Lab, State, Step};
use crate::card::{Detector, Failures, Time};
use crate::protocol::{Detection, Pid, Pids};

impl Lab {
    /// Whether the clock can go on: nothing is due.
    pub(super) fn can_tick(&self, state: &State) -> bool {
        let Time::Synchronous { delay, ticks } = self.model.time else { return false };
        state.now < ticks
            && self.correct(state).iter().all(|pid| {
                self.local(state, pid).timers.iter().all(|(_, left)| *left > 0)
                    && usize::from(state.asked[usize::from(pid)]) == self.asks[usize::from(pid)].len()
            })
            && state.flying.iter().all(|(number, age)| {
                let (from, to, _) = self.message(*number);
                *age < delay || state.crashed.has(*from) || state.crashed.has(*to)
            })
    }

    /// Whether what happens late in a timed run has time to take effect.
    fn is_early(&self, state: &State) -> bool {
        match self.model.time {
            Time::Synchronous { ticks, .. } => state.now < ticks / 2,
            Time::Asynchronous { .. } => true,
        }
    }

    /// The steps that must happen in the end.
    pub(super) fn must(&self, state: &State, out: &mut Vec<Step>) {
        let correct = self.correct(state);
        for pid in correct.iter() {
            let at = usize::from(pid);
            if usize::from(state.asked[at]) < self.asks[at].len() {
                out.push(Step::Ask(pid));
            }
            if state.timeouts_left[at] > 0 || self.delay_max().is_some() {
                for (timer, left) in &self.local(state, pid).timers {
                    if *left == 0 || self.delay_max().is_none() {
                        out.push(Step::Timeout(pid, *timer));
                    }
                }
            }
            match self.model.detector {
                Detector::None => {}
                Detector::Perfect | Detector::EventuallyPerfect { .. } => {
                    let suspected = state.suspected[at];
                    for other in state.crashed.without(suspected).iter() {
                        out.push(Step::Detect(pid, Detection::Suspect(other)));
                    }
                    for other in suspected.without(state.crashed).iter() {
                        out.push(Step::Detect(pid, Detection::Restore(other)));
                    }
                }
                Detector::Leader { .. } => {
                    if let Some(leader) = correct.lowest().filter(|leader| state.leaders[at] != *leader) {
                        out.push(Step::Detect(pid, Detection::Leader(leader)));
                    }
                }
            }
        }
        if matches!(self.model.failures, Failures::Recovery { .. }) {
            out.extend(state.crashed.iter().map(Step::Recover));
        }
        self.receipts(state, correct, out);
        if self.can_tick(state) {
            out.push(Step::Tick);
        }
    }

    /// Receipts of messages of these processes.
    fn receipts(&self, state: &State, from: Pids, out: &mut Vec<Step>) {
        let mut last = None;
        for at in 0..state.flying.len() {
            let number = state.flying[at].0;
            if last != Some(number) && from.has(self.message(number).0) && self.is_deliverable(state, at) {
                out.push(Step::Receive(number));
            }
            last = Some(number);
        }
    }

    /// The steps that may happen.
    pub(super) fn may(&self, state: &State, out: &mut Vec<Step>) {
        let correct = self.correct(state);
        self.receipts(state, state.crashed, out);
        if state.crashes_left > 0 && self.is_early(state) {
            out.extend(correct.iter().map(Step::Crash));
        }
        if state.losses_left > 0 || state.duplicates_left > 0 {
            for at in 0..state.flying.len() {
                let number = state.flying[at].0;
                if state.losses_left > 0 {
                    out.push(Step::Lose(number));
                }
                if state.duplicates_left > 0 && self.is_deliverable(state, at) {
                    out.push(Step::Repeat(number));
                }
            }
        }
        if state.mistakes_left > 0 && self.is_early(state) {
            for pid in correct.iter() {
                for other in Pids::first(self.model.n).iter() {
                    let at = usize::from(pid);
                    match self.model.detector {
                        Detector::EventuallyPerfect { .. } => {
                            if other != pid && correct.has(other) && !state.suspected[at].has(other) {
                                out.push(Step::Detect(pid, Detection::Suspect(other)));
                            }
                        }
                        Detector::Leader { .. } => {
                            if other != state.leaders[at] && correct.lowest() != Some(other) {
                                out.push(Step::Detect(pid, Detection::Leader(other)));
                            }
                        }
                        Detector::None | Detector::Perfect => {}
                    }
                }
            }
        }
        for by in self.liars().iter() {
            if state.lies_left[usize::from(by)] == 0 {
                continue;
            }
            for to in correct.iter() {
                let evidence = state.evidence[usize::from(by)] as usize;
                for &index in &self.sayable[usize::from(by)][evidence] {
                    let is_new = state.lied[usize::from(by)] >> self.lie_bit(to, index) & 1 == 0;
                    if is_new && self.forgeries[usize::from(by)][usize::from(index)].heeded_by.has(to) {
                        out.push(Step::Lie { by, to, index });
                    }
                }
            }
        }
    }

    pub(super) fn lie_bit(&self, to: Pid, index: u8) -> u32 {
        u32::from(index) * u32::from(self.model.n) + u32::from(to)
    }
}
