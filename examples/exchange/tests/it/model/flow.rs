//! Commands drawn from a seed: mostly orders that meet each other, with everything else between them, bad
//! ones included.

use super::outputs::Out;
use super::slow::Slow;
use lockstep_exchange::*;

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }
}

/// Rules of a walk: every other one has little room, and fills it.
pub fn rules(seed: u64) -> Rules {
    let (orders_max, positions_max) = if seed.is_multiple_of(2) { (500, 100) } else { (25, 6) };
    Rules {
        orders_max,
        instruments_max: 3,
        accounts_max: 5,
        positions_max,
        trades_max: 40,
        volatility_ns: 2_000_000_000,
        indicative_ns: 700_000_000,
        hash_seed: seed,
    }
}

/// An instrument at 10.00.
pub fn terms(symbol: Symbol, tick: u64, lot: u32, bands: [u32; 3]) -> InstrumentTerms {
    let [static_bps, dynamic_bps, extended_bps] = bands;
    InstrumentTerms { symbol, tick, lot, reference: 100_000, static_bps, dynamic_bps, extended_bps }
}

/// The commands that a walk begins with.
pub fn opening() -> Vec<ExchangeCommand> {
    let symbols = ["AAA", "BBB"].map(Symbol::new);
    let mut commands = vec![
        ExchangeCommand::DefineInstrument(terms(symbols[0], 100, 1, [200, 60, 80])),
        ExchangeCommand::DefineInstrument(terms(symbols[1], 50, 10, [0, 0, 0])),
    ];
    for account in 1..=4 {
        let cancel_on_disconnect = account % 2 == 0;
        let limits = AccountLimits::NONE;
        commands.push(ExchangeCommand::SetAccount { account, limits, cancel_on_disconnect });
    }
    let phase = TradingPhase::Continuous;
    commands.push(ExchangeCommand::SetPhase { symbol: None, phase, ends: PhaseEnd::Never });
    commands
}

/// A source of commands, with the time of each.
#[derive(Clone, Debug)]
pub struct Flow {
    pub now: u64,
    /// Timers that are asked for and have not fired: time and key.
    pub timers: Vec<(u64, u64)>,
    stale: Vec<u64>,
}

impl Flow {
    pub fn new() -> Self {
        Self { now: 1_700_000_000_000_000_000, timers: vec![], stale: vec![] }
    }

    /// Follows which timers are asked for.
    pub fn observe(&mut self, out: &[Out]) {
        for out in out {
            match *out {
                Out::Timer { key, at_ns } => self.timers.push((at_ns, key)),
                Out::CancelTimer { key } => {
                    self.timers.retain(|(_, other)| *other != key);
                    self.stale.push(key);
                }
                _ => {}
            }
        }
    }

    /// The next command, by the dice, with what the model knows.
    pub fn command(&mut self, dice: &mut Dice, model: &Slow) -> ExchangeCommand {
        self.now += dice.below(200_000_000);
        self.timers.sort_unstable();
        if let Some((at_ns, key)) = self.timers.first().copied().filter(|(at_ns, _)| *at_ns <= self.now) {
            self.timers.remove(0);
            self.now = self.now.max(at_ns);
            self.stale.push(key);
            return ExchangeCommand::TimerFired { key };
        }
        match dice.below(1000) {
            0..560 => ExchangeCommand::Enter(self.order(dice, model)),
            560..720 => ExchangeCommand::Replace(replacement(dice, model)),
            720..860 => {
                let (account, token, size) = some_order(dice, model);
                let quantity = if dice.one_in(2) { 0 } else { dice.below(u64::from(size) + 2) as u32 };
                ExchangeCommand::Cancel { account, token, quantity }
            }
            860..872 => {
                let symbol = dice.one_in(2).then(|| symbol(dice));
                let side = dice.one_in(2).then(|| dice.pick(Side::ALL));
                ExchangeCommand::MassCancel { account: account(dice), symbol, side }
            }
            872..880 => ExchangeCommand::Disconnect { account: account(dice) },
            880..930 => self.phase(dice),
            930..950 => {
                let newest = model.matches;
                let match_number = newest.saturating_sub(dice.below(60)).max(1) + u64::from(dice.one_in(20));
                ExchangeCommand::Bust { match_number }
            }
            950..960 => ExchangeCommand::TimerFired {
                key: if self.stale.is_empty() { dice.below(1 << 20) } else { dice.pick(&self.stale) },
            },
            _ => operator(dice),
        }
    }

    fn phase(&self, dice: &mut Dice) -> ExchangeCommand {
        let phase = if dice.one_in(2) { TradingPhase::Continuous } else { dice.pick(TradingPhase::ALL) };
        let ends = match dice.one_in(2) {
            true => PhaseEnd::At(self.now + dice.below(3_000_000_000)),
            false => PhaseEnd::Never,
        };
        let symbol = (!dice.one_in(5)).then(|| symbol(dice));
        ExchangeCommand::SetPhase { symbol, phase, ends }
    }

    fn order(&self, dice: &mut Dice, model: &Slow) -> NewOrder {
        let account = account(dice);
        let last = model.accounts.iter().find(|a| a.id == account).map_or(0, |account| account.token_last);
        let token = if dice.one_in(40) { last } else { last.saturating_add(1 + dice.below(2) as u32) };
        let symbol = symbol(dice);
        let side = dice.pick(Side::ALL);
        let quantity = quantity(dice, symbol);
        let mut order = NewOrder::limit(account, token, symbol, side, quantity, price(dice, symbol));
        order.self_match = dice.pick(SelfMatch::ALL);
        match dice.below(20) {
            0..8 => {}
            8..10 => order.time_in_force = TimeInForce::Ioc,
            10..12 => order.time_in_force = TimeInForce::Fok,
            12 => order.is_post_only = true,
            13..15 => {
                order.display =
                    (quantity / 4).max(1) / 10 * 10 + if symbol == Symbol::new("AAA") { 1 } else { 0 }
            }
            15 => (order.kind, order.price) = (OrderKind::Market, 0),
            16 => {
                (order.kind, order.price) = (OrderKind::Market, 0);
                order.time_in_force = dice.pick(TimeInForce::ALL);
            }
            17 => (order.kind, order.stop_price) = (OrderKind::StopLimit, price(dice, symbol)),
            18 => {
                (order.kind, order.price) = (OrderKind::StopMarket, 0);
                order.stop_price = price(dice, symbol);
            }
            _ => distort(dice, &mut order),
        }
        order
    }
}

/// Anything at all, valid or not.
fn distort(dice: &mut Dice, order: &mut NewOrder) {
    order.kind = dice.pick(OrderKind::ALL);
    order.time_in_force = dice.pick(TimeInForce::ALL);
    order.is_post_only = dice.one_in(2);
    order.price = dice.pick(&[0, 1, order.price, PRICE_MAX, PRICE_MAX + 1, u64::MAX]);
    order.stop_price = dice.pick(&[0, 0, order.price, u64::MAX]);
    order.quantity = dice.pick(&[0, 1, order.quantity, QUANTITY_MAX, QUANTITY_MAX + 1, u32::MAX]);
    order.display = dice.pick(&[0, 0, 1, order.quantity, u32::MAX]);
}

fn symbol(dice: &mut Dice) -> Symbol {
    let names = ["AAA", "AAA", "AAA", "AAA", "AAA", "BBB", "BBB", "BBB", "CCC", "NONE"];
    Symbol::new(if dice.one_in(3) { dice.pick(&names) } else { dice.pick(&names[..8]) })
}

fn account(dice: &mut Dice) -> u32 {
    if dice.one_in(60) { 9 } else { 1 + dice.below(4) as u32 }
}

/// Around 10.00, ten ticks up and down; now and then further, or off the tick.
fn price(dice: &mut Dice, symbol: Symbol) -> u64 {
    let tick = if symbol == Symbol::new("BBB") { 50 } else { 100 };
    let width = if dice.one_in(30) { 40 } else { 10 };
    let ticks = dice.below(2 * width + 1);
    100_000 - width * tick + ticks * tick + u64::from(dice.one_in(100))
}

fn quantity(dice: &mut Dice, symbol: Symbol) -> u32 {
    let lot = if symbol == Symbol::new("BBB") { 10 } else { 1 };
    lot * (1 + dice.below(60) as u32)
}

fn some_order(dice: &mut Dice, model: &Slow) -> (u32, u32, u32) {
    if model.orders.is_empty() || dice.one_in(20) {
        return (account(dice), dice.below(100) as u32, 50);
    }
    let order = &model.orders[dice.below(model.orders.len() as u64) as usize];
    (order.account, order.token, order.remaining + order.executed)
}

fn replacement(dice: &mut Dice, model: &Slow) -> OrderReplacement {
    let (account, original, size) = some_order(dice, model);
    let old = model.orders.iter().find(|order| (order.account, order.token) == (account, original));
    let last = model.accounts.iter().find(|a| a.id == account).map_or(0, |account| account.token_last);
    let token = if dice.one_in(40) { last } else { last.saturating_add(1) };
    let Some(old) = old else {
        let (price, stop_price, display) = (100_000, 0, 0);
        return OrderReplacement { account, original, token, quantity: size, price, stop_price, display };
    };
    let other = |dice: &mut Dice, now: u64| {
        if now == 0 || dice.one_in(2) { now } else { price(dice, old.symbol) }
    };
    let (price, stop_price) = (other(dice, old.price), other(dice, old.stop_price));
    let display = if dice.one_in(8) { dice.below(20) as u32 / 10 * 10 } else { old.display };
    let quantity = match dice.below(4) {
        0 => size,
        1 => quantity(dice, old.symbol),
        _ => size.saturating_sub(quantity(dice, old.symbol) / 4 / 10 * 10),
    };
    OrderReplacement { account, original, token, quantity, price, stop_price, display }
}

fn operator(dice: &mut Dice) -> ExchangeCommand {
    match dice.below(8) {
        0 => ExchangeCommand::SystemEvent { code: dice.pick(b"OSQMECX") },
        1 => {
            let bands = [dice.pick(&[0, 200, 100_001]), dice.pick(&[0, 60]), dice.pick(&[0, 80])];
            let symbol = Symbol::new(dice.pick(&["AAA", "BBB", "CCC", "DDD", "", "A B"]));
            let tick = if symbol == Symbol::new("BBB") { 50 } else { dice.pick(&[100, 100, 0, 3]) };
            let lot = if symbol == Symbol::new("BBB") { 10 } else { dice.pick(&[1, 1, 1, 0]) };
            ExchangeCommand::DefineInstrument(terms(symbol, tick, lot, bands))
        }
        2 => {
            let symbol = symbol(dice);
            ExchangeCommand::SetReference { symbol, price: dice.pick(&[99_000, 100_000, 100_500, 1, 0]) }
        }
        3 | 4 => {
            let account = if dice.one_in(4) { 5 + dice.below(2) as u32 } else { account(dice) };
            let mut limits = AccountLimits::NONE;
            match dice.below(8) {
                0 => limits.quantity_max = 40,
                1 => limits.notional_max = 4_000_000,
                2 => limits.open_orders_max = 6,
                3 => limits.position_max = 150,
                4 => limits.orders_per_second_max = 2,
                _ => {}
            }
            ExchangeCommand::SetAccount { account, limits, cancel_on_disconnect: dice.one_in(2) }
        }
        5 if dice.one_in(4) => ExchangeCommand::SetKillSwitch { account: account(dice), is_on: true },
        _ => ExchangeCommand::SetKillSwitch { account: account(dice), is_on: false },
    }
}
