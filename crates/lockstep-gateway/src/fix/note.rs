//! Notes: entries of a client's publisher that only gateways read.
//!
//! They go to the gateways' own channel, so no application and no feed receives them. Each has the MsgSeqNum
//! that is expected of the client behind it, and most have a message to the client.
//!
//! ```text
//!   0        1       2            10
//!   ┌────────┬───────┬────────────┬─────────────────────────────┐
//!   │ 0xF1   │ flags │ next_in    │ 35=… and fields, or ClOrdID │   big-endian
//!   └────────┴───────┴────────────┴─────────────────────────────┘
//! ```

/// The first byte of notes of this layout.
const VERSION: u8 = 0xF1;
/// Bytes before the body.
const FIXED_LEN: usize = 10;
/// Longest note: it fits one datagram of any MTU.
pub const NOTE_LEN_MAX: usize = 1_000;

/// The body is a message to the client.
pub const SENDS: u8 = 1;
/// That message belongs to the session, not to the application: a resend fills its number.
pub const ADMIN: u8 = 2;
/// That message answers a logon.
pub const LOGON: u8 = 4;
/// The connection ends behind that message.
pub const LOGOUT: u8 = 8;
/// Both numbers begin anew with this note.
pub const RESET: u8 = 16;
/// The body is the ClOrdID of the client's next order or cancel.
pub const NAMES_NEXT: u8 = 32;

/// A note: see the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FixNote<'a> {
    /// The constants above, combined.
    pub flags: u8,
    /// The MsgSeqNum that is expected of the client from here on; 0 changes nothing.
    pub next_in: u64,
    /// Fields of a message, or a ClOrdID, depending on `flags`.
    pub body: &'a [u8],
}

impl<'a> FixNote<'a> {
    /// Whether `flag`, or one of several, is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, self.flags];
        out.extend_from_slice(&self.next_in.to_be_bytes());
        out.extend_from_slice(self.body);
        out
    }

    /// Decodes a note; `None` for other bytes, such as a gateway's heartbeat.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (fixed, body) = bytes.split_at_checked(FIXED_LEN)?;
        let [VERSION, flags, next_in @ ..] = fixed else { return None };
        Some(Self { flags: *flags, next_in: u64::from_be_bytes(next_in.try_into().ok()?), body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_and_a_heartbeat_is_none() {
        let note = FixNote { flags: SENDS | ADMIN, next_in: 7, body: b"35=0\x01" };
        let bytes = note.encode();
        assert_eq!(FixNote::decode(&bytes), Some(note));
        for len in 0..FIXED_LEN {
            assert_eq!(FixNote::decode(&bytes[..len]), None, "{len} bytes");
        }
        assert_eq!(FixNote::decode(&[0; 20]), None);
    }
}
