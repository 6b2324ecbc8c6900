//! The channel between two sites: a window of frames with acknowledgments over an ordered link that loses
//! (Birman and Joseph 1987, §4.1; it resends as go-back-n does).

use crate::card::ENDLESS;
use crate::property::{LINK_ORDER, NO_CREATION, NO_DUPLICATION, RELIABLE_DELIVERY};
use crate::{
    Ask, Break, Card, Fact, Family, Links, Model, Out, Pid, Price, Prices, Process, Protocol, Search,
    Subject, Time, Timer, Value,
};
use serde::Serialize;
use std::collections::VecDeque;

/// A message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub enum ChannelMessage {
    /// A value under its number.
    Frame(u8, Value),
    /// The number that the receiver expects next: it has all before it.
    Ack(u8),
}

/// Frames have the numbers 0 to `NUMBERS - 1`, round and round.
const NUMBERS: u8 = 3;
/// Frames that may be under way at once: fewer than there are numbers. With as many, the number of the oldest
/// frame in the window is the number that a receiver of all of them expects next.
const WINDOW_MAX: usize = 2;
const RESEND: Timer = 0;

/// One of two sites.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct WindowedChannel {
    process: Process,
    /// The number of the oldest frame in the window.
    base: u8,
    /// Frames that were sent and not acknowledged.
    window: VecDeque<Value>,
    /// Values that wait for a place in the window.
    waiting: VecDeque<Value>,
    /// The number of the next frame of the other site.
    expected: u8,
    /// Only of a site that lacks endless resends: it resends once.
    has_resent: bool,
}

impl WindowedChannel {
    fn peer(&self) -> Pid {
        1 - self.process.me
    }

    fn send_frame(&self, place: usize, out: &mut Out<Self>) {
        let number = (self.base + place as u8) % NUMBERS;
        out.send(self.peer(), ChannelMessage::Frame(number, self.window[place]));
    }

    /// Moves what waits into the window while that has room.
    fn fill_window(&mut self, out: &mut Out<Self>) {
        let window_max =
            if self.process.lacks("more numbers than frames") { usize::from(NUMBERS) } else { WINDOW_MAX };
        while self.window.len() < window_max {
            let Some(value) = self.waiting.pop_front() else { break };
            self.window.push_back(value);
            self.send_frame(self.window.len() - 1, out);
            out.after(RESEND, 1);
        }
    }

    /// Takes the next frame and no other, and acknowledges all up to it. A frame that it has already is
    /// acknowledged once more: its first ack may be lost.
    fn take_frame(&mut self, number: u8, value: Value, out: &mut Out<Self>) {
        let is_next = number == self.expected;
        if is_next {
            self.expected = (self.expected + 1) % NUMBERS;
            out.indicate(Fact::Deliver { from: self.peer(), value });
        }
        if is_next || !self.process.lacks("acks of duplicates") {
            out.send(self.peer(), ChannelMessage::Ack(self.expected));
        }
    }

    /// The frames before `next` have arrived.
    fn take_ack(&mut self, next: u8, out: &mut Out<Self>) {
        let arrived = usize::from((next + NUMBERS - self.base) % NUMBERS);
        if arrived == 0 || arrived > self.window.len() {
            return;
        }
        self.window.drain(..arrived);
        (self.base, self.has_resent) = (next, false);
        if self.window.is_empty() || self.process.lacks("timer of the rest") {
            out.cancel(RESEND);
        }
        self.fill_window(out);
    }
}

impl Protocol for WindowedChannel {
    type Request = Ask;
    type Indication = Fact;
    type Message = ChannelMessage;

    fn new(process: &Process) -> Self {
        Self {
            process: *process,
            base: 0,
            window: VecDeque::new(),
            waiting: VecDeque::new(),
            expected: 0,
            has_resent: false,
        }
    }

    fn request(&mut self, request: Ask, out: &mut Out<Self>) {
        if let Ask::Send(_, value) = request {
            self.waiting.push_back(value);
            self.fill_window(out);
        }
    }

    fn receive(&mut self, _from: Pid, message: ChannelMessage, out: &mut Out<Self>) {
        match message {
            ChannelMessage::Frame(number, value) => self.take_frame(number, value, out),
            ChannelMessage::Ack(next) => self.take_ack(next, out),
        }
    }

    /// Sends the whole window once more.
    fn timeout(&mut self, _timer: Timer, out: &mut Out<Self>) {
        if self.process.lacks("endless resends") && std::mem::replace(&mut self.has_resent, true) {
            return;
        }
        (0..self.window.len()).for_each(|place| self.send_frame(place, out));
        out.after(RESEND, 1);
    }
}

impl Subject for WindowedChannel {
    const CARD: &'static Card = &CARD;
}

const MODEL: Model = Model {
    links: Links::LossyFifo { losses: 3 },
    time: Time::Asynchronous { timeouts: ENDLESS },
    ..Model::PLAIN.of(2, 0)
};
/// More values than numbers, and one in the other direction.
const ASKS: &[(Pid, Ask)] = &[
    (0, Ask::Send(1, Value(0))),
    (0, Ask::Send(1, Value(1))),
    (0, Ask::Send(1, Value(2))),
    (0, Ask::Send(1, Value(3))),
    (1, Ask::Send(0, Value(4))),
];
const ONE: &[(Pid, Ask)] = &[ASKS[0]];
const ONE_WAY: &[(Pid, Ask)] = &[ASKS[0], ASKS[1], ASKS[2], ASKS[3], (0, Ask::Send(1, Value(5)))];
const THREE: &[(Pid, Ask)] = &[ASKS[0], ASKS[1], ASKS[2]];

/// The delivery that a window which never opens holds back.
fn is_last_of_three(fact: &Fact) -> bool {
    matches!(fact, Fact::Deliver { value: Value(2), .. })
}

static CARD: Card = Card {
    name: "windowed-channel",
    family: Family::Isis,
    source: "Birman and Joseph 1987, §4.1",
    says: "A site has up to a window of frames under way, and resends all of them until they are acknowledged. A frame \
           carries a number of a few bits that goes round. So the channel is ordered and loses nothing, and what \
           is above it need not care for losses.",
    buys: &[
        ("a window smaller than the numbers", "a resent frame is never taken for a new one"),
        ("the link is ordered", "an old frame does not come back when its number is used again"),
        ("endless resends", "delivery: any number of copies may be lost"),
        ("acks of what has arrived already", "progress after a lost ack"),
    ],
    uses: &[],
    model: MODEL,
    asks: ASKS,
    properties: &[&RELIABLE_DELIVERY, &NO_DUPLICATION, &NO_CREATION, &LINK_ORDER],
    states_max: 300_000,
    whole: true,
    prices: Prices::Of(&[
        // A frame and its ack, whatever the number of other sites.
        Price::of_one(ONE, |_| 1, |_| 2, |_| 2),
    ]),
    breaks: &[
        Break {
            name: "window-of-all-numbers",
            says: "All frames of the window arrive, and the first one is resent: it has the number that the receiver expects.",
            model: MODEL,
            asks: Some(ONE_WAY),
            dropped: Some("more numbers than frames"),
            loses: &NO_DUPLICATION,
            search: Search::Breadth,
            steps_max: 8,
            planted: false,
        },
        Break {
            name: "window-of-all-numbers-loses",
            says: "The ack of an old frame that was taken for a new one acknowledges a frame that never arrived.",
            model: MODEL,
            asks: Some(ONE_WAY),
            dropped: Some("more numbers than frames"),
            loses: &RELIABLE_DELIVERY,
            search: Search::Breadth,
            steps_max: 19,
            planted: false,
        },
        Break {
            name: "reordered-link",
            says: "A copy of the first frame is late by one round of the numbers, and is taken for a new one.",
            model: Model { links: Links::Perfect, time: Time::Asynchronous { timeouts: 1 }, ..MODEL },
            asks: Some(ONE_WAY),
            dropped: None,
            loses: &NO_DUPLICATION,
            search: Search::Breadth,
            steps_max: 9,
            planted: false,
        },
        Break {
            name: "finite-resends",
            says: "A site gives up after one resend, and both copies are lost.",
            model: MODEL,
            asks: Some(ONE),
            dropped: Some("endless resends"),
            loses: &RELIABLE_DELIVERY,
            search: Search::Breadth,
            steps_max: 4,
            planted: false,
        },
        Break {
            name: "no-ack-of-a-duplicate",
            says: "The acks are lost. The window never opens again, however often it is resent.",
            model: MODEL,
            asks: Some(THREE),
            dropped: Some("acks of duplicates"),
            loses: &RELIABLE_DELIVERY,
            search: Search::Lasso { progress: is_last_of_three },
            steps_max: 10,
            planted: false,
        },
        Break {
            name: "no-timer-for-the-rest",
            says: "An ack stops the timer, though a later frame is still to be acknowledged.",
            model: MODEL,
            asks: Some(THREE),
            dropped: Some("timer of the rest"),
            loses: &RELIABLE_DELIVERY,
            search: Search::Breadth,
            steps_max: 8,
            planted: true,
        },
    ],
};
