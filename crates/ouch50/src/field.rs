//! The types of fields (OUCH 5.0 1.2 "Data Types"): big-endian integers, prices with four implied decimals,
//! texts padded with blanks on their right, codes of one letter or two bytes.

use crate::error::OuchError;
use std::fmt;

/// Why one field's bytes are refused; the message's reader adds the place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flaw {
    /// A code that the specification does not list.
    Code(u16),
    /// A byte of a text that is not printable ASCII.
    Byte(u8),
}

impl Flaw {
    /// The error of a message whose field stands there.
    pub(crate) fn at(self, kind: u8, field: &'static str, offset: usize) -> OuchError {
        match self {
            Self::Code(code) => OuchError::Code { kind, field, offset, code },
            Self::Byte(byte) => OuchError::Text { kind, field, offset, byte },
        }
    }
}

/// One field on the wire.
pub(crate) trait WireField: Copy {
    /// Its bytes.
    const LEN: usize;
    /// From exactly `LEN` bytes.
    fn get(bytes: &[u8]) -> Result<Self, Flaw>;
    /// To exactly `LEN` bytes.
    fn put(self, out: &mut [u8]);
}

/// A field that only some of its type's values may stand in.
pub(crate) trait Judged: WireField {
    /// Its code, for the error.
    fn wire_code(self) -> u16;
}

/// The field of a message that begins `at` this offset.
#[inline]
pub(crate) fn read_at<T: WireField>(bytes: &[u8], at: usize, field: &'static str) -> Result<T, OuchError> {
    T::get(&bytes[at..at + T::LEN]).map_err(|flaw| flaw.at(bytes[0], field, at))
}

/// Writes the field that begins `at` this offset.
#[inline]
pub(crate) fn put_at<T: WireField>(field: T, out: &mut [u8], at: usize) {
    field.put(&mut out[at..at + T::LEN]);
}

/// Refuses a value that this message's field does not take, though others of its type do.
#[inline]
pub(crate) fn judge<T: Judged>(
    value: T,
    is_listed: fn(T) -> bool,
    kind: u8,
    field: &'static str,
    offset: usize,
) -> Result<(), OuchError> {
    if is_listed(value) {
        Ok(())
    } else {
        Err(OuchError::Code { kind, field, offset, code: value.wire_code() })
    }
}

/// The width of a struct's field, which its reader names.
pub(crate) const fn width<S, T: WireField>(_: fn(&S) -> &T) -> usize {
    T::LEN
}

/// The codes of an enumerated field, whose discriminants are what stands on the wire.
macro_rules! codes {
    ($repr:ident $name:ident { $($variant:ident),+ $(,)? }) => {
        impl $name {
            /// All values of the specification.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// What stands on the wire.
            #[inline]
            pub fn code(self) -> $repr {
                self as $repr
            }

            /// The value of a code; `None` if the specification does not list it.
            #[inline]
            pub fn from_code(code: $repr) -> Option<Self> {
                $(if code == Self::$variant as $repr {
                    return Some(Self::$variant);
                })+
                None
            }
        }

        impl $crate::field::WireField for $name {
            const LEN: usize = size_of::<$repr>();

            #[inline]
            fn get(bytes: &[u8]) -> Result<Self, $crate::field::Flaw> {
                let code = <$repr as $crate::field::WireField>::get(bytes)?;
                Self::from_code(code).ok_or($crate::field::Flaw::Code(u16::from(code)))
            }

            #[inline]
            fn put(self, out: &mut [u8]) {
                self.code().put(out);
            }
        }

        impl $crate::field::Judged for $name {
            fn wire_code(self) -> u16 {
                u16::from(self.code())
            }
        }

        // A variant that the list lacks does not compile.
        const _: fn($name) = |value| match value {
            $($name::$variant)|+ => {}
        };
    };
}
pub(crate) use codes;

macro_rules! integers {
    ($($name:ty),+) => {$(
        impl WireField for $name {
            const LEN: usize = size_of::<$name>();

            #[inline]
            fn get(bytes: &[u8]) -> Result<Self, Flaw> {
                let mut raw = [0; size_of::<$name>()];
                raw.copy_from_slice(bytes);
                Ok(Self::from_be_bytes(raw))
            }

            #[inline]
            fn put(self, out: &mut [u8]) {
                out.copy_from_slice(&self.to_be_bytes());
            }
        }
    )+};
}
integers!(u8, u16, u32, u64, i32);

/// `Y` and `N`.
impl WireField for bool {
    const LEN: usize = 1;

    #[inline]
    fn get(bytes: &[u8]) -> Result<Self, Flaw> {
        match bytes[0] {
            b'Y' => Ok(true),
            b'N' => Ok(false),
            code => Err(Flaw::Code(u16::from(code))),
        }
    }

    #[inline]
    fn put(self, out: &mut [u8]) {
        out[0] = if self { b'Y' } else { b'N' };
    }
}

/// A price in ten-thousandths of a dollar, in eight bytes ("Price"). A reader judges none: whether a price is
/// possible decides the venue, which answers [`RejectReason::InvalidPrice`](crate::codes::RejectReason).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Price(
    /// 1.25 dollars are 12,500.
    pub u64,
);

impl Price {
    /// Of a market order: 200,000 dollars.
    pub const MARKET: Self = Self(2_000_000_000);
    /// Of a market order for a cross: 214,748.3647 dollars.
    pub const MARKET_FOR_CROSS: Self = Self(0x7FFF_FFFF);
}

/// An offset in ten-thousandths of a dollar, in four bytes ("Signed Price").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SignedPrice(
    /// −1.25 dollars are −12,500.
    pub i32,
);

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:04}", self.0 / 10_000, self.0 % 10_000)
    }
}

impl fmt::Display for SignedPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let size = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:04}", size / 10_000, size % 10_000)
    }
}

macro_rules! wrapped {
    ($($name:ident: $inner:ty),+) => {$(
        impl WireField for $name {
            const LEN: usize = <$inner as WireField>::LEN;

            #[inline]
            fn get(bytes: &[u8]) -> Result<Self, Flaw> {
                <$inner as WireField>::get(bytes).map(Self)
            }

            #[inline]
            fn put(self, out: &mut [u8]) {
                self.0.put(out);
            }
        }
    )+};
}
wrapped!(Price: u64, SignedPrice: i32);

/// A text of `N` bytes of printable ASCII, padded with blanks on its right ("Alpha").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alpha<const N: usize>([u8; N]);

/// A symbol.
pub type Symbol = Alpha<8>;
/// A firm's identifier; blank: the account's default firm.
pub type Firm = Alpha<4>;
/// The client's own name of an order, which the venue repeats and does not compare.
pub type ClOrdId = Alpha<14>;

/// Why a text does not fit its field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TextError {
    /// More bytes than the field is wide.
    Long {
        /// Bytes of the text.
        len: usize,
        /// Bytes of the field.
        width: usize,
    },
    /// A byte that is not printable ASCII.
    Byte {
        /// The first such.
        byte: u8,
    },
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Long { len, width } => write!(f, "{len} bytes in a field of {width}: shorten it"),
            Self::Byte { byte } => write!(f, "byte {byte:#04x} in a text: use printable ASCII"),
        }
    }
}

impl std::error::Error for TextError {}

fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

impl<const N: usize> Alpha<N> {
    /// Blanks alone.
    pub const BLANK: Self = Self([b' '; N]);

    /// A text of at most `N` bytes; blanks follow it on the wire.
    ///
    /// # Errors
    /// It is longer, or has a byte that is not printable ASCII.
    pub fn new(text: &[u8]) -> Result<Self, TextError> {
        if text.len() > N {
            return Err(TextError::Long { len: text.len(), width: N });
        }
        match text.iter().find(|byte| !is_printable(**byte)) {
            Some(&byte) => Err(TextError::Byte { byte }),
            None => {
                let mut field = Self::BLANK;
                field.0[..text.len()].copy_from_slice(text);
                Ok(field)
            }
        }
    }

    /// The bytes of the field, blanks included.
    pub fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }

    /// The text without the blanks on its right.
    pub fn text(&self) -> &[u8] {
        self.0.trim_ascii_end()
    }

    /// Nothing but blanks.
    pub fn is_blank(&self) -> bool {
        self.text().is_empty()
    }
}

impl<const N: usize> WireField for Alpha<N> {
    const LEN: usize = N;

    #[inline]
    fn get(bytes: &[u8]) -> Result<Self, Flaw> {
        let mut field = Self::BLANK;
        field.0.copy_from_slice(bytes);
        // All at once first: the compiler makes wide instructions of it.
        if field.0.iter().fold(true, |so_far, byte| so_far & is_printable(*byte)) {
            return Ok(field);
        }
        let byte = field.0.iter().copied().find(|byte| !is_printable(*byte));
        Err(Flaw::Byte(byte.unwrap_or_default()))
    }

    #[inline]
    fn put(self, out: &mut [u8]) {
        out.copy_from_slice(&self.0);
    }
}

impl<const N: usize> fmt::Display for Alpha<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text().iter().try_for_each(|&byte| write!(f, "{}", char::from(byte)))
    }
}

impl<const N: usize> fmt::Debug for Alpha<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
