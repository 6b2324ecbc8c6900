//! # phases: how trading begins, pauses and ends
//!
//! ```text
//!   Closed ─▶ PreOpen ─▶ OpeningAuction ─▶ Continuous ─▶ ClosingAuction ─▶ Closed
//!                                           │     ▲
//!                          beyond the band  ▼     │ timer
//!                                  VolatilityInterruption
//! ```
//!
//! The figure shows the day; an operator may begin any phase from any other. Whatever leads into continuous
//! trading holds an auction first, so that the book never begins crossed; so does the end of the closing
//! auction. Market orders that an auction leaves are canceled. Each wait is a timer with a key of its own:
//! one that fires late, after its phase has ended another way, matches no key and does nothing. A volatility
//! interruption does not move the end of continuous trading: if that comes meanwhile, the closing auction
//! begins when the interruption is over.

use super::MatchingEngine;
use super::state::{KEY_SHIFT, TradingState};
use crate::book::{BookPart, Instrument};
use crate::output::{CancelReason, OperatorRefusal, PendingTimer, Sink};
use crate::types::{PhaseEnd, Side, Symbol, TradingPhase};

/// The phase that follows by itself when the time of one is over.
pub(crate) fn successor(phase: TradingPhase) -> Option<TradingPhase> {
    match phase {
        TradingPhase::PreOpen => Some(TradingPhase::OpeningAuction),
        TradingPhase::OpeningAuction | TradingPhase::VolatilityInterruption => Some(TradingPhase::Continuous),
        TradingPhase::Continuous => Some(TradingPhase::ClosingAuction),
        TradingPhase::ClosingAuction => Some(TradingPhase::Closed),
        TradingPhase::Closed | TradingPhase::Halted => None,
    }
}

/// A timer for `at_ns`, or, where that is but a duration from now on, for the rest of `after_ns`.
fn new_timer(key: u64, at_ns: u64, after_ns: Option<u64>, out: &mut impl Sink) -> PendingTimer {
    match after_ns {
        None => out.timer(key, at_ns),
        Some(after_ns) => out.timer_after(key, after_ns, at_ns),
    }
    PendingTimer { key, at_ns }
}

impl MatchingEngine {
    pub(super) fn set_phase(
        &mut self,
        symbol: Option<Symbol>,
        phase: TradingPhase,
        ends: PhaseEnd,
        now_ns: u64,
        out: &mut impl Sink,
    ) -> Result<(), OperatorRefusal> {
        match symbol {
            Some(symbol) => {
                let instrument = self.state.instrument_of(symbol)?;
                self.begin_phase(instrument, phase, ends, now_ns, out);
                self.run_triggers(instrument, now_ns, out);
            }
            None => {
                for instrument in 0..self.state.books.instruments.len() as u16 {
                    self.begin_phase(instrument, phase, ends, now_ns, out);
                    self.run_triggers(instrument, now_ns, out);
                }
            }
        }
        Ok(())
    }

    /// Ends the phase of an instrument and begins another. The caller runs the stop orders that its trades
    /// reach.
    pub(super) fn begin_phase(
        &mut self,
        instrument: u16,
        phase: TradingPhase,
        ends: PhaseEnd,
        now_ns: u64,
        out: &mut impl Sink,
    ) {
        let before = self.state.books.phase(instrument);
        let (ends_at_ns, after_ns) = ends.counted_from(now_ns);
        let (ends_at_ns, resume_ends_at_ns) =
            self.state.books.instruments[instrument as usize].ends_at(phase, ends_at_ns);
        self.state.cancel_timers(instrument, out);
        let is_start = phase == TradingPhase::Continuous && before != TradingPhase::Continuous;
        let is_close = phase == TradingPhase::Closed;
        if is_start || is_close && before == TradingPhase::ClosingAuction {
            self.uncross(instrument, before.itch_cross(), out);
            self.state.cancel_part(instrument, BookPart::Market, CancelReason::AuctionRemainder, out);
        }
        if is_close {
            for part in [BookPart::Displayed, BookPart::Stop, BookPart::Market] {
                self.state.cancel_part(instrument, part, CancelReason::Closed, out);
            }
            self.traded = None;
        }
        let book = &mut self.state.books.instruments[instrument as usize];
        (book.phase, book.resume_ends_at_ns) = (phase, resume_ends_at_ns);
        if is_start && book.last != 0 {
            // Stop orders that came in a call phase are measured with the last price there is.
            self.traded = Some((book.last, book.last));
        }
        self.state.books.publish_phase(instrument, false, out);
        if ends_at_ns > 0 && successor(phase).is_some() {
            let timer = new_timer(self.state.next_timer(instrument), ends_at_ns, after_ns, out);
            self.state.books.instruments[instrument as usize].phase_timer = timer;
        }
        self.state.await_indicative(instrument, now_ns, out);
    }

    // ------------------------------------------------------------------------ timers

    pub(super) fn on_timer(&mut self, key: u64, now_ns: u64, out: &mut impl Sink) {
        let instrument = (key & ((1 << KEY_SHIFT) - 1)) as u16;
        let Some(book) = self.state.books.instruments.get_mut(instrument as usize) else { return };
        if key >> KEY_SHIFT == 0 {
            return; // no timer has such a key, and 0 stands for none
        }
        if key == book.indicative_timer.key {
            book.indicative_timer = PendingTimer::default();
            self.state.books.publish_indicative(instrument, out);
            self.state.await_indicative(instrument, now_ns, out);
        } else if key == book.phase_timer.key {
            book.phase_timer = PendingTimer::default();
            let phase = book.phase;
            if phase == TradingPhase::VolatilityInterruption && !self.state.books.ends_within_band(instrument)
            {
                self.state.books.publish_phase(instrument, true, out);
            } else if let Some(next) = successor(phase) {
                self.begin_phase(instrument, next, PhaseEnd::Never, now_ns, out);
                self.run_triggers(instrument, now_ns, out);
            }
        }
    }
}

impl Instrument {
    /// When the phase that begins ends, and when the continuous trading ends that it pauses: a volatility
    /// interruption does not move the end of continuous trading.
    fn ends_at(&self, phase: TradingPhase, ends_at_ns: u64) -> (u64, u64) {
        match (self.phase, phase) {
            (TradingPhase::VolatilityInterruption, TradingPhase::Continuous) if ends_at_ns == 0 => {
                (self.resume_ends_at_ns, 0)
            }
            (TradingPhase::VolatilityInterruption, TradingPhase::VolatilityInterruption) => {
                (ends_at_ns, self.resume_ends_at_ns)
            }
            (TradingPhase::Continuous, TradingPhase::VolatilityInterruption) => {
                (ends_at_ns, self.phase_timer.at_ns)
            }
            _ => (ends_at_ns, 0),
        }
    }
}

impl TradingState {
    /// Cancels all orders of a part of the book, buyers first, each side by priority.
    pub(crate) fn cancel_part(
        &mut self,
        instrument: u16,
        part: BookPart,
        reason: CancelReason,
        out: &mut impl Sink,
    ) {
        for side in [Side::Buy, Side::Sell] {
            while let Some(slot) = self.books.first(instrument, side, part) {
                self.cancel_resting(slot, reason, out);
            }
        }
    }

    pub(crate) fn await_indicative(&mut self, instrument: u16, now_ns: u64, out: &mut impl Sink) {
        if self.books.phase(instrument).is_auction() && self.rules.indicative_ns > 0 {
            let (at_ns, after_ns) = PhaseEnd::After(self.rules.indicative_ns).counted_from(now_ns);
            let timer = new_timer(self.next_timer(instrument), at_ns, after_ns, out);
            self.books.instruments[instrument as usize].indicative_timer = timer;
        }
    }

    pub(crate) fn cancel_timers(&mut self, instrument: u16, out: &mut impl Sink) {
        let book = &mut self.books.instruments[instrument as usize];
        for timer in [&mut book.phase_timer, &mut book.indicative_timer] {
            if !timer.is_none() {
                out.cancel_timer(timer.key);
                *timer = PendingTimer::default();
            }
        }
    }
}
