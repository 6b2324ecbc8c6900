//! The application's part for clients of FIX: a venue that answers OUCH 5.0, and whose answers follow from
//! its orders' quantities alone.
//!
//! The machine applies it to its inputs, and the books apply one of their own to the committed log.

use lockstep_wire::PublisherId;
use ouch50::codes::{AiqStrategy, BrokenTradeReason, CancelReason, CrossType, LiquidityFlag, OrderState};
use ouch50::{
    Accepted, AiqCanceled, BrokenTrade, CancelPending, CancelReject, Canceled, ClOrdId, EnterOrder, Executed,
    Inbound, Modified, Options, Outbound, Price, RejectReason, Rejected, ReplaceOrder, Replaced, Side,
    Symbol,
};
use std::collections::BTreeMap;
use std::io::{self, Read, Write};

/// The only instrument.
pub(super) const SYMBOL: &str = "LOCK";
/// The price of each execution.
pub(super) const PRICE: u64 = 101_250;
/// Quantities are told apart by their remainder.
pub(super) const KINDS: u32 = 16;
const WORDS: usize = 6;

/// An order that is not over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Resting {
    kind: u32,
    left: u32,
    executed: u32,
    side: Side,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Venue {
    resting: BTreeMap<(PublisherId, u32), Resting>,
    references: u64,
    matches: u64,
}

fn side_of(code: u64) -> Side {
    if code == u64::from(b'B') { Side::Buy } else { Side::Sell }
}

impl Venue {
    /// Answers a message of a client. Each answer and its destination are passed to `send`.
    pub(super) fn answer(
        &mut self,
        from: PublisherId,
        payload: &[u8],
        send: &mut impl FnMut(PublisherId, Vec<u8>),
    ) {
        let mut answers = Vec::new();
        match Inbound::parse(payload) {
            Ok(Inbound::EnterOrder(order)) => self.enter(from, &order, &mut answers),
            Ok(Inbound::ReplaceOrder(order)) => self.replace(from, &order, &mut answers),
            Ok(Inbound::CancelOrder(cancel)) => self.cancel(from, cancel.user_ref_num, &mut answers),
            _ => {}
        }
        for (to, answer) in answers {
            let mut bytes = Vec::new();
            // All fields are those of a sound order, or our own.
            if answer.append(&mut bytes).is_ok() {
                send(to, bytes);
            }
        }
    }

    fn enter(&mut self, from: PublisherId, order: &EnterOrder, out: &mut Vec<(PublisherId, Outbound)>) {
        let (number, quantity, kind) = (order.user_ref_num, order.quantity, order.quantity % KINDS);
        if kind == 0 {
            return out.push((from, rejected(number)));
        }
        self.references += 1;
        let accepted = Accepted {
            time_ns: 0,
            user_ref_num: number,
            side: order.side,
            quantity,
            symbol: order.symbol,
            price: order.price,
            time_in_force: order.time_in_force,
            display: order.display,
            reference: self.references,
            capacity: order.capacity,
            is_sweep: order.is_sweep,
            cross_type: order.cross_type,
            state: OrderState::Live,
            cl_ord_id: order.cl_ord_id,
            options: Options::NONE,
        };
        out.push((from, Outbound::Accepted(accepted)));
        let own = (from, number);
        self.resting.insert(own, Resting { kind, left: quantity, executed: 0, side: order.side });
        match kind {
            1 | 9 => self.execute(own, quantity, out),
            2 => self.execute(own, quantity / 2, out),
            3 => self.take_off(own, quantity, CancelReason::ImmediateOrCancel, out),
            6 | 14 => {
                // The oldest order of somebody, of which the client may be away.
                if let Some(oldest) = self.resting.keys().find(|other| **other != own).copied() {
                    self.execute(oldest, 1, out);
                    self.execute(own, 1, out);
                }
            }
            7 => {
                self.execute(own, 1, out);
                let broken = BrokenTrade {
                    time_ns: 0,
                    user_ref_num: number,
                    match_number: self.matches,
                    reason: BrokenTradeReason::Consent,
                    cl_ord_id: order.cl_ord_id,
                    options: Options::NONE,
                };
                out.push((from, Outbound::BrokenTrade(broken)));
            }
            10 => self.modify(own, out),
            11 => self.take_off(own, 1, CancelReason::System, out),
            12 => self.prevent(own, out),
            _ => {}
        }
    }

    fn execute(&mut self, of: (PublisherId, u32), quantity: u32, out: &mut Vec<(PublisherId, Outbound)>) {
        let Some(order) = self.resting.get_mut(&of) else { return };
        order.left -= quantity;
        order.executed += quantity;
        if order.left == 0 {
            self.resting.remove(&of);
        }
        self.matches += 1;
        let executed = Executed {
            time_ns: 0,
            user_ref_num: of.1,
            quantity,
            price: Price(PRICE),
            liquidity: if quantity == 1 { LiquidityFlag::Added } else { LiquidityFlag::Removed },
            match_number: self.matches,
            options: Options::NONE,
        };
        out.push((of.0, Outbound::Executed(executed)));
    }

    fn take_off(
        &mut self,
        of: (PublisherId, u32),
        quantity: u32,
        reason: CancelReason,
        out: &mut Vec<(PublisherId, Outbound)>,
    ) {
        let Some(order) = self.resting.get_mut(&of) else { return };
        order.left -= quantity;
        if order.left == 0 {
            self.resting.remove(&of);
        }
        let canceled = Canceled { time_ns: 0, user_ref_num: of.1, quantity, reason, options: Options::NONE };
        out.push((of.0, Outbound::Canceled(canceled)));
    }

    fn modify(&mut self, of: (PublisherId, u32), out: &mut Vec<(PublisherId, Outbound)>) {
        let Some(order) = self.resting.get_mut(&of) else { return };
        order.left -= 1;
        let (side, quantity) = (order.side, order.left);
        let modified = Modified { time_ns: 0, user_ref_num: of.1, side, quantity, options: Options::NONE };
        out.push((of.0, Outbound::Modified(modified)));
    }

    fn prevent(&mut self, of: (PublisherId, u32), out: &mut Vec<(PublisherId, Outbound)>) {
        let Some(order) = self.resting.remove(&of) else { return };
        let canceled = AiqCanceled {
            time_ns: 0,
            user_ref_num: of.1,
            quantity: order.left,
            reason: CancelReason::SelfMatch,
            prevented: order.left,
            price: Price(PRICE),
            liquidity: LiquidityFlag::Removed,
            aiq_strategy: AiqStrategy::PortDefault,
            options: Options::NONE,
        };
        out.push((of.0, Outbound::AiqCanceled(canceled)));
    }

    fn cancel(&mut self, from: PublisherId, number: u32, out: &mut Vec<(PublisherId, Outbound)>) {
        // A cancel that comes too late is answered by silence.
        let Some(order) = self.resting.get(&(from, number)).copied() else { return };
        let (time_ns, user_ref_num, options) = (0, number, Options::NONE);
        match order.kind {
            4 => {
                let refused = CancelReject { time_ns, user_ref_num, options };
                out.push((from, Outbound::CancelReject(refused)));
            }
            kind => {
                if kind == 5 {
                    let pending = CancelPending { time_ns, user_ref_num, options };
                    out.push((from, Outbound::CancelPending(pending)));
                }
                self.take_off((from, number), order.left, CancelReason::UserRequested, out);
            }
        }
    }

    fn replace(&mut self, from: PublisherId, order: &ReplaceOrder, out: &mut Vec<(PublisherId, Outbound)>) {
        let (kind, old) = (order.quantity % KINDS, (from, order.original));
        let Some(known) = self.resting.get(&old).copied().filter(|_| kind != 0) else {
            return out.push((from, rejected(order.user_ref_num)));
        };
        if order.quantity <= known.executed {
            return self.take_off(old, known.left, CancelReason::UserRequested, out);
        }
        self.references += 1;
        let left = order.quantity - known.executed;
        let replaced = Replaced {
            time_ns: 0,
            original: order.original,
            user_ref_num: order.user_ref_num,
            side: known.side,
            quantity: left,
            symbol: Symbol::new(SYMBOL.as_bytes()).unwrap_or(Symbol::BLANK),
            price: order.price,
            time_in_force: order.time_in_force,
            display: order.display,
            reference: self.references,
            capacity: ouch50::codes::Capacity::Agency,
            is_sweep: order.is_sweep,
            cross_type: CrossType::Continuous,
            state: OrderState::Live,
            cl_ord_id: order.cl_ord_id,
            options: Options::NONE,
        };
        self.resting.remove(&old);
        self.resting.insert((from, order.user_ref_num), Resting { kind, left, ..known });
        out.push((from, Outbound::Replaced(replaced)));
    }

    /// Writes its state.
    pub(super) fn snapshot(&self, out: &mut impl Write) -> io::Result<()> {
        let head = [self.references, self.matches, self.resting.len() as u64];
        let orders = self.resting.iter().flat_map(|((client, number), order)| {
            let (kind, left, executed) = (order.kind.into(), order.left.into(), order.executed.into());
            [u64::from(*client), u64::from(*number), kind, left, executed, order.side as u64]
        });
        head.into_iter().chain(orders).try_for_each(|word| out.write_all(&word.to_le_bytes()))
    }

    /// The state that [`Venue::snapshot`] wrote.
    pub(super) fn restore(from: &mut impl Read) -> io::Result<Self> {
        let mut word = || {
            let mut bytes = [0; 8];
            from.read_exact(&mut bytes).map(|()| u64::from_le_bytes(bytes))
        };
        let (references, matches, count) = (word()?, word()?, word()?);
        let mut resting = BTreeMap::new();
        for _ in 0..count {
            let mut words = [0; WORDS];
            for place in &mut words {
                *place = word()?;
            }
            let [client, number, kind, left, executed, side] = words;
            let (kind, left, executed) = (kind as u32, left as u32, executed as u32);
            let order = Resting { kind, left, executed, side: side_of(side) };
            resting.insert((client as PublisherId, number as u32), order);
        }
        Ok(Self { resting, references, matches })
    }
}

fn rejected(user_ref_num: u32) -> Outbound {
    let (reason, cl_ord_id, options) = (RejectReason::InvalidQuantity, ClOrdId::BLANK, Options::NONE);
    Outbound::Rejected(Rejected { time_ns: 0, user_ref_num, reason, cl_ord_id, options })
}
