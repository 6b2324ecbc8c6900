//! The codec: bytes ⇄ [`Packet`] (SoupBinTCP 4.1 "Logical Packets").
//!
//! ```text
//!  0        2      3
//!  ┌────────┬──────┬─────────────┐
//!  │ length │ type │ payload …   │   length: u16 big-endian, type and payload, so at least 1
//!  └────────┴──────┴─────────────┘
//! ```
//!
//! The length is the only binary number; all others are ASCII digits padded with blanks on their left.

use crate::field::{Field, FieldError, Session, shown, trimmed};
use std::fmt;

/// Length and type.
pub const HEADER_LEN: usize = 3;
/// Most payload: the length is a u16 and counts the type.
pub const PAYLOAD_LEN_MAX: usize = u16::MAX as usize - 1;
/// Longest packet on the wire: a receive buffer of this size takes every packet.
pub const PACKET_LEN_MAX: usize = HEADER_LEN + PAYLOAD_LEN_MAX;
/// The longest timeout that five digits hold.
pub const TIMEOUT_MS_MAX: u32 = 99_999;

/// Value of the length field of a login request of 3.0 and 4.0, ...
const LOGIN_LENGTH_OLD: u16 = 47;
/// ... and of 4.1, which appends the heartbeat timeout.
const LOGIN_LENGTH_41: u16 = 52;
const ACCEPTED_LENGTH: u16 = 31;
const REJECTED_LENGTH: u16 = 2;

/// The letter of each packet type (SoupBinTCP 4.1 "Packet Types").
pub mod kind {
    /// Debug, both ways.
    pub const DEBUG: u8 = b'+';
    /// Login accepted, from the server.
    pub const LOGIN_ACCEPTED: u8 = b'A';
    /// Login rejected, from the server.
    pub const LOGIN_REJECTED: u8 = b'J';
    /// Sequenced data, from the server.
    pub const SEQUENCED: u8 = b'S';
    /// Unsequenced data: from the client, since 4.0 both ways.
    pub const UNSEQUENCED: u8 = b'U';
    /// Server heartbeat.
    pub const SERVER_HEARTBEAT: u8 = b'H';
    /// End of session, from the server.
    pub const END_OF_SESSION: u8 = b'Z';
    /// Login request, from the client.
    pub const LOGIN_REQUEST: u8 = b'L';
    /// Client heartbeat.
    pub const CLIENT_HEARTBEAT: u8 = b'R';
    /// Logout request, from the client.
    pub const LOGOUT_REQUEST: u8 = b'O';
}

/// Why bytes are no packet, or a packet cannot be written. After one of a peer's the stream has no known
/// packet boundary any more: close the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SoupError {
    /// Packet length 0: not even a type.
    LengthZero,
    /// A type that no version has.
    Kind {
        /// The letter.
        kind: u8,
    },
    /// A length that packets of this type do not have.
    Length {
        /// The letter.
        kind: u8,
        /// As the length field says it.
        length: u16,
    },
    /// A number that is blank, no decimal number, or beyond u64.
    Number {
        /// Which.
        field: &'static str,
    },
    /// A text that does not fit its field: only where we write.
    Field {
        /// Which.
        field: &'static str,
        /// The error.
        error: FieldError,
    },
    /// A payload beyond [`PAYLOAD_LEN_MAX`]: only where we write.
    PayloadLong {
        /// Its bytes.
        len: usize,
    },
    /// A timeout beyond [`TIMEOUT_MS_MAX`]: only where we write.
    TimeoutLong {
        /// Milliseconds.
        ms: u32,
    },
    /// A slice that is shorter than the packet: only where we write.
    NoRoom {
        /// Bytes of the packet.
        needed: usize,
    },
}

impl fmt::Display for SoupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LengthZero => {
                f.write_str("packet length 0: the length counts the type, so an empty packet has length 1")
            }
            Self::Kind { kind } => write!(
                f,
                "packet type {:?} ({kind:#04x}) is not SoupBinTCP's: check that the peer counts the type in \
                 the length and speaks the binary protocol",
                char::from(shown(*kind))
            ),
            Self::Length { kind, length } => write!(
                f,
                "packet {:?} of length {length}: check that the peer counts the type in the length and \
                 speaks 3.0, 4.0 or 4.1",
                char::from(shown(*kind))
            ),
            Self::Number { field } => {
                write!(f, "{field} is no decimal number of u64: pad digits with blanks or zeros on the left")
            }
            Self::Field { field, error } => write!(f, "{field}: {error}"),
            Self::PayloadLong { len } => {
                write!(f, "payload of {len} bytes: a packet takes {PAYLOAD_LEN_MAX}, split the message")
            }
            Self::TimeoutLong { ms } => {
                write!(f, "heartbeat timeout of {ms} ms: its field has five digits, ask for at most 99999")
            }
            Self::NoRoom { needed } => write!(f, "no room for a packet of {needed} bytes: grow the buffer"),
        }
    }
}

impl std::error::Error for SoupError {}

/// Why a login was refused (SoupBinTCP 4.1 "Login Rejected Packet").
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RejectReason {
    /// `A`: user or password.
    NotAuthorized,
    /// `S`: the requested session is not there or was given wrong.
    SessionNotAvailable,
    /// A letter that the specification does not have; some venues extend it.
    Other(u8),
}

impl RejectReason {
    /// Its letter.
    pub fn code(self) -> u8 {
        match self {
            Self::NotAuthorized => b'A',
            Self::SessionNotAvailable => b'S',
            Self::Other(code) => code,
        }
    }

    /// The reason of a letter.
    pub fn from_code(code: u8) -> Self {
        match code {
            b'A' => Self::NotAuthorized,
            b'S' => Self::SessionNotAvailable,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAuthorized => f.write_str("not authorized: check user and password"),
            Self::SessionNotAvailable => {
                f.write_str("session not available: check session and number, or leave the session blank")
            }
            Self::Other(code) => {
                write!(f, "reject code {:?}: ask the server's operator", char::from(shown(*code)))
            }
        }
    }
}

/// What a login request says about how long the server should bear the client's silence.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Timeout {
    /// The request of 3.0 and 4.0, which has no such field.
    #[default]
    Absent,
    /// The field of 4.1, blank: the specification is silent, read as the server's default.
    Blank,
    /// The field of 4.1, in milliseconds; five digits.
    Ms(u32),
}

/// A login request's fields (SoupBinTCP 4.1 "Login Request Packet").
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LoginRequest {
    /// Compared with [`Field::is_same_name`].
    pub username: Field<6>,
    /// Compared with [`Field::is_same_name`].
    pub password: Field<10>,
    /// Blank: the one that is active.
    pub session: Session,
    /// The first message wanted; 0: begin with the most recent.
    pub seq: u64,
    /// Also tells the version.
    pub timeout: Timeout,
}

impl fmt::Debug for LoginRequest {
    /// Without the password: this ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginRequest")
            .field("username", &self.username)
            .field("session", &self.session)
            .field("seq", &self.seq)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// One logical packet; payloads are lent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packet<'a> {
    /// `+`, both ways: text for humans, to be ignored by programs.
    Debug(&'a [u8]),
    /// `A`: the session, and the number of the next sequenced message.
    LoginAccepted {
        /// Which session.
        session: Session,
        /// Counted up by every sequenced message from here.
        next_seq: u64,
    },
    /// `J`.
    LoginRejected(RejectReason),
    /// `S`: one message, whose number both sides count. May be empty, and counts all the same.
    Sequenced(&'a [u8]),
    /// `U`: one message without a number.
    Unsequenced(&'a [u8]),
    /// `H`.
    ServerHeartbeat,
    /// `Z`: the session is over for good.
    EndOfSession,
    /// `L`.
    LoginRequest(LoginRequest),
    /// `R`.
    ClientHeartbeat,
    /// `O`.
    LogoutRequest,
}

/// Whether packets of this type may say this length.
fn check_length(kind: u8, length: u16) -> Result<(), SoupError> {
    let fits = match kind {
        kind::DEBUG | kind::SEQUENCED | kind::UNSEQUENCED => length >= 1,
        kind::LOGIN_ACCEPTED => length == ACCEPTED_LENGTH,
        kind::LOGIN_REJECTED => length == REJECTED_LENGTH,
        kind::LOGIN_REQUEST => length == LOGIN_LENGTH_OLD || length == LOGIN_LENGTH_41,
        kind::SERVER_HEARTBEAT | kind::END_OF_SESSION | kind::CLIENT_HEARTBEAT | kind::LOGOUT_REQUEST => {
            length == 1
        }
        kind => return Err(SoupError::Kind { kind }),
    };
    if fits { Ok(()) } else { Err(SoupError::Length { kind, length }) }
}

/// Decimal digits between blanks; `None` if there are none. A number beyond u64 is refused and never wrapped.
fn number(field: &'static str, bytes: &[u8]) -> Result<Option<u64>, SoupError> {
    let bytes = trimmed(bytes);
    if bytes.is_empty() {
        return Ok(None);
    }
    let digits = bytes.iter().try_fold(0u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    });
    digits.map(Some).ok_or(SoupError::Number { field })
}

/// A number that must be there. A wholly blank one is refused: it may mean 0, 1 or an error.
fn required(field: &'static str, bytes: &[u8]) -> Result<u64, SoupError> {
    number(field, bytes)?.ok_or(SoupError::Number { field })
}

/// A session and a number: both directions' logins have them side by side.
fn session_and_number(field: &'static str, bytes: &[u8; 30]) -> Result<(Session, u64), SoupError> {
    let mut session = [0; 10];
    session.copy_from_slice(&bytes[..10]);
    Ok((Session::from_wire(&session), required(field, &bytes[10..])?))
}

impl<'a> Packet<'a> {
    /// Bytes of the packet that `bytes` begins with, or `None` before its length is there. What can be
    /// refused by the bytes that are there is refused, so that nobody waits for 64 KiB of nonsense.
    pub fn wire_len(bytes: &[u8]) -> Result<Option<usize>, SoupError> {
        let Some((&length, rest)) = bytes.split_first_chunk::<2>() else { return Ok(None) };
        let length = u16::from_be_bytes(length);
        if length == 0 {
            return Err(SoupError::LengthZero);
        }
        if let Some(&kind) = rest.first() {
            check_length(kind, length)?;
        }
        Ok(Some(2 + usize::from(length)))
    }

    /// The first packet of `bytes` and how many of them it takes; `None` as long as it is not whole. How many
    /// are missing tells [`Packet::wire_len`].
    pub fn decode(bytes: &'a [u8]) -> Result<Option<(Self, usize)>, SoupError> {
        let Some(len) = Self::wire_len(bytes)? else { return Ok(None) };
        let Some(&[high, low, kind, ref payload @ ..]) = bytes.get(..len) else { return Ok(None) };
        let wrong = SoupError::Length { kind, length: u16::from_be_bytes([high, low]) };
        let packet = match kind {
            kind::DEBUG => Self::Debug(payload),
            kind::SEQUENCED => Self::Sequenced(payload),
            kind::UNSEQUENCED => Self::Unsequenced(payload),
            kind::SERVER_HEARTBEAT => Self::ServerHeartbeat,
            kind::END_OF_SESSION => Self::EndOfSession,
            kind::CLIENT_HEARTBEAT => Self::ClientHeartbeat,
            kind::LOGOUT_REQUEST => Self::LogoutRequest,
            kind::LOGIN_REJECTED => {
                Self::LoginRejected(RejectReason::from_code(*payload.first().ok_or(wrong)?))
            }
            kind::LOGIN_ACCEPTED => {
                let fields = payload.first_chunk::<30>().ok_or(wrong)?;
                let (session, next_seq) =
                    session_and_number("sequence number of the login accepted", fields)?;
                Self::LoginAccepted { session, next_seq }
            }
            kind::LOGIN_REQUEST => Self::LoginRequest(LoginRequest::decode(payload, wrong)?),
            kind => return Err(SoupError::Kind { kind }),
        };
        Ok(Some((packet, len)))
    }

    /// Its letter.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Debug(_) => kind::DEBUG,
            Self::LoginAccepted { .. } => kind::LOGIN_ACCEPTED,
            Self::LoginRejected(_) => kind::LOGIN_REJECTED,
            Self::Sequenced(_) => kind::SEQUENCED,
            Self::Unsequenced(_) => kind::UNSEQUENCED,
            Self::ServerHeartbeat => kind::SERVER_HEARTBEAT,
            Self::EndOfSession => kind::END_OF_SESSION,
            Self::LoginRequest(_) => kind::LOGIN_REQUEST,
            Self::ClientHeartbeat => kind::CLIENT_HEARTBEAT,
            Self::LogoutRequest => kind::LOGOUT_REQUEST,
        }
    }

    /// Bytes on the wire.
    pub fn encoded_len(&self) -> usize {
        HEADER_LEN
            + match self {
                Self::Debug(payload) | Self::Sequenced(payload) | Self::Unsequenced(payload) => payload.len(),
                Self::LoginAccepted { .. } => usize::from(ACCEPTED_LENGTH) - 1,
                Self::LoginRejected(_) => usize::from(REJECTED_LENGTH) - 1,
                Self::LoginRequest(request) => match request.timeout {
                    Timeout::Absent => usize::from(LOGIN_LENGTH_OLD) - 1,
                    Timeout::Blank | Timeout::Ms(_) => usize::from(LOGIN_LENGTH_41) - 1,
                },
                Self::ServerHeartbeat | Self::EndOfSession | Self::ClientHeartbeat | Self::LogoutRequest => 0,
            }
    }

    /// Appends the packet to `out`, which stays as it was if it cannot be written.
    pub fn append(&self, out: &mut Vec<u8>) -> Result<(), SoupError> {
        let from = out.len();
        self.check()?;
        out.resize(from + self.encoded_len(), 0);
        self.fill(&mut out[from..]);
        Ok(())
    }

    /// Writes the packet to the beginning of `out`; how many bytes it took.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, SoupError> {
        self.check()?;
        let len = self.encoded_len();
        self.fill(out.get_mut(..len).ok_or(SoupError::NoRoom { needed: len })?);
        Ok(len)
    }

    fn check(&self) -> Result<(), SoupError> {
        match self {
            Self::Debug(payload) | Self::Sequenced(payload) | Self::Unsequenced(payload) => {
                payload_length(payload.len()).map(|_| ())
            }
            Self::LoginAccepted { session, .. } => plain("session", session),
            Self::LoginRequest(request) => {
                plain("username", &request.username)?;
                plain("password", &request.password)?;
                plain("requested session", &request.session)?;
                match request.timeout {
                    Timeout::Ms(ms) if ms > TIMEOUT_MS_MAX => Err(SoupError::TimeoutLong { ms }),
                    _ => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    /// Into exactly its length.
    fn fill(&self, out: &mut [u8]) {
        let (header, payload) = out.split_at_mut(HEADER_LEN);
        header[..2].copy_from_slice(&(1 + payload.len() as u16).to_be_bytes());
        header[2] = self.kind();
        match self {
            Self::Debug(text) => text.iter().zip(payload).for_each(|(&byte, to)| *to = shown(byte)),
            Self::Sequenced(message) | Self::Unsequenced(message) => payload.copy_from_slice(message),
            Self::LoginAccepted { session, next_seq } => {
                payload[..10].copy_from_slice(&session.padded_left());
                pad_number(*next_seq, &mut payload[10..]);
            }
            Self::LoginRejected(reason) => payload[0] = reason.code(),
            Self::LoginRequest(request) => request.fill(payload),
            Self::ServerHeartbeat | Self::EndOfSession | Self::ClientHeartbeat | Self::LogoutRequest => {}
        }
    }
}

impl LoginRequest {
    fn decode(payload: &[u8], wrong: SoupError) -> Result<Self, SoupError> {
        let (username, rest) = payload.split_first_chunk::<6>().ok_or(wrong)?;
        let (password, rest) = rest.split_first_chunk::<10>().ok_or(wrong)?;
        let (fields, timeout) = rest.split_first_chunk::<30>().ok_or(wrong)?;
        let (session, seq) = session_and_number("requested sequence number", fields)?;
        let timeout = match timeout {
            [] => Timeout::Absent,
            // At most five digits, so it fits.
            digits => {
                number("heartbeat timeout", digits)?.map_or(Timeout::Blank, |ms| Timeout::Ms(ms as u32))
            }
        };
        let (username, password) = (Field::from_wire(username), Field::from_wire(password));
        Ok(Self { username, password, session, seq, timeout })
    }

    /// Texts padded on the right, session and numbers on the left: the specification does not say it of these
    /// two, but it does of those in the answer, and every implementation reads them so.
    fn fill(&self, payload: &mut [u8]) {
        payload[..6].copy_from_slice(&self.username.padded_right());
        payload[6..16].copy_from_slice(&self.password.padded_right());
        payload[16..26].copy_from_slice(&self.session.padded_left());
        pad_number(self.seq, &mut payload[26..46]);
        match self.timeout {
            Timeout::Absent => {}
            Timeout::Blank => payload[46..].fill(b' '),
            Timeout::Ms(ms) => pad_number(u64::from(ms), &mut payload[46..]),
        }
    }
}

/// The header of a data packet (`S`, `U`, `+`), for an owner who sends the payload from where it lies.
pub fn data_header(kind: u8, payload_len: usize) -> Result<[u8; HEADER_LEN], SoupError> {
    let [high, low] = payload_length(payload_len)?.to_be_bytes();
    Ok([high, low, kind])
}

/// The length field of a payload.
fn payload_length(len: usize) -> Result<u16, SoupError> {
    if len > PAYLOAD_LEN_MAX { Err(SoupError::PayloadLong { len }) } else { Ok(1 + len as u16) }
}

fn plain<const N: usize>(field: &'static str, text: &Field<N>) -> Result<(), SoupError> {
    Field::<N>::new(text.as_bytes()).map(|_| ()).map_err(|error| SoupError::Field { field, error })
}

/// Digits, with blanks on their left; the field is as wide as the largest number that is written to it.
fn pad_number(mut number: u64, out: &mut [u8]) {
    out.fill(b' ');
    for to in out.iter_mut().rev() {
        *to = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
}
