//! Operators' commands: instruments, accounts, the kill switch, busts.

use super::MatchingEngine;
use crate::accounts::Account;
use crate::command::{AccountLimits, InstrumentTerms};
use crate::output::{CancelReason, MarketEvent, OperatorRefusal, OrderReport, Sink};
use crate::types::{PRICE_MAX, QUANTITY_MAX, Side, Symbol, TradingPhase};

/// The widest band: as far above a price as the price itself, ten times.
pub(crate) const BPS_MAX: u32 = 100_000;

/// A price that an instrument with this tick may have.
fn price_of(price: u64, tick: u64) -> Option<u32> {
    let fits =
        (1..=PRICE_MAX).contains(&tick) && (1..=PRICE_MAX).contains(&price) && price.is_multiple_of(tick);
    if fits { u32::try_from(price).ok() } else { None }
}

impl MatchingEngine {
    pub(super) fn system_event(code: u8, out: &mut impl Sink) -> Result<(), OperatorRefusal> {
        if !b"OSQMEC".contains(&code) {
            return Err(OperatorRefusal::InvalidEventCode(code));
        }
        out.market(MarketEvent::System { code });
        Ok(())
    }

    pub(super) fn define(
        &mut self,
        terms: &InstrumentTerms,
        out: &mut impl Sink,
    ) -> Result<(), OperatorRefusal> {
        let InstrumentTerms { symbol, tick, lot, static_bps, dynamic_bps, extended_bps, .. } = *terms;
        let invalid = OperatorRefusal::InvalidTerms(symbol);
        let reference = price_of(terms.reference, tick).ok_or(invalid)?;
        let has_bands = [static_bps, dynamic_bps, extended_bps].iter().all(|bps| *bps <= BPS_MAX);
        if !symbol.is_valid() || !(1..=QUANTITY_MAX).contains(&lot) || !has_bands {
            return Err(invalid);
        }
        let tick = tick as u32;
        let index = match self.state.find_instrument(symbol) {
            None => self.add_instrument(symbol, tick, lot)?,
            Some(index) => index,
        };
        let book = &mut self.state.books.instruments[index as usize];
        if book.phase != TradingPhase::Closed {
            return Err(OperatorRefusal::NotClosed(symbol));
        }
        (book.tick, book.lot, book.reference, book.last) = (tick, lot, reference, 0);
        (book.static_bps, book.dynamic_bps, book.extended_bps) = (static_bps, dynamic_bps, extended_bps);
        out.market(MarketEvent::Directory { locate: index + 1, symbol, lot });
        Ok(())
    }

    fn add_instrument(&mut self, symbol: Symbol, tick: u32, lot: u32) -> Result<u16, OperatorRefusal> {
        let index = self.state.books.instruments.len();
        if index >= usize::from(self.state.rules.instruments_max) {
            return Err(OperatorRefusal::Capacity);
        }
        self.state.push_instrument(symbol, tick, lot);
        Ok(index as u16)
    }

    pub(super) fn set_reference(&mut self, symbol: Symbol, price: u64) -> Result<(), OperatorRefusal> {
        let index = self.state.instrument_of(symbol)?;
        let book = &mut self.state.books.instruments[index as usize];
        let price = price_of(price, u64::from(book.tick)).ok_or(OperatorRefusal::InvalidTerms(symbol))?;
        book.reference = price;
        Ok(())
    }

    pub(super) fn set_account(
        &mut self,
        account: u32,
        limits: AccountLimits,
        cancel_on_disconnect: bool,
    ) -> Result<(), OperatorRefusal> {
        if let Some(slot) = self.state.account_slot(account) {
            let account = &mut self.state.accounts[slot as usize];
            (account.limits, account.cancel_on_disconnect) = (limits, cancel_on_disconnect);
            return Ok(());
        }
        if self.state.accounts.len() >= self.state.rules.accounts_max as usize {
            return Err(OperatorRefusal::Capacity);
        }
        self.state.push_account(Account::new(account, limits, cancel_on_disconnect));
        Ok(())
    }

    pub(super) fn set_kill_switch(
        &mut self,
        account: u32,
        is_on: bool,
        out: &mut impl Sink,
    ) -> Result<(), OperatorRefusal> {
        let slot = self.state.account_slot(account).ok_or(OperatorRefusal::UnknownAccount(account))?;
        self.state.accounts[slot as usize].is_killed = is_on;
        if is_on {
            self.cancel_account(slot, None, None, CancelReason::KillSwitch, out);
        }
        Ok(())
    }

    pub(super) fn bust(&mut self, match_number: u64, out: &mut impl Sink) -> Result<(), OperatorRefusal> {
        let found =
            self.state.trades.find(match_number).ok_or(OperatorRefusal::UnknownTrade(match_number))?;
        if found.is_busted {
            return Err(OperatorRefusal::AlreadyBusted(match_number));
        }
        let stood = *found;
        found.is_busted = true;
        let trade = *found;
        let hashes = [stood, trade].map(|trade| self.state.trade_hash(&trade));
        self.state.sums.trades = self.state.sums.trades.wrapping_sub(hashes[0]).wrapping_add(hashes[1]);
        for (slot, side) in trade.accounts.into_iter().zip([Side::Sell, Side::Buy]) {
            let account = self.state.accounts[slot as usize].id;
            let (before, after) = self.state.positions.adjust(slot, trade.instrument, side, trade.quantity);
            self.state.sums.move_position(account, trade.instrument, before, after);
        }
        for (slot, token) in trade.accounts.into_iter().zip(trade.tokens) {
            let account = self.state.accounts[slot as usize].id;
            out.report(OrderReport::Broken { account, token, match_number });
        }
        out.market(MarketEvent::Broken { locate: trade.instrument + 1, match_number });
        Ok(())
    }
}
