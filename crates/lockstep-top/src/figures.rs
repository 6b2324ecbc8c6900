//! Figures for people: numbers, times and shares in a few columns of known width.

/// The cell of an unknown figure.
pub const UNKNOWN: &str = "–";

/// A time in at most five columns: `96us`, `1.2ms`, `150ms`, `1.2s`, `2m03s`, `12m`, `2h03m`, `23h`, `9d`.
pub fn brief(ns: u64) -> String {
    match ns {
        0..1_000_000 => format!("{}us", ns / 1_000),
        1_000_000..9_950_000 => format!("{:.1}ms", ns as f64 / 1e6),
        9_950_000..999_500_000 => format!("{:.0}ms", ns as f64 / 1e6),
        999_500_000..9_950_000_000 => format!("{:.1}s", ns as f64 / 1e9),
        9_950_000_000..59_500_000_000 => format!("{:.0}s", ns as f64 / 1e9),
        _ => match ns.max(60_000_000_000) / 60_000_000_000 {
            minutes @ 0..10 => format!("{minutes}m{:02}s", ns.max(60_000_000_000) / 1_000_000_000 % 60),
            minutes @ 10..60 => format!("{minutes}m"),
            minutes @ 60..600 => format!("{}h{:02}m", minutes / 60, minutes % 60),
            minutes @ 600..1_440 => format!("{}h", minutes / 60),
            minutes => format!("{}d", minutes / 1_440),
        },
    }
}

/// A number in at most five columns: `99999`, `123k`, `1.23M`.
pub fn compact(number: u64) -> String {
    if number < 100_000 { number.to_string() } else { scaled(number as f64) }
}

/// A rate in at most five columns: `0.4`, `1998`, `1.23M`.
pub fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate > 0.0 && rate < 9.95 => format!("{rate:.1}"),
        rate => compact(rate.max(0.0).round() as u64),
    }
}

/// Bytes in at most five columns: `512`, `1.23M`; the prefixes are decimal, as for disks and networks.
pub fn bytes(number: u64) -> String {
    if number < 1_000 { number.to_string() } else { scaled(number as f64) }
}

/// A share of one in at most four columns: `7%`.
pub fn share(share: f64) -> String {
    match (share * 100.0).clamp(0.0, 100.0) {
        percent if percent > 0.0 && percent < 0.95 => format!("{percent:.1}%"),
        percent => format!("{percent:.0}%"),
    }
}

const SUFFIXES: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];

/// The number with three digits and the suffix of its magnitude.
fn scaled(mut number: f64) -> String {
    let mut place = 0;
    // 999.5 would be printed as 1000.
    while number >= 999.5 && place + 1 < SUFFIXES.len() {
        number /= 1_000.0;
        place += 1;
    }
    let digits = match number {
        number if number < 9.995 => 2,
        number if number < 99.95 => 1,
        _ => 0,
    };
    format!("{number:.digits$}{}", SUFFIXES[place])
}

/// The time of day in UTC, `12:03:05`, of nanoseconds since the Unix epoch.
pub fn time_of_day(at_ns: u64) -> String {
    let seconds = at_ns / 1_000_000_000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brief_time_has_five_columns_at_most() {
        let times = [0, 96_000, 999_999, 1_200_000, 9_960_000, 999_600_000, 59_600_000_000, 123_000_000_000];
        let texts = times.map(brief);
        assert_eq!(texts, ["0us", "96us", "999us", "1.2ms", "10ms", "1.0s", "1m00s", "2m03s"]);
        let texts = [12, 123, 600, 1_500].map(|minutes| brief(minutes * 60_000_000_000));
        assert_eq!(texts, ["12m", "2h03m", "10h", "1d"]);
        let mut ns = 1_u64;
        while ns < 9_999 * 86_400_000_000_000 {
            assert!(brief(ns).len() <= 5, "{ns}: {}", brief(ns));
            ns += ns / 10 + 1;
        }
    }

    #[test]
    fn a_compact_number_has_five_columns_at_most_and_a_rate_too() {
        let numbers = [0, 99_999, 100_000, 999_499, 999_500, 1_234_567, 99_950_000, u64::MAX].map(compact);
        assert_eq!(numbers, ["0", "99999", "100k", "999k", "1.00M", "1.23M", "100M", "18.4E"]);
        let rates = [0.0, 0.04, 0.4, 9.94, 9.96, 1_998.2, 1e6, -1.0].map(rate);
        assert_eq!(rates, ["0", "0.0", "0.4", "9.9", "10", "1998", "1.00M", "0"]);
        let mut number = 1_u64;
        while let Some(next) = number.checked_mul(3) {
            assert!(compact(number).len() <= 5 && bytes(number).len() <= 5, "{number}");
            number = next;
        }
    }

    #[test]
    fn shares_and_times_of_day_have_known_widths() {
        assert_eq!(
            [0.0, 0.001, 0.07, 0.999, 1.0, 7.0].map(share),
            ["0%", "0.1%", "7%", "100%", "100%", "100%"]
        );
        assert_eq!(time_of_day(86_399_999_999_999), "23:59:59");
        assert_eq!([999, 1_000, 39_800_000_000].map(bytes), ["999", "1.00k", "39.8G"]);
    }
}
