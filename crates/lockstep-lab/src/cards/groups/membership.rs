//! Group membership (Guerraoui's course, "Group Membership").

use super::per_view::{OfView, PerView};
use crate::property::{
    CRASHED_LEAVE, LAST_VIEW, UNIFORM_VIEW_AGREEMENT, VIEW_ACCURACY, VIEW_AGREEMENT, VIEW_ORDER,
};
use crate::{
    Ask, Break, Card, Detection, Detector, Fact, Family, Model, Out, Pid, Pids, Price, Prices, Process,
    Protocol, Search, Subject,
};

/// Each process proposes the next view once it suspects a member, and installs what consensus decides.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Membership {
    process: Process,
    number: u32,
    members: Pids,
    correct: Pids,
    below: PerView<Pids>,
    is_waiting: bool,
}

impl Membership {
    /// Proposes a view without the suspected, one at a time.
    fn go_on(&mut self, out: &mut Out<Self>) {
        if self.correct.and(self.members) == self.members || self.is_waiting {
            return;
        }
        let (next, correct) = (self.number + 1, self.correct.and(self.members));
        if self.process.lacks("consensus") {
            return self.install(next, correct, out);
        }
        self.is_waiting = true;
        self.below.propose(next, correct, out, |message| message);
        self.handle(out);
    }

    fn handle(&mut self, out: &mut Out<Self>) {
        while let Some((number, members)) = self.below.next() {
            let own = self.correct.and(self.members);
            self.install(number, if self.process.lacks("the decision") { own } else { members }, out);
        }
    }

    fn install(&mut self, number: u32, members: Pids, out: &mut Out<Self>) {
        (self.number, self.members, self.is_waiting) = (number, members, false);
        out.indicate(Fact::View { number, members });
        self.go_on(out);
    }
}

impl Protocol for Membership {
    type Request = Ask;
    type Indication = Fact;
    type Message = OfView<Pids>;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            number: 0,
            members: process.all(),
            correct: process.all(),
            below: PerView::new(process),
            is_waiting: false,
        }
    }

    fn request(&mut self, _ask: Ask, _out: &mut Out<Self>) {}

    fn receive(&mut self, from: Pid, message: OfView<Pids>, out: &mut Out<Self>) {
        self.below.receive(from, message, out, |message| message);
        self.handle(out);
    }

    fn detect(&mut self, detection: Detection, out: &mut Out<Self>) {
        let Detection::Suspect(pid) = detection else { return };
        self.correct.remove(pid);
        self.below.suspect(pid, out, |message| message);
        self.handle(out);
        self.go_on(out);
    }
}

impl Subject for Membership {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model::PLAIN.of(4, 3).detector(Detector::Perfect).stop(2);

static CARD: Card = Card {
    name: "membership",
    family: Family::Groups,
    source: "Guerraoui's course, Group Membership",
    says: "A process that suspects a member proposes a view without it, and all install what uniform consensus decides. A \
           failure detector lets each process learn of crashes in an order of its own; with views all learn of them in \
           the same steps. (Decisions wait for their turn here, which the text leaves out.)",
    buys: &[
        ("uniform consensus on each view", "agreement: no two processes have different views of one number"),
        ("the detector is complete", "the crashed leave in the end"),
        ("the detector is accurate", "nobody alive is out of the group"),
    ],
    uses: &["uniform-hierarchical"],
    model: MODEL,
    asks: &[],
    properties: &[
        &VIEW_ORDER,
        &VIEW_AGREEMENT,
        &UNIFORM_VIEW_AGREEMENT,
        &VIEW_ACCURACY,
        &CRASHED_LEAVE,
        &LAST_VIEW,
    ],
    states_max: 300_000,
    whole: true,
    prices: Prices::Of(&[Price {
        // A run of uniform-hierarchical, which p2 leads. Messages to all go to the dead process too.
        asks: &[],
        delays: [|_| 2, |_| 3, |_| Price::NEVER],
        multicast: |n| 1 + (n - 2) + (n - 1) * (n - 1),
        unicast: |n| (n - 1) + (n - 2) + (n - 1) * (n - 1),
    }]),
    breaks: &[
        Break {
            name: "no-consensus",
            says: "Each process installs a view of its own as soon as its detector has something: two crashes come in \
                   different orders.",
            model: MODEL,
            asks: None,
            dropped: Some("consensus"),
            loses: &UNIFORM_VIEW_AGREEMENT,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "decisions-out-of-turn",
            says: "The course installs what is decided when it is decided: the decision of view 2 comes to a process before \
                   that of view 1.",
            model: MODEL,
            asks: None,
            dropped: Some("decisions in turn"),
            loses: &VIEW_ORDER,
            search: Search::Breadth,
            steps_max: 9,
            planted: false,
        },
        Break {
            name: "wrong-suspicions",
            says: "A suspicion is wrong, and a process that is alive is out of the view.",
            model: Model::PLAIN.detector(Detector::EventuallyPerfect { mistakes: 1 }),
            asks: None,
            dropped: None,
            loses: &VIEW_ACCURACY,
            search: Search::Breadth,
            steps_max: 3,
            planted: false,
        },
        Break {
            name: "installs-its-own",
            says: "A process that learns the decision installs the members that it takes for correct.",
            model: MODEL,
            asks: None,
            dropped: Some("the decision"),
            loses: &UNIFORM_VIEW_AGREEMENT,
            search: Search::Breadth,
            steps_max: 7,
            planted: true,
        },
    ],
};
