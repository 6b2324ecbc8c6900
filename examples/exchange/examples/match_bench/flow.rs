//! The synthetic flow: passive orders near the best price, cancels and replacements of any resting order,
//! orders that take one or two of the best. An engine of its own decides what is open, so that cancels find
//! their order.

use crate::Recorded;
use lockstep_exchange::{
    AccountLimits, ExchangeCommand, InstrumentTerms, MarketEvent, MatchingEngine, NewOrder, OperatorRefusal,
    OrderReplacement, OrderReport, PhaseEnd, Rules, SelfMatch, Side, Sink, Symbol, TimeInForce, TradingPhase,
};

/// How the books are filled.
#[derive(Debug)]
pub struct Shape {
    /// Instruments.
    pub instruments: usize,
    /// Price levels of each side.
    pub levels: usize,
    /// Orders of each level.
    pub per_level: usize,
}

const ACCOUNTS: u32 = 64;
const TICK: u64 = 100;
const MIDDLE: u64 = 100_0000;

struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (self.0 ^ self.0 >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((u128::from(mixed) * u128::from(limit)) >> 64) as u64
    }

    /// 0 half of the time, 1 a quarter, and so on.
    fn geometric(&mut self, max: u64) -> u64 {
        let bits = self.below(1 << 40);
        u64::from(bits.trailing_zeros()).min(max)
    }
}

/// Open quantity of each account's tokens.
struct Open(Vec<Vec<u32>>);

impl Open {
    fn of(&mut self, account: u32, token: u32) -> &mut u32 {
        let tokens = &mut self.0[account as usize];
        if tokens.len() <= token as usize {
            tokens.resize(token as usize + 1, 0);
        }
        &mut tokens[token as usize]
    }
}

impl Sink for Open {
    fn report(&mut self, report: OrderReport) {
        match report {
            OrderReport::Accepted { account, token, terms } => *self.of(account, token) = terms.quantity,
            OrderReport::Replaced { account, token, original, terms, .. } => {
                *self.of(account, original) = 0;
                *self.of(account, token) = terms.quantity;
            }
            OrderReport::Executed { account, token, quantity, .. }
            | OrderReport::Canceled { account, token, quantity, .. } => *self.of(account, token) -= quantity,
            other => panic!("the flow expects no {other:?}"),
        }
    }

    fn market(&mut self, _event: MarketEvent) {}

    fn refuse(&mut self, reason: OperatorRefusal) {
        panic!("{reason:?}");
    }

    fn timer(&mut self, _key: u64, _at_ns: u64) {}

    fn cancel_timer(&mut self, _key: u64) {}
}

/// An order that may be open still.
#[derive(Clone, Copy)]
struct Live {
    account: u32,
    token: u32,
    price: u64,
}

struct Source {
    engine: MatchingEngine,
    open: Open,
    dice: Dice,
    tokens: Vec<u32>,
    /// Orders by instrument and side.
    live: Vec<[Vec<Live>; 2]>,
    symbols: Vec<Symbol>,
    per_side: usize,
}

impl Source {
    fn apply(&mut self, command: ExchangeCommand, into: &mut Vec<ExchangeCommand>) {
        self.engine.apply(&command, 0, &mut self.open);
        into.push(command);
    }

    fn next_token(&mut self, account: u32) -> u32 {
        self.tokens[account as usize] += 1;
        self.tokens[account as usize]
    }

    fn enter(&mut self, at: usize, side: Side, price: u64, quantity: u32, into: &mut Vec<ExchangeCommand>) {
        let account = self.dice.below(u64::from(ACCOUNTS)) as u32;
        let token = self.next_token(account);
        let order = NewOrder::limit(account, token, self.symbols[at], side, quantity, price);
        self.apply(ExchangeCommand::Enter(order), into);
        self.live[at][side as usize].push(Live { account, token, price });
    }

    /// A price that rests: behind the other side's best.
    fn passive(&mut self, at: usize, side: Side) -> u64 {
        let away = TICK * (1 + self.dice.geometric(30));
        match (side, self.engine.best_price(self.symbols[at], side.opposite())) {
            (Side::Buy, best) => best.unwrap_or(MIDDLE + TICK) - away,
            (Side::Sell, best) => best.unwrap_or(MIDDLE - TICK) + away,
        }
    }

    /// Any open order of a side, taken off the list.
    fn take_live(&mut self, at: usize, side: Side) -> Option<Live> {
        while !self.live[at][side as usize].is_empty() {
            let count = self.live[at][side as usize].len() as u64;
            let live = self.live[at][side as usize].swap_remove(self.dice.below(count) as usize);
            if *self.open.of(live.account, live.token) > 0 {
                return Some(live);
            }
        }
        None
    }

    fn step(&mut self, into: &mut Vec<ExchangeCommand>) {
        // A few instruments have most of the flow: the smaller of three draws.
        let count = self.symbols.len() as u64;
        let at = (0..3).map(|_| self.dice.below(count)).min().unwrap_or(0) as usize;
        let side = if self.dice.below(2) == 0 { Side::Buy } else { Side::Sell };
        let is_full = self.live[at][side as usize].len() > self.per_side;
        match self.dice.below(100) {
            0..8 => self.aggress(at, side, into),
            8..20 => self.replace(at, side, into),
            20..60 if is_full => self.cancel(at, side, into),
            20..45 => self.cancel(at, side, into),
            _ => {
                let (price, quantity) = (self.passive(at, side), 100 * (1 + self.dice.below(5) as u32));
                self.enter(at, side, price, quantity, into);
            }
        }
    }

    fn aggress(&mut self, at: usize, side: Side, into: &mut Vec<ExchangeCommand>) {
        let Some(price) = self.engine.best_price(self.symbols[at], side.opposite()) else { return };
        let account = self.dice.below(u64::from(ACCOUNTS)) as u32;
        let (token, quantity) = (self.next_token(account), 100 * (1 + self.dice.below(8) as u32));
        let mut order = NewOrder::limit(account, token, self.symbols[at], side, quantity, price);
        order.time_in_force = TimeInForce::Ioc;
        order.self_match = SelfMatch::Allow;
        self.apply(ExchangeCommand::Enter(order), into);
    }

    fn cancel(&mut self, at: usize, side: Side, into: &mut Vec<ExchangeCommand>) {
        if let Some(Live { account, token, .. }) = self.take_live(at, side) {
            self.apply(ExchangeCommand::Cancel { account, token, quantity: 0 }, into);
        }
    }

    fn replace(&mut self, at: usize, side: Side, into: &mut Vec<ExchangeCommand>) {
        let Some(Live { account, token: original, price }) = self.take_live(at, side) else { return };
        let token = self.next_token(account);
        let price = if self.dice.below(4) == 0 { price } else { self.passive(at, side) };
        let replacement =
            OrderReplacement { account, original, token, quantity: 500, price, stop_price: 0, display: 0 };
        self.apply(ExchangeCommand::Replace(replacement), into);
        self.live[at][side as usize].push(Live { account, token, price });
    }
}

fn rules(shape: &Shape) -> Rules {
    let resting = shape.instruments * shape.levels * shape.per_level * 2;
    Rules {
        orders_max: (resting * 2 + 100_000) as u32,
        instruments_max: shape.instruments as u16,
        accounts_max: ACCOUNTS,
        positions_max: (shape.instruments * ACCOUNTS as usize) as u32,
        ..Rules::default()
    }
}

/// The commands that define everything, and open continuous trading.
pub fn opening(symbols: &[Symbol], accounts: std::ops::Range<u32>, tick: u64) -> Vec<ExchangeCommand> {
    let mut setup = vec![];
    for &symbol in symbols {
        let terms = InstrumentTerms {
            symbol,
            tick,
            lot: 1,
            reference: MIDDLE,
            static_bps: 0,
            dynamic_bps: 0,
            extended_bps: 0,
        };
        setup.push(ExchangeCommand::DefineInstrument(terms));
    }
    for account in accounts {
        let limits = AccountLimits::NONE;
        setup.push(ExchangeCommand::SetAccount { account, limits, cancel_on_disconnect: true });
    }
    setup.push(ExchangeCommand::SetPhase {
        symbol: None,
        phase: TradingPhase::Continuous,
        ends: PhaseEnd::Never,
    });
    setup
}

/// Draws a flow.
pub fn draw(shape: &Shape, commands: usize) -> Recorded {
    let rules = rules(shape);
    let symbols: Vec<_> = (0..shape.instruments).map(|at| Symbol::new(&format!("S{at}"))).collect();
    let mut source = Source {
        engine: MatchingEngine::new(rules).expect("rules of the bench"),
        open: Open(vec![vec![]; ACCOUNTS as usize]),
        dice: Dice(1),
        tokens: vec![0; ACCOUNTS as usize],
        live: vec![Default::default(); shape.instruments],
        per_side: shape.levels * shape.per_level,
        symbols,
    };
    let mut setup = vec![];
    for command in opening(&source.symbols.clone(), 0..ACCOUNTS, TICK) {
        source.apply(command, &mut setup);
    }
    for _ in 0..shape.per_level {
        for at in 0..shape.instruments {
            for level in 1..=shape.levels as u64 {
                source.enter(at, Side::Buy, MIDDLE - level * TICK, 300, &mut setup);
                source.enter(at, Side::Sell, MIDDLE + level * TICK, 300, &mut setup);
            }
        }
    }
    let mut measured = Vec::with_capacity(commands);
    while measured.len() < commands {
        source.step(&mut measured);
    }
    Recorded { setup, measured, rules }
}
