//! Messages to a client, as the gateway stores them, and as bytes of one version of FIX.

use super::codec::{FixFields, SOH, number, put, put_text, seal};
use super::note::{ADMIN, LOGOUT};
use super::tags;
use super::value::utc_text;
use lockstep_wire::Nanos;

/// A version of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FixVersion {
    /// FIX 4.2.
    Fix42,
    /// FIX 4.4.
    Fix44,
    /// FIXT 1.1, with messages of FIX 5.0 SP2.
    Fixt11,
}

/// ApplVerID of FIX 5.0 SP2.
pub const FIX50SP2: &str = "9";

impl FixVersion {
    /// The version of a BeginString.
    pub fn of(begin: &[u8]) -> Option<Self> {
        Some(match begin {
            b"FIX.4.2" => Self::Fix42,
            b"FIX.4.4" => Self::Fix44,
            b"FIXT.1.1" => Self::Fixt11,
            _ => return None,
        })
    }

    /// Whether the version has messages of this type, or leaves the type to its users. Source: the data
    /// dictionaries that [`dictionary`](super::dictionary) names.
    pub fn has_type(self, kind: &[u8]) -> bool {
        let (last_letter, last_pair) = match self {
            Self::Fix42 => (b'm', *b"AA"),
            Self::Fix44 => (b'z', *b"BI"),
            Self::Fixt11 => (b'z', *b"EC"),
        };
        match *kind {
            [b'U', ..] => kind.len() > 1,
            [b'I' | b'O'] => false,
            [letter] => {
                letter.is_ascii_digit()
                    || letter.is_ascii_uppercase()
                    || (b'a'..=last_letter).contains(&letter)
            }
            [first, second] => {
                first.is_ascii_uppercase()
                    && second.is_ascii_uppercase()
                    && [first, second] < last_pair
                    && [first, second] != *b"CP"
            }
            _ => false,
        }
    }

    /// Its BeginString.
    pub fn begin(self) -> &'static str {
        match self {
            Self::Fix42 => "FIX.4.2",
            Self::Fix44 => "FIX.4.4",
            Self::Fixt11 => "FIXT.1.1",
        }
    }
}

/// Bytes before the fields of a stored message: flags and time.
const FIXED_LEN: usize = 9;

/// A message to a client, for any version and without its number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FixRecord<'a> {
    /// The flags of its [note](super::note); 0 for a report.
    pub flags: u8,
    /// When its entry was stamped, in nanoseconds since the Unix epoch.
    pub timestamp: Nanos,
    /// From the message type on: fields of FIX 4.4 without those of the header.
    pub fields: &'a [u8],
}

impl<'a> FixRecord<'a> {
    /// Appends its bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.flags);
        out.extend_from_slice(&self.timestamp.to_le_bytes());
        out.extend_from_slice(self.fields);
    }

    /// The record that these bytes are.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (fixed, fields) = bytes.split_at_checked(FIXED_LEN)?;
        let timestamp = u64::from_le_bytes(fixed[1..].try_into().ok()?);
        Some(Self { flags: fixed[0], timestamp, fields })
    }

    /// The same record with a time of at most `now`.
    fn at_most(&self, now: Nanos) -> Self {
        Self { timestamp: self.timestamp.min(now), ..*self }
    }

    /// Whether a resend fills its number instead of sending it again.
    pub fn is_admin(&self) -> bool {
        self.flags & ADMIN != 0
    }

    /// Whether the connection ends behind it.
    pub fn is_logout(&self) -> bool {
        self.flags & LOGOUT != 0
    }
}

/// The two ends of a session, and its version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FixEnds {
    /// The version that the client logged in with.
    pub version: FixVersion,
    /// The gateway's CompID.
    pub own: String,
    /// The client's CompID.
    pub client: Vec<u8>,
}

impl FixEnds {
    /// Appends a message with this number, for the first time, at `now` of the stream's time. If it was
    /// stamped before the stream's time was set back, its time is `now`: a client refuses a sending time in
    /// the future.
    pub fn write(&self, record: &FixRecord<'_>, number: u64, now: Nanos, out: &mut Vec<u8>) {
        self.write_as(&record.at_most(now), number, None, out);
    }

    /// Appends a message that was sent before, or may have been, at `now` of the stream's time.
    pub fn write_again(&self, record: &FixRecord<'_>, number: u64, now: Nanos, out: &mut Vec<u8>) {
        self.write_as(&record.at_most(now), number, Some(now), out);
    }

    /// Appends a gap fill for the numbers from `number` up to, but not including, `next`.
    pub fn write_gap_fill(&self, number: u64, next: u64, now: Nanos, out: &mut Vec<u8>) {
        let fields = format!("35=4\x01123=Y\x0136={next}\x01");
        let record = FixRecord { flags: ADMIN, timestamp: now, fields: fields.as_bytes() };
        self.write_as(&record, number, Some(now), out);
    }

    fn write_as(&self, record: &FixRecord<'_>, number: u64, again: Option<Nanos>, out: &mut Vec<u8>) {
        let kind_len =
            record.fields.iter().position(|byte| *byte == SOH).map_or(record.fields.len(), |at| at + 1);
        let (kind, rest) = record.fields.split_at(kind_len);
        let mut fields = kind.to_vec();
        put_text(&mut fields, tags::SENDER_COMP_ID, self.own.as_bytes());
        put_text(&mut fields, tags::TARGET_COMP_ID, &self.client);
        put(&mut fields, tags::MSG_SEQ_NUM, number);
        put(&mut fields, tags::SENDING_TIME, utc_text(again.unwrap_or(record.timestamp)));
        if again.is_some() {
            put(&mut fields, tags::POSS_DUP_FLAG, 'Y');
            put(&mut fields, tags::ORIG_SENDING_TIME, utc_text(record.timestamp));
        }
        match (self.version, kind) {
            (FixVersion::Fix42, b"35=8\x01") => put_report_42(rest, &mut fields),
            (FixVersion::Fix42, b"35=3\x01" | b"35=9\x01") => put_codes_42(rest, &mut fields),
            (FixVersion::Fixt11, b"35=A\x01") => {
                fields.extend_from_slice(rest);
                put(&mut fields, tags::DEFAULT_APPL_VER_ID, FIX50SP2);
            }
            _ => fields.extend_from_slice(rest),
        }
        seal(self.version.begin(), &fields, out);
    }
}

/// The largest codes of FIX 4.2. None of these fields is required: a larger code is left out.
const LARGEST_42: [(u32, u64); 4] = [
    (tags::CXL_REJ_REASON, 3),
    (tags::ORD_REJ_REASON, 8),
    (tags::SESSION_REJECT_REASON, 11),
    (tags::EXEC_RESTATEMENT_REASON, 5),
];

/// Whether FIX 4.2 has this code.
fn has_42(tag: u32, value: &[u8]) -> bool {
    let largest = LARGEST_42.iter().find(|(known, _)| *known == tag);
    largest.is_none_or(|(_, largest)| number(value).is_some_and(|code| code <= *largest))
}

/// The fields of a rejection, without codes that FIX 4.2 lacks.
fn put_codes_42(rejection: &[u8], out: &mut Vec<u8>) {
    let (fields, _) = FixFields::parse(rejection);
    fields
        .iter()
        .filter(|(tag, value)| has_42(*tag, value))
        .for_each(|(tag, value)| put_text(out, tag, value));
}

/// An execution report of FIX 4.4 in the form of FIX 4.2: with ExecTransType, with ExecType by the extent of
/// a fill, and without later fields.
fn put_report_42(report: &[u8], out: &mut Vec<u8>) {
    let (fields, _) = FixFields::parse(report);
    let status = fields.get(tags::ORD_STATUS).unwrap_or(b"0");
    let exec_type = fields.get(tags::EXEC_TYPE).unwrap_or(b"0");
    let is_busted = exec_type == b"H";
    for (tag, value) in fields.iter() {
        match tag {
            tags::SECONDARY_EXEC_ID | tags::LAST_LIQUIDITY_IND => continue,
            _ if !has_42(tag, value) => continue,
            tags::EXEC_TYPE if matches!(exec_type, b"F" | b"H") => put_text(out, tag, status),
            _ => put_text(out, tag, value),
        }
        if tag == tags::EXEC_ID {
            put(out, tags::EXEC_TRANS_TYPE, u8::from(is_busted));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fix::codec::{Framed, next_frame};

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).replace('\x01', "|")
    }

    fn ends(version: FixVersion) -> FixEnds {
        FixEnds { version, own: "LOCKSTEP".into(), client: b"alice".to_vec() }
    }

    #[test]
    fn each_version_has_the_types_of_its_dictionary_and_those_of_its_users() {
        let has = |kind: &str| {
            [FixVersion::Fix42, FixVersion::Fix44, FixVersion::Fixt11]
                .map(|version| version.has_type(kind.as_bytes()))
        };
        for kind in ["0", "9", "A", "D", "Z", "a", "m", "U1", "UXYZ"] {
            assert_eq!(has(kind), [true; 3], "{kind}");
        }
        for kind in ["n", "z", "AA", "AZ", "BH"] {
            assert_eq!(has(kind), [false, true, true], "{kind}");
        }
        for kind in ["BI", "CO", "CQ", "EA", "EB"] {
            assert_eq!(has(kind), [false, false, true], "{kind}");
        }
        for kind in ["", "*", "I", "O", "U", "CP", "EC", "ZZ", "A1", "1A", "aa", "AAA", "00"] {
            assert_eq!(has(kind), [false; 3], "{kind}");
        }
    }

    #[test]
    fn a_report_is_written_for_each_version_and_sent_again_with_the_time_of_its_stamp() {
        let fields = "35=8\x0137=9\x0117=44\x01150=F\x0139=1\x0132=5\x01527=3\x01851=1\x01".as_bytes();
        let record = FixRecord { flags: 0, timestamp: 1_795_255_205_001_000_000, fields };
        let mut stored = Vec::new();
        record.encode(&mut stored);
        assert_eq!(FixRecord::decode(&stored), Some(record));
        let mut out = Vec::new();
        ends(FixVersion::Fix44).write(&record, 7, record.timestamp + 1, &mut out);
        let Framed::Whole { body, .. } = next_frame(&out) else { panic!("{}", text(&out)) };
        let header = "35=8|49=LOCKSTEP|56=alice|34=7|52=20261121-10:00:05.001|";
        assert_eq!(text(body), format!("{header}37=9|17=44|150=F|39=1|32=5|527=3|851=1|"));
        out.clear();
        ends(FixVersion::Fix42).write_again(&record, 7, 1_795_255_210_000_000_000, &mut out);
        let Framed::Whole { begin, body, .. } = next_frame(&out) else { panic!("{}", text(&out)) };
        let header =
            "35=8|49=LOCKSTEP|56=alice|34=7|52=20261121-10:00:10.000|43=Y|122=20261121-10:00:05.001|";
        assert_eq!(
            (begin, text(body)),
            (&b"FIX.4.2"[..], format!("{header}37=9|17=44|20=0|150=1|39=1|32=5|"))
        );
    }

    #[test]
    fn what_was_stamped_before_the_streams_time_was_set_back_is_sent_in_the_time_that_is_right() {
        let now = 1_795_255_205_001_000_000;
        for ahead in [3_600, 86_400, 15 * 365 * 86_400].map(|seconds| seconds * 1_000_000_000) {
            let record = FixRecord { flags: 0, timestamp: now + ahead, fields: b"35=8\x0137=9\x01" };
            let mut out = Vec::new();
            ends(FixVersion::Fix44).write(&record, 7, now, &mut out);
            let Framed::Whole { body, .. } = next_frame(&out) else { panic!("{}", text(&out)) };
            let header = "35=8|49=LOCKSTEP|56=alice|34=7|52=20261121-10:00:05.001|";
            assert_eq!(text(body), format!("{header}37=9|"));
            out.clear();
            ends(FixVersion::Fix44).write_again(&record, 7, now, &mut out);
            let Framed::Whole { body, .. } = next_frame(&out) else { panic!("{}", text(&out)) };
            assert_eq!(text(body), format!("{header}43=Y|122=20261121-10:00:05.001|37=9|"));
        }
    }
}
