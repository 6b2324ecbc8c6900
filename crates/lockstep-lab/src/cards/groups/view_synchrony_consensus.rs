//! View synchrony: a flush by consensus on the messages of a view (Guerraoui's course, "View Synchrony").

use super::current_view::{CurrentView, InView, Messages, VIEW_SYNCHRONOUS};
use super::per_view::{OfView, PerView};
use crate::property::{CRASHED_LEAVE, LAST_VIEW, VALIDITY, VIEW_INCLUSION, VIEW_SYNCHRONY};
use crate::{
    Ask, Break, Broadcast, Card, Detection, Detector, Fact, Family, Model, Out, Pid, Pids, Price, Prices,
    Process, Protocol, Search, Subject, Value, Word,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// The members of a view, and the messages of the view before it.
type Flushed<M> = (Pids, Messages<M>);

/// A message. Each is of the view with a number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum ViewSynchronyMessage<M: Ord> {
    /// Broadcast in this view.
    Data(u32, M),
    /// All that its sender has delivered in this view; it delivers no more there.
    Delivered(u32, Messages<M>),
    /// Of the consensus on this view.
    View(OfView<Flushed<M>>),
}
use ViewSynchronyMessage::{Data, Delivered, View};

/// Once it suspects a member a process delivers no more in its view, and sends what it has delivered; it
/// proposes the next view with all that the members have delivered.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ViewSynchronyConsensus<M: Word> {
    process: Process,
    view: CurrentView<M>,
    correct: Pids,
    is_flushing: bool,
    /// By view and process: what it has delivered there.
    flushed: BTreeMap<(u32, Pid), Messages<M>>,
    below: PerView<Flushed<M>>,
}

impl<M: Word> ViewSynchronyConsensus<M> {
    /// Blocks once a member is suspected, and proposes once all that are not have sent what they delivered.
    fn flush(&mut self, out: &mut Out<Self>) {
        let correct = self.correct.and(self.view.members);
        if correct == self.view.members {
            return;
        }
        let has_pause = !self.process.lacks("a pause of the application");
        if !self.is_flushing {
            self.is_flushing = true;
            self.view.is_blocked = has_pause && !self.process.lacks("blocking");
            out.all(Delivered(self.view.number, self.view.delivered.clone()));
        }
        let of = |pid| self.flushed.get(&(self.view.number, pid));
        let all: Option<Vec<_>> = correct.iter().map(of).collect();
        let all = if self.process.lacks("flush") { Some(Vec::new()) } else { all };
        if let Some(all) = all.filter(|all| has_pause || all.iter().all(|set| **set == self.view.delivered)) {
            let next = (correct, all.into_iter().flatten().cloned().collect());
            self.below.propose(self.view.number + 1, next, out, View);
        }
    }

    /// Delivers what is left of the view, and installs the next one.
    fn handle(&mut self, out: &mut Out<Self>) {
        while let Some((number, (members, messages))) = self.below.next() {
            self.view.deliver(messages, out);
            self.is_flushing = false;
            self.flushed.retain(|(of, _), _| *of >= number);
            self.view.install((number, members), out, Data);
            if !self.process.lacks("crashes during a flush") {
                self.flush(out);
            }
        }
    }

    /// Whether a flush is on and the application does not stop.
    fn is_talking(&self) -> bool {
        self.is_flushing && self.process.lacks("a pause of the application")
    }

    /// The break without a pause: the application answers each message with one more of its own, and the
    /// flush begins again. The set of them all would grow for ever; here a sender is in it while the number
    /// of its messages is odd. Equal sets stay equal, so the break is no easier to find.
    fn go_on_talking(&mut self, from: Pid, message: M, out: &mut Out<Self>) {
        let both = BTreeSet::from([(from, message.clone()), (self.process.me, message.clone())]);
        self.view.delivered = &self.view.delivered ^ &both;
        out.each(self.process.others(), &Data(self.view.number, message));
        out.all(Delivered(self.view.number, self.view.delivered.clone()));
    }
}

impl<M: Word> Protocol for ViewSynchronyConsensus<M> {
    type Request = Broadcast<M>;
    type Indication = InView<M>;
    type Message = ViewSynchronyMessage<M>;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            view: CurrentView::new(process),
            correct: process.all(),
            is_flushing: false,
            flushed: BTreeMap::new(),
            below: PerView::new(process),
        }
    }

    fn request(&mut self, Broadcast(message): Broadcast<M>, out: &mut Out<Self>) {
        self.view.broadcast(message, out, Data);
    }

    fn receive(&mut self, from: Pid, message: Self::Message, out: &mut Out<Self>) {
        match message {
            Data(_, message) if self.is_talking() && from != self.process.me => {
                self.go_on_talking(from, message, out);
            }
            Data(number, message) => self.view.on_data(number, (from, message), out),
            Delivered(number, messages) => {
                if number >= self.view.number {
                    self.flushed.insert((number, from), messages);
                    self.flush(out);
                }
            }
            View(message) => self.below.receive(from, message, out, View),
        }
        self.handle(out);
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        let Detection::Suspect(pid) = detection else { return };
        self.correct.remove(pid);
        self.below.suspect(pid, out, View);
        if !(self.is_flushing && self.process.lacks("crashes during a flush")) {
            self.flush(out);
        }
        self.handle(out);
    }
}

impl Subject for ViewSynchronyConsensus<Value> {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model::PLAIN.detector(Detector::Perfect).stop(2);
const ONE: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0)))];
const OTHER: &[(Pid, Ask)] = &[(1, Ask::Broadcast(Value(1)))];
const TWO: &[(Pid, Ask)] = &[(0, Ask::Broadcast(Value(0))), (1, Ask::Broadcast(Value(1)))];

static CARD: Card = Card {
    name: "view-synchrony-consensus",
    family: Family::Groups,
    source: "Guerraoui's course, View Synchrony, the algorithm from consensus",
    says: "A process that suspects a member stops delivering, and sends what it has delivered in the view to all. One that \
           has these of all correct members proposes the next view together with all of these messages; each delivers \
           them before it installs the view. So all that go on have delivered the same messages in each view. As \
           printed, the algorithm drops messages of a view that is not installed yet, and looks at no crash during a \
           flush: here the first wait, and the second begin a flush of their own.",
    buys: &[
        ("blocking", "view synchrony: what is delivered behind the flush is in nobody's proposal"),
        ("a pause of the application", "an end of the flush: else each set is old when it arrives"),
        ("uniform consensus on members and messages", "one view and one set of messages before it"),
        ("the detector is accurate", "nobody alive is out of the group"),
    ],
    uses: &["uniform-hierarchical", "best-effort"],
    model: MODEL,
    asks: TWO,
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
            name: "membership-without-a-flush",
            says: "Views from membership, and messages from a broadcast beside it: a message of a crashed process is \
                   delivered in the view without it.",
            model: MODEL,
            asks: Some(ONE),
            dropped: Some("flush"),
            loses: &VIEW_INCLUSION,
            search: Search::Breadth,
            steps_max: 6,
            planted: false,
        },
        Break {
            name: "the-application-goes-on",
            says: "The application is not stopped, so a process sends what it has delivered again with each message. Every \
                   message arrives, and no view is ever installed.",
            model: MODEL,
            asks: Some(OTHER),
            dropped: Some("a pause of the application"),
            loses: &LAST_VIEW,
            search: Search::Lasso { progress: |fact| matches!(fact, Fact::View { .. }) },
            steps_max: 14,
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
            steps_max: 11,
            planted: false,
        },
        Break {
            name: "blind-during-a-flush",
            says: "As printed: a second crash during a flush is not looked at, and the others wait for what that process \
                   has delivered.",
            model: MODEL,
            asks: Some(ONE),
            dropped: Some("crashes during a flush"),
            loses: &CRASHED_LEAVE,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "no-blocking",
            says: "A process goes on to deliver after it has sent what it delivered.",
            model: MODEL,
            asks: Some(ONE),
            dropped: Some("blocking"),
            loses: &VIEW_SYNCHRONY,
            search: Search::Breadth,
            steps_max: 8,
            planted: true,
        },
    ],
};
