//! The cluster under the eyes of another judge: the rules of this crate are not checked, and the judge gets
//! what each process has delivered.
//!
//! A replica delivers what it calls committed, from the stream's start on. After a crash it goes on behind
//! what it had delivered, by its count of messages, as an application with a cursor does. What a reader's
//! application was given stays delivered, also if it is retracted afterwards.

use super::{
    CAMPAIGN, CLUSTER, CRASH, HEAL, HEARTBEAT, LOSE, RECEIVE, Space, System, SystemState, SystemStep,
};
use crate::explore::ExploreScope;
use crate::explore::digest::Digest;
use crate::rng::Rng;
use lockstep_wire::{Datagram, Keyring, PublisherId, PublisherSeq};
use std::hash::{Hash, Hasher};

/// A message: its publisher, from 1 on, and its number, from 1 on.
pub type WatchedMessage = (PublisherId, PublisherSeq);

/// The deliveries of all processes, for the judge.
#[derive(Clone, Copy, Debug)]
pub struct WatchedRun<'a> {
    /// What each process has delivered, in order: the replicas, then the reader.
    pub delivered: &'a [Vec<WatchedMessage>],
    /// Whether each process has lost its machine, and no snapshot restored it. Another life of a replica is
    /// not watched.
    pub lost: &'a [bool],
    /// Whether nothing fails any more and everything that was sent has arrived.
    pub is_over: bool,
}

/// A state: that of the cluster, and what was delivered on the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatchedState {
    cluster: SystemState,
    delivered: Vec<Vec<WatchedMessage>>,
    lost: Vec<bool>,
}

/// A step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WatchedStep {
    /// An input of one process.
    Of(ClusterStep),
    /// Nothing fails any more: everything arrives, and one replica after the other campaigns.
    End,
}

/// An input of one process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClusterStep(SystemStep);

/// The kinds of rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WatchedInput {
    /// A datagram arrives.
    Arrival,
    /// A replica campaigns, or a leader sends a heartbeat.
    Timer,
    /// A process crashes, and comes back.
    Crash,
    /// A machine is lost.
    Loss,
    /// Nothing fails any more.
    End,
}

/// A step of a story.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatchedRow {
    /// The process; `None` at the end.
    pub process: Option<usize>,
    /// The kind.
    pub input: WatchedInput,
    /// The process that sent the datagram, and the row of sending; `None` for a publisher's.
    pub sent: Option<(usize, usize)>,
    /// The message that a publisher's datagram submits.
    pub submitted: Option<WatchedMessage>,
    /// The datagram, or what the process does, in words.
    pub words: String,
    /// What the process delivers then.
    pub delivered: Vec<WatchedMessage>,
}

impl WatchedRow {
    fn end(words: String) -> Self {
        let input = WatchedInput::End;
        Self { process: None, input, sent: None, submitted: None, words, delivered: Vec::new() }
    }
}

/// The message in a submission.
fn submitted(datagram: &[u8]) -> Option<WatchedMessage> {
    let Ok(Datagram::Submission(_, mut entries)) = Datagram::decode(datagram, &Keyring::none(CLUSTER)) else {
        return None;
    };
    let header = entries.next()?.header;
    Some((header.publisher, header.publisher_seq))
}

/// See the module. `J` judges.
pub struct WatchedCluster<J> {
    system: System,
    judge: J,
    /// The end is a step of one state in so many; 0: of none.
    ends_each: u64,
}

impl<J: FnMut(&WatchedRun<'_>) -> Result<(), String>> WatchedCluster<J> {
    /// A cluster that `judge` watches. In one state in `ends_each` the run may come to its end; 0: in none.
    ///
    /// # Errors
    /// In words if the cluster does not start.
    pub fn new(scope: &ExploreScope, ends_each: u64, judge: J) -> Result<Self, String> {
        Ok(Self { system: System::new(scope, false)?, judge, ends_each })
    }

    /// The rows of a story.
    pub fn rows(&mut self, steps: &[WatchedStep]) -> Vec<WatchedRow> {
        let mut state = self.first();
        // The row in which each datagram was sent.
        let mut rows_of: Vec<(u32, usize)> = state.cluster.bag.iter().map(|number| (*number, 0)).collect();
        let mut rows = Vec::new();
        for &step in steps {
            let WatchedStep::Of(ClusterStep(of)) = step else {
                rows.push(WatchedRow::end(self.words(step)));
                continue;
            };
            let process = usize::from(of.node);
            let number = of.input.checked_sub(RECEIVE);
            let datagram = number.map(|number| &self.system.sent[number as usize]);
            let sent = datagram.map(|datagram| datagram.from).filter(|from| *from < self.system.locals.len());
            let row_of =
                |number| rows_of.iter().find(|(other, _)| *other == number).map_or(0, |(_, row)| *row);
            let sent = sent.zip(number.map(row_of));
            let submitted = datagram.and_then(|datagram| submitted(&datagram.bytes));
            let words = match datagram {
                Some(datagram) => datagram.datagrams.clone(),
                None => self.system.does(of.input).to_owned(),
            };
            let before = state.delivered[process].len();
            if let Some(next) = self.advance(&state, of) {
                state = next;
            }
            for number in &state.cluster.bag {
                if !rows_of.iter().any(|(other, _)| other == number) {
                    rows_of.push((*number, rows.len()));
                }
            }
            let input = match of.input {
                CAMPAIGN | HEAL | HEARTBEAT => WatchedInput::Timer,
                CRASH => WatchedInput::Crash,
                LOSE => WatchedInput::Loss,
                _ => WatchedInput::Arrival,
            };
            let delivered = state.delivered[process][before..].to_vec();
            rows.push(WatchedRow { process: Some(process), input, sent, submitted, words, delivered });
        }
        rows
    }

    /// The state after a step, not judged; `None` if nothing changes, or an assertion ended the process.
    fn advance(&mut self, state: &WatchedState, step: SystemStep) -> Option<WatchedState> {
        let cluster = self.system.apply(&state.cluster, step)?.ok()?;
        let node = usize::from(step.node);
        let mut next = WatchedState { cluster, ..state.clone() };
        next.lost[node] |= step.input == LOSE && !self.system.scope.restores_snapshots;
        if !next.lost[node] {
            self.deliver(state, &mut next, node);
        }
        Some(next)
    }

    /// Adds what `node` delivers between two states.
    fn deliver(&self, before: &WatchedState, after: &mut WatchedState, node: usize) {
        let system = &self.system;
        let local = |state: &WatchedState| &system.locals[node].states[state.cluster.nodes[node] as usize];
        if before.cluster.nodes[node] == after.cluster.nodes[node] {
            return;
        }
        let new: Vec<WatchedMessage> = if node < system.scope.replicas {
            let committed = system.book.messages(local(after).facts.committed.1).unwrap_or_default();
            let skipped = before.delivered[node].len();
            committed.into_iter().skip(skipped).map(|(_, publisher, number)| (publisher, number)).collect()
        } else {
            let (was, is) = (&local(before).delivered, &local(after).delivered);
            let same = was.iter().zip(is).take_while(|(was, is)| was == is).count();
            is[same..].iter().map(|(_, publisher, number)| (*publisher, *number)).collect()
        };
        after.delivered[node].extend(new);
    }

    fn judge(&mut self, state: &WatchedState, is_over: bool) -> Result<(), String> {
        let WatchedState { delivered, lost, .. } = state;
        (self.judge)(&WatchedRun { delivered, lost, is_over })
    }

    /// Everything that was sent arrives everywhere, until nothing new is sent.
    fn all_arrives(&mut self, state: &WatchedState) -> WatchedState {
        let mut state = state.clone();
        let mut steps = Vec::new();
        for _ in 0..super::perfect_network::QUIET_ROUNDS {
            let before = state.clone();
            self.system.steps(&state.cluster, &mut steps);
            for step in steps.iter().filter(|step| step.input >= RECEIVE) {
                if let Some(next) = self.advance(&state, *step) {
                    state = next;
                }
            }
            if state == before {
                break;
            }
        }
        state
    }

    /// Nothing fails any more. What must happen in the end has happened after some candidacy.
    fn end(&mut self, state: &WatchedState) -> Result<(), String> {
        let mut state = self.all_arrives(state);
        let mut judged = Ok(());
        for attempt in 0..2 * self.system.scope.replicas {
            for node in 0..self.system.scope.replicas {
                let heartbeat = SystemStep { node: node as u8, input: HEARTBEAT };
                state = self.advance(&state, heartbeat).unwrap_or(state);
            }
            state = self.all_arrives(&state);
            self.judge(&state, false)?;
            judged = self.judge(&state, true);
            if judged.is_ok() {
                return Ok(());
            }
            let node = attempt % self.system.scope.replicas;
            if self.system.facts(&state.cluster, node).leads.is_none() {
                let campaign = SystemStep { node: node as u8, input: HEAL };
                state = self.advance(&state, campaign).unwrap_or(state);
                state = self.all_arrives(&state);
            }
        }
        judged
    }
}

impl<J: FnMut(&WatchedRun<'_>) -> Result<(), String>> Space for WatchedCluster<J> {
    type State = WatchedState;
    type Step = WatchedStep;
    type Bias = Vec<u64>;

    fn first(&self) -> WatchedState {
        let nodes = self.system.locals.len();
        WatchedState {
            cluster: self.system.first(),
            delivered: vec![Vec::new(); nodes],
            lost: vec![false; nodes],
        }
    }

    fn digest(state: &WatchedState) -> u64 {
        let mut digest = Digest::default();
        digest.write_u64(state.cluster.digest());
        (&state.delivered, &state.lost).hash(&mut digest);
        digest.finish()
    }

    fn steps(&mut self, state: &WatchedState, out: &mut Vec<WatchedStep>) {
        out.clear();
        let mut steps = Vec::new();
        self.system.steps(&state.cluster, &mut steps);
        out.extend(steps.into_iter().map(|step| WatchedStep::Of(ClusterStep(step))));
        if self.ends_each > 0 && Self::digest(state).is_multiple_of(self.ends_each) {
            out.push(WatchedStep::End);
        }
    }

    fn is_possible(&self, state: &WatchedState, step: WatchedStep) -> bool {
        match step {
            WatchedStep::Of(ClusterStep(step)) => self.system.is_possible(&state.cluster, step),
            WatchedStep::End => true,
        }
    }

    fn apply(&mut self, state: &WatchedState, step: WatchedStep) -> Option<Result<WatchedState, String>> {
        let WatchedStep::Of(ClusterStep(step)) = step else {
            return self.end(state).err().map(Err);
        };
        let next = self.advance(state, step)?;
        if next.delivered == state.delivered {
            return Some(Ok(next));
        }
        Some(self.judge(&next, false).map(|()| next))
    }

    fn settle(&mut self, state: &WatchedState, trace: &mut Vec<WatchedStep>) -> Result<(), String> {
        if self.ends_each == 0 {
            return Ok(());
        }
        trace.push(WatchedStep::End);
        self.end(state)
    }

    fn words(&self, step: WatchedStep) -> String {
        match step {
            WatchedStep::Of(ClusterStep(step)) => self.system.words(step),
            WatchedStep::End => "nothing fails any more".to_owned(),
        }
    }

    fn draw_bias(&self, rng: &mut Rng) -> Vec<u64> {
        self.system.draw_bias(rng)
    }

    fn draw(&mut self, rng: &mut Rng, state: &WatchedState, bias: &Vec<u64>) -> Option<WatchedStep> {
        let step = self.system.draw(rng, &state.cluster, bias)?;
        Some(WatchedStep::Of(ClusterStep(step)))
    }
}
