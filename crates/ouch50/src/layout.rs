//! What every message has: one line of offsets makes its reader and its writer.

/// The reader and the writer of a message whose fields stand at these offsets; the compiler refuses a gap, an
/// overlap and a length that is not the sum. Behind `options`: whether the appendage must follow, and the
/// tags that the specification lists for the message.
macro_rules! layout {
    (@presence) => { $crate::options::Presence::Absent };
    (@presence $presence:ident) => { $crate::options::Presence::$presence };
    (@tail $message:ident) => { &$crate::options::Options::NONE };
    (@tail $message:ident $options:ident) => { &$message.$options };
    (
        $name:ident $kind:literal $len:literal {
            $($at:literal $field:ident $(if $is_listed:path)?),* $(,)?
        } $($options:ident $presence:ident [$($tag:literal)*])?
    ) => {
        impl $name {
            /// The message type.
            pub const KIND: u8 = $kind;
            /// Bytes of the message without its appendage and that one's length.
            pub const FIXED_LEN: usize = $len;
            /// The options that the specification lists for it.
            pub const OPTIONS: $crate::options::TagSet = $crate::options::TagSet::of(&[$($($tag),*)?]);
            const PRESENCE: $crate::options::Presence = $crate::layout::layout!(@presence $($presence)?);

            /// The message that `bytes` are; they must be exactly this one.
            ///
            /// # Errors
            /// The type is another's, a length is wrong, a code is not listed, a text has a byte that is not
            /// printable, or an option is unknown, not listed for this message, or there twice.
            #[inline]
            pub fn parse(bytes: &[u8]) -> Result<Self, $crate::error::OuchError> {
                use $crate::error::OuchError;
                use $crate::options::{LENGTH_LEN, Options, Presence};
                let &kind = bytes.first().ok_or(OuchError::Empty)?;
                if kind != Self::KIND {
                    return Err(OuchError::Kind { kind });
                }
                let fixed: &[u8; $len] = bytes.first_chunk().ok_or(OuchError::Length {
                    kind,
                    len: bytes.len(),
                    expected: if Self::PRESENCE == Presence::Required { $len + LENGTH_LEN } else { $len },
                })?;
                let tail = Options::read_behind(bytes, $len, Self::PRESENCE, Self::OPTIONS)?;
                let message = Self {
                    $($field: $crate::field::read_at(fixed, $at, stringify!($field))?,)*
                    $($options: tail,)?
                };
                let _ = (fixed, tail);
                message.judge().map(|()| message)
            }

            /// Refuses values that this message's fields do not take, though others of their types do.
            #[inline]
            fn judge(&self) -> Result<(), $crate::error::OuchError> {
                $($($crate::field::judge(self.$field, $is_listed, $kind, stringify!($field), $at)?;)?)*
                Ok(())
            }

            #[inline]
            fn tail(&self) -> &$crate::options::Options {
                $crate::layout::layout!(@tail self $($options)?)
            }

            /// Bytes on the wire.
            pub fn encoded_len(&self) -> usize {
                $len + self.tail().len_behind(Self::PRESENCE)
            }

            /// Writes it to the front of `out` and returns how many bytes it has.
            ///
            /// # Errors
            /// `out` is shorter, a field has a value that this message does not take, or it has an option
            /// that is not listed; nothing is written.
            pub fn write(&self, out: &mut [u8]) -> Result<usize, $crate::error::OuchError> {
                self.judge()?;
                self.tail().check($kind, Self::OPTIONS)?;
                let needed = self.encoded_len();
                let room = out.get_mut(..needed).ok_or($crate::error::OuchError::NoRoom { needed })?;
                let (fixed, behind) = room.split_at_mut($len);
                fixed[0] = Self::KIND;
                $($crate::field::put_at(self.$field, fixed, $at);)*
                self.tail().put_behind(behind);
                Ok(needed)
            }

            /// Appends it and returns how many bytes it has.
            ///
            /// # Errors
            /// A field has a value that this message does not take, or it has an option that is not listed;
            /// nothing is appended.
            pub fn append(&self, out: &mut Vec<u8>) -> Result<usize, $crate::error::OuchError> {
                let start = out.len();
                out.resize(start + self.encoded_len(), 0);
                let written = self.write(&mut out[start..]);
                if written.is_err() {
                    out.truncate(start);
                }
                written
            }
        }

        const _: () = {
            #[allow(unused_mut, reason = "a message without fields")]
            let mut next = 1;
            $(
                assert!(next == $at, "a field begins where the one before it ends");
                next += $crate::field::width::<$name, _>(|message| &message.$field);
            )*
            assert!(next == $len, "the length is that of all fields");
        };
    };
}
pub(crate) use layout;

/// The dispatch of a direction over its messages.
macro_rules! direction {
    ($direction:ident { $($name:ident),+ $(,)? }) => {
        impl $direction {
            /// The types of all messages of this direction.
            pub const KINDS: &'static [u8] = &[$($name::KIND),+];

            /// The message that `bytes` are; they must be exactly one.
            ///
            /// # Errors
            /// There is no byte, the type is not of this direction, or the message's own `parse` refuses it.
            #[inline]
            pub fn parse(bytes: &[u8]) -> Result<Self, $crate::error::OuchError> {
                match bytes.first() {
                    None => Err($crate::error::OuchError::Empty),
                    $(Some(&$name::KIND) => $name::parse(bytes).map(Self::$name),)+
                    Some(&kind) => Err($crate::error::OuchError::Kind { kind }),
                }
            }

            /// Its type.
            pub fn kind(&self) -> u8 {
                match self {
                    $(Self::$name(_) => $name::KIND,)+
                }
            }

            /// Bytes on the wire.
            pub fn encoded_len(&self) -> usize {
                match self {
                    $(Self::$name(message) => message.encoded_len(),)+
                }
            }

            /// Writes it to the front of `out` and returns how many bytes it has.
            ///
            /// # Errors
            /// `out` is shorter, a field has a value that this message does not take, or it has an option
            /// that is not listed; nothing is written.
            pub fn write(&self, out: &mut [u8]) -> Result<usize, $crate::error::OuchError> {
                match self {
                    $(Self::$name(message) => message.write(out),)+
                }
            }

            /// Appends it and returns how many bytes it has.
            ///
            /// # Errors
            /// A field has a value that this message does not take, or it has an option that is not listed;
            /// nothing is appended.
            pub fn append(&self, out: &mut Vec<u8>) -> Result<usize, $crate::error::OuchError> {
                match self {
                    $(Self::$name(message) => message.append(out),)+
                }
            }
        }

        $(impl From<$name> for $direction {
            fn from(message: $name) -> Self {
                Self::$name(message)
            }
        })+
    };
}
pub(crate) use direction;
