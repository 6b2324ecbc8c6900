//! All messages as one type.

use crate::admin::{
    AuctionCollar, DeclineBreach, DeclineLevels, IpoQuotation, OperationalHalt, ParticipantPosition,
    ShortSaleRestriction, StockDirectory, SystemEvent, TradingAction,
};
use crate::error::ItchError;
use crate::field::Head;
use crate::orders::{
    AddOrder, AttributedOrder, OrderCancel, OrderDelete, OrderExecuted, OrderExecutedAtPrice, OrderReplace,
};
use crate::trades::{BrokenTrade, CrossTrade, Imbalance, PriceDiscovery, RetailInterest, Trade};

/// The longest message: a buffer of this size takes every one.
pub const MESSAGE_LEN_MAX: usize = 50;

/// One message of TotalView-ITCH 5.0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message {
    /// `S`.
    SystemEvent(SystemEvent),
    /// `R`.
    StockDirectory(StockDirectory),
    /// `H`.
    TradingAction(TradingAction),
    /// `Y`.
    ShortSaleRestriction(ShortSaleRestriction),
    /// `L`.
    ParticipantPosition(ParticipantPosition),
    /// `V`.
    DeclineLevels(DeclineLevels),
    /// `W`.
    DeclineBreach(DeclineBreach),
    /// `K`.
    IpoQuotation(IpoQuotation),
    /// `J`.
    AuctionCollar(AuctionCollar),
    /// `h`.
    OperationalHalt(OperationalHalt),
    /// `A`.
    AddOrder(AddOrder),
    /// `F`.
    AttributedOrder(AttributedOrder),
    /// `E`.
    OrderExecuted(OrderExecuted),
    /// `C`.
    OrderExecutedAtPrice(OrderExecutedAtPrice),
    /// `X`.
    OrderCancel(OrderCancel),
    /// `D`.
    OrderDelete(OrderDelete),
    /// `U`.
    OrderReplace(OrderReplace),
    /// `P`.
    Trade(Trade),
    /// `Q`.
    CrossTrade(CrossTrade),
    /// `B`.
    BrokenTrade(BrokenTrade),
    /// `I`.
    Imbalance(Imbalance),
    /// `N`.
    RetailInterest(RetailInterest),
    /// `O`.
    PriceDiscovery(PriceDiscovery),
}

macro_rules! messages {
    ($($name:ident),+ $(,)?) => {
        impl Message {
            /// The types of all messages.
            pub const KINDS: &'static [u8] = &[$($name::KIND),+];

            /// The message that `bytes` are; they must be exactly one.
            ///
            /// # Errors
            /// There is no byte, the type is unknown, the length is not that of the type, a code is not
            /// listed, or a text has a byte that is not printable.
            #[inline]
            pub fn parse(bytes: &[u8]) -> Result<Self, ItchError> {
                match bytes.first() {
                    None => Err(ItchError::Empty),
                    $(Some(&$name::KIND) => $name::parse(bytes).map(Self::$name),)+
                    Some(&kind) => Err(ItchError::Kind { kind }),
                }
            }

            /// Bytes of every message of a type, which it begins with; `None` for an unknown type.
            pub fn len_of(kind: u8) -> Option<usize> {
                match kind {
                    $($name::KIND => Some($name::LEN),)+
                    _ => None,
                }
            }

            /// Its type.
            pub fn kind(&self) -> u8 {
                match self {
                    $(Self::$name(_) => $name::KIND,)+
                }
            }

            /// Its bytes on the wire.
            pub fn encoded_len(&self) -> usize {
                match self {
                    $(Self::$name(_) => $name::LEN,)+
                }
            }

            /// Instrument, tracking number and time.
            pub fn head(&self) -> Head {
                match self {
                    $(Self::$name(message) => message.head,)+
                }
            }

            /// Appends its bytes and returns how many they are.
            pub fn append(&self, out: &mut Vec<u8>) -> usize {
                match self {
                    $(Self::$name(message) => out.extend_from_slice(&message.encode()),)+
                }
                self.encoded_len()
            }

            /// Writes its bytes to the front of `out` and returns how many they are.
            ///
            /// # Errors
            /// `out` is shorter; nothing is written.
            pub fn write(&self, out: &mut [u8]) -> Result<usize, ItchError> {
                let needed = self.encoded_len();
                let room = out.get_mut(..needed).ok_or(ItchError::NoRoom { needed })?;
                match self {
                    $(Self::$name(message) => room.copy_from_slice(&message.encode()),)+
                }
                Ok(needed)
            }
        }

        $(impl From<$name> for Message {
            fn from(message: $name) -> Self {
                Self::$name(message)
            }
        })+

        const _: () = {
            $(assert!($name::LEN <= MESSAGE_LEN_MAX);)+
        };
    };
}

messages!(
    SystemEvent,
    StockDirectory,
    TradingAction,
    ShortSaleRestriction,
    ParticipantPosition,
    DeclineLevels,
    DeclineBreach,
    IpoQuotation,
    AuctionCollar,
    OperationalHalt,
    AddOrder,
    AttributedOrder,
    OrderExecuted,
    OrderExecutedAtPrice,
    OrderCancel,
    OrderDelete,
    OrderReplace,
    Trade,
    CrossTrade,
    BrokenTrade,
    Imbalance,
    RetailInterest,
    PriceDiscovery,
);
