//! The optional appendage behind a message's fields (1.2, Appendix A): elements of a length, a tag and a
//! value.
//!
//! ```text
//!  0                  2        3     4
//!  ┌──────────────────┬────────┬─────┬─────────┐
//!  │ appendage length │ length │ tag │ value   │ …   the element's length counts tag and value
//!  └──────────────────┴────────┴─────┴─────────┘
//! ```
//!
//! The specification does not order the elements and is silent about one that is there twice. Any order is
//! read and ascending tags are written; a repetition is refused, as it could mean either value.

use crate::codes::{
    AiqStrategy, BboWeight, CustomerType, DiscretionPriceType, HandleInst, PostOnly, PriceType, Side,
    TradeNow,
};
use crate::error::OuchError;
use crate::field::{Alpha, Firm, Price, SignedPrice, WireField};
use std::fmt;

/// Bytes of the appendage's length.
pub(crate) const LENGTH_LEN: usize = 2;
/// Bytes before an element's value.
const ELEMENT_HEADER_LEN: usize = 2;

/// Whether a message has an appendage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Presence {
    /// Its length never follows.
    Absent,
    /// Its length always follows, 0 without options.
    Required,
    /// Its length may follow.
    Optional,
}

/// A set of options, by their tags.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TagSet(u32);

impl TagSet {
    /// Of these tags, each below 32: the specification's, so that a shift beyond is found by the compiler.
    pub(crate) const fn of(tags: &[u8]) -> Self {
        let (mut set, mut at) = (0, 0);
        while at < tags.len() {
            set |= 1 << tags[at];
            at += 1;
        }
        Self(set)
    }

    /// Whether it has this tag.
    pub const fn contains(self, tag: u8) -> bool {
        tag < 32 && self.0 & (1 << tag) != 0
    }

    /// Its tags, ascending.
    pub fn tags(self) -> impl Iterator<Item = u8> {
        (0..32).filter(move |tag| self.contains(*tag))
    }
}

/// The options of a message, each there or not. Which of them a message takes is its constant `OPTIONS`.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Tag 1: the order's reference in the market data while its displayed part is another order there.
    pub secondary_reference: Option<u64>,
    /// Tag 2: the firm that enters the order; absent or blank: the account's default.
    pub firm: Option<Firm>,
    /// Tag 3: the least shares of an execution; absent or 0: none.
    pub min_quantity: Option<u32>,
    /// Tag 4: whether the order is a retail customer's.
    pub customer_type: Option<CustomerType>,
    /// Tag 5: the displayed part of an order with reserves; absent or 0: all of it.
    pub max_floor: Option<u32>,
    /// Tag 6: what the order's price follows; absent: limit.
    pub price_type: Option<PriceType>,
    /// Tag 7: from the price that it follows.
    pub peg_offset: Option<SignedPrice>,
    /// Tag 9: the price to which the order executes undisplayed; absent or 0: none.
    pub discretion_price: Option<Price>,
    /// Tag 10: what that price follows; absent: limit.
    pub discretion_price_type: Option<DiscretionPriceType>,
    /// Tag 11: from the price that it follows.
    pub discretion_peg_offset: Option<SignedPrice>,
    /// Tag 12: whether the order may take liquidity; absent: it may.
    pub post_only: Option<PostOnly>,
    /// Tag 13: shares by which the displayed part varies; absent or 0: none.
    pub random_reserves: Option<u32>,
    /// Tag 14: where the order is routed.
    pub route: Option<Alpha<4>>,
    /// Tag 15: seconds to live, below 86,400; with time in force `6`. A venue judges the bound.
    pub expire_s: Option<u32>,
    /// Tag 16: whether a resting order takes liquidity that arrives hidden.
    pub trade_now: Option<TradeNow>,
    /// Tag 17: what a cross or a retail program does with the order; absent: nothing.
    pub handle_inst: Option<HandleInst>,
    /// Tag 18: the order's weight in the best bid and offer.
    pub bbo_weight: Option<BboWeight>,
    /// Tag 22: the displayed shares of a restated order.
    pub display_quantity: Option<u32>,
    /// Tag 23: the displayed price of a restated order.
    pub display_price: Option<Price>,
    /// Tag 24: the client's group of orders; in a mass cancel 0 means orders of no group.
    pub group_id: Option<u16>,
    /// Tag 25: the shares of a short sale are located; absent: they are not. A replacement needs it again.
    pub shares_located: Option<bool>,
    /// Tag 26: with which broker. A replacement needs it again.
    pub locate_broker: Option<Alpha<4>>,
    /// Tag 27: the side, of a replacement or of a mass cancel.
    pub side: Option<Side>,
    /// Tag 28: the channel of the account, each of which counts its own order numbers; absent or 0: none.
    pub user_ref_idx: Option<u8>,
    /// Tag 29: what is done instead of an execution against an own order; absent: the port's default.
    pub aiq_strategy: Option<AiqStrategy>,
    /// Tag 30: among which orders; absent or `**`: the port's default.
    pub aiq_group_id: Option<Alpha<2>>,
}

/// One element's value.
fn value<T: WireField>(
    kind: u8,
    field: &'static str,
    element: &Element<'_>,
    slot: &mut Option<T>,
) -> Result<(), OuchError> {
    let (tag, len) = (element.tag, element.value.len());
    if len != T::LEN {
        return Err(OuchError::OptionLength { kind, tag, len, expected: T::LEN });
    }
    let read =
        T::get(element.value).map_err(|flaw| flaw.at(kind, field, element.offset + ELEMENT_HEADER_LEN))?;
    match slot.replace(read) {
        None => Ok(()),
        Some(_) => Err(OuchError::OptionTwice { kind, tag }),
    }
}

/// Writes one element to the front of `out` and returns the rest.
fn put_element<T: WireField>(tag: u8, option: Option<T>, out: &mut [u8]) -> &mut [u8] {
    let Some(option) = option else { return out };
    let (element, rest) = out.split_at_mut(ELEMENT_HEADER_LEN + T::LEN);
    (element[0], element[1]) = (1 + T::LEN as u8, tag);
    option.put(&mut element[ELEMENT_HEADER_LEN..]);
    rest
}

fn element_len<T: WireField>(option: Option<T>) -> usize {
    option.map_or(0, |_| ELEMENT_HEADER_LEN + T::LEN)
}

/// One element, checked against the appendage's end.
struct Element<'a> {
    tag: u8,
    value: &'a [u8],
    /// Where its length stands in the message.
    offset: usize,
}

/// The table of Appendix A: tag and field.
macro_rules! table {
    ($($tag:literal $field:ident),+ $(,)?) => {
        impl Options {
            /// No option.
            pub const NONE: Self = Self { $($field: None),+ };
            /// All options of the specification.
            pub const ALL: TagSet = TagSet::of(&[$($tag),+]);

            /// The options that are there.
            pub fn present(&self) -> TagSet {
                TagSet(0 $(| u32::from(self.$field.is_some()) << $tag)+)
            }

            fn take(&mut self, kind: u8, element: &Element<'_>) -> Result<(), OuchError> {
                match element.tag {
                    $($tag => value(kind, stringify!($field), element, &mut self.$field),)+
                    tag => Err(OuchError::OptionUnknown { kind, tag, offset: element.offset }),
                }
            }

            /// Bytes of their elements, without the appendage's length.
            pub fn encoded_len(&self) -> usize {
                0 $(+ element_len(self.$field))+
            }

            fn put(&self, mut out: &mut [u8]) {
                $(out = put_element($tag, self.$field, out);)+
                debug_assert!(out.is_empty());
            }
        }

        impl fmt::Debug for Options {
            /// Those alone that are there: this ends up in logs.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = f.debug_struct("Options");
                $(if let Some(option) = &self.$field {
                    text.field(stringify!($field), option);
                })+
                text.finish()
            }
        }
    };
}

table!(
    1 secondary_reference,
    2 firm,
    3 min_quantity,
    4 customer_type,
    5 max_floor,
    6 price_type,
    7 peg_offset,
    9 discretion_price,
    10 discretion_price_type,
    11 discretion_peg_offset,
    12 post_only,
    13 random_reserves,
    14 route,
    15 expire_s,
    16 trade_now,
    17 handle_inst,
    18 bbo_weight,
    22 display_quantity,
    23 display_price,
    24 group_id,
    25 shares_located,
    26 locate_broker,
    27 side,
    28 user_ref_idx,
    29 aiq_strategy,
    30 aiq_group_id,
);

impl Options {
    /// The channel alone, absent for 0.
    pub fn channel(user_ref_idx: u8) -> Self {
        Self { user_ref_idx: (user_ref_idx != 0).then_some(user_ref_idx), ..Self::NONE }
    }

    /// What follows the `fixed` bytes of a message.
    pub(crate) fn read_behind(
        bytes: &[u8],
        fixed: usize,
        presence: Presence,
        listed: TagSet,
    ) -> Result<Self, OuchError> {
        let kind = bytes[0];
        let tail = &bytes[fixed..];
        let (length, elements) = match (presence, tail) {
            (Presence::Absent | Presence::Optional, []) => return Ok(Self::NONE),
            (Presence::Required | Presence::Optional, [high, low, elements @ ..]) => {
                (u16::from_be_bytes([*high, *low]), elements)
            }
            (Presence::Required, _) => {
                return Err(OuchError::Length { kind, len: bytes.len(), expected: fixed + LENGTH_LEN });
            }
            _ => return Err(OuchError::Length { kind, len: bytes.len(), expected: fixed }),
        };
        if elements.len() != usize::from(length) {
            return Err(OuchError::Appendage { kind, length, found: elements.len() });
        }
        Self::read(kind, elements, fixed + LENGTH_LEN, listed)
    }

    fn read(kind: u8, mut rest: &[u8], mut offset: usize, listed: TagSet) -> Result<Self, OuchError> {
        let mut options = Self::NONE;
        while let Some((&len, behind)) = rest.split_first() {
            let element = behind.split_at_checked(usize::from(len));
            let Some((&[tag, ref value @ ..], after)) = element else {
                return Err(OuchError::OptionEnd { kind, offset });
            };
            options.take(kind, &Element { tag, value, offset })?;
            if !listed.contains(tag) {
                return Err(OuchError::OptionUnlisted { kind, tag });
            }
            offset += 1 + usize::from(len);
            rest = after;
        }
        Ok(options)
    }

    /// Bytes that follow a message's fields; the length is left out where it may be and there is no option.
    pub(crate) fn len_behind(&self, presence: Presence) -> usize {
        match (presence, self.encoded_len()) {
            (Presence::Absent, _) | (Presence::Optional, 0) => 0,
            (_, len) => LENGTH_LEN + len,
        }
    }

    /// Refuses an option that the message does not take.
    pub(crate) fn check(&self, kind: u8, listed: TagSet) -> Result<(), OuchError> {
        match self.present().tags().find(|tag| !listed.contains(*tag)) {
            Some(tag) => Err(OuchError::OptionUnlisted { kind, tag }),
            None => Ok(()),
        }
    }

    /// Writes what follows a message's fields, to exactly as many bytes.
    pub(crate) fn put_behind(&self, out: &mut [u8]) {
        if let Some((length, elements)) = out.split_first_chunk_mut::<LENGTH_LEN>() {
            // At most 26 elements of at most 10 bytes.
            *length = (elements.len() as u16).to_be_bytes();
            self.put(elements);
        }
    }
}
