//! View synchrony: a flush by terminating reliable broadcasts (Guerraoui's course, "View Synchrony").

use super::current_view::{CurrentView, InView, Messages, VIEW_SYNCHRONOUS};
use super::membership::Membership;
use super::per_view::OfView;
use crate::cards::agreement::TerminatingUniform;
use crate::property::{CRASHED_LEAVE, LAST_VIEW, VALIDITY, VIEW_SYNCHRONY};
use crate::{
    Ask, Break, Broadcast, Card, Deliver, Detection, Detector, Fact, Family, Model, Out, Pid, Pids, Price,
    Prices, Process, Protocol, Search, Subject, Value, Word,
};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};

/// The broadcast of all that a process has delivered in a view.
type Flush<M> = TerminatingUniform<Messages<M>>;

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum FlushedViewMessage<M: Word> {
    /// Broadcast in this view.
    Data(u32, M),
    /// Of the membership.
    View(OfView<Pids>),
    /// Of the terminating broadcast of this process in this view.
    Flush(u32, Pid, <Flush<M> as Protocol>::Message),
}

/// Once membership has a next view, a process delivers no more in its view, and broadcasts what it has
/// delivered so that all members deliver that, or that it has failed. Then it installs the view.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ViewSynchronyTrb<M: Word> {
    process: Process,
    view: CurrentView<M>,
    membership: Membership,
    suspected: Pids,
    /// Views of the membership that are not installed here.
    pending: VecDeque<(u32, Pids)>,
    is_flushing: bool,
    /// By view and process: its terminating broadcast; none once that is over.
    flushes: BTreeMap<(u32, Pid), Option<Flush<M>>>,
    /// By view and process: what it has delivered there, or that it has failed.
    flushed: BTreeMap<(u32, Pid), Option<Messages<M>>>,
}

impl<M: Word> ViewSynchronyTrb<M> {
    /// Calls the terminating broadcast of `of` in the view `number`, which knows all suspicions from its
    /// start.
    fn with_flush(
        &mut self,
        (number, of): (u32, Pid),
        out: &mut Out<Self>,
        call: impl FnOnce(&mut Flush<M>, &mut Out<Flush<M>>),
    ) {
        if number < self.view.number {
            return;
        }
        let (process, suspected) = (self.process, self.suspected);
        let first = || Some(Flush::of_sender(&process, of));
        let flush = self.flushes.entry((number, of)).or_insert_with(first);
        let Some(broadcast) = flush else { return };
        let wrap = |message| FlushedViewMessage::Flush(number, of, message);
        let done = out.below(broadcast, wrap, |below, out| {
            if !process.lacks("termination of the broadcasts") {
                suspected.iter().for_each(|pid| below.detect(Detection::Suspect(pid), out));
            }
            call(below, out);
        });
        if let Some(Deliver { message, .. }) = done.into_iter().next() {
            *flush = None;
            self.flushed.insert((number, of), message);
        }
    }

    /// Blocks for the next view, and broadcasts what was delivered in this one.
    fn flush(&mut self, out: &mut Out<Self>) {
        self.is_flushing = true;
        self.view.is_blocked = !self.process.lacks("blocking");
        if self.process.lacks("what came before the block") {
            self.flushed.clear();
        }
        let (number, delivered) = (self.view.number, self.view.delivered.clone());
        self.with_flush((number, self.process.me), out, |below, out| {
            below.request(Broadcast(delivered), out)
        });
        // Those of the crashed end by their suspicion.
        self.view.members.iter().for_each(|of| self.with_flush((number, of), out, |_, _| {}));
    }

    /// Goes on as far as it can: to a flush, to the end of it, to the view behind it.
    fn go_on(&mut self, out: &mut Out<Self>) {
        while let Some(next) = self.pending.front().copied() {
            if !self.is_flushing {
                self.flush(out);
            }
            let of_view = |pid| self.flushed.get(&(self.view.number, pid)).cloned();
            let sets: Option<Vec<_>> = self.view.members.iter().map(of_view).collect();
            let Some(sets) = sets else { return };
            self.view.deliver(sets.into_iter().flatten().flatten(), out);
            self.pending.pop_front();
            self.is_flushing = false;
            self.flushed.retain(|(of, _), _| *of >= next.0);
            self.flushes.retain(|(of, _), _| *of >= next.0);
            self.view.install(next, out, FlushedViewMessage::Data);
        }
    }

    fn with_membership(
        &mut self,
        out: &mut Out<Self>,
        call: impl FnOnce(&mut Membership, &mut Out<Membership>),
    ) {
        for fact in out.below(&mut self.membership, FlushedViewMessage::View, call) {
            if let Fact::View { number, members } = fact {
                self.pending.push_back((number, members));
            }
        }
    }
}

impl<M: Word> Protocol for ViewSynchronyTrb<M> {
    type Request = Broadcast<M>;
    type Indication = InView<M>;
    type Message = FlushedViewMessage<M>;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            view: CurrentView::new(process),
            membership: Membership::new(process),
            suspected: Pids::default(),
            pending: VecDeque::new(),
            is_flushing: false,
            flushes: BTreeMap::new(),
            flushed: BTreeMap::new(),
        }
    }

    fn request(&mut self, Broadcast(message): Broadcast<M>, out: &mut Out<Self>) {
        self.view.broadcast(message, out, FlushedViewMessage::Data);
    }

    fn receive(&mut self, from: Pid, message: Self::Message, out: &mut Out<Self>) {
        match message {
            FlushedViewMessage::Data(number, message) => self.view.on_data(number, (from, message), out),
            FlushedViewMessage::View(message) => {
                self.with_membership(out, |below, out| below.receive(from, message, out));
            }
            FlushedViewMessage::Flush(number, of, message) => {
                self.with_flush((number, of), out, |below, out| below.receive(from, message, out));
            }
        }
        self.go_on(out);
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        let Detection::Suspect(pid) = detection else { return };
        self.suspected.add(pid);
        self.with_membership(out, |below, out| below.detect(detection, out));
        let open: Vec<_> = self.flushes.keys().copied().collect();
        open.into_iter().for_each(|flush| self.with_flush(flush, out, |_, _| {}));
        self.go_on(out);
    }
}

impl Subject for ViewSynchronyTrb<Value> {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model::PLAIN.detector(Detector::Perfect).stop(2);
const ONE: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0)))];
const OTHER: &[(Pid, Ask)] = &[(1, Ask::Broadcast(Value(1)))];

static CARD: Card = Card {
    name: "view-synchrony-trb",
    family: Family::Groups,
    source: "Guerraoui's course, View Synchrony, the algorithm from terminating reliable broadcast",
    says: "Membership decides the views. Before a process installs the next one it blocks, and each member broadcasts all \
           that it has delivered, in a broadcast that ends even if its sender fails. After those of all members all have \
           delivered the same messages. It is made of modules alone, and pays with a consensus for each member. As \
           printed, a process forgets the broadcasts that end before it blocks itself, and drops messages of a view that \
           is not installed yet: here both are remembered.",
    buys: &[
        ("blocking", "view synchrony: what is delivered behind the own broadcast is in nobody's"),
        ("broadcasts that end", "a next view: a crashed member sends nothing of what it has delivered"),
        ("uniform agreement of the broadcasts", "the same messages also at one that fails in the next view"),
    ],
    uses: &["membership", "terminating-uniform", "best-effort"],
    model: MODEL,
    asks: ONE,
    properties: VIEW_SYNCHRONOUS,
    states_max: 300_000,
    whole: true,
    prices: Prices::Of(&[Price {
        asks: ONE,
        delays: [|_| 0, |_| 1, |_| 1],
        multicast: |_| 1,
        unicast: |n| n - 1,
    }]),
    breaks: &[
        Break {
            name: "forgets-what-came-before",
            says: "As printed: a process that blocks starts to count the broadcasts again, and waits for ever for one that \
                   has ended.",
            model: MODEL,
            asks: Some(ONE),
            dropped: Some("what came before the block"),
            loses: &LAST_VIEW,
            search: Search::Breadth,
            steps_max: 23,
            planted: false,
        },
        Break {
            name: "drops-early-messages",
            says: "As printed: a message of the next view comes before that view is installed, and is dropped.",
            model: MODEL,
            asks: Some(OTHER),
            dropped: Some("messages of the next view"),
            loses: &VALIDITY,
            search: Search::Breadth,
            steps_max: 23,
            planted: false,
        },
        Break {
            name: "broadcasts-without-an-end",
            says: "All wait for the broadcast of the member that has crashed.",
            model: MODEL,
            asks: Some(ONE),
            dropped: Some("termination of the broadcasts"),
            loses: &CRASHED_LEAVE,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "no-blocking",
            says: "A process goes on to deliver after it has broadcast what it delivered.",
            model: MODEL,
            asks: Some(ONE),
            dropped: Some("blocking"),
            loses: &VIEW_SYNCHRONY,
            search: Search::Breadth,
            steps_max: 16,
            planted: true,
        },
    ],
};
