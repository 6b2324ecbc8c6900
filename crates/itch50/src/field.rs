//! The types of fields (TotalView-ITCH 5.0 "Data Types"): big-endian unsigned integers, prices with implied
//! decimals, texts padded with blanks on their right, codes of one letter, times of day.

use crate::error::ItchError;
use std::fmt;

/// Why one field's bytes are refused; the message's reader adds the place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flaw {
    /// A code that the specification does not list.
    Code(u8),
    /// A byte of a text that is not printable ASCII.
    Byte(u8),
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

/// The field of a message that begins `at` this offset.
#[inline]
pub(crate) fn read_at<T: WireField>(bytes: &[u8], at: usize, field: &'static str) -> Result<T, ItchError> {
    T::get(&bytes[at..at + T::LEN]).map_err(|flaw| match flaw {
        Flaw::Code(code) => ItchError::Code { kind: bytes[0], field, offset: at, code },
        Flaw::Byte(byte) => ItchError::Text { kind: bytes[0], field, offset: at, byte },
    })
}

/// Writes the field that begins `at` this offset.
#[inline]
pub(crate) fn put_at<T: WireField>(field: T, out: &mut [u8], at: usize) {
    field.put(&mut out[at..at + T::LEN]);
}

/// The width of a struct's field, which its reader names.
pub(crate) const fn width<S, T: WireField>(_: fn(&S) -> &T) -> usize {
    T::LEN
}

/// The reader and the writer of a message whose fields stand at these offsets; the compiler refuses a gap, an
/// overlap and a length that is not the sum.
macro_rules! layout {
    ($name:ident $kind:literal $len:literal { $($at:literal $field:ident),+ $(,)? }) => {
        impl $name {
            /// The message type.
            pub const KIND: u8 = $kind;
            /// Bytes of the message, its type included.
            pub const LEN: usize = $len;

            /// The message that `bytes` are; they must be exactly this one.
            ///
            /// # Errors
            /// The type is another's, the length is not [`Self::LEN`], a code is not listed, or a text has a
            /// byte that is not printable.
            #[inline]
            pub fn parse(bytes: &[u8]) -> Result<Self, $crate::error::ItchError> {
                use $crate::error::ItchError;
                match bytes.first() {
                    None => return Err(ItchError::Empty),
                    Some(&Self::KIND) => {}
                    Some(&kind) => return Err(ItchError::Kind { kind }),
                }
                let whole: &[u8; $len] = bytes.try_into().map_err(|_| ItchError::Length {
                    kind: Self::KIND,
                    len: bytes.len(),
                    expected: Self::LEN,
                })?;
                Ok(Self { $($field: $crate::field::read_at(whole, $at, stringify!($field))?),+ })
            }

            /// Its bytes.
            #[inline]
            pub fn encode(&self) -> [u8; $len] {
                let mut out = [0; $len];
                out[0] = Self::KIND;
                $($crate::field::put_at(self.$field, &mut out, $at);)+
                out
            }
        }

        const _: () = {
            let mut next = 1;
            $(
                assert!(next == $at, "a field begins where the one before it ends");
                next += $crate::field::width::<$name, _>(|message| &message.$field);
            )+
            assert!(next == $len, "the length is that of all fields");
        };
    };
}
pub(crate) use layout;

/// The codes of an enumerated field, whose discriminants are the letters.
macro_rules! codes {
    ($name:ident { $($variant:ident),+ $(,)? }) => {
        impl $name {
            /// All values of the specification.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The letter on the wire.
            #[inline]
            pub fn code(self) -> u8 {
                self as u8
            }

            /// The value of a letter; `None` if the specification does not list it.
            #[inline]
            pub fn from_code(code: u8) -> Option<Self> {
                $(if code == Self::$variant as u8 {
                    return Some(Self::$variant);
                })+
                None
            }
        }

        impl $crate::field::WireField for $name {
            const LEN: usize = 1;

            #[inline]
            fn get(bytes: &[u8]) -> Result<Self, $crate::field::Flaw> {
                Self::from_code(bytes[0]).ok_or($crate::field::Flaw::Code(bytes[0]))
            }

            #[inline]
            fn put(self, out: &mut [u8]) {
                out[0] = self.code();
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
integers!(u8, u16, u32, u64);

/// `Y` and `N`.
impl WireField for bool {
    const LEN: usize = 1;

    #[inline]
    fn get(bytes: &[u8]) -> Result<Self, Flaw> {
        match bytes[0] {
            b'Y' => Ok(true),
            b'N' => Ok(false),
            code => Err(Flaw::Code(code)),
        }
    }

    #[inline]
    fn put(self, out: &mut [u8]) {
        out[0] = if self { b'Y' } else { b'N' };
    }
}

/// `Y`, `N`, and a blank where it is not available.
impl WireField for Option<bool> {
    const LEN: usize = 1;

    #[inline]
    fn get(bytes: &[u8]) -> Result<Self, Flaw> {
        if bytes[0] == b' ' { Ok(None) } else { bool::get(bytes).map(Some) }
    }

    #[inline]
    fn put(self, out: &mut [u8]) {
        match self {
            Some(flag) => flag.put(out),
            None => out[0] = b' ',
        }
    }
}

/// Nanoseconds since midnight, in 48 bits ("Timestamp").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The first number that six bytes do not hold: 78 hours.
    pub const NS_END: u64 = 1 << 48;

    /// `None` from [`Timestamp::NS_END`] on. The specification names no other bound, so 24 hours are none.
    pub const fn new(ns: u64) -> Option<Self> {
        if ns < Self::NS_END { Some(Self(ns)) } else { None }
    }

    /// Nanoseconds since midnight.
    pub const fn ns(self) -> u64 {
        self.0
    }
}

impl WireField for Timestamp {
    const LEN: usize = 6;

    #[inline]
    fn get(bytes: &[u8]) -> Result<Self, Flaw> {
        let mut raw = [0; 8];
        raw[2..].copy_from_slice(bytes);
        Ok(Self(u64::from_be_bytes(raw)))
    }

    #[inline]
    fn put(self, out: &mut [u8]) {
        out.copy_from_slice(&self.0.to_be_bytes()[2..]);
    }
}

/// A price in ten-thousandths of a dollar ("Price (4)").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Price4(
    /// 1.25 dollars are 12,500.
    pub u32,
);

impl Price4 {
    /// The highest price that the specification allows, 200,000 dollars. A reader does not judge it.
    pub const MAX: Self = Self(2_000_000_000);
}

/// A value in hundred-millionths ("Price (8)"): levels of an index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Price8(
    /// 1.25 is 125,000,000.
    pub u64,
);

impl fmt::Display for Price4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:04}", self.0 / 10_000, self.0 % 10_000)
    }
}

impl fmt::Display for Price8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:08}", self.0 / 100_000_000, self.0 % 100_000_000)
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
wrapped!(Price4: u32, Price8: u64);

/// A text of `N` bytes of printable ASCII, padded with blanks on its right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alpha<const N: usize>([u8; N]);

/// A symbol ("Stock").
pub type Stock = Alpha<8>;
/// A market participant's identifier.
pub type Mpid = Alpha<4>;

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

/// The three fields that every message begins with, behind its type.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Head {
    /// The instrument's number of the day ("Stock Locate"); 0 where a message concerns none.
    pub locate: u16,
    /// The venue's own number ("Tracking Number").
    pub tracking: u16,
    /// When the message was generated.
    pub time: Timestamp,
}

impl WireField for Head {
    const LEN: usize = 10;

    #[inline]
    fn get(bytes: &[u8]) -> Result<Self, Flaw> {
        let (locate, tracking) = (u16::get(&bytes[..2])?, u16::get(&bytes[2..4])?);
        Ok(Self { locate, tracking, time: Timestamp::get(&bytes[4..])? })
    }

    #[inline]
    fn put(self, out: &mut [u8]) {
        self.locate.put(&mut out[..2]);
        self.tracking.put(&mut out[2..4]);
        self.time.put(&mut out[4..]);
    }
}
