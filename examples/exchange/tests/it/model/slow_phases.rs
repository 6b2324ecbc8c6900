//! The slow model: phases, auctions and timers.

use super::slow::{Slow, SlowOrder};
use super::slow_orders::allows;
use lockstep_exchange::*;

impl Slow {
    pub fn set_phase(&mut self, symbol: Option<Symbol>, phase: TradingPhase, ends_at: u64) {
        let symbols: Vec<_> = match symbol {
            Some(symbol) if self.find_instrument(symbol).is_none() => {
                return self.refuse(OperatorRefusal::UnknownInstrument(symbol));
            }
            Some(symbol) => vec![symbol],
            None => self.instruments.iter().map(|instrument| instrument.terms.symbol).collect(),
        };
        for symbol in symbols {
            self.begin_phase(symbol, phase, ends_at);
            self.run_stops(symbol);
        }
    }

    pub fn begin_phase(&mut self, symbol: Symbol, phase: TradingPhase, ends_at: u64) {
        let instrument = self.instrument(symbol);
        let before = instrument.phase;
        let mut ends_at = ends_at;
        if phase == TradingPhase::Continuous {
            if before == TradingPhase::VolatilityInterruption && ends_at == 0 {
                ends_at = instrument.continuous_until.unwrap_or(0);
            }
            instrument.continuous_until = Some(ends_at).filter(|at| *at != 0);
        } else if phase != TradingPhase::VolatilityInterruption {
            instrument.continuous_until = None;
        }
        for key in [instrument.phase_timer.take(), instrument.indicative_timer.take()].into_iter().flatten() {
            self.out.push(super::outputs::Out::CancelTimer { key });
        }
        let starts = phase == TradingPhase::Continuous && before != TradingPhase::Continuous;
        let closes = phase == TradingPhase::Closed;
        if starts || closes && before == TradingPhase::ClosingAuction {
            self.hold_auction(symbol, cross_type(before));
            self.clear(symbol, |order| order.kind == OrderKind::Market, CancelReason::AuctionRemainder);
        }
        if closes {
            self.clear(symbol, |order| order.kind == OrderKind::Limit, CancelReason::Closed);
            self.clear(symbol, |order| order.kind.is_stop(), CancelReason::Closed);
            self.clear(symbol, |_| true, CancelReason::Closed);
            self.traded.clear();
        }
        let instrument = self.instrument(symbol);
        instrument.phase = phase;
        if starts {
            let last = instrument.last;
            self.traded.extend(last);
        }
        let locate = self.locate(symbol);
        self.market(MarketEvent::TradingAction { locate, symbol, phase, is_extended: false });
        if ends_at != 0 && next_phase(phase).is_some() {
            let key = self.ask_timer(symbol, ends_at);
            self.instrument(symbol).phase_timer = Some(key);
        }
        self.await_indicative(symbol);
    }

    fn clear(&mut self, symbol: Symbol, is_wanted: impl Fn(&SlowOrder) -> bool, reason: CancelReason) {
        for side in [Side::Buy, Side::Sell] {
            let stops = self.stops(symbol, side).into_iter().filter(|order| is_wanted(order));
            let others = self.sorted(symbol, side, |order| !order.kind.is_stop() && is_wanted(order));
            for order in stops.chain(others).collect::<Vec<_>>() {
                self.cancel_resting(&order, reason);
            }
        }
    }

    fn ask_timer(&mut self, symbol: Symbol, at_ns: u64) -> u64 {
        self.timers += 1;
        let key = (self.timers << 16) + u64::from(self.locate(symbol)) - 1;
        self.out.push(super::outputs::Out::Timer { key, at_ns });
        key
    }

    fn await_indicative(&mut self, symbol: Symbol) {
        let is_call = matches!(
            self.instrument(symbol).phase,
            TradingPhase::OpeningAuction
                | TradingPhase::ClosingAuction
                | TradingPhase::VolatilityInterruption
        );
        if is_call && self.rules.indicative_ns != 0 {
            let key = self.ask_timer(symbol, self.now + self.rules.indicative_ns);
            self.instrument(symbol).indicative_timer = Some(key);
        }
    }

    pub fn timer_fired(&mut self, key: u64) {
        let mut all = self.instruments.iter().map(|i| (i.terms.symbol, i.phase_timer, i.indicative_timer));
        let Some((symbol, phase_timer, _)) =
            all.find(|(_, phase, indicative)| [*phase, *indicative].contains(&Some(key)))
        else {
            return;
        };
        if phase_timer != Some(key) {
            self.instrument(symbol).indicative_timer = None;
            self.publish_indicative(symbol);
            return self.await_indicative(symbol);
        }
        let instrument = self.instrument(symbol);
        instrument.phase_timer = None;
        let phase = instrument.phase;
        let around = instrument.last.unwrap_or(instrument.terms.reference);
        let bps = u64::from(instrument.terms.extended_bps);
        let is_far = self
            .auction_price(symbol)
            .is_some_and(|found| bps != 0 && found.price.abs_diff(around) > around * bps / 10_000);
        if phase == TradingPhase::VolatilityInterruption && is_far {
            let locate = self.locate(symbol);
            return self.market(MarketEvent::TradingAction { locate, symbol, phase, is_extended: true });
        }
        self.begin_phase(symbol, next_phase(phase).expect("a phase that ends by itself"), 0);
        self.run_stops(symbol);
    }

    // ------------------------------------------------------------------------ auctions

    /// The auction's price, by the steps of the rule, each over all candidates.
    pub fn auction_price(&self, symbol: Symbol) -> Option<Equilibrium> {
        let instrument = self.find_instrument(symbol).expect("it is defined");
        let reference = instrument.last.unwrap_or(instrument.terms.reference);
        let here = |order: &&SlowOrder| order.symbol == symbol && !order.kind.is_stop();
        let at_or_better = |side: Side, price: u64| -> u64 {
            let all = self.orders.iter().filter(here).filter(|order| order.side == side);
            let willing = all.filter(|o| o.kind == OrderKind::Market || allows(side, o.price, price));
            willing.map(|order| u64::from(order.remaining)).sum()
        };
        let limits = self.orders.iter().filter(here).filter(|order| order.kind == OrderKind::Limit);
        let mut prices: Vec<u64> = limits.map(|order| order.price).chain([reference]).collect();
        prices.sort_unstable();
        prices.dedup();
        let rows = prices
            .into_iter()
            .map(|price| (price, at_or_better(Side::Buy, price), at_or_better(Side::Sell, price)));
        let mut rows: Vec<(u64, u64, u64)> = rows.collect();
        let volume = rows.iter().map(|(_, demand, supply)| *demand.min(supply)).max()?;
        if volume == 0 {
            return None;
        }
        rows.retain(|(_, demand, supply)| *demand.min(supply) == volume);
        let surplus = rows.iter().map(|(_, demand, supply)| demand.abs_diff(*supply)).min()?;
        rows.retain(|(_, demand, supply)| demand.abs_diff(*supply) == surplus);
        let on_bid = rows.iter().filter(|(_, demand, supply)| demand > supply).map(|row| row.0).max();
        let on_ask = rows.iter().filter(|(_, demand, supply)| demand < supply).map(|row| row.0).min();
        let (price, side) = match (surplus, on_bid, on_ask) {
            (0, ..) => {
                let (lowest, highest) = (rows.first()?.0, rows.last()?.0);
                (reference.max(lowest).min(highest), None)
            }
            (_, Some(bid), None) => (bid, Some(Side::Buy)),
            (_, None, ask) => (ask?, Some(Side::Sell)),
            // The reference price is a candidate, so that it does not lie between the two.
            (_, Some(bid), Some(_)) if reference <= bid => (bid, Some(Side::Buy)),
            (_, Some(_), Some(ask)) => (ask, Some(Side::Sell)),
        };
        Some(Equilibrium { price, volume, surplus, side })
    }

    fn publish_indicative(&mut self, symbol: Symbol) {
        let found = self.auction_price(symbol);
        let locate = self.locate(symbol);
        let instrument = self.instrument(symbol);
        let reference = instrument.last.unwrap_or(instrument.terms.reference);
        let cross = cross_type(instrument.phase);
        let (paired, imbalance, side, price) = match found {
            Some(Equilibrium { price, volume, surplus, side }) => (volume, surplus, side, price),
            None => (0, 0, None, 0),
        };
        self.market(MarketEvent::Imbalance {
            locate,
            symbol,
            paired,
            imbalance,
            side,
            price,
            reference,
            cross,
        });
    }

    fn hold_auction(&mut self, symbol: Symbol, cross: u8) {
        let Some(Equilibrium { price, volume, .. }) = self.auction_price(symbol) else { return };
        self.matches += 1;
        let (cross_number, locate) = (self.matches, self.locate(symbol));
        let mut left = volume;
        while left > 0 {
            let [buy, sell] = [Side::Buy, Side::Sell].map(|side| {
                let is_willing = |order: &SlowOrder| {
                    order.kind == OrderKind::Market
                        || order.kind == OrderKind::Limit && allows(side, order.price, price)
                };
                self.sorted(symbol, side, is_willing).remove(0)
            });
            let quantity = buy.remaining.min(sell.remaining).min(u32::try_from(left).unwrap_or(u32::MAX));
            left -= u64::from(quantity);
            let match_number = self.write_trade(&buy, &sell, quantity, price);
            for order in [&buy, &sell] {
                let (account, token, liquidity) = (order.account, order.token, Liquidity::Cross(cross));
                self.report(OrderReport::Executed {
                    account,
                    token,
                    quantity,
                    price,
                    liquidity,
                    match_number,
                });
                let shown = order.displayed.min(quantity);
                if shown > 0 {
                    let (number, quantity) = (order.number, shown);
                    self.market(MarketEvent::ExecutedAt { locate, number, quantity, match_number, price });
                }
                let resting = self.by_number(order.number);
                resting.remaining -= quantity;
                resting.displayed -= shown;
                resting.executed += quantity;
            }
            self.orders.retain(|order| order.remaining > 0);
        }
        self.instrument(symbol).last = Some(price);
        let (quantity, match_number) = (volume, cross_number);
        self.market(MarketEvent::Cross { locate, symbol, quantity, price, match_number, cross });
        for side in [Side::Buy, Side::Sell] {
            let blank = |order: &SlowOrder| order.is_displayed() && order.displayed == 0;
            for order in self.sorted(symbol, side, blank) {
                self.refresh(order.number);
            }
        }
    }
}

fn next_phase(phase: TradingPhase) -> Option<TradingPhase> {
    use TradingPhase::*;
    match phase {
        PreOpen => Some(OpeningAuction),
        OpeningAuction | VolatilityInterruption => Some(Continuous),
        Continuous => Some(ClosingAuction),
        ClosingAuction => Some(Closed),
        Closed | Halted => None,
    }
}

fn cross_type(phase: TradingPhase) -> u8 {
    use TradingPhase::*;
    match phase {
        ClosingAuction => b'C',
        PreOpen | OpeningAuction | Closed => b'O',
        Continuous | VolatilityInterruption | Halted => b'H',
    }
}
