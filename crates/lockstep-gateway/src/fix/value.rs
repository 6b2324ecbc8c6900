//! Times, prices and quantities, as FIX writes them.

use super::codec::number;
use lockstep_wire::Nanos;
use lockstep_wire::date::{date_of_days, days_of_date};

const SECOND: u64 = 1_000_000_000;
const DAY_S: u64 = 86_400;
/// Prices have four decimals, as OUCH 5.0 has them.
const PRICE_ONE: u64 = 10_000;

/// `YYYYMMDD-HH:MM:SS.sss`, UTC, of nanoseconds since the Unix epoch.
pub fn utc_text(at: Nanos) -> String {
    let (seconds, ms) = (at / SECOND, at % SECOND / 1_000_000);
    let (year, month, day) = date_of_days(seconds / DAY_S);
    let (hour, minute, second) = (seconds % DAY_S / 3_600, seconds % 3_600 / 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}-{hour:02}:{minute:02}:{second:02}.{ms:03}")
}

/// Nanoseconds since the Unix epoch of `YYYYMMDD-HH:MM:SS`, with up to nine decimals. A leap second counts as
/// the second behind it. `None` for any other text, and for a time before 1970.
pub fn parse_utc(text: &[u8]) -> Option<Nanos> {
    let part = |at: usize, len: usize| number(text.get(at..at + len)?);
    let has = |at: usize, byte: u8| text.get(at) == Some(&byte);
    if !(has(8, b'-') && has(11, b':') && has(14, b':')) {
        return None;
    }
    let (year, month, day) = (part(0, 4)?, part(4, 2)?, part(6, 2)?);
    let (hour, minute, second) = (part(9, 2)?, part(12, 2)?, part(15, 2)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let fraction = match text.get(17..)? {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => {
            number(digits)? * 10_u64.pow(9 - digits.len() as u32)
        }
        _ => return None,
    };
    let seconds = days_of_date(year, month, day)? * DAY_S + hour * 3_600 + minute * 60 + second;
    seconds.checked_mul(SECOND)?.checked_add(fraction)
}

/// A decimal number without its trailing zeros; `value` has `decimals` decimals.
fn decimal_text(value: u128, decimals: u32) -> String {
    let one = 10_u128.pow(decimals);
    let (whole, fraction) = (value / one, value % one);
    let fraction = format!("{fraction:0width$}", width = decimals as usize);
    match fraction.trim_end_matches('0') {
        "" => whole.to_string(),
        fraction => format!("{whole}.{fraction}"),
    }
}

/// A price of four decimals.
pub fn price_text(price: u64) -> String {
    decimal_text(price.into(), 4)
}

/// The mean price of `quantity` that cost `notional` in all, to eight decimals; 0 if the quantity is 0.
pub fn average_text(notional: u128, quantity: u32) -> String {
    match u128::from(quantity) {
        0 => "0".to_owned(),
        quantity => decimal_text((notional * 10_000 + quantity / 2) / quantity, 8),
    }
}

/// Integer and fraction of an unsigned number.
fn decimal_parts(text: &[u8]) -> Option<(u64, &[u8])> {
    let (whole, fraction) = match text.iter().position(|byte| *byte == b'.') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[][..]),
    };
    let is_number = !(whole.is_empty() && fraction.is_empty()) && fraction.iter().all(u8::is_ascii_digit);
    let whole = if whole.is_empty() { Some(0) } else { number(whole) };
    whole.filter(|_| is_number).map(|whole| (whole, fraction))
}

/// A price with at most four non-zero decimals, in ten-thousandths. `None` for any other text, or a finer
/// price.
pub fn parse_price(text: &[u8]) -> Option<u64> {
    let (whole, fraction) = decimal_parts(text)?;
    let (fine, rest) = fraction.split_at(fraction.len().min(4));
    if rest.iter().any(|digit| *digit != b'0') {
        return None;
    }
    let fine =
        fine.iter().chain([b'0'; 4].iter()).take(4).fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    whole.checked_mul(PRICE_ONE)?.checked_add(fine)
}

/// A quantity, which FIX may write with decimals: a whole number of 32 bits. `None` for anything else.
pub fn parse_quantity(text: &[u8]) -> Option<u32> {
    let (whole, fraction) = decimal_parts(text)?;
    let is_whole = fraction.iter().all(|digit| *digit == b'0');
    u32::try_from(whole).ok().filter(|_| is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(utc_text(0), "19700101-00:00:00.000");
        assert_eq!(utc_text(951_782_399_999_999_999), "20000228-23:59:59.999");
        assert_eq!(utc_text(951_782_400_000_000_000), "20000229-00:00:00.000");
        assert_eq!(utc_text(1_795_255_205_001_000_000), "20261121-10:00:05.001");
        assert_eq!(parse_utc(b"20261121-10:00:05.001"), Some(1_795_255_205_001_000_000));
        assert_eq!(parse_utc(b"20261121-10:00:05"), Some(1_795_255_205_000_000_000));
        assert_eq!(parse_utc(b"20261121-10:00:05.000001"), Some(1_795_255_205_000_001_000));
        for wrong in [
            "",
            "20261121",
            "20261321-10:00:05",
            "20261121-24:00:05",
            "20261121-10:00:05.",
            "19691231-23:59:59",
        ] {
            assert_eq!(parse_utc(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn prices_have_four_decimals_and_quantities_none() {
        for (text, price) in
            [("10", 100_000), ("10.5", 105_000), (".0001", 1), ("3.14150000", 31_415), ("0", 0)]
        {
            assert_eq!(parse_price(text.as_bytes()), Some(price), "{text}");
        }
        for wrong in ["", ".", "-1", "1e3", "1.00001", "1.2.3", "99999999999999999999"] {
            assert_eq!(parse_price(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!([100_000, 105_000, 1].map(price_text), ["10", "10.5", "0.0001"]);
        assert_eq!(parse_quantity(b"100.00"), Some(100));
        assert_eq!(["100.5", "4294967296", "x", ""].map(|text| parse_quantity(text.as_bytes())), [None; 4]);
        assert_eq!(average_text(100_000 * 2 + 100_100, 3), "10.00333333");
        assert_eq!(average_text(0, 0), "0");
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_as_it_was(price in 0_u64..1 << 50, at in 0_u64..4_000_000_000) {
            prop_assert_eq!(parse_price(price_text(price).as_bytes()), Some(price));
            let at = at * 1_000_000_000 + at % 1_000 * 1_000_000;
            prop_assert_eq!(parse_utc(utc_text(at).as_bytes()), Some(at));
        }

        #[test]
        fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..30)) {
            let _ = (parse_utc(&bytes), parse_price(&bytes), parse_quantity(&bytes));
        }
    }
}
