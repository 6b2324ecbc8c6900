//! # snapshot: the whole state as bytes
//!
//! Equal states give equal bytes, whatever the way that led to them: accounts by number, positions by account
//! and instrument, orders by instrument, part of the book, side and priority. All that can be computed of
//! these is left out: levels, open quantities, counts. Integers are little-endian.
//!
//! ```text
//!   "LSEX" version:u16 | rules | counters | instruments | accounts | positions | trades | orders | digest:u64 | checksum:u64
//! ```
//!
//! The checksum finds accidents, not forgery: a hash of 64 bits that anybody can compute. The digest is that
//! of the state that was written, so that a field which a snapshot lacks is found when it is restored. What a
//! forged snapshot could break is checked too: each field against its range, each reference against what it
//! names, and the whole by writing it again and comparing.

mod bytes;
mod check;

use crate::accounts::Account;
use crate::book::{BookPart, Instrument, OrderSlot};
use crate::command::AccountLimits;
use crate::engine::MatchingEngine;
use crate::engine::state::TradingState;
use crate::output::PendingTimer;
use crate::rules::Rules;
use crate::slab::NIL;
use crate::trades::Trade;
use crate::types::{OrderKind, SelfMatch, Side, Symbol, TimeInForce, TradingPhase};
use bytes::{Decoder, Encoder};
use check::{Orders, Parts};
use std::io::{self, Read, Write};

const MAGIC: &[u8; 4] = b"LSEX";

/// The version of the format. A change of any field raises it.
pub const SNAPSHOT_VERSION: u16 = 1;

/// Orders in the order that snapshots have them.
const BOOK_PARTS: [BookPart; 3] = [BookPart::Displayed, BookPart::Stop, BookPart::Market];

// Lengths of the elements of lists.
const INSTRUMENT_BYTES: u64 = 8 + 7 * 4 + 1 + 8 + 2 * (8 + 8);
const ACCOUNT_BYTES: u64 = 4 + (4 + 8 + 4 + 8 + 4) + 2 + 4 + 8 + 4;
const POSITION_BYTES: u64 = 4 + 2 + 8;
const TRADE_BYTES: u64 = 8 + 2 + 4 + 2 * 8 + 1;
const ORDER_BYTES: u64 = 4 + 8 + 7 * 4 + 2 + 5;

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("snapshot of an exchange: {}", why.into()))
}

impl MatchingEngine {
    /// Writes the whole state. Call it between two commands; buffers are its own.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        let mut encoder = Encoder::new(out);
        self.state.encode(&mut encoder)?;
        encoder.finish()
    }

    /// A hash of the whole state: equal for equal states, whatever the way that led to them, and the same
    /// before a snapshot and after its restoration. Orders, positions and trades are hashed as they change;
    /// this reads accounts and instruments alone.
    pub fn digest(&self) -> u64 {
        self.state.digest()
    }

    /// The engine that wrote this snapshot. Reads exactly its bytes.
    ///
    /// # Errors
    ///
    /// Those of the reader, an early end among them, and [`InvalidData`](io::ErrorKind::InvalidData) for
    /// bytes that no engine writes; the text names what is wrong. Memory that is touched grows with the bytes
    /// that were read; the rest of what the snapshot's rules ask for is reserved address space, bounded by
    /// [`CAPACITY_MAX`](crate::CAPACITY_MAX).
    pub fn restore(input: &mut impl Read) -> io::Result<Self> {
        TradingState::restore(input).map(Self::of)
    }
}

impl TradingState {
    fn restore(input: &mut impl Read) -> io::Result<Self> {
        let mut decoder = Decoder::new(input);
        let parts = decode(&mut decoder)?;
        let mut state = check::build(&parts)?;
        let mut orders = Orders::default();
        for _ in 0..decoder.count(state.rules.orders_max, "orders", ORDER_BYTES)? {
            let account = parts.account_slot(decoder.u32()?)?;
            orders.add(&mut state, account, decode_order(&mut decoder)?)?;
        }
        let saved = decoder.u64()?;
        let checksum = decoder.finish()?;
        orders.finish(&mut state)?;
        let digest = state.digest();
        if saved != digest {
            return Err(invalid(format!("digest {saved:016x}, and its state has {digest:016x}")));
        }
        let mut again = Encoder::new(io::sink());
        state.encode(&mut again)?;
        if again.digest() != checksum {
            return Err(invalid("not in the order in which it is written"));
        }
        Ok(state)
    }

    fn digest(&self) -> u64 {
        let mut encoder = Encoder::new(io::sink());
        // Nothing fails to be written to a sink.
        let _ = self.encode_head(&mut encoder);
        for sum in [self.sums.orders, self.sums.positions, self.sums.trades] {
            encoder.u64(sum);
        }
        encoder.u32(self.books.orders.len() as u32);
        encoder.u32(self.trades.len() as u32);
        encoder.digest()
    }

    fn encode(&self, out: &mut Encoder<impl Write>) -> io::Result<()> {
        self.encode_head(out)?;
        self.encode_positions(out)?;
        out.u32(self.trades.len() as u32);
        for trade in self.trades.iter() {
            self.encode_trade(trade, out);
            out.spill()?;
        }
        self.encode_orders(out)?;
        out.u64(self.digest());
        Ok(())
    }

    /// Rules, counters, instruments and accounts.
    fn encode_head(&self, out: &mut Encoder<impl Write>) -> io::Result<()> {
        out.bytes(MAGIC);
        out.u16(SNAPSHOT_VERSION);
        encode_rules(&self.rules, out);
        out.u64(self.number_next);
        out.u64(self.match_next);
        out.u64(self.timer_next);
        out.u32(self.books.instruments.len() as u32);
        for instrument in &self.books.instruments {
            encode_instrument(instrument, out);
            out.spill()?;
        }
        let mut accounts: Vec<_> = self.accounts.iter().collect();
        accounts.sort_unstable_by_key(|account| account.id);
        out.u32(accounts.len() as u32);
        for account in accounts {
            encode_account(account, out);
            out.spill()?;
        }
        Ok(())
    }

    fn encode_positions(&self, out: &mut Encoder<impl Write>) -> io::Result<()> {
        let positions = self.open_positions();
        out.u32(positions.len() as u32);
        for position in positions {
            out.u32(position.account);
            out.u16(position.locate);
            out.u64(position.net as u64);
            out.spill()?;
        }
        Ok(())
    }

    fn encode_trade(&self, trade: &Trade, out: &mut Encoder<impl Write>) {
        out.u64(trade.match_number);
        out.u16(trade.instrument);
        out.u32(trade.quantity);
        for (slot, token) in trade.accounts.into_iter().zip(trade.tokens) {
            out.u32(self.accounts[slot as usize].id);
            out.u32(token);
        }
        out.u8(u8::from(trade.is_busted));
    }

    fn encode_orders(&self, out: &mut Encoder<impl Write>) -> io::Result<()> {
        out.u32(self.books.orders.len() as u32);
        for instrument in 0..self.books.instruments.len() as u16 {
            for (part, side) in
                BOOK_PARTS.into_iter().flat_map(|part| Side::ALL.iter().map(move |s| (part, *s)))
            {
                for slot in self.books.part(instrument, side, part) {
                    let order = &self.books.orders[slot];
                    out.u32(self.account_id(order));
                    encode_order(order, out);
                    out.spill()?;
                }
            }
        }
        Ok(())
    }
}

fn encode_rules(rules: &Rules, out: &mut Encoder<impl Write>) {
    out.u32(rules.orders_max);
    out.u16(rules.instruments_max);
    out.u32(rules.accounts_max);
    out.u32(rules.positions_max);
    out.u32(rules.trades_max);
    out.u64(rules.volatility_ns);
    out.u64(rules.indicative_ns);
    out.u64(rules.hash_seed);
}

fn encode_instrument(instrument: &Instrument, out: &mut Encoder<impl Write>) {
    out.bytes(&instrument.symbol.0);
    out.u32(instrument.tick);
    out.u32(instrument.lot);
    out.u32(instrument.reference);
    out.u32(instrument.static_bps);
    out.u32(instrument.dynamic_bps);
    out.u32(instrument.extended_bps);
    out.u32(instrument.last);
    out.u8(instrument.phase as u8);
    out.u64(instrument.resume_ends_at_ns);
    for timer in [instrument.phase_timer, instrument.indicative_timer] {
        out.u64(timer.key);
        out.u64(timer.at_ns);
    }
}

fn encode_account(account: &Account, out: &mut Encoder<impl Write>) {
    out.u32(account.id);
    let limits = &account.limits;
    out.u32(limits.quantity_max);
    out.u64(limits.notional_max);
    out.u32(limits.open_orders_max);
    out.u64(limits.position_max);
    out.u32(limits.orders_per_second_max);
    out.u8(u8::from(account.cancel_on_disconnect));
    out.u8(u8::from(account.is_killed));
    out.u32(account.token_last);
    out.u64(account.second);
    out.u32(account.orders_in_second);
}

/// All of an order but its account, whose number stands before it.
fn encode_order(order: &OrderSlot, out: &mut Encoder<impl Write>) {
    out.u64(order.number);
    out.u32(order.token);
    out.u32(order.price);
    out.u32(order.stop());
    out.u32(order.remaining);
    out.u32(order.displayed);
    out.u32(order.display());
    out.u32(order.executed);
    out.u16(order.instrument);
    out.u8(order.side as u8);
    out.u8(order.kind as u8);
    out.u8(order.time_in_force as u8);
    out.u8(order.self_match as u8);
    out.u8(u8::from(order.is_post_only));
}

// ---------------------------------------------------------------------------- and back

fn decode(from: &mut Decoder<impl Read>) -> io::Result<Parts> {
    if from.array()? != *MAGIC {
        return Err(invalid("it begins with other bytes than \"LSEX\""));
    }
    let version = from.u16()?;
    if version != SNAPSHOT_VERSION {
        return Err(invalid(format!("version {version}; this program reads version {SNAPSHOT_VERSION}")));
    }
    let rules = Rules {
        orders_max: from.u32()?,
        instruments_max: from.u16()?,
        accounts_max: from.u32()?,
        positions_max: from.u32()?,
        trades_max: from.u32()?,
        volatility_ns: from.u64()?,
        indicative_ns: from.u64()?,
        hash_seed: from.u64()?,
    };
    rules.check().map_err(|error| invalid(error.to_string()))?;
    let mut parts = Parts::new(rules, [from.u64()?, from.u64()?, from.u64()?]);
    for _ in 0..from.count(u32::from(rules.instruments_max), "instruments", INSTRUMENT_BYTES)? {
        parts.instruments.push(decode_instrument(from)?);
    }
    for _ in 0..from.count(rules.accounts_max, "accounts", ACCOUNT_BYTES)? {
        parts.accounts.push(decode_account(from)?);
    }
    for _ in 0..from.count(u32::MAX, "positions", POSITION_BYTES)? {
        let account = parts.account_slot(from.u32()?)?;
        parts.positions.push((account, from.u16()?, from.u64()? as i64));
    }
    for _ in 0..from.count(rules.trades_max, "trades", TRADE_BYTES)? {
        let trade = decode_trade(from, &parts)?;
        parts.trades.push(trade);
    }
    Ok(parts)
}

fn decode_instrument(from: &mut Decoder<impl Read>) -> io::Result<check::SavedInstrument> {
    Ok(check::SavedInstrument {
        symbol: Symbol(from.array()?),
        tick: from.u32()?,
        lot: from.u32()?,
        reference: from.u32()?,
        static_bps: from.u32()?,
        dynamic_bps: from.u32()?,
        extended_bps: from.u32()?,
        last: from.u32()?,
        phase: from.byte_of("phase", TradingPhase::of_byte)?,
        resume_ends_at_ns: from.u64()?,
        phase_timer: PendingTimer { key: from.u64()?, at_ns: from.u64()? },
        indicative_timer: PendingTimer { key: from.u64()?, at_ns: from.u64()? },
    })
}

fn decode_account(from: &mut Decoder<impl Read>) -> io::Result<Account> {
    let id = from.u32()?;
    let limits = AccountLimits {
        quantity_max: from.u32()?,
        notional_max: from.u64()?,
        open_orders_max: from.u32()?,
        position_max: from.u64()?,
        orders_per_second_max: from.u32()?,
    };
    let mut account = Account::new(id, limits, from.flag("cancel on disconnect")?);
    account.is_killed = from.flag("kill switch")?;
    account.token_last = from.u32()?;
    account.second = from.u64()?;
    account.orders_in_second = from.u32()?;
    Ok(account)
}

fn decode_trade(from: &mut Decoder<impl Read>, parts: &Parts) -> io::Result<Trade> {
    let (match_number, instrument, quantity) = (from.u64()?, from.u16()?, from.u32()?);
    let (buyer, buyer_token) = (parts.account_slot(from.u32()?)?, from.u32()?);
    let (seller, seller_token) = (parts.account_slot(from.u32()?)?, from.u32()?);
    let is_busted = from.flag("busted")?;
    let (accounts, tokens) = ([buyer, seller], [buyer_token, seller_token]);
    Ok(Trade { match_number, instrument, quantity, accounts, tokens, is_busted })
}

fn decode_order(from: &mut Decoder<impl Read>) -> io::Result<OrderSlot> {
    let (number, token, price, stop) = (from.u64()?, from.u32()?, from.u32()?, from.u32()?);
    let (remaining, displayed, display, executed) = (from.u32()?, from.u32()?, from.u32()?, from.u32()?);
    let (instrument, side) = (from.u16()?, from.byte_of("side", Side::of_byte)?);
    let kind = from.byte_of("order kind", OrderKind::of_byte)?;
    let (stop_or_display, other) = if kind.is_stop() { (stop, display) } else { (display, stop) };
    if other != 0 {
        return Err(invalid(format!("order {number} has a stop price and displays a part, or is no stop")));
    }
    Ok(OrderSlot {
        number,
        position: NIL,
        token,
        price,
        remaining,
        displayed,
        stop_or_display,
        executed,
        instrument,
        side,
        kind,
        time_in_force: from.byte_of("time in force", TimeInForce::of_byte)?,
        self_match: from.byte_of("self-match", SelfMatch::of_byte)?,
        is_post_only: from.flag("post-only")?,
        level: NIL,
        next: NIL,
        prev: NIL,
        account_next: NIL,
        account_prev: NIL,
    })
}
