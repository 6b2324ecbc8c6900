//! The view manager: all sites go through one sequence of views (Birman and Joseph 1987, §4.2).

mod card;

use crate::{Ask, Card, Detection, Fact, Out, Pid, Pids, Process, Protocol, Subject};
use serde::Serialize;

/// Views from view 1 on, up to the last proposed one: what is committed, and an extension.
type Extension = Vec<Pids>;

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum ViewMessage {
    /// Step 1, of the view manager.
    Propose(Extension),
    /// Step 2: saved. The number of the last view says which proposal is meant.
    Acknowledge(usize),
    /// Step 2: not saved, as it is without these failures, which were proposed before.
    Refuse(usize, Pids),
    /// Step 3.
    Commit(Extension),
}

/// The oldest process that is not suspected is the view manager. It commits an extension of the views once
/// all in the last one have acknowledged it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ViewManager {
    process: Process,
    suspected: Pids,
    /// V0, V1, …: what is committed here.
    views: Vec<Pids>,
    /// The extension that is proposed and not committed.
    pending: Extension,
    /// Messages of other processes are not accepted any more.
    accepted: Pids,
    /// Those that have acknowledged the proposal of this process.
    acknowledged: Pids,
}

impl ViewManager {
    fn last(&self) -> Pids {
        self.pending.last().or(self.views.last()).copied().unwrap_or_default()
    }

    /// All from view 1 on.
    fn extension(&self) -> Extension {
        self.views[1..].iter().chain(&self.pending).copied().collect()
    }

    /// Step 1: one more view, without those that are suspected and without the `missing`. A new view manager
    /// appends to what its predecessor may have committed.
    fn propose(&mut self, missing: Pids, out: &mut Out<Self>) {
        if self.process.lacks("pending extension") && missing.is_empty() {
            self.pending.clear();
        }
        let next = self.last().without(self.suspected).without(missing);
        self.pending.push(next);
        self.acknowledged = Pids::default();
        out.each(next, &ViewMessage::Propose(self.extension()));
    }

    /// The view manager proposes if one in the last view is suspected. So does a process that finds that all
    /// older ones in that view are suspected: it takes over.
    fn manage(&mut self, out: &mut Out<Self>) {
        let last = self.last();
        let is_manager = last.without(self.suspected).lowest() == Some(self.process.me);
        if is_manager && !last.and(self.suspected).is_empty() {
            self.propose(Pids::default(), out);
        }
    }

    /// Step 2: accepts nothing more of those that are not in the last view. Saves the extension if it has
    /// all failures of the one before.
    fn save(&mut self, from: Pid, extension: Extension, out: &mut Out<Self>) {
        let Some(last) = extension.last().copied() else { return };
        self.accepted = self.accepted.and(last);
        let number = extension.len();
        let missing = last.without(self.last());
        if missing.is_empty() {
            self.pending = extension.get(self.views.len() - 1..).unwrap_or_default().to_vec();
            out.send(from, ViewMessage::Acknowledge(number));
        } else {
            out.send(from, ViewMessage::Refuse(number, missing));
        }
    }

    /// Step 3: commits once all in the last view have acknowledged, if they are a majority of all.
    fn collect(&mut self, out: &mut Out<Self>) {
        let last = self.last();
        let enough = if self.process.lacks("majority") { 1 } else { self.process.majority() };
        let all = last.is_within(self.acknowledged) || self.process.lacks("acknowledgements");
        if all && last.len() >= enough {
            out.each(last, &ViewMessage::Commit(self.extension()));
        }
    }

    fn install(&mut self, extension: &[Pids], out: &mut Out<Self>) {
        for members in extension.get(self.views.len() - 1..).unwrap_or_default() {
            out.indicate(Fact::View { number: self.views.len() as u32, members: *members });
            self.views.push(*members);
            if !self.pending.is_empty() {
                self.pending.remove(0);
            }
        }
    }
}

impl Protocol for ViewManager {
    /// Nothing is asked.
    type Request = Ask;
    type Indication = Fact;
    type Message = ViewMessage;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            suspected: Pids::default(),
            views: vec![process.all()],
            pending: Extension::new(),
            accepted: process.all(),
            acknowledged: Pids::default(),
        }
    }

    fn request(&mut self, _: Ask, _: &mut Out<Self>) {}

    fn receive(&mut self, from: Pid, message: ViewMessage, out: &mut Out<Self>) {
        if !self.accepted.has(from) {
            return;
        }
        let is_current = |number| !self.pending.is_empty() && number == self.extension().len();
        match message {
            ViewMessage::Propose(extension) => self.save(from, extension, out),
            ViewMessage::Acknowledge(number) if is_current(number) => {
                self.acknowledged.add(from);
                self.collect(out);
            }
            ViewMessage::Refuse(number, missing) if is_current(number) => self.propose(missing, out),
            ViewMessage::Acknowledge(_) | ViewMessage::Refuse(..) => {}
            ViewMessage::Commit(extension) => self.install(&extension, out),
        }
        self.manage(out);
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        // One that was suspected comes back as a new incarnation only, so a suspicion is not taken back.
        let Detection::Suspect(pid) = detection else { return };
        self.suspected.add(pid);
        self.manage(out);
    }
}

impl Subject for ViewManager {
    const CARD: &'static Card = &card::CARD;
}
