//! The slow model: how an order is accepted, replaced and matched.

use super::slow::{Slow, SlowOrder, SlowTrade};
use lockstep_exchange::*;

/// Whether an order with this limit may trade at a price.
pub fn allows(side: Side, limit: u64, price: u64) -> bool {
    if side == Side::Buy { price <= limit } else { price >= limit }
}

/// What became of a sweep.
#[derive(PartialEq)]
enum Swept {
    Done,
    SelfMatched,
    Interrupted,
}

/// The attributes that the checks of a new order and of a replacement have in common.
struct Asked {
    kind: OrderKind,
    quantity: u32,
    price: u64,
    stop_price: u64,
    display: u32,
}

impl Slow {
    fn admit(&mut self, id: u32, token: u32) -> Result<(), RejectionReason> {
        let now = self.now;
        let account = self.find_account(id).ok_or(RejectionReason::UnknownAccount)?;
        if token <= account.token_last {
            return Err(RejectionReason::DuplicateToken);
        }
        account.token_last = token;
        if account.is_killed {
            return Err(RejectionReason::KillSwitch);
        }
        let same_second = account.admitted.iter().filter(|at| **at / 1_000_000_000 == now / 1_000_000_000);
        if same_second.count() >= account.limits.orders_per_second_max as usize {
            return Err(RejectionReason::OrderRate);
        }
        account.admitted.push(now);
        Ok(())
    }

    fn check_terms(&self, symbol: Symbol, asked: &Asked) -> Result<(), RejectionReason> {
        let terms = &self.find_instrument(symbol).expect("it was found").terms;
        let Asked { kind, quantity, price, stop_price, display } = *asked;
        if quantity == 0 || quantity > QUANTITY_MAX || quantity % terms.lot != 0 {
            return Err(RejectionReason::InvalidQuantity);
        }
        let has_limit = matches!(kind, OrderKind::Limit | OrderKind::StopLimit);
        let has_stop = matches!(kind, OrderKind::StopMarket | OrderKind::StopLimit);
        let fits = |price: u64| price <= PRICE_MAX && price.is_multiple_of(terms.tick);
        if has_limit != (price != 0) || !fits(price) {
            return Err(RejectionReason::InvalidPrice);
        }
        if has_stop != (stop_price != 0) || !fits(stop_price) {
            return Err(RejectionReason::InvalidStopPrice);
        }
        if display > quantity || display % terms.lot != 0 {
            return Err(RejectionReason::InvalidDisplay);
        }
        if display != 0 && kind != OrderKind::Limit {
            return Err(RejectionReason::InvalidCombination);
        }
        Ok(())
    }

    fn check_band(&self, symbol: Symbol, prices: [u64; 2]) -> Result<(), RejectionReason> {
        let terms = &self.find_instrument(symbol).expect("it was found").terms;
        let width = terms.reference * u64::from(terms.static_bps) / 10_000;
        let (low, high) = (terms.reference.saturating_sub(width), terms.reference + width);
        let is_out = |price: u64| price != 0 && (price < low || price > high);
        if terms.static_bps != 0 && prices.into_iter().any(is_out) {
            return Err(RejectionReason::OutsideBand);
        }
        Ok(())
    }

    /// The limits of an account, for an order that would have `quantity` open in the place of `old`.
    fn check_limits(
        &mut self,
        id: u32,
        symbol: Symbol,
        side: Side,
        asked: &Asked,
        old: Option<&SlowOrder>,
    ) -> Result<(), RejectionReason> {
        let limits = self.find_account(id).expect("it was found").limits;
        let quantity = asked.quantity;
        if quantity > limits.quantity_max {
            return Err(RejectionReason::QuantityLimit);
        }
        let instrument = self.find_instrument(symbol).expect("it was found");
        let market = instrument.last.unwrap_or(instrument.terms.reference);
        let price = [asked.price, asked.stop_price, market].into_iter().find(|price| *price != 0);
        let notional = u128::from(price.expect("a reference price")) * u128::from(quantity);
        if notional > u128::from(limits.notional_max) {
            return Err(RejectionReason::NotionalLimit);
        }
        let mine = |order: &&SlowOrder| order.account == id;
        if old.is_none() && self.orders.iter().filter(mine).count() >= limits.open_orders_max as usize {
            return Err(RejectionReason::OpenOrdersLimit);
        }
        let same = |order: &&SlowOrder| order.symbol == symbol && order.side == side;
        let open: i128 = self.orders.iter().filter(mine).filter(same).map(|o| i128::from(o.remaining)).sum();
        let net = i128::from(self.position(id, symbol));
        let net = if side == Side::Buy { net } else { -net };
        let freed = old.map_or(0, |order| i128::from(order.remaining));
        if net + open - freed + i128::from(quantity) > i128::from(limits.position_max) {
            return Err(RejectionReason::PositionLimit);
        }
        Ok(())
    }

    /// Whether there is no room for another order, or for a position that it would begin.
    fn is_full(&self, id: u32, symbol: Symbol) -> bool {
        let exists = |account: u32, symbol: Symbol| {
            self.position(account, symbol) != 0
                || self.orders.iter().any(|order| order.account == account && order.symbol == symbol)
        };
        let ids = self.accounts.iter().map(|account| account.id);
        let pairs = ids.flat_map(|id| self.instruments.iter().map(move |i| (id, i.terms.symbol)));
        let positions = pairs.filter(|(id, symbol)| exists(*id, *symbol)).count();
        self.orders.len() >= self.rules.orders_max as usize
            || !exists(id, symbol) && positions >= self.rules.positions_max as usize
    }

    fn check_new(&mut self, new: &NewOrder) -> Result<(), RejectionReason> {
        self.admit(new.account, new.token)?;
        let instrument = self.find_instrument(new.symbol).ok_or(RejectionReason::UnknownInstrument)?;
        let phase = instrument.phase;
        if matches!(phase, TradingPhase::Closed | TradingPhase::Halted) {
            return Err(RejectionReason::NotOpen);
        }
        let NewOrder { kind, quantity, price, stop_price, display, .. } = *new;
        let asked = Asked { kind, quantity, price, stop_price, display };
        self.check_terms(new.symbol, &asked)?;
        let is_day = new.time_in_force == TimeInForce::Day;
        let is_stop = matches!(kind, OrderKind::StopLimit | OrderKind::StopMarket);
        let wants_rest = is_stop || display != 0 || new.is_post_only;
        if wants_rest && !is_day || new.is_post_only && kind != OrderKind::Limit {
            return Err(RejectionReason::InvalidCombination);
        }
        if phase != TradingPhase::Continuous && (!is_day || new.is_post_only) {
            return Err(RejectionReason::NotInCallPhase);
        }
        self.check_band(new.symbol, [price, stop_price])?;
        self.check_limits(new.account, new.symbol, new.side, &asked, None)?;
        if self.is_full(new.account, new.symbol) {
            return Err(RejectionReason::Capacity);
        }
        if new.is_post_only && self.would_trade(new.symbol, new.side, price) {
            return Err(RejectionReason::WouldExecute);
        }
        Ok(())
    }

    fn would_trade(&self, symbol: Symbol, side: Side, price: u64) -> bool {
        let others = self.sorted(symbol, side.opposite(), SlowOrder::is_displayed);
        others.iter().any(|other| allows(side, price, other.price))
    }

    pub fn enter(&mut self, new: NewOrder) {
        let NewOrder { account, token, symbol, side, kind, time_in_force, price, stop_price, .. } = new;
        let NewOrder { display, self_match, is_post_only, .. } = new;
        if let Err(reason) = self.check_new(&new) {
            return self.report(OrderReport::Rejected { account, token, reason });
        }
        let (number, remaining) = (self.number(), new.quantity);
        let (displayed, executed) = (0, 0);
        let order = SlowOrder {
            account,
            token,
            symbol,
            side,
            kind,
            time_in_force,
            price,
            stop_price,
            remaining,
            displayed,
            display,
            executed,
            number,
            self_match,
            is_post_only,
        };
        self.report(OrderReport::Accepted { account, token, terms: terms(&order) });
        self.launch(order, false);
    }

    // ------------------------------------------------------------------------ replace

    pub fn replace(&mut self, new: OrderReplacement) {
        let OrderReplacement { account, original, token, .. } = new;
        let found = self.admit(account, token).and_then(|()| {
            let mine = |order: &&SlowOrder| (order.account, order.token) == (account, original);
            let order = self.orders.iter().find(mine).cloned().ok_or(RejectionReason::UnknownOrder)?;
            self.check_replacement(&order, &new)?;
            Ok(order)
        });
        let old = match found {
            Ok(order) => order,
            Err(reason) => return self.report(OrderReport::Rejected { account, token, reason }),
        };
        if new.quantity <= old.executed {
            return self.cancel_resting(&old, CancelReason::ReplacedToNothing);
        }
        let remaining = new.quantity - old.executed;
        let is_same =
            new.price == old.price && new.stop_price == old.stop_price && new.display == old.display;
        if is_same && remaining <= old.remaining {
            let mut order = old.clone();
            (order.token, order.remaining) = (token, remaining);
            let terms = terms(&order);
            self.report(OrderReport::Replaced { account, token, original, terms, keeps_priority: true });
            self.by_number(old.number).token = token;
            return self.lower(&old, old.remaining - remaining);
        }
        let OrderReplacement { price, stop_price, display, .. } = new;
        let number = self.number();
        let order = SlowOrder { token, remaining, price, stop_price, display, number, ..old.clone() };
        self.report(OrderReport::Replaced {
            account,
            token,
            original,
            terms: terms(&order),
            keeps_priority: false,
        });
        self.drop_order(old.number);
        let is_continuous = self.instrument(old.symbol).phase == TradingPhase::Continuous;
        let trades = is_continuous && self.would_trade(order.symbol, order.side, price);
        let locate = self.locate(old.symbol);
        if old.is_displayed() && trades {
            self.market(MarketEvent::Deleted { locate, number: old.number });
        } else if old.is_displayed() {
            let (original, quantity) = (old.number, order.fresh());
            self.market(MarketEvent::Replaced { locate, original, number, quantity, price });
        }
        self.launch(order, old.is_displayed() && !trades);
    }

    fn check_replacement(&mut self, old: &SlowOrder, new: &OrderReplacement) -> Result<(), RejectionReason> {
        let phase = self.instrument(old.symbol).phase;
        if matches!(phase, TradingPhase::Closed | TradingPhase::Halted) {
            return Err(RejectionReason::NotOpen);
        }
        let OrderReplacement { quantity, price, stop_price, display, .. } = *new;
        let mut asked = Asked { kind: old.kind, quantity, price, stop_price, display };
        self.check_terms(old.symbol, &asked)?;
        self.check_band(old.symbol, [price, stop_price])?;
        if quantity <= old.executed {
            return Ok(());
        }
        asked.quantity = quantity - old.executed;
        self.check_limits(old.account, old.symbol, old.side, &asked, Some(old))?;
        let is_continuous = phase == TradingPhase::Continuous;
        if is_continuous && old.is_post_only && self.would_trade(old.symbol, old.side, price) {
            return Err(RejectionReason::WouldExecute);
        }
        Ok(())
    }

    // ------------------------------------------------------------------------ arriving

    fn launch(&mut self, order: SlowOrder, is_shown: bool) {
        let symbol = order.symbol;
        let instrument = self.instrument(symbol);
        let (phase, last) = (instrument.phase, instrument.last);
        let is_continuous = phase == TradingPhase::Continuous;
        if order.kind.is_stop() {
            if is_continuous && last.is_some_and(|last| is_reached(&order, last)) {
                self.triggered.push(order);
            } else {
                self.orders.push(order);
            }
        } else if is_continuous {
            self.take(order, is_shown);
        } else {
            self.rest(order, is_shown);
        }
        self.run_stops(symbol);
    }

    fn rest(&mut self, mut order: SlowOrder, is_shown: bool) {
        order.displayed = order.fresh();
        if order.is_displayed() && !is_shown {
            self.added(&order);
        }
        self.orders.push(order);
    }

    fn take(&mut self, mut order: SlowOrder, is_shown: bool) {
        if order.time_in_force == TimeInForce::Fok {
            let (mut trial, mut copy) = (self.clone(), order.clone());
            trial.sweep(&mut copy);
            let filled = copy.executed - order.executed;
            if filled < order.remaining {
                return self.cancel_rest(&order, CancelReason::FillOrKill);
            }
        }
        let swept = self.sweep(&mut order);
        if swept == Swept::Interrupted {
            let ends = self.now + self.rules.volatility_ns;
            self.begin_phase(order.symbol, TradingPhase::VolatilityInterruption, ends);
        }
        if order.remaining == 0 {
            return;
        }
        let is_day = order.time_in_force == TimeInForce::Day;
        match swept {
            Swept::SelfMatched => self.cancel_rest(&order, CancelReason::SelfMatch),
            Swept::Interrupted if is_day => self.rest(order, is_shown),
            Swept::Done if is_day && order.kind == OrderKind::Limit => self.rest(order, is_shown),
            _ if is_day => self.cancel_rest(&order, CancelReason::NoLiquidity),
            _ => self.cancel_rest(&order, CancelReason::ImmediateOrCancel),
        }
    }

    fn cancel_rest(&mut self, order: &SlowOrder, reason: CancelReason) {
        let SlowOrder { account, token, remaining: quantity, .. } = *order;
        self.report(OrderReport::Canceled { account, token, quantity, reason });
    }

    fn sweep(&mut self, order: &mut SlowOrder) -> Swept {
        let instrument = self.instrument(order.symbol);
        let around = instrument.last.unwrap_or(instrument.terms.reference);
        let bps = u64::from(instrument.terms.dynamic_bps);
        let width = if bps == 0 { u64::MAX } else { around * bps / 10_000 };
        while order.remaining > 0 {
            let others = self.sorted(order.symbol, order.side.opposite(), SlowOrder::is_displayed);
            let Some(other) = others.first() else { return Swept::Done };
            if order.kind == OrderKind::Limit && !allows(order.side, order.price, other.price) {
                return Swept::Done;
            }
            if other.price.abs_diff(around) > width {
                return Swept::Interrupted;
            }
            let quantity = order.remaining.min(other.displayed);
            if other.account != order.account || order.self_match == SelfMatch::Allow {
                self.trade(order, other, quantity);
                continue;
            }
            match order.self_match {
                SelfMatch::CancelNewest => return Swept::SelfMatched,
                SelfMatch::CancelOldest => self.cancel_resting(other, CancelReason::SelfMatch),
                SelfMatch::CancelBoth => {
                    self.cancel_resting(other, CancelReason::SelfMatch);
                    return Swept::SelfMatched;
                }
                SelfMatch::Allow | SelfMatch::Decrement => self.decrement(order, other, quantity),
            }
        }
        Swept::Done
    }

    fn trade(&mut self, order: &mut SlowOrder, other: &SlowOrder, quantity: u32) {
        let (symbol, price, locate) = (order.symbol, other.price, self.locate(order.symbol));
        let match_number = self.write_trade(order, other, quantity, price);
        for (party, liquidity) in [(other, Liquidity::Added), (&*order, Liquidity::Removed)] {
            let (account, token) = (party.account, party.token);
            self.report(OrderReport::Executed { account, token, quantity, price, liquidity, match_number });
        }
        self.market(MarketEvent::Executed { locate, number: other.number, quantity, match_number });
        self.instrument(symbol).last = Some(price);
        order.remaining -= quantity;
        order.executed += quantity;
        let resting = self.by_number(other.number);
        resting.executed += quantity;
        self.shrink(other.number, quantity);
    }

    /// Writes down a trade between two orders, in whichever order they are named.
    pub fn write_trade(&mut self, one: &SlowOrder, two: &SlowOrder, quantity: u32, price: u64) -> u64 {
        self.matches += 1;
        let (buy, sell) = if one.side == Side::Buy { (one, two) } else { (two, one) };
        self.trades.push(SlowTrade {
            match_number: self.matches,
            symbol: one.symbol,
            quantity,
            buyer: (buy.account, buy.token),
            seller: (sell.account, sell.token),
            is_busted: false,
        });
        self.traded.push(price);
        self.matches
    }

    fn decrement(&mut self, order: &mut SlowOrder, other: &SlowOrder, quantity: u32) {
        let locate = self.locate(order.symbol);
        for party in [other, &*order] {
            let (account, token) = (party.account, party.token);
            self.report(OrderReport::Canceled { account, token, quantity, reason: CancelReason::SelfMatch });
        }
        let number = other.number;
        if quantity == other.displayed {
            self.market(MarketEvent::Deleted { locate, number });
        } else {
            self.market(MarketEvent::Reduced { locate, number, quantity });
        }
        order.remaining -= quantity;
        self.shrink(number, quantity);
    }

    /// Displayed quantity of a resting order is gone: the order may be, or displays more.
    fn shrink(&mut self, number: u64, quantity: u32) {
        let resting = self.by_number(number);
        resting.remaining -= quantity;
        resting.displayed -= quantity;
        if resting.remaining == 0 {
            self.drop_order(number);
        } else if resting.displayed == 0 {
            self.refresh(number);
        }
    }

    pub fn refresh(&mut self, number: u64) {
        let fresh = self.number();
        let order = self.by_number(number);
        (order.number, order.displayed) = (fresh, order.fresh());
        let order = order.clone();
        let (account, token, displayed) = (order.account, order.token, order.displayed);
        self.report(OrderReport::Restated { account, token, number: fresh, displayed });
        self.added(&order);
    }

    // ------------------------------------------------------------------------ stop orders

    pub fn run_stops(&mut self, symbol: Symbol) {
        loop {
            let traded = std::mem::take(&mut self.traded);
            let reached = |order: &SlowOrder| {
                order.symbol == symbol
                    && order.kind.is_stop()
                    && traded.iter().any(|price| is_reached(order, *price))
            };
            let mut found: Vec<_> = self.orders.iter().filter(|order| reached(order)).cloned().collect();
            self.orders.retain(|order| !reached(order));
            found.sort_by_key(|order| order.number);
            self.triggered.extend(found);
            if self.triggered.is_empty() {
                return;
            }
            let mut order = self.triggered.remove(0);
            let is_limit = order.kind == OrderKind::StopLimit;
            order.kind = if is_limit { OrderKind::Limit } else { OrderKind::Market };
            order.stop_price = 0;
            order.number = self.number();
            let SlowOrder { account, token, number, .. } = order;
            self.report(OrderReport::Triggered { account, token, number });
            if self.instrument(symbol).phase == TradingPhase::Continuous {
                self.take(order, false);
            } else {
                self.rest(order, false);
            }
        }
    }
}

fn is_reached(order: &SlowOrder, price: u64) -> bool {
    if order.side == Side::Buy { price >= order.stop_price } else { price <= order.stop_price }
}

fn terms(order: &SlowOrder) -> OrderTerms {
    OrderTerms {
        number: order.number,
        symbol: order.symbol,
        side: order.side,
        kind: order.kind,
        time_in_force: order.time_in_force,
        quantity: order.remaining,
        price: order.price,
        stop_price: order.stop_price,
        display: order.display,
    }
}
