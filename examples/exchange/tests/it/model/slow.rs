//! The second model of the exchange's rules, slow and obvious: one list of orders, linear search, and a sort
//! wherever an order of things matters. It shares no code with the engine but the words of commands and
//! outputs. Positions are sums over all trades, open quantities sums over all orders; whether a fill-or-kill
//! order can be filled is found by trying it on a copy.

use super::outputs::Out;
use lockstep_exchange::*;

/// A resting order, or one that arrives.
#[derive(Clone, Debug)]
pub struct SlowOrder {
    pub account: u32,
    pub token: u32,
    pub symbol: Symbol,
    pub side: Side,
    pub kind: OrderKind,
    pub time_in_force: TimeInForce,
    pub price: u64,
    pub stop_price: u64,
    pub remaining: u32,
    pub displayed: u32,
    pub display: u32,
    pub executed: u32,
    pub number: u64,
    pub self_match: SelfMatch,
    pub is_post_only: bool,
}

impl SlowOrder {
    pub fn is_displayed(&self) -> bool {
        self.kind == OrderKind::Limit
    }

    /// The quantity that it displays when it comes to the book or is refreshed.
    pub fn fresh(&self) -> u32 {
        match (self.is_displayed(), self.display) {
            (false, _) => 0,
            (true, 0) => self.remaining,
            (true, display) => self.remaining.min(display),
        }
    }

    /// Sorts by priority: a market order first, then the better price, then the lower number.
    pub fn priority(&self) -> (bool, i128, u64) {
        let price = i128::from(self.price);
        let price = if self.side == Side::Buy { -price } else { price };
        (self.kind != OrderKind::Market, price, self.number)
    }
}

#[derive(Clone, Debug)]
pub struct SlowInstrument {
    pub terms: InstrumentTerms,
    pub last: Option<u64>,
    pub phase: TradingPhase,
    pub phase_timer: Option<u64>,
    /// When the present or paused continuous trading ends, if it ends by itself.
    pub continuous_until: Option<u64>,
    pub indicative_timer: Option<u64>,
}

#[derive(Clone, Debug)]
pub struct SlowAccount {
    pub id: u32,
    pub limits: AccountLimits,
    pub cancel_on_disconnect: bool,
    pub is_killed: bool,
    pub token_last: u32,
    /// When each order that was not over the rate came.
    pub admitted: Vec<u64>,
}

#[derive(Clone, Debug)]
pub struct SlowTrade {
    pub match_number: u64,
    pub symbol: Symbol,
    pub quantity: u32,
    pub buyer: (u32, u32),
    pub seller: (u32, u32),
    pub is_busted: bool,
}

/// The model.
#[derive(Clone, Debug)]
pub struct Slow {
    pub rules: Rules,
    pub instruments: Vec<SlowInstrument>,
    pub accounts: Vec<SlowAccount>,
    pub orders: Vec<SlowOrder>,
    pub trades: Vec<SlowTrade>,
    pub numbers: u64,
    pub matches: u64,
    pub timers: u64,
    /// Stop orders that have triggered and wait for their turn.
    pub triggered: Vec<SlowOrder>,
    /// Prices that traded since stop orders were looked for.
    pub traded: Vec<u64>,
    pub out: Vec<Out>,
    pub now: u64,
}

impl Slow {
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            instruments: vec![],
            accounts: vec![],
            orders: vec![],
            trades: vec![],
            numbers: 0,
            matches: 0,
            timers: 0,
            triggered: vec![],
            traded: vec![],
            out: vec![],
            now: 0,
        }
    }

    /// Applies a command; what comes of it.
    pub fn apply(&mut self, command: &ExchangeCommand, now: u64) -> Vec<Out> {
        self.now = now;
        match *command {
            ExchangeCommand::SystemEvent { code } => match code {
                b'O' | b'S' | b'Q' | b'M' | b'E' | b'C' => self.market(MarketEvent::System { code }),
                _ => self.refuse(OperatorRefusal::InvalidEventCode(code)),
            },
            ExchangeCommand::DefineInstrument(terms) => self.define(terms),
            ExchangeCommand::SetReference { symbol, price } => self.set_reference(symbol, price),
            ExchangeCommand::SetPhase { symbol, phase, ends } => {
                let ends_at_ns = match ends {
                    PhaseEnd::Never => 0,
                    PhaseEnd::At(at_ns) => at_ns,
                    PhaseEnd::After(ns) => self.now + ns,
                };
                self.set_phase(symbol, phase, ends_at_ns)
            }
            ExchangeCommand::SetAccount { account, limits, cancel_on_disconnect } => {
                self.set_account(account, limits, cancel_on_disconnect);
            }
            ExchangeCommand::SetKillSwitch { account, is_on } => self.kill(account, is_on),
            ExchangeCommand::Bust { match_number } => self.bust(match_number),
            ExchangeCommand::Enter(order) => self.enter(order),
            ExchangeCommand::Replace(replacement) => self.replace(replacement),
            ExchangeCommand::Cancel { account, token, quantity } => self.cancel(account, token, quantity),
            ExchangeCommand::MassCancel { account, symbol, side } => self.mass_cancel(account, symbol, side),
            ExchangeCommand::Disconnect { account } => self.disconnect(account),
            ExchangeCommand::TimerFired { key } => self.timer_fired(key),
        }
        std::mem::take(&mut self.out)
    }

    // ------------------------------------------------------------------------ small things

    pub fn report(&mut self, report: OrderReport) {
        self.out.push(Out::Report(report));
    }

    pub fn market(&mut self, event: MarketEvent) {
        self.out.push(Out::Market(event));
    }

    pub fn refuse(&mut self, reason: OperatorRefusal) {
        self.out.push(Out::Refusal(reason));
    }

    pub fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub fn locate(&self, symbol: Symbol) -> u16 {
        let at = self.instruments.iter().position(|instrument| instrument.terms.symbol == symbol);
        at.expect("an instrument that is defined") as u16 + 1
    }

    pub fn instrument(&mut self, symbol: Symbol) -> &mut SlowInstrument {
        self.instruments.iter_mut().find(|i| i.terms.symbol == symbol).expect("an instrument that is defined")
    }

    pub fn find_instrument(&self, symbol: Symbol) -> Option<&SlowInstrument> {
        self.instruments.iter().find(|instrument| instrument.terms.symbol == symbol)
    }

    pub fn find_account(&mut self, id: u32) -> Option<&mut SlowAccount> {
        self.accounts.iter_mut().find(|account| account.id == id)
    }

    /// Bought less sold, over all trades that stand.
    pub fn position(&self, account: u32, symbol: Symbol) -> i64 {
        let trades = self.trades.iter().filter(|trade| trade.symbol == symbol && !trade.is_busted);
        let net = trades.map(|trade| {
            let quantity = i64::from(trade.quantity);
            let bought = if trade.buyer.0 == account { quantity } else { 0 };
            bought - if trade.seller.0 == account { quantity } else { 0 }
        });
        net.sum()
    }

    /// The orders of a side that satisfy a condition, by priority.
    pub fn sorted(
        &self,
        symbol: Symbol,
        side: Side,
        is_wanted: impl Fn(&SlowOrder) -> bool,
    ) -> Vec<SlowOrder> {
        let all = self.orders.iter().filter(|o| o.symbol == symbol && o.side == side && is_wanted(o));
        let mut all: Vec<_> = all.cloned().collect();
        all.sort_by_key(SlowOrder::priority);
        all
    }

    /// Stop orders of a side, the next to trigger first.
    pub fn stops(&self, symbol: Symbol, side: Side) -> Vec<SlowOrder> {
        let mut stops = self.sorted(symbol, side, |order| order.kind.is_stop());
        stops.sort_by_key(|order| {
            let price = i128::from(order.stop_price);
            (if side == Side::Buy { price } else { -price }, order.number)
        });
        stops
    }

    pub fn by_number(&mut self, number: u64) -> &mut SlowOrder {
        self.orders.iter_mut().find(|order| order.number == number).expect("an order that rests")
    }

    pub fn drop_order(&mut self, number: u64) {
        self.orders.retain(|order| order.number != number);
    }

    pub fn cancel_resting(&mut self, order: &SlowOrder, reason: CancelReason) {
        let SlowOrder { account, token, remaining: quantity, number, .. } = *order;
        self.report(OrderReport::Canceled { account, token, quantity, reason });
        if order.is_displayed() {
            let locate = self.locate(order.symbol);
            self.market(MarketEvent::Deleted { locate, number });
        }
        self.drop_order(number);
    }

    pub fn added(&mut self, order: &SlowOrder) {
        let locate = self.locate(order.symbol);
        let SlowOrder { number, side, displayed: quantity, symbol, price, .. } = *order;
        self.market(MarketEvent::Added { locate, number, side, quantity, symbol, price });
    }

    // ------------------------------------------------------------------------ operators

    fn define(&mut self, terms: InstrumentTerms) {
        let InstrumentTerms { symbol, tick, lot, reference, .. } = terms;
        let bands = [terms.static_bps, terms.dynamic_bps, terms.extended_bps];
        let name = symbol.0.iter().rev().skip_while(|byte| **byte == b' ');
        let has_name = symbol.0[0] != b' ' && name.clone().all(|byte| (b'!'..=b'~').contains(byte));
        let prices = (1..=PRICE_MAX).contains(&tick) && (1..=PRICE_MAX).contains(&reference);
        let valid = has_name
            && prices
            && reference % tick == 0
            && (1..=QUANTITY_MAX).contains(&lot)
            && bands.iter().all(|bps| *bps <= 100_000);
        if !valid {
            return self.refuse(OperatorRefusal::InvalidTerms(symbol));
        }
        match self.find_instrument(symbol).map(|instrument| instrument.phase) {
            None if self.instruments.len() == usize::from(self.rules.instruments_max) => {
                return self.refuse(OperatorRefusal::Capacity);
            }
            None => self.instruments.push(SlowInstrument {
                terms,
                last: None,
                phase: TradingPhase::Closed,
                phase_timer: None,
                continuous_until: None,
                indicative_timer: None,
            }),
            Some(TradingPhase::Closed) => {
                let instrument = self.instrument(symbol);
                (instrument.terms, instrument.last) = (terms, None);
            }
            Some(_) => return self.refuse(OperatorRefusal::NotClosed(symbol)),
        }
        let locate = self.locate(symbol);
        self.market(MarketEvent::Directory { locate, symbol, lot });
    }

    fn set_reference(&mut self, symbol: Symbol, price: u64) {
        let Some(instrument) = self.find_instrument(symbol) else {
            return self.refuse(OperatorRefusal::UnknownInstrument(symbol));
        };
        if price == 0 || price > PRICE_MAX || !price.is_multiple_of(instrument.terms.tick) {
            return self.refuse(OperatorRefusal::InvalidTerms(symbol));
        }
        self.instrument(symbol).terms.reference = price;
    }

    fn set_account(&mut self, id: u32, limits: AccountLimits, cancel_on_disconnect: bool) {
        if let Some(account) = self.find_account(id) {
            (account.limits, account.cancel_on_disconnect) = (limits, cancel_on_disconnect);
        } else if self.accounts.len() == self.rules.accounts_max as usize {
            self.refuse(OperatorRefusal::Capacity);
        } else {
            let (is_killed, token_last, admitted) = (false, 0, vec![]);
            self.accounts.push(SlowAccount {
                id,
                limits,
                cancel_on_disconnect,
                is_killed,
                token_last,
                admitted,
            });
        }
    }

    fn kill(&mut self, id: u32, is_on: bool) {
        let Some(account) = self.find_account(id) else {
            return self.refuse(OperatorRefusal::UnknownAccount(id));
        };
        account.is_killed = is_on;
        if is_on {
            self.cancel_all(|order| order.account == id, CancelReason::KillSwitch);
        }
    }

    fn bust(&mut self, match_number: u64) {
        let newest = self.trades.iter_mut().rev().take(self.rules.trades_max as usize);
        let Some(trade) = newest.into_iter().find(|trade| trade.match_number == match_number) else {
            return self.refuse(OperatorRefusal::UnknownTrade(match_number));
        };
        if trade.is_busted {
            return self.refuse(OperatorRefusal::AlreadyBusted(match_number));
        }
        trade.is_busted = true;
        let SlowTrade { symbol, buyer, seller, .. } = *trade;
        for (account, token) in [buyer, seller] {
            self.report(OrderReport::Broken { account, token, match_number });
        }
        let locate = self.locate(symbol);
        self.market(MarketEvent::Broken { locate, match_number });
    }

    // ------------------------------------------------------------------------ cancels

    /// Cancels an account's orders that satisfy a condition, the oldest token first. How many there were.
    pub fn cancel_all(&mut self, is_wanted: impl Fn(&SlowOrder) -> bool, reason: CancelReason) -> u32 {
        let mut all: Vec<_> = self.orders.iter().filter(|order| is_wanted(order)).cloned().collect();
        all.sort_by_key(|order| order.token);
        for order in &all {
            self.cancel_resting(order, reason);
        }
        all.len() as u32
    }

    fn mass_cancel(&mut self, account: u32, symbol: Option<Symbol>, side: Option<Side>) {
        let is_unknown = symbol.is_some_and(|symbol| self.find_instrument(symbol).is_none());
        let reason = if self.find_account(account).is_none() {
            Some(RejectionReason::UnknownAccount)
        } else {
            is_unknown.then_some(RejectionReason::UnknownInstrument)
        };
        if let Some(reason) = reason {
            return self.report(OrderReport::CancelRejected { account, token: 0, reason });
        }
        let fits = |order: &SlowOrder| {
            order.account == account
                && (symbol.is_none() || symbol == Some(order.symbol))
                && (side.is_none() || side == Some(order.side))
        };
        let orders = self.cancel_all(fits, CancelReason::MassCancel);
        self.report(OrderReport::MassCanceled { account, orders });
    }

    fn disconnect(&mut self, id: u32) {
        match self.find_account(id).map(|account| account.cancel_on_disconnect) {
            None => self.refuse(OperatorRefusal::UnknownAccount(id)),
            Some(true) => {
                self.cancel_all(|order| order.account == id, CancelReason::Disconnected);
            }
            Some(false) => {}
        }
    }

    fn cancel(&mut self, account: u32, token: u32, size: u32) {
        let reject = |reason| OrderReport::CancelRejected { account, token, reason };
        if self.find_account(account).is_none() {
            return self.report(reject(RejectionReason::UnknownAccount));
        }
        let order =
            self.orders.iter().find(|order| (order.account, order.token) == (account, token)).cloned();
        let Some(order) = order else {
            return self.report(reject(RejectionReason::UnknownOrder));
        };
        if !size.is_multiple_of(self.instrument(order.symbol).terms.lot) {
            return self.report(reject(RejectionReason::InvalidQuantity));
        }
        if size >= order.executed + order.remaining {
            return self.report(reject(RejectionReason::NoReduction));
        }
        if size <= order.executed {
            return self.cancel_resting(&order, CancelReason::Requested);
        }
        let quantity = order.executed + order.remaining - size;
        let reason = CancelReason::Requested;
        self.report(OrderReport::Canceled { account, token, quantity, reason });
        self.lower(&order, quantity);
    }

    /// Takes open quantity from a resting order in its place, hidden quantity first.
    pub fn lower(&mut self, order: &SlowOrder, quantity: u32) {
        let locate = self.locate(order.symbol);
        let resting = self.by_number(order.number);
        resting.remaining -= quantity;
        let displayed = resting.displayed.min(resting.remaining);
        let gone = resting.displayed - displayed;
        resting.displayed = displayed;
        if gone > 0 {
            self.market(MarketEvent::Reduced { locate, number: order.number, quantity: gone });
        }
    }
}
