//! The view that a process is in, with the messages of it: what both algorithms of view synchrony share.

use crate::property::{
    AGREEMENT, CRASHED_LEAVE, LAST_VIEW, NO_CREATION, NO_DUPLICATION, Property, UNIFORM_VIEW_AGREEMENT,
    VALIDITY, VIEW_ACCURACY, VIEW_INCLUSION, VIEW_ORDER, VIEW_SYNCHRONY,
};
use crate::{Deliver, Fact, Indicated, Out, Pid, Pids, Process, Protocol, Value, Word};
use serde::Serialize;
use std::collections::BTreeSet;

/// All that view synchrony promises.
pub(super) const VIEW_SYNCHRONOUS: &[&Property] = &[
    &VIEW_SYNCHRONY,
    &VIEW_INCLUSION,
    &VIEW_ORDER,
    &UNIFORM_VIEW_AGREEMENT,
    &VIEW_ACCURACY,
    &CRASHED_LEAVE,
    &LAST_VIEW,
    &VALIDITY,
    &NO_DUPLICATION,
    &NO_CREATION,
    &AGREEMENT,
];

/// Messages, each with its sender.
pub(super) type Messages<M> = BTreeSet<(Pid, M)>;

/// An indication of view synchrony.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum InView<M> {
    /// A message is delivered in the view that was installed last.
    Deliver(Deliver<M>),
    /// A view is installed.
    View(u32, Pids),
}

impl Indicated for InView<Value> {
    fn fact(&self) -> Option<Fact> {
        Some(match self {
            Self::Deliver(Deliver { from, message }) => Fact::Deliver { from: *from, value: *message },
            Self::View(number, members) => Fact::View { number: *number, members: *members },
        })
    }
}

/// See the module. A message of a later view waits until that view is installed; the course drops it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct CurrentView<M: Word> {
    process: Process,
    pub number: u32,
    pub members: Pids,
    /// Whether this process neither broadcasts nor delivers before the next view.
    pub is_blocked: bool,
    pub delivered: Messages<M>,
    /// Asked for while this process is blocked.
    asked: Vec<M>,
    /// Of later views.
    early: BTreeSet<(u32, (Pid, M))>,
}

impl<M: Word> CurrentView<M> {
    pub fn new(process: &Process) -> Self {
        Self {
            process: *process,
            number: 0,
            members: process.all(),
            is_blocked: false,
            delivered: BTreeSet::new(),
            asked: Vec::new(),
            early: BTreeSet::new(),
        }
    }

    /// Delivers these, but for those that are delivered.
    pub fn deliver<P>(&mut self, messages: impl IntoIterator<Item = (Pid, M)>, out: &mut Out<P>)
    where
        P: Protocol<Indication = InView<M>>,
    {
        for (from, message) in messages {
            if self.delivered.insert((from, message.clone())) {
                out.indicate(InView::Deliver(Deliver { from, message }));
            }
        }
    }

    /// Delivers the message, and sends it to all as `data` of this view.
    pub fn broadcast<P>(&mut self, message: M, out: &mut Out<P>, data: impl Fn(u32, M) -> P::Message)
    where
        P: Protocol<Indication = InView<M>>,
    {
        if self.is_blocked {
            return self.asked.push(message);
        }
        self.deliver([(self.process.me, message.clone())], out);
        out.all(data(self.number, message));
    }

    /// A message of view `number`. Those of this process are delivered already.
    pub fn on_data<P>(&mut self, number: u32, message: (Pid, M), out: &mut Out<P>)
    where
        P: Protocol<Indication = InView<M>>,
    {
        if number > self.number && !self.process.lacks("messages of the next view") {
            self.early.insert((number, message));
        } else if number == self.number && !self.is_blocked || self.process.lacks("flush") {
            self.deliver([message], out);
        }
    }

    /// The next view begins.
    pub fn install<P>(
        &mut self,
        (number, members): (u32, Pids),
        out: &mut Out<P>,
        data: impl Fn(u32, M) -> P::Message,
    ) where
        P: Protocol<Indication = InView<M>>,
    {
        (self.number, self.members, self.is_blocked) = (number, members, false);
        self.delivered.clear();
        out.indicate(InView::View(number, members));
        let (early, asked) = (std::mem::take(&mut self.early), std::mem::take(&mut self.asked));
        early.into_iter().for_each(|(number, message)| self.on_data(number, message, out));
        asked.into_iter().for_each(|message| self.broadcast(message, out, &data));
    }
}
