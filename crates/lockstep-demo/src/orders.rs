//! # orders: the recorded order flow as messages
//!
//! One simulated trading day in ITCH 5.0 (`tests/data`), gzipped, is part of the program. Its adds,
//! deletes, reductions and replaces become messages of one fixed layout, which `docs/ORDERS.md` draws.
//! Everything is checked while it is read: what does not fit is an error with its offset, never a panic.

use bytemuck::{Pod, Zeroable};
use flate2::read::GzDecoder;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;

/// The recorded day, gzipped.
pub const RECORDED: &[u8] = include_bytes!("../../../tests/data/ex20101224.TEST_ITCH_50.gz");
/// More than any day that fits into memory beside everything else: a bomb ends here.
const DAY_BYTES_MAX: u64 = 64 << 20;
/// Added to each order id, once for each repetition of the flow; above all ids of the day.
const REPEAT_ID: u64 = 1 << 40;

/// The change made to an order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum OrderKind {
    /// It is entered.
    New = 1,
    /// It goes.
    Cancel = 2,
    /// It becomes smaller.
    Reduce = 3,
    /// Another one stands in its place.
    Replace = 4,
}

/// An order message, as it is published.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Order {
    /// An [`OrderKind`].
    pub kind: u8,
    /// New: 1 buy, 2 sell; else 0.
    pub side: u8,
    /// 0.
    pub reserved: u16,
    /// New, replace: the order's; reduce: by how much; cancel: 0.
    pub quantity: u32,
    /// The order that it is about.
    pub order_id: u64,
    /// Replace: the order that stands in its place; else 0.
    pub new_order_id: u64,
    /// Symbol in ASCII, padded with blanks.
    pub instrument: [u8; 8],
    /// New, replace: in ten-thousandths of the currency; else 0.
    pub price: u64,
    /// When it was due to be sent, by the monotonic clock.
    pub sent_ns: u64,
}

const _: () = assert!(size_of::<Order>() == 48 && align_of::<Order>() == 8);
const _: () = assert!(std::mem::offset_of!(Order, order_id) == 8);
const _: () = assert!(std::mem::offset_of!(Order, instrument) == 24);
const _: () = assert!(std::mem::offset_of!(Order, sent_ns) == 40);
const _: () = assert!(cfg!(target_endian = "little"), "the layout is little-endian");

/// Bytes of an order behind its number.
pub const NUMBERED_LEN: usize = 8 + size_of::<Order>();

impl Order {
    /// The order in a message; `None` if it is none.
    pub fn from_payload(payload: &[u8]) -> Option<Self> {
        let order: Self = bytemuck::try_pod_read_unaligned(payload).ok()?;
        (1..=4).contains(&order.kind).then_some(order)
    }

    /// The message of the order that is its publisher's `number`th: the number's highest byte first.
    pub fn numbered(&self, number: u64) -> [u8; NUMBERED_LEN] {
        let mut message = [0; NUMBERED_LEN];
        message[..8].copy_from_slice(&number.to_be_bytes());
        message[8..].copy_from_slice(bytemuck::bytes_of(self));
        message
    }

    /// The number and the order in such a message; `None` if it is none.
    pub fn from_numbered(payload: &[u8]) -> Option<(u64, Self)> {
        let (number, order) = payload.split_first_chunk::<8>()?;
        Some((u64::from_be_bytes(*number), Self::from_payload(order)?))
    }
}

/// Where a recorded day is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FlowError {
    /// Bytes from the beginning of the unpacked day.
    pub offset: usize,
    /// The damage found.
    pub why: String,
}

impl fmt::Display for FlowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the order flow is damaged at byte {} (unpacked): {}; take a whole copy",
            self.offset, self.why
        )
    }
}

impl std::error::Error for FlowError {}

/// One order of the day, and the number of its instrument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Recorded {
    order: Order,
    instrument: u16,
}

/// The orders of a day, in their order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderFlow {
    orders: Vec<Recorded>,
}

impl OrderFlow {
    /// The day that is part of the program.
    ///
    /// # Errors
    /// The program is damaged.
    pub fn recorded() -> Result<Self, FlowError> {
        Self::unpack(RECORDED)
    }

    /// Reads a gzipped day.
    ///
    /// # Errors
    /// It is cut, damaged, or no day.
    pub fn unpack(packed: &[u8]) -> Result<Self, FlowError> {
        let mut day = Vec::new();
        let read = GzDecoder::new(packed).take(DAY_BYTES_MAX).read_to_end(&mut day);
        let unpacked =
            read.map_err(|error| FlowError { offset: day.len(), why: format!("gzip: {error}") })?;
        if unpacked as u64 == DAY_BYTES_MAX {
            return Err(FlowError { offset: unpacked, why: format!("more than {DAY_BYTES_MAX} bytes") });
        }
        Self::read(&day)
    }

    /// Reads a day: messages of ITCH 5.0, two zero bytes before each.
    ///
    /// # Errors
    /// See [`OrderFlow::unpack`].
    pub fn read(day: &[u8]) -> Result<Self, FlowError> {
        let mut symbols = BTreeMap::new();
        let mut orders = Vec::new();
        let mut offset = 0;
        while offset < day.len() {
            let wrong = |why: String| FlowError { offset, why };
            let message = message(&day[offset..]).map_err(wrong)?;
            if message.kind() == b'R' {
                symbols.insert(message.instrument(), message.bytes_at::<8>(11));
            } else if let Some(mut order) = order(&message).map_err(wrong)? {
                let instrument = message.instrument();
                let unknown = || wrong(format!("instrument {instrument} was not announced"));
                order.instrument = *symbols.get(&instrument).ok_or_else(unknown)?;
                orders.push(Recorded { order, instrument });
            }
            offset += 2 + message.0.len();
        }
        if orders.is_empty() {
            return Err(FlowError { offset, why: "there is no order in it".to_owned() });
        }
        Ok(Self { orders })
    }

    /// Orders of the day.
    pub fn len(&self) -> usize {
        self.orders.len()
    }

    /// Whether there is none (never, as read).
    pub fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }

    /// Message `index` of the day repeated for ever. Its order ids differ from those of every other
    /// repetition.
    pub fn message(&self, index: u64) -> Order {
        let count = self.orders.len() as u64;
        let mut order = self.orders[(index % count) as usize].order;
        let more = index / count * REPEAT_ID;
        order.order_id += more;
        if order.new_order_id != 0 {
            order.new_order_id += more;
        }
        order
    }

    /// Which of `publishers` sends message `index`: one for all messages of an instrument.
    pub fn publisher(&self, index: u64, publishers: u16) -> u16 {
        self.orders[(index % self.orders.len() as u64) as usize].instrument % publishers
    }
}

/// A message of ITCH, of the length that its type demands.
struct Message<'a>(&'a [u8]);

impl Message<'_> {
    fn kind(&self) -> u8 {
        self.0[0]
    }

    /// The number of the instrument ("stock locate"), which every message has.
    fn instrument(&self) -> u16 {
        u16::from_be_bytes(self.bytes_at(1))
    }

    fn bytes_at<const N: usize>(&self, at: usize) -> [u8; N] {
        std::array::from_fn(|index| self.0[at + index])
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.bytes_at(at))
    }

    fn u64_at(&self, at: usize) -> u64 {
        u64::from_be_bytes(self.bytes_at(at))
    }
}

/// The message at the beginning of `day`, behind its two zeros.
fn message(day: &[u8]) -> Result<Message<'_>, String> {
    match day.get(..2) {
        Some([0, 0]) => {}
        Some(other) => return Err(format!("{other:02x?} stand where two zeros belong")),
        None => return Err("it ends in the middle of two zeros".to_owned()),
    }
    let kind = *day.get(2).ok_or("it ends before a message's type")?;
    let length = length(kind).ok_or_else(|| format!("'{}' is no type of ITCH 5.0", kind.escape_ascii()))?;
    let left = day.len() - 2;
    let cut = || format!("it ends after {left} of the {length} bytes of a message '{}'", kind as char);
    day.get(2..2 + length).map(Message).ok_or_else(cut)
}

/// Bytes of a message of this type.
fn length(kind: u8) -> Option<usize> {
    Some(match kind {
        b'S' | b'W' => 12,
        b'D' | b'B' => 19,
        b'Y' | b'N' => 20,
        b'h' => 21,
        b'X' => 23,
        b'H' => 25,
        b'L' => 26,
        b'K' => 28,
        b'E' => 31,
        b'V' | b'J' | b'U' => 35,
        b'A' | b'C' => 36,
        b'R' => 39,
        b'F' | b'Q' => 40,
        b'P' => 44,
        b'I' => 50,
        _ => return None,
    })
}

/// The order in a message, without its instrument; none in a message of another type.
fn order(message: &Message<'_>) -> Result<Option<Order>, String> {
    let order = |kind: OrderKind| Order { kind: kind as u8, order_id: message.u64_at(11), ..Order::zeroed() };
    let order = match message.kind() {
        b'A' | b'F' => {
            let side = match message.0[19] {
                b'B' => 1,
                b'S' => 2,
                other => return Err(format!("'{}' is no side, B and S are", other.escape_ascii())),
            };
            let (quantity, price) = (message.u32_at(20), u64::from(message.u32_at(32)));
            Order { side, quantity, price, ..order(OrderKind::New) }
        }
        b'D' => order(OrderKind::Cancel),
        b'X' => Order { quantity: message.u32_at(19), ..order(OrderKind::Reduce) },
        b'U' => Order {
            new_order_id: message.u64_at(19),
            quantity: message.u32_at(27),
            price: u64::from(message.u32_at(31)),
            ..order(OrderKind::Replace)
        },
        _ => return Ok(None),
    };
    let largest = order.order_id.max(order.new_order_id);
    let fits = largest < REPEAT_ID;
    fits.then_some(Some(order)).ok_or_else(|| format!("order id {largest} is not below {REPEAT_ID}"))
}
