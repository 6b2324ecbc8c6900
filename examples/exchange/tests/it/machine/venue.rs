//! A machine on a stream of its own: inputs by hand, timers by the stream's time, outputs as lines of text.

use itch50::Message;
use lockstep_exchange::{AccountLimits, ExchangeMachine, ExchangeSettings, Rules, TradingPhase};
use lockstep_machine::{CHANNELS, Destination, Effect, Input, InputEvent, Output, StateMachine};
use ouch50::codes::{Capacity, CrossType, Display, TimeInForce};
use ouch50::{ClOrdId, EnterOrder, Inbound, Options, Outbound, Price, ReplaceOrder, Side, Symbol};
use std::collections::BTreeMap;

pub const OPERATORS: Destination = CHANNELS + 1;
pub const FEED: Destination = CHANNELS + 2;
/// Nine o'clock, UTC, on a day of 2026.
pub const NINE: u64 = 1_795_683_600_000_000_000;

/// Small rules, two instruments at 10.00, and continuous trading.
pub fn settings() -> ExchangeSettings {
    let rules = Rules {
        orders_max: 400,
        instruments_max: 4,
        accounts_max: 8,
        positions_max: 32,
        trades_max: 100,
        volatility_ns: 2_000_000_000,
        indicative_ns: 700_000_000,
        ..Rules::default()
    };
    let opening = [
        "instrument ABC tick 100 lot 1 reference 100000 static 5000 dynamic 1000",
        "instrument XYZ tick 100 lot 10 reference 100000",
        "phase * continuous",
    ];
    ExchangeSettings {
        rules,
        limits: AccountLimits { quantity_max: 50_000, ..AccountLimits::NONE },
        day_phase: TradingPhase::Continuous,
        opening: opening.map(str::to_owned).to_vec(),
        ..ExchangeSettings::new(OPERATORS, FEED)
    }
}

pub fn machine() -> ExchangeMachine {
    ExchangeMachine::new(settings()).expect("rules")
}

/// What an input has published.
pub type Published = Vec<(Destination, Vec<u8>)>;

pub struct Venue<M> {
    pub machine: M,
    pub now: u64,
    seq: u64,
    /// By due time and key: whether it waits for a duration, and its payload.
    timers: BTreeMap<(u64, u64), (bool, Vec<u8>)>,
}

impl<M: StateMachine> Venue<M> {
    /// With accounts 1 to `accounts`.
    pub fn new(machine: M, accounts: u32) -> Self {
        let mut venue = Self { machine, now: NINE, seq: 0, timers: BTreeMap::new() };
        for publisher in 1..=accounts {
            venue.input(InputEvent::Connected { user: "user", publisher });
        }
        venue
    }

    pub fn input(&mut self, event: InputEvent<'_>) -> Published {
        self.seq += 1;
        let mut output = Output::new(self.now);
        self.machine.apply(&Input { seq: self.seq, time: self.now, event }, &mut output);
        let mut published = Vec::new();
        for effect in output.effects() {
            match effect {
                Effect::Publish { destination, payload } => published.push((destination, payload.to_vec())),
                Effect::Timer { key, due, is_relative, payload } => {
                    self.timers.retain(|(_, known), _| *known != key);
                    self.timers.insert((due, key), (is_relative, payload.to_vec()));
                }
                Effect::Cancel { key } => self.timers.retain(|(_, known), _| *known != key),
            }
        }
        published
    }

    /// The stream's time goes on; what timers publish on the way.
    pub fn wait(&mut self, ns: u64) -> Published {
        self.now += ns;
        let mut published = Vec::new();
        while let Some(((due, key), timer)) = self.timers.pop_first() {
            if due > self.now {
                self.timers.insert((due, key), timer);
                break;
            }
            let (_, payload) = timer;
            published.extend(self.input(InputEvent::Timer { key, due, payload: &payload }));
        }
        published
    }

    /// An operator sets the stream's time back.
    pub fn set_back(&mut self, ns: u64) -> Published {
        let before = self.now;
        self.now -= ns;
        let moved =
            std::mem::take(&mut self.timers).into_iter().map(|((due, key), (is_relative, payload))| {
                let due = if is_relative { due - ns } else { due };
                ((due, key), (is_relative, payload))
            });
        self.timers = moved.collect();
        self.input(InputEvent::TimeSetBack { before })
    }

    /// A client's message.
    pub fn bytes(&mut self, publisher: u32, payload: &[u8]) -> Published {
        let (publisher_seq, destination) = (self.seq, 0);
        let user = Some("user");
        self.input(InputEvent::Message { publisher, publisher_seq, destination, user, payload })
    }

    pub fn ouch(&mut self, account: u32, message: impl Into<Inbound>) -> Vec<String> {
        let bytes = encoded(message);
        lines(&self.bytes(account, &bytes))
    }

    pub fn operator(&mut self, line: &str) -> Published {
        self.input(InputEvent::Message {
            publisher: 99,
            publisher_seq: self.seq,
            destination: OPERATORS,
            user: None,
            payload: line.as_bytes(),
        })
    }
}

pub fn encoded(message: impl Into<Inbound>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.into().append(&mut bytes).expect("a message that can be written");
    bytes
}

pub fn order(number: u32, side: Side, quantity: u32, price: u64) -> EnterOrder {
    EnterOrder {
        user_ref_num: number,
        side,
        quantity,
        symbol: Symbol::new(b"ABC").expect("ASCII"),
        price: Price(price),
        time_in_force: TimeInForce::Day,
        display: Display::Visible,
        capacity: Capacity::Agency,
        is_sweep: false,
        cross_type: CrossType::Continuous,
        cl_ord_id: ClOrdId::new(format!("order {number}").as_bytes()).expect("ASCII"),
        options: Options::NONE,
    }
}

pub fn replace(original: u32, number: u32, quantity: u32, price: u64) -> ReplaceOrder {
    ReplaceOrder {
        original,
        user_ref_num: number,
        quantity,
        price: Price(price),
        time_in_force: TimeInForce::Day,
        display: Display::Visible,
        is_sweep: false,
        cl_ord_id: ClOrdId::new(format!("order {number}").as_bytes()).expect("ASCII"),
        options: Options::NONE,
    }
}

/// One line for each message: to whom, and what it is.
pub fn lines(published: &Published) -> Vec<String> {
    published.iter().map(|(to, bytes)| line(*to, bytes)).collect()
}

fn line(to: Destination, bytes: &[u8]) -> String {
    if to == FEED {
        return format!("feed: {}", itch_line(&Message::parse(bytes).expect("ITCH 5.0")));
    }
    match Outbound::parse(bytes) {
        Ok(message) => format!("{to}: {}", ouch_line(&message)),
        Err(_) => format!("{to}: {}", std::str::from_utf8(bytes).expect("a text for an operator")),
    }
}

fn itch_line(message: &Message) -> String {
    match message {
        Message::SystemEvent(event) => format!("S {:?}", event.event),
        Message::StockDirectory(entry) => format!("R {} is {}", entry.stock, entry.head.locate),
        Message::TradingAction(action) => {
            format!("H {} {:?} {}", action.stock, action.state, action.reason).trim_end().to_owned()
        }
        Message::AddOrder(add) => {
            format!("A {} {:?} {} {} at {}", add.reference, add.side, add.shares, add.stock, add.price)
        }
        Message::OrderExecuted(executed) => {
            format!("E {} {} match {}", executed.reference, executed.shares, executed.match_number)
        }
        Message::OrderExecutedAtPrice(executed) => {
            format!("C {} {} at {}", executed.reference, executed.shares, executed.price)
        }
        Message::OrderCancel(cancel) => format!("X {} {}", cancel.reference, cancel.shares),
        Message::OrderDelete(delete) => format!("D {}", delete.reference),
        Message::OrderReplace(new) => {
            format!("U {} {} {} at {}", new.original, new.reference, new.shares, new.price)
        }
        Message::CrossTrade(cross) => format!("Q {} {} at {}", cross.stock, cross.shares, cross.price),
        Message::BrokenTrade(broken) => format!("B {}", broken.match_number),
        Message::Imbalance(auction) => {
            format!("I {} {:?} at {}", auction.paired_shares, auction.direction, auction.near)
        }
        other => panic!("the exchange does not publish {other:?}"),
    }
}

fn ouch_line(message: &Outbound) -> String {
    match message {
        Outbound::SystemEvent(event) => format!("S {:?}", event.event),
        Outbound::Accepted(order) => format!(
            "A {} {:?} {} {} at {} is {}",
            order.user_ref_num, order.side, order.quantity, order.symbol, order.price, order.reference
        ),
        Outbound::Replaced(order) => format!(
            "U {} {} {:?} {} {} at {} is {}",
            order.original,
            order.user_ref_num,
            order.side,
            order.quantity,
            order.symbol,
            order.price,
            order.reference
        ),
        Outbound::Canceled(order) => {
            format!("C {} {} {:?}", order.user_ref_num, order.quantity, order.reason)
        }
        Outbound::Executed(order) => format!(
            "E {} {} at {} {:?} match {}",
            order.user_ref_num, order.quantity, order.price, order.liquidity, order.match_number
        ),
        Outbound::BrokenTrade(order) => format!("B {} match {}", order.user_ref_num, order.match_number),
        Outbound::Rejected(order) => format!("J {} {:?}", order.user_ref_num, order.reason),
        Outbound::CancelReject(order) => format!("I {}", order.user_ref_num),
        Outbound::Modified(order) => {
            format!("M {} {:?} {}", order.user_ref_num, order.side, order.quantity)
        }
        Outbound::Restated(order) => format!(
            "R {} {:?} is {:?} shows {:?}",
            order.user_ref_num,
            order.reason,
            order.options.secondary_reference,
            order.options.display_quantity
        ),
        Outbound::MassCancelResponse(request) => format!("X {}", request.user_ref_num),
        Outbound::DisableResponse(request) => format!("G {}", request.user_ref_num),
        Outbound::EnableResponse(request) => format!("K {}", request.user_ref_num),
        Outbound::AccountResponse(answer) => format!("Q next {}", answer.next_user_ref_num),
        other => panic!("the exchange does not send {other:?}"),
    }
}
