//! Durations and sizes: whole numbers with a unit.
//!
//! Without a unit it is unknown whether 10 is microseconds or milliseconds, and a factor of a thousand in a
//! timeout is found in production. So the unit is part of the value, and the message for a wrong one lists
//! the valid units.

use super::problem::Code;
use super::value::{Complaint, Raw, Value, wrong_type};
use std::fmt::{self, Formatter};

/// Units with their nanoseconds, ascending. The long ones are for retention.
const DURATIONS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];
/// Units with their bytes, ascending. Powers of two only: memory has no others.
const SIZES: &[(&str, u64)] =
    &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)];

/// Digits behind the point of a percentage: one more would be less than a millionth.
const SHARE_DIGITS: usize = 4;

/// Reads a duration.
pub(super) fn duration_ns(raw: Raw<'_>) -> Result<u64, Complaint> {
    quantity(raw, "a duration", DURATIONS, &["us", "ms", "s"])
}

/// Reads a size.
pub(super) fn size_bytes(raw: Raw<'_>) -> Result<u64, Complaint> {
    quantity(raw, "a size", SIZES, &["KiB", "MiB"])
}

/// Reads a share: percent, with up to four digits behind the point. In millionths of the whole.
pub(super) fn share_ppm(raw: Raw<'_>) -> Result<u64, Complaint> {
    let hint = || "write percent: \"1%\" or \"0.01%\"".to_string();
    let text = match raw {
        Raw::String(text) | Raw::Loose(text) => text.trim(),
        Raw::Integer(Some(value)) => {
            let hint = format!("write \"{value}%\"");
            return Err(Complaint(Code::Unit, format!("{value} has no unit, and a share needs one"), hint));
        }
        other => return Err(wrong_type(other, "a share", &hint())),
    };
    let Some(number) = text.strip_suffix('%').map(str::trim_end) else {
        return Err(Complaint(Code::Unit, format!("\"{text}\" is not a share: it has no %"), hint()));
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(part) || part.len() > SHARE_DIGITS {
        return Err(Complaint(Code::Unit, format!("\"{text}\" is not a share"), hint()));
    }
    let millionths = format!("{whole}{part:0<SHARE_DIGITS$}");
    millionths.parse().map_err(|_| {
        Complaint(Code::Range, format!("\"{text}\" is out of range"), "write 100% or less".into())
    })
}

/// Prints a share as it is written.
pub(super) fn write_share(f: &mut Formatter<'_>, ppm: u64) -> fmt::Result {
    let (whole, part) = (ppm / 10_000, ppm % 10_000);
    match part {
        0 => write!(f, "{whole}%"),
        _ => write!(f, "{whole}.{}%", format!("{part:0>SHARE_DIGITS$}").trim_end_matches('0')),
    }
}

/// Prints a duration as it is written.
pub(super) fn write_duration(f: &mut Formatter<'_>, ns: u64) -> fmt::Result {
    with_unit(f, ns, DURATIONS, "us")
}

/// Prints a size as it is written.
pub(super) fn write_size(f: &mut Formatter<'_>, bytes: u64) -> fmt::Result {
    with_unit(f, bytes, SIZES, "B")
}

/// A number for people: `1,204`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let comma = |(index, digit): (usize, char)| {
        let is_group = index > 0 && (digits.len() - index).is_multiple_of(3);
        is_group.then_some(',').into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(comma).collect()
}

/// `"a", "b" or "c"`, behind "write ".
pub(super) fn quoted_list(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match quoted.split_last() {
        Some((last, [])) => format!("write {last}"),
        Some((last, rest)) => format!("write {} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// Writes `value` in the largest unit that loses nothing.
fn with_unit(f: &mut Formatter<'_>, value: u64, units: &[(&str, u64)], zero: &str) -> fmt::Result {
    match units.iter().rev().find(|(_, factor)| value.is_multiple_of(*factor)) {
        Some((unit, factor)) if value != 0 => write!(f, "{}{unit}", value / factor),
        _ => write!(f, "{value}{zero}"),
    }
}

/// Digits and a unit, with or without a space between them. `proposed` are the units that a hint offers.
fn quantity(raw: Raw<'_>, what: &str, units: &[(&str, u64)], proposed: &[&str]) -> Result<u64, Complaint> {
    let offer = |number: &str| {
        let texts: Vec<_> = proposed.iter().map(|unit| format!("{number}{unit}")).collect();
        quoted_list(&texts.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let no_unit = |number: &str| {
        // A large bare number was meant in bytes; a small one could be anything.
        let bytes = number.parse().ok().filter(|bytes| units == SIZES && *bytes >= 1024);
        let hint = bytes.map_or(offer(number), |bytes| format!("write \"{}\"", Value::SizeBytes(bytes)));
        Complaint(Code::Unit, format!("{number} has no unit, and {what} needs one"), hint)
    };
    let text = match raw {
        Raw::String(text) | Raw::Loose(text) => text.trim(),
        Raw::Integer(Some(value)) => return Err(no_unit(&value.to_string())),
        other => return Err(wrong_type(other, what, &offer("10"))),
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = (&text[..digits], text[digits..].trim_start());
    if number.is_empty() || unit.starts_with(['.', ',', '-', '_']) {
        return Err(Complaint(
            Code::Unit,
            format!("\"{text}\" is not {what}"),
            whole_number_hint(units, &offer("10")),
        ));
    }
    if unit.is_empty() {
        return Err(no_unit(number));
    }
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        let names: Vec<_> = units.iter().map(|(name, _)| *name).collect();
        let rule = format!("\"{unit}\" is not a unit of {what} (they are {})", names.join(", "));
        let hint = match near_unit(unit, &names) {
            Some(name) => format!("write \"{number}{name}\""),
            None => offer(number),
        };
        return Err(Complaint(Code::Unit, rule, hint));
    };
    let product = number.parse().ok().and_then(|number: u64| number.checked_mul(*factor));
    product.ok_or_else(|| {
        Complaint(Code::Range, format!("\"{text}\" is out of range"), "write a smaller value".into())
    })
}

fn whole_number_hint(units: &[(&str, u64)], offer: &str) -> String {
    let smaller: Vec<_> = units.iter().map(|(name, _)| *name).collect();
    format!("{offer}: a whole number and a unit ({})", smaller.join(", "))
}

/// The unit that was probably meant: the same letters, or the usual sloppy spellings.
fn near_unit<'a>(unit: &str, names: &[&'a str]) -> Option<&'a str> {
    let lower = unit.to_lowercase();
    let meant = match lower.as_str() {
        "k" | "kb" => "KiB",
        "m" | "mb" => "MiB",
        "g" | "gb" => "GiB",
        "t" | "tb" => "TiB",
        "byte" | "bytes" => "B",
        "µs" | "μs" | "usec" | "micros" => "us",
        "msec" | "millis" => "ms",
        "nsec" | "nanos" => "ns",
        "sec" | "secs" | "second" | "seconds" => "s",
        "hour" | "hours" => "h",
        "day" | "days" => "d",
        other => other,
    };
    names.iter().find(|name| name.eq_ignore_ascii_case(meant)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_a_comma_before_each_three_digits() {
        let numbers = [0, 999, 1_204, 10_000, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,204", "10,000", "1,234,567"]);
    }
}
