//! The machine of the bench: the exchange, and beside it an application that acknowledges orders and matches
//! none, so that both have the same gateway, the same stream and the same replicas.

use crate::founding;
use lockstep_app::{AppSettings, EVERYBODY, Input, InputEvent, Output, SnapshotMode, StateMachine};
use lockstep_exchange::ExchangeMachine;
use lockstep_io::clock::DAY_NS;
use ouch50::codes::{Capacity, CrossType, Display, OrderState, TimeInForce};
use ouch50::{Accepted, ClOrdId, EnterOrder, Inbound, Options, Price, Side, Symbol};
use std::error::Error;
use std::io::{self, Read, Write};

/// The user whose orders are matched.
pub const MATCHED: &str = "match";
/// The user whose orders are acknowledged, and matched by nobody.
pub const ACKNOWLEDGED: &str = "ack";
/// The publisher whose orders come without a gateway.
pub const DIRECT: &str = "orders";
/// The name under which the replicas publish.
pub const APPLICATION: &str = "order-path";
/// Quantity and price of all orders.
const QUANTITY: u32 = 10;
const PRICE: Price = Price(100_000);

/// Order `number` of a client: odd ones sell and rest, even ones buy what the one before offers.
pub fn order(number: u32) -> EnterOrder {
    EnterOrder {
        user_ref_num: number,
        side: if is_buy(number) { Side::Buy } else { Side::Sell },
        quantity: QUANTITY,
        symbol: Symbol::new(b"ABC").unwrap_or(Symbol::BLANK),
        price: PRICE,
        time_in_force: TimeInForce::Day,
        display: Display::Visible,
        capacity: Capacity::Agency,
        is_sweep: false,
        cross_type: CrossType::Continuous,
        cl_ord_id: ClOrdId::BLANK,
        options: Options::NONE,
    }
}

/// Whether order `number` executes.
pub fn is_buy(number: u32) -> bool {
    number.is_multiple_of(2)
}

/// See the module.
#[derive(Clone)]
pub struct BenchMachine {
    exchange: ExchangeMachine,
    /// Orders that came without a gateway.
    direct: u64,
}

impl BenchMachine {
    /// At the beginning of the stream.
    pub fn new() -> Result<Self, Box<dyn Error>> {
        Ok(Self { exchange: founding::founded(None)?, direct: 0 })
    }

    /// How many orders of [`DIRECT`] were applied.
    pub fn direct(&self) -> u64 {
        self.direct
    }

    fn acknowledge(publisher: u32, payload: &[u8], time: u64, output: &mut Output) {
        let Ok(Inbound::EnterOrder(order)) = Inbound::parse(payload) else { return };
        let accepted = Accepted {
            time_ns: time % DAY_NS,
            user_ref_num: order.user_ref_num,
            side: order.side,
            quantity: order.quantity,
            symbol: order.symbol,
            price: order.price,
            time_in_force: order.time_in_force,
            display: order.display,
            reference: u64::from(order.user_ref_num),
            capacity: order.capacity,
            is_sweep: order.is_sweep,
            cross_type: order.cross_type,
            state: OrderState::Live,
            cl_ord_id: order.cl_ord_id,
            options: order.options,
        };
        let mut bytes = [0; 128];
        if let Ok(len) = accepted.write(&mut bytes) {
            output.publish(publisher, &bytes[..len]);
        }
    }
}

impl StateMachine for BenchMachine {
    const VERSION: u32 = 1;

    fn apply(&mut self, input: &Input<'_>, output: &mut Output) {
        let event = match input.event {
            InputEvent::Message { publisher, user: Some(ACKNOWLEDGED), payload, .. } => {
                return Self::acknowledge(publisher, payload, input.time, output);
            }
            InputEvent::Message { publisher, publisher_seq, destination: EVERYBODY, user: None, payload } => {
                self.direct += 1;
                let (destination, user) = (EVERYBODY, Some(DIRECT));
                InputEvent::Message { publisher, publisher_seq, destination, user, payload }
            }
            InputEvent::Opened { publisher, name: DIRECT, .. } => {
                InputEvent::Connected { user: DIRECT, publisher }
            }
            event => event,
        };
        self.exchange.apply(&Input { event, ..*input }, output);
    }

    fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(&self.direct.to_le_bytes())?;
        self.exchange.snapshot(out)
    }

    fn restore(from: &mut impl Read) -> io::Result<Self> {
        let mut direct = [0; 8];
        from.read_exact(&mut direct)?;
        Ok(Self { direct: u64::from_le_bytes(direct), exchange: ExchangeMachine::restore(from)? })
    }

    fn digest(&self) -> u64 {
        self.exchange.digest()
    }
}

/// Replica `number`, which begins with the stream's first entry and writes no snapshots.
pub fn settings(number: u8) -> AppSettings {
    let mut settings = AppSettings::new(APPLICATION, number, "");
    (settings.snapshot_mode, settings.digest_every) = (SnapshotMode::Never, 10_000);
    settings
}
