//! FIX as its simulated client reads and writes it. Nothing here is the gateway's: what the one side writes
//! wrong, the other must not read right.

use lockstep_wire::Nanos;
use std::fmt::Write;

const SOH: char = '\x01';

/// A message: its begin string, and its fields between body length and checksum.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FixText {
    /// The version of FIX: `FIX.4.4`.
    pub begin: String,
    /// Tags and values, in their order.
    pub fields: Vec<(u32, String)>,
}

impl FixText {
    /// The first value of a tag.
    pub fn get(&self, tag: u32) -> Option<&str> {
        value(&self.fields, tag)
    }

    /// The same, as a number.
    pub fn number(&self, tag: u32) -> Option<u64> {
        self.get(tag)?.parse().ok()
    }

    /// The message type.
    pub fn kind(&self) -> &str {
        self.get(35).unwrap_or_default()
    }

    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut body = String::new();
        for (tag, value) in &self.fields {
            let _ = write!(body, "{tag}={value}{SOH}"); // a string takes everything
        }
        let before = format!("8={}{SOH}9={}{SOH}{body}", self.begin, body.len());
        format!("{before}10={:03}{SOH}", sum(before.as_bytes())).into_bytes()
    }

    /// The first message of these bytes and its length; `None`: it is not whole yet.
    ///
    /// # Errors
    /// The bytes are no message.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, String> {
        // The fields of the head, each with its end.
        let mut ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == SOH as u8).map(|(at, _)| at);
        let (Some(first), Some(second)) = (ends.next(), ends.next()) else { return Ok(None) };
        let text = |from: usize, to: usize| String::from_utf8_lossy(&bytes[from..to]).into_owned();
        let (begin, length) = (text(0, first), text(first + 1, second));
        let length: Option<usize> = length.strip_prefix("9=").and_then(|length| length.parse().ok());
        let (Some(begin), Some(length)) = (begin.strip_prefix("8="), length) else {
            return Err(format!("a message begins with {begin:?} and {length:?}"));
        };
        let (end, len) = (second + 1 + length, second + 1 + length + "10=000|".len());
        if bytes.len() < len {
            return Ok(None);
        }
        let trailer = format!("10={:03}{SOH}", sum(&bytes[..end]));
        if text(end, len) != trailer || bytes[end - 1] != SOH as u8 {
            return Err(format!("a message ends with {:?}, and not {trailer:?}", text(end, len)));
        }
        let mut fields = Vec::new();
        for field in text(second + 1, end - 1).split(SOH) {
            let (tag, value) = field.split_once('=').ok_or(format!("a field is {field:?}"))?;
            let tag = tag.parse().map_err(|_| format!("a field is {field:?}"))?;
            fields.push((tag, value.to_owned()));
        }
        Ok(Some((Self { begin: begin.to_owned(), fields }, len)))
    }
}

/// The first value of a tag among these fields.
pub fn value(fields: &[(u32, String)], tag: u32) -> Option<&str> {
    fields.iter().find(|(known, _)| *known == tag).map(|(_, value)| value.as_str())
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.iter().map(|byte| u32::from(*byte)).sum::<u32>() % 256
}

fn days_in(year: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    if is_leap { 366 } else { 365 }
}

/// `YYYYMMDD-HH:MM:SS.sss`, UTC, of nanoseconds since the Unix epoch: counted year by year.
pub fn utc(at: Nanos) -> String {
    let (ms, mut days, mut year) = (at / 1_000_000, at / 86_400_000_000_000, 1970);
    while days >= days_in(year) {
        days -= days_in(year);
        year += 1;
    }
    let february = if days_in(year) == 366 { 29 } else { 28 };
    let mut month = 1;
    for len in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < len {
            break;
        }
        days -= len;
        month += 1;
    }
    let (second, minute, hour) = (ms / 1_000 % 60, ms / 60_000 % 60, ms / 3_600_000 % 24);
    format!("{year:04}{month:02}{:02}-{hour:02}:{minute:02}:{second:02}.{:03}", days + 1, ms % 1_000)
}

/// A number of so many decimals, without zeros at its end.
pub fn decimal(value: u128, decimals: usize) -> String {
    let digits = format!("{value:0width$}", width = decimals + 1);
    let (whole, fraction) = digits.split_at(digits.len() - decimals);
    let text = format!("{whole}.{fraction}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
