//! A limit on the command line: `gap.p99>5ms`, `lost>0`.

use std::str::FromStr;

/// How a figure is compared with its limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Comparison {
    Over,
    AtLeast,
    Under,
}

/// Makes the bench fail where it holds.
#[derive(Clone, PartialEq, Debug)]
pub struct Condition {
    /// As it was written.
    pub text: String,
    /// Which row.
    pub row: String,
    /// Which figure of it; none for a count.
    pub figure: Option<String>,
    comparison: Comparison,
    /// In nanoseconds, or a count.
    limit: f64,
}

impl Condition {
    /// Whether it holds for `value`, in nanoseconds or a count.
    pub fn holds(&self, value: f64) -> bool {
        match self.comparison {
            Comparison::Over => value > self.limit,
            Comparison::AtLeast => value >= self.limit,
            Comparison::Under => value < self.limit,
        }
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("'{text}' is no condition; write ROW.FIGURE>LIMIT, like gap.p99>5ms, or lost>0");
        let at = text.find(['<', '>']).ok_or_else(wrong)?;
        let (left, right) = text.split_at(at);
        let (comparison, right) = match right {
            _ if right.starts_with(">=") => (Comparison::AtLeast, &right[2..]),
            _ if right.starts_with('>') => (Comparison::Over, &right[1..]),
            _ => (Comparison::Under, &right[1..]),
        };
        let right = right.trim();
        let digits = right.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(right.len());
        let value: f64 = right[..digits].parse().map_err(|_| wrong())?;
        let unit = match right[digits..].trim() {
            "" | "ns" => 1.0,
            "us" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            _ => return Err(wrong()),
        };
        let (row, figure) = match left.trim().split_once('.') {
            Some((row, figure)) => (row, Some(figure.to_owned())),
            None => (left.trim(), None),
        };
        Ok(Self { text: text.to_owned(), row: row.to_owned(), figure, comparison, limit: value * unit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_read_with_its_unit_and_judged() {
        let condition: Condition = "gap.p99 > 5ms".parse().expect("a condition");
        assert_eq!((condition.row.as_str(), condition.figure.as_deref()), ("gap", Some("p99")));
        assert!(condition.holds(5_000_001.0) && !condition.holds(5e6));
        let count: Condition = "lost>0".parse().expect("a condition");
        assert!(count.holds(1.0) && !count.holds(0.0) && count.figure.is_none());
        assert!("takeovers<1".parse::<Condition>().expect("a condition").holds(0.0));
        assert!("full.max>=1.5us".parse::<Condition>().expect("a condition").holds(1500.0));
    }

    #[test]
    fn what_is_no_condition_is_refused_with_an_example() {
        for text in ["gap.p99", "gap.p99>", "gap.p99>5 miles", ">"] {
            let refused = text.parse::<Condition>();
            assert!(
                text == ">" && refused.is_err() || refused.is_err_and(|why| why.contains("gap.p99>5ms")),
                "{text}"
            );
        }
    }
}
