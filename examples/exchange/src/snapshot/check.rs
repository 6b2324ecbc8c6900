//! From decoded fields to an engine: each field in its range, each reference to something that exists.

use super::{BOOK_PARTS, invalid};
use crate::accounts::Account;
use crate::book::{BookPart, OrderSlot};
use crate::engine::operate::BPS_MAX;
use crate::engine::phases::successor;
use crate::engine::state::{KEY_SHIFT, TradingState};
use crate::engine::token_key;
use crate::output::PendingTimer;
use crate::rules::Rules;
use crate::slab::NIL;
use crate::trades::Trade;
use crate::types::{OrderKind, PRICE_MAX, QUANTITY_MAX, Side, Symbol, TimeInForce, TradingPhase};
use std::io;

/// Fields of an instrument.
pub(super) struct SavedInstrument {
    pub(super) symbol: Symbol,
    pub(super) tick: u32,
    pub(super) lot: u32,
    pub(super) reference: u32,
    pub(super) static_bps: u32,
    pub(super) dynamic_bps: u32,
    pub(super) extended_bps: u32,
    pub(super) last: u32,
    pub(super) phase: TradingPhase,
    pub(super) resume_ends_at_ns: u64,
    pub(super) phase_timer: PendingTimer,
    pub(super) indicative_timer: PendingTimer,
}

/// What a snapshot has before its orders, as it was read. Accounts stand in the order of their numbers, and
/// so do their slots.
pub(super) struct Parts {
    rules: Rules,
    /// Next order number, next match number, next count of timers.
    counters: [u64; 3],
    pub(super) instruments: Vec<SavedInstrument>,
    pub(super) accounts: Vec<Account>,
    pub(super) positions: Vec<(u32, u16, i64)>,
    pub(super) trades: Vec<Trade>,
}

/// Counters beyond this would come near to an overflow.
const COUNTER_MAX: u64 = 1 << 62;

impl Parts {
    pub(super) fn new(rules: Rules, counters: [u64; 3]) -> Self {
        let (instruments, accounts, positions) = (vec![], vec![], vec![]);
        Self { rules, counters, instruments, accounts, positions, trades: vec![] }
    }

    /// The slot that the account of this number will have.
    pub(super) fn account_slot(&self, id: u32) -> io::Result<u32> {
        let found = self.accounts.binary_search_by_key(&id, |account| account.id);
        found.map(|slot| slot as u32).map_err(|_| invalid(format!("account {id} is not among its accounts")))
    }
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> io::Result<()> {
    if holds { Ok(()) } else { Err(invalid(why())) }
}

/// The engine of these parts, without orders.
pub(super) fn build(parts: &Parts) -> io::Result<TradingState> {
    let [number_next, match_next, timer_next] = parts.counters;
    let counts = |counter: u64, max: u64| (1..=max).contains(&counter);
    let all = counts(number_next, COUNTER_MAX) && counts(match_next, COUNTER_MAX);
    ensure(all && counts(timer_next, COUNTER_MAX >> KEY_SHIFT), || "a counter out of range".to_owned())?;
    check_accounts(&parts.accounts)?;
    check_trades(parts)?;
    let mut state = TradingState::new(parts.rules).map_err(|error| invalid(error.to_string()))?;
    (state.number_next, state.match_next, state.timer_next) = (number_next, match_next, timer_next);
    for saved in &parts.instruments {
        add_instrument(&mut state, saved)?;
    }
    for account in &parts.accounts {
        state.push_account(*account);
    }
    add_positions(&mut state, &parts.positions)?;
    for trade in &parts.trades {
        state.store_trade(*trade);
    }
    Ok(state)
}

fn check_accounts(accounts: &[Account]) -> io::Result<()> {
    let rises = accounts.windows(2).all(|pair| pair[0].id < pair[1].id);
    ensure(rises, || "accounts out of order".to_owned())
}

fn check_trades(parts: &Parts) -> io::Result<()> {
    let rises = parts.trades.windows(2).all(|pair| pair[0].match_number < pair[1].match_number);
    ensure(rises, || "trades out of order".to_owned())?;
    for trade in &parts.trades {
        let is_known = (1..parts.counters[1]).contains(&trade.match_number)
            && usize::from(trade.instrument) < parts.instruments.len()
            && (1..=QUANTITY_MAX).contains(&trade.quantity);
        ensure(is_known, || format!("trade {} is out of range", trade.match_number))?;
    }
    Ok(())
}

fn add_instrument(state: &mut TradingState, saved: &SavedInstrument) -> io::Result<()> {
    let symbol = saved.symbol;
    let index = state.books.instruments.len() as u64;
    let is_new = symbol.is_valid() && state.find_instrument(symbol).is_none();
    ensure(is_new, || format!("symbol {symbol:?} is not valid, or there twice"))?;
    let fits = |price: u32| u64::from(price) <= PRICE_MAX && price.checked_rem(saved.tick) == Some(0);
    let has_terms = fits(saved.reference)
        && saved.reference > 0
        && fits(saved.last)
        && (1..=QUANTITY_MAX).contains(&saved.lot)
        && u64::from(saved.tick) <= PRICE_MAX
        && [saved.static_bps, saved.dynamic_bps, saved.extended_bps].iter().all(|bps| *bps <= BPS_MAX);
    ensure(has_terms, || format!("{symbol:?}: tick, lot, a band or a price is out of range"))?;
    let is_timer = |timer: PendingTimer| match timer {
        PendingTimer { key: 0, at_ns } => at_ns == 0,
        PendingTimer { key, .. } => {
            key % (1 << KEY_SHIFT) == index && (1..state.timer_next).contains(&(key >> KEY_SHIFT))
        }
    };
    let has_timers = is_timer(saved.phase_timer)
        && is_timer(saved.indicative_timer)
        && (saved.phase_timer.is_none()
            || successor(saved.phase).is_some() && saved.phase_timer.key != saved.indicative_timer.key)
        && (saved.indicative_timer.is_none() || saved.phase.is_auction())
        && (saved.resume_ends_at_ns == 0 || saved.phase == TradingPhase::VolatilityInterruption);
    ensure(has_timers, || format!("{symbol:?}: a timer that was never asked for"))?;
    state.push_instrument(symbol, saved.tick, saved.lot);
    let book = &mut state.books.instruments[index as usize];
    (book.reference, book.last, book.phase) = (saved.reference, saved.last, saved.phase);
    (book.static_bps, book.dynamic_bps, book.extended_bps) =
        (saved.static_bps, saved.dynamic_bps, saved.extended_bps);
    (book.phase_timer, book.indicative_timer) = (saved.phase_timer, saved.indicative_timer);
    book.resume_ends_at_ns = saved.resume_ends_at_ns;
    Ok(())
}

fn add_positions(state: &mut TradingState, positions: &[(u32, u16, i64)]) -> io::Result<()> {
    let key = |row: &(u32, u16, i64)| (row.0, row.1);
    let rises = positions.windows(2).all(|pair| key(&pair[0]) < key(&pair[1]));
    ensure(rises, || "positions out of order".to_owned())?;
    for &(account, locate, net) in positions {
        let is_known = (1..=state.books.instruments.len()).contains(&usize::from(locate));
        ensure(is_known && net != 0 && net.unsigned_abs() < COUNTER_MAX, || {
            format!("position {net} in instrument {locate} is out of range")
        })?;
        let slot = state.positions.acquire(account, locate - 1);
        state.positions.slots[slot].net = net;
        let account = state.accounts[account as usize].id;
        state.sums.move_position(account, locate - 1, 0, net);
    }
    Ok(())
}

/// What must be known of all orders together.
#[derive(Default)]
pub(super) struct Orders {
    numbers: Vec<u64>,
    /// Account and token, and the slot.
    by_token: Vec<(u64, u32)>,
}

impl Orders {
    /// Puts an order into its book. They come in the order of their queues, and so lie side by side.
    pub(super) fn add(
        &mut self,
        state: &mut TradingState,
        account: u32,
        mut order: OrderSlot,
    ) -> io::Result<()> {
        let number = order.number;
        check_order(state, account, &order).map_err(|why| invalid(format!("order {number}: {why}")))?;
        order.position = state.positions.acquire(account, order.instrument);
        state.positions.open(order.position, order.side, order.remaining);
        let slot = state.books.orders.insert(order);
        self.numbers.push(number);
        self.by_token.push((token_key(account, order.token), slot));
        state.put(slot);
        let before = state.books.orders[slot].prev;
        let is_behind = before == NIL || state.books.orders[before].number < number;
        ensure(is_behind, || format!("order {number} stands before an older one"))
    }

    /// Lists the orders of each account by token, and checks what holds of all.
    pub(super) fn finish(mut self, state: &mut TradingState) -> io::Result<()> {
        self.numbers.sort_unstable();
        let is_unique = self.numbers.windows(2).all(|pair| pair[0] < pair[1]);
        ensure(is_unique, || "two orders have one number".to_owned())?;
        self.by_token.sort_unstable();
        let is_unique = self.by_token.windows(2).all(|pair| pair[0].0 < pair[1].0);
        ensure(is_unique, || "two orders of one account have one token".to_owned())?;
        for (_, slot) in self.by_token {
            state.list(slot);
        }
        for (index, book) in state.books.instruments.iter().enumerate() {
            let best = Side::ALL.iter().map(|side| state.books.best(index as u16, *side));
            let best: Vec<_> = best.flatten().map(|(price, _)| price).collect();
            let is_crossed = book.phase == TradingPhase::Continuous && best.len() == 2 && best[0] >= best[1];
            ensure(!is_crossed, || format!("{:?} is crossed in continuous trading", book.symbol))?;
        }
        Ok(())
    }
}

/// Why an engine could not have this order.
fn check_order(state: &TradingState, account: u32, order: &OrderSlot) -> Result<(), &'static str> {
    let book = state.books.instruments.get(order.instrument as usize).ok_or("of no instrument")?;
    let account = &state.accounts[account as usize];
    let part = order.part();
    let is_market_late = part == BookPart::Market && book.phase == TradingPhase::Continuous;
    if book.phase == TradingPhase::Closed || is_market_late || order.time_in_force != TimeInForce::Day {
        return Err("it cannot rest");
    }
    if !(1..state.number_next).contains(&order.number) || !(1..=account.token_last).contains(&order.token) {
        return Err("number or token was never used");
    }
    let fits = |price: u32, is_wanted: bool| {
        u64::from(price) <= PRICE_MAX && price.is_multiple_of(book.tick) && (price > 0) == is_wanted
    };
    if !fits(order.price, order.kind.is_limit()) || !fits(order.stop(), order.kind.is_stop()) {
        return Err("price or stop price is out of range");
    }
    let size = u64::from(order.remaining) + u64::from(order.executed);
    let has_lots = [order.remaining, order.executed, order.displayed].iter().all(|n| n % book.lot == 0);
    if order.remaining == 0
        || size > u64::from(QUANTITY_MAX)
        || !has_lots
        || !order.display().is_multiple_of(book.lot)
    {
        return Err("quantity is out of range");
    }
    let displays = match (part, order.display()) {
        (BookPart::Displayed, 0) => order.displayed == order.remaining,
        (BookPart::Displayed, display) => (1..=display.min(order.remaining)).contains(&order.displayed),
        _ => order.displayed == 0 && order.display() == 0,
    };
    if !displays || order.display() > QUANTITY_MAX || order.is_post_only && order.kind != OrderKind::Limit {
        return Err("it cannot display that");
    }
    debug_assert!(BOOK_PARTS.contains(&part));
    Ok(())
}
