//! A recorded ITCH 5.0 day as commands: an order added is entered, an execution is an immediate-or-cancel
//! order of the other side at the price of the order that it hit, reductions, deletes and replacements are
//! the account's own. Trades against hidden orders and all other messages are left out.

use flate2::read::GzDecoder;
use lockstep_exchange::{ExchangeCommand, NewOrder, OrderReplacement, Side, Symbol, TimeInForce};
use std::collections::BTreeMap;
use std::io::Read;

/// Lengths of the messages of ITCH 5.0, by letter.
fn len_of(kind: u8) -> usize {
    match kind {
        b'S' | b'W' => 12,
        b'R' => 39,
        b'H' => 25,
        b'Y' => 20,
        b'L' => 26,
        b'V' | b'J' | b'U' => 35,
        b'K' => 28,
        b'h' => 21,
        b'A' | b'C' => 36,
        b'F' | b'Q' => 40,
        b'E' => 31,
        b'X' => 23,
        b'D' | b'B' => 19,
        b'P' => 44,
        b'I' => 50,
        b'N' => 20,
        other => panic!("no message of ITCH 5.0 has letter {:?}", char::from(other)),
    }
}

fn be(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// An order of the recorded day.
#[derive(Clone, Copy)]
struct Known {
    token: u32,
    side: Side,
    price: u64,
    /// Its size, what was executed included.
    size: u32,
    executed: u32,
    symbol: Symbol,
}

/// One copy of the day: its accounts and its orders.
struct Copy {
    number: usize,
    /// The account that rests and the one that takes.
    accounts: [u32; 2],
    tokens: [u32; 2],
    orders: BTreeMap<u64, Known>,
}

impl Copy {
    fn token(&mut self, account: usize) -> u32 {
        self.tokens[account] += 1;
        self.tokens[account]
    }

    fn symbol(&self, stock: &[u8]) -> Symbol {
        let name = String::from_utf8_lossy(stock);
        Symbol::new(&format!("{}{}", name.trim_end(), self.number))
    }

    /// What a message becomes.
    fn command(&mut self, message: &[u8]) -> Option<ExchangeCommand> {
        let [resting, taking] = self.accounts;
        match message[0] {
            b'A' | b'F' => {
                let side = if message[19] == b'B' { Side::Buy } else { Side::Sell };
                let (size, price) = (be(&message[20..24]) as u32, be(&message[32..36]));
                let (symbol, token) = (self.symbol(&message[24..32]), self.token(0));
                self.orders
                    .insert(be(&message[11..19]), Known { token, side, price, size, executed: 0, symbol });
                Some(ExchangeCommand::Enter(NewOrder::limit(resting, token, symbol, side, size, price)))
            }
            b'E' | b'C' => {
                let quantity = be(&message[19..23]) as u32;
                let token = self.token(1);
                let order = self.orders.get_mut(&be(&message[11..19]))?;
                order.executed += quantity;
                let side = order.side.opposite();
                let mut order = NewOrder::limit(taking, token, order.symbol, side, quantity, order.price);
                order.time_in_force = TimeInForce::Ioc;
                Some(ExchangeCommand::Enter(order))
            }
            b'X' => {
                let order = self.orders.get_mut(&be(&message[11..19]))?;
                order.size -= be(&message[19..23]) as u32;
                Some(ExchangeCommand::Cancel { account: resting, token: order.token, quantity: order.size })
            }
            b'D' => {
                let order = self.orders.remove(&be(&message[11..19]))?;
                Some(ExchangeCommand::Cancel { account: resting, token: order.token, quantity: 0 })
            }
            b'U' => {
                let old = self.orders.remove(&be(&message[11..19]))?;
                let (quantity, price) = (be(&message[27..31]) as u32 + old.executed, be(&message[31..35]));
                let token = self.token(0);
                self.orders.insert(be(&message[19..27]), Known { token, price, size: quantity, ..old });
                let (account, original) = (resting, old.token);
                let (stop_price, display) = (0, 0);
                let new = OrderReplacement { account, original, token, quantity, price, stop_price, display };
                Some(ExchangeCommand::Replace(new))
            }
            _ => None,
        }
    }
}

/// A recorded day.
pub struct Day {
    /// Its instruments; prices have a tick of a hundredth of a cent.
    pub symbols: Vec<Symbol>,
    /// Its accounts, from 0 up to and without this one.
    pub accounts: u32,
    /// Its commands.
    pub commands: Vec<ExchangeCommand>,
}

/// The day as commands, in as many copies as wanted, one message of each copy after the other.
pub fn day(gzip: &[u8], copies: usize) -> Day {
    let mut bytes = Vec::new();
    GzDecoder::new(gzip).read_to_end(&mut bytes).expect("a gzip file");
    let mut messages = Vec::new();
    let mut at = 2;
    while at < bytes.len() {
        let len = len_of(bytes[at]);
        messages.push(&bytes[at..at + len]);
        at += len + 2;
    }
    let stocks: Vec<&[u8]> =
        messages.iter().filter(|message| message[0] == b'R').map(|message| &message[11..19]).collect();
    let number = |number: usize| Copy {
        number,
        accounts: [2 * number as u32, 2 * number as u32 + 1],
        tokens: [0; 2],
        orders: BTreeMap::new(),
    };
    let mut all: Vec<Copy> = (0..copies).map(number).collect();
    let symbols: Vec<Symbol> =
        all.iter().flat_map(|copy| stocks.iter().map(|stock| copy.symbol(stock))).collect();
    let mut commands = vec![];
    for message in &messages {
        commands.extend(all.iter_mut().filter_map(|copy| copy.command(message)));
    }
    Day { symbols, accounts: 2 * copies as u32, commands }
}
