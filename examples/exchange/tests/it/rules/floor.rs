//! A trading floor for the tests of single rules: one instrument, `ABC`, with a tick of 0.01 and a lot of 1,
//! its reference price 10.00; accounts 1 to 4. Outputs are lines that a trader can read.

use lockstep_exchange::*;

/// The instrument.
pub fn abc() -> Symbol {
    Symbol::new("ABC")
}

/// A price in cents.
pub fn cents(cents: u64) -> u64 {
    cents * 100
}

fn shown(price: u64) -> String {
    format!("{}.{:02}", price / 10_000, price % 10_000 / 100)
}

/// An engine, its time, and what it put out.
pub struct Floor {
    pub engine: MatchingEngine,
    pub now: u64,
    tokens: [u32; 10],
    lines: Lines,
}

#[derive(Default)]
pub struct Lines {
    reports: Vec<String>,
    market: Vec<String>,
    refusals: Vec<String>,
    pub timers: Vec<(u64, u64)>,
}

impl Sink for Lines {
    fn report(&mut self, report: OrderReport) {
        let order = |account: u32, token: u32| format!("{account}/{token}");
        self.reports.push(match report {
            OrderReport::Accepted { account, token, .. } => format!("{} accepted", order(account, token)),
            OrderReport::Rejected { account, token, reason } => {
                format!("{} rejected: {reason:?}", order(account, token))
            }
            OrderReport::Replaced { account, token, original, terms, keeps_priority } => {
                let place = if keeps_priority { "in its place" } else { "at the end" };
                let OrderTerms { quantity, price, .. } = terms;
                format!(
                    "{} replaces {original}: {quantity} at {} {place}",
                    order(account, token),
                    shown(price)
                )
            }
            OrderReport::Canceled { account, token, quantity, reason } => {
                format!("{} canceled {quantity}: {reason:?}", order(account, token))
            }
            OrderReport::CancelRejected { account, token, reason } => {
                format!("{} not canceled: {reason:?}", order(account, token))
            }
            OrderReport::MassCanceled { account, orders } => format!("{account} canceled {orders} orders"),
            OrderReport::Executed { account, token, quantity, price, liquidity, .. } => {
                format!("{} executed {quantity} at {}, {liquidity:?}", order(account, token), shown(price))
            }
            OrderReport::Triggered { account, token, .. } => format!("{} triggered", order(account, token)),
            OrderReport::Restated { account, token, displayed, .. } => {
                format!("{} displays {displayed}", order(account, token))
            }
            OrderReport::Broken { account, token, match_number } => {
                format!("{} trade {match_number} broken", order(account, token))
            }
        });
    }

    fn market(&mut self, event: MarketEvent) {
        self.market.push(match event {
            MarketEvent::System { code } => format!("S {}", char::from(code)),
            MarketEvent::Directory { symbol, lot, .. } => format!("R {symbol:?} lot {lot}"),
            MarketEvent::TradingAction { phase, is_extended, .. } => {
                format!("H {phase:?}{}", if is_extended { ", extended" } else { "" })
            }
            MarketEvent::Added { number, side, quantity, price, .. } => {
                format!("A {number} {side:?} {quantity} at {}", shown(price))
            }
            MarketEvent::Executed { number, quantity, .. } => format!("E {number} {quantity}"),
            MarketEvent::ExecutedAt { number, quantity, price, .. } => {
                format!("C {number} {quantity} at {}", shown(price))
            }
            MarketEvent::Reduced { number, quantity, .. } => format!("X {number} {quantity}"),
            MarketEvent::Deleted { number, .. } => format!("D {number}"),
            MarketEvent::Replaced { original, number, quantity, price, .. } => {
                format!("U {original} to {number} {quantity} at {}", shown(price))
            }
            MarketEvent::Cross { quantity, price, cross, .. } => {
                format!("Q {} {quantity} at {}", char::from(cross), shown(price))
            }
            MarketEvent::Broken { match_number, .. } => format!("B {match_number}"),
            MarketEvent::Imbalance { paired, imbalance, side, price, .. } => {
                format!("I {paired} at {}, {imbalance} left {side:?}", shown(price))
            }
        });
    }

    fn refuse(&mut self, reason: OperatorRefusal) {
        self.refusals.push(format!("{reason:?}"));
    }

    fn timer(&mut self, key: u64, at_ns: u64) {
        self.timers.push((at_ns, key));
    }

    fn cancel_timer(&mut self, key: u64) {
        self.timers.retain(|(_, other)| *other != key);
    }
}

/// Rules of the floor: an interruption of two minutes, an indicative price each second.
pub fn rules() -> Rules {
    Rules {
        orders_max: 1000,
        instruments_max: 4,
        accounts_max: 8,
        positions_max: 64,
        trades_max: 100,
        ..Rules::default()
    }
}

impl Floor {
    /// Without bands, in this phase.
    pub fn in_phase(phase: TradingPhase) -> Self {
        Self::with_bands(phase, [0, 0, 0])
    }

    /// In continuous trading, without bands.
    pub fn new() -> Self {
        Self::in_phase(TradingPhase::Continuous)
    }

    /// With the static, dynamic and extended band in basis points.
    pub fn with_bands(phase: TradingPhase, bands: [u32; 3]) -> Self {
        let engine = MatchingEngine::new(rules()).expect("rules");
        let (now, tokens, lines) = (1_700_000_000_000_000_000, [0; 10], Lines::default());
        let mut floor = Self { engine, now, tokens, lines };
        let [static_bps, dynamic_bps, extended_bps] = bands;
        floor.apply(ExchangeCommand::DefineInstrument(InstrumentTerms {
            symbol: abc(),
            tick: 100,
            lot: 1,
            reference: cents(1000),
            static_bps,
            dynamic_bps,
            extended_bps,
        }));
        for account in 1..=4 {
            floor.limit(account, AccountLimits::NONE);
        }
        floor.phase(phase);
        floor.forget();
        floor
    }

    pub fn apply(&mut self, command: ExchangeCommand) {
        self.engine.apply(&command, self.now, &mut self.lines);
        self.engine.assert_invariants();
    }

    pub fn limit(&mut self, account: u32, limits: AccountLimits) {
        self.apply(ExchangeCommand::SetAccount { account, limits, cancel_on_disconnect: true });
    }

    pub fn phase(&mut self, phase: TradingPhase) {
        self.apply(ExchangeCommand::SetPhase { symbol: Some(abc()), phase, ends: PhaseEnd::Never });
    }

    /// Lets stream time pass, and timers fire.
    pub fn wait(&mut self, ns: u64) {
        let until = self.now + ns;
        loop {
            self.lines.timers.sort_unstable();
            let Some((at_ns, key)) = self.lines.timers.first().copied().filter(|(at_ns, _)| *at_ns <= until)
            else {
                break;
            };
            self.lines.timers.remove(0);
            self.now = at_ns;
            self.apply(ExchangeCommand::TimerFired { key });
        }
        self.now = until;
    }

    /// An order with the account's next token, which is returned.
    pub fn enter(
        &mut self,
        account: u32,
        side: Side,
        quantity: u32,
        price: u64,
        change: impl Fn(&mut NewOrder),
    ) -> u32 {
        self.tokens[account as usize] += 1;
        let token = self.tokens[account as usize];
        let mut order = NewOrder::limit(account, token, abc(), side, quantity, price);
        change(&mut order);
        self.apply(ExchangeCommand::Enter(order));
        token
    }

    pub fn buy(&mut self, account: u32, quantity: u32, price: u64) -> u32 {
        self.enter(account, Side::Buy, quantity, price, |_| {})
    }

    pub fn sell(&mut self, account: u32, quantity: u32, price: u64) -> u32 {
        self.enter(account, Side::Sell, quantity, price, |_| {})
    }

    pub fn market(&mut self, account: u32, side: Side, quantity: u32) -> u32 {
        self.enter(account, side, quantity, 0, |order| order.kind = OrderKind::Market)
    }

    pub fn iceberg(&mut self, account: u32, side: Side, quantity: u32, price: u64, display: u32) -> u32 {
        self.enter(account, side, quantity, price, |order| order.display = display)
    }

    /// A stop order; a price of 0 makes it a stop-market order.
    pub fn stop(&mut self, account: u32, side: Side, quantity: u32, stop_price: u64, price: u64) -> u32 {
        self.enter(account, side, quantity, price, |order| {
            order.kind = if price == 0 { OrderKind::StopMarket } else { OrderKind::StopLimit };
            order.stop_price = stop_price;
        })
    }

    /// Replaces price and size, with the account's next token.
    pub fn replace(&mut self, account: u32, original: u32, quantity: u32, price: u64) -> u32 {
        self.tokens[account as usize] += 1;
        let token = self.tokens[account as usize];
        let (stop_price, display) = (0, 0);
        let new = OrderReplacement { account, original, token, quantity, price, stop_price, display };
        self.apply(ExchangeCommand::Replace(new));
        token
    }

    pub fn cancel(&mut self, account: u32, token: u32, quantity: u32) {
        self.apply(ExchangeCommand::Cancel { account, token, quantity });
    }

    /// Reports since they were last taken.
    pub fn reports(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines.reports)
    }

    /// Market events since they were last taken.
    pub fn events(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines.market)
    }

    /// Refusals of operators' commands since they were last taken.
    pub fn refusals(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines.refusals)
    }

    /// The last report.
    pub fn last(&mut self) -> String {
        self.reports().pop().unwrap_or_default()
    }

    pub fn forget(&mut self) {
        (self.lines.reports, self.lines.market) = (vec![], vec![]);
    }

    /// One side of the book by priority: `account/token displayed at price`.
    pub fn book(&self, side: Side) -> Vec<String> {
        let line = |order: BookOrder| {
            let BookOrder { account, token, displayed, price, .. } = order;
            format!("{account}/{token} {displayed} at {}", shown(price))
        };
        self.engine.displayed_orders(abc(), side).map(line).collect()
    }
}
