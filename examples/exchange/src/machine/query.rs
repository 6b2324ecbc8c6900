//! Questions to a replica: a book as text, and the market for somebody who comes late.

use super::operator::phase_name;
use super::{ExchangeMachine, market};
use crate::engine::MatchingEngine;
use crate::output::{MarketEvent, OperatorRefusal, OrderReport, Sink};
use crate::types::{Side, Symbol};
use itch50::EndOfSnapshot;

/// Collects market events.
struct MarketList(Vec<MarketEvent>);

impl Sink for MarketList {
    fn report(&mut self, _report: OrderReport) {}

    fn market(&mut self, event: MarketEvent) {
        self.0.push(event);
    }

    fn refuse(&mut self, _reason: OperatorRefusal) {}

    fn timer(&mut self, _key: u64, _at_ns: u64) {}

    fn cancel_timer(&mut self, _key: u64) {}
}

/// The market as it is: directory, phases, displayed orders.
pub(super) fn market_of(engine: &MatchingEngine) -> Vec<MarketEvent> {
    let mut list = MarketList(Vec::new());
    engine.publish_market(&mut list);
    list.0
}

/// Price with its four decimals.
fn shown(price: u64) -> String {
    format!("{}.{:04}", price / 10_000, price % 10_000)
}

impl ExchangeMachine {
    /// The answer to a query.
    pub(super) fn answer(&self, request: &[u8], answer: &mut Vec<u8>) {
        let text = String::from_utf8_lossy(request);
        match *text.split_ascii_whitespace().collect::<Vec<_>>() {
            ["glimpse"] => self.glimpse(answer),
            ["book", symbol] => answer.extend_from_slice(self.book_text(symbol).as_bytes()),
            _ => answer.extend_from_slice(b"refused: write book SYMBOL, or glimpse"),
        }
    }

    fn book_text(&self, name: &str) -> String {
        let symbol = Symbol::new(name);
        let Some(phase) = self.engine.phase_of(symbol).filter(|_| name.len() <= 8) else {
            return format!("refused: no instrument {name}");
        };
        let last = self.engine.last_price(symbol).map_or("-".to_owned(), shown);
        let mut text = format!("{name} {} last {last}\n", phase_name(phase));
        for (side, word) in [(Side::Buy, "buy"), (Side::Sell, "sell")] {
            for order in self.engine.displayed_orders(symbol, side) {
                let (displayed, number) = (order.displayed, order.number);
                text.push_str(&format!("{word} {displayed} at {} order {number}\n", shown(order.price)));
            }
        }
        text
    }

    /// Messages of ITCH 5.0, each behind two bytes of its length, and GLIMPSE 5.0's end with the number of
    /// the feed's next message. The feed's numbers are those of its day.
    fn glimpse(&self, answer: &mut Vec<u8>) {
        let mut push = |bytes: &[u8]| {
            answer.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
            answer.extend_from_slice(bytes);
        };
        for event in market_of(&self.engine) {
            market::encode(&event, self.now_ns, &mut push);
        }
        push(&EndOfSnapshot { next_seq: self.published + 1 }.encode());
    }
}
