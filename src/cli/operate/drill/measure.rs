//! The measures of a drill as a function of times: deliveries, epochs and own numbers become gaps, times to a
//! new leader and losses. No clock, no thread.

use lockstep_trial::checks::NumberCheck;
use lockstep_wire::{Epoch, Nanos};
use serde::Serialize;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Messages of the drill that did not arrive once and in order.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct DeliveryErrors {
    /// Committed, and never delivered.
    pub lost: u64,
    /// Delivered more than once.
    pub doubled: u64,
    /// Delivered behind a later one.
    pub reordered: u64,
}

impl DeliveryErrors {
    /// Whether there is none.
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

/// What a fault cost, by its reader.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct FaultCost {
    /// Longest time between two committed deliveries, nanoseconds.
    pub gap_ns: Nanos,
    /// From the fault until the start of a later epoch was delivered as committed; `None`: none was.
    pub leader_ns: Option<Nanos>,
}

/// The committed deliveries of one reader.
#[derive(Debug, Default)]
pub struct DeliveryTimeline {
    last: Option<Nanos>,
    longest: Nanos,
    epoch: Epoch,
    fault: Option<(Nanos, Epoch)>,
    led_at: Option<Nanos>,
    /// The own numbers, from 0.
    numbers: NumberCheck,
    delivered: u64,
}

impl DeliveryTimeline {
    /// A message, anybody's, is delivered at `at`.
    pub fn on_delivery(&mut self, at: Nanos) {
        if let Some(last) = self.last.replace(at) {
            self.longest = self.longest.max(at.saturating_sub(last));
        }
    }

    /// It is the drill's own, with this number from 0 on.
    pub fn on_own(&mut self, number: u64) {
        self.delivered += 1;
        self.numbers.take(number);
    }

    /// The start of an epoch is delivered.
    pub fn on_epoch(&mut self, epoch: Epoch, at: Nanos) {
        self.epoch = self.epoch.max(epoch);
        if self.fault.is_some_and(|(_, before)| epoch > before) && self.led_at.is_none() {
            self.led_at = Some(at);
        }
    }

    /// A fault begins at `at`, while `epoch` is led. The time since the delivery before it counts.
    pub fn begin(&mut self, at: Nanos, epoch: Epoch) {
        self.fault = Some((at, epoch.max(self.epoch)));
        (self.longest, self.led_at) = (0, None);
    }

    /// Whether a later epoch than that of the fault has begun.
    pub fn is_led_again(&self) -> bool {
        self.led_at.is_some()
    }

    /// What the fault cost until `now`.
    pub fn cost(&self, now: Nanos) -> FaultCost {
        let open = self.last.map_or(0, |last| now.saturating_sub(last));
        let leader_ns = self.fault.zip(self.led_at).map(|((begun, _), led)| led.saturating_sub(begun));
        FaultCost { gap_ns: self.longest.max(open), leader_ns }
    }

    /// How many own messages were delivered, each copy counted.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// The number behind the greatest own one that was delivered.
    pub fn next(&self) -> u64 {
        self.numbers.next()
    }

    /// The errors, where `committed` own messages are committed.
    pub fn errors(&self, committed: u64) -> DeliveryErrors {
        let numbers = &self.numbers;
        let lost = numbers.missing() + committed.saturating_sub(numbers.next());
        DeliveryErrors { lost, doubled: numbers.duplicated(), reordered: numbers.reordered() }
    }
}

/// The least, the middle and the greatest of some times.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct TimeSpread {
    /// Nanoseconds, as the others.
    pub min_ns: Nanos,
    /// The lower one of two middle ones.
    pub p50_ns: Nanos,
    /// The greatest.
    pub max_ns: Nanos,
}

impl TimeSpread {
    /// That of these times, if there is one.
    pub fn of(times: impl IntoIterator<Item = Nanos>) -> Option<Self> {
        let mut times: Vec<Nanos> = times.into_iter().collect();
        times.sort_unstable();
        let (min_ns, max_ns) = (*times.first()?, *times.last()?);
        Some(Self { min_ns, p50_ns: times[(times.len() - 1) / 2], max_ns })
    }
}

/// A measure that may be limited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DrillMeasure {
    Gap,
    Leader,
    Lost,
    Doubled,
    Reordered,
}

impl DrillMeasure {
    fn name(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Leader => "leader",
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Reordered => "reordered",
        }
    }
}

/// A limit of `--fail-if`: the drill fails where the measure is greater.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DrillLimit {
    /// The measure that it limits.
    pub measure: DrillMeasure,
    /// Nanoseconds of a time, or the count 0.
    pub above: u64,
}

impl FromStr for DrillLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const HOW: &str = "write gap>50ms, leader>50ms, lost>0, doubled>0 or reordered>0";
        let (name, above) = text.split_once('>').ok_or_else(|| HOW.to_owned())?;
        let all = [
            DrillMeasure::Gap,
            DrillMeasure::Leader,
            DrillMeasure::Lost,
            DrillMeasure::Doubled,
            DrillMeasure::Reordered,
        ];
        let measure = all.into_iter().find(|measure| measure.name() == name.trim()).ok_or(HOW)?;
        let above = match measure {
            DrillMeasure::Gap | DrillMeasure::Leader => {
                lockstep_daemon::config::duration(above.trim())?.as_nanos() as u64
            }
            _ if above.trim() == "0" => 0,
            _ => return Err(format!("'{text}': no loss is tolerated, so that the count is always 0; {HOW}")),
        };
        Ok(Self { measure, above })
    }
}

impl fmt::Display for DrillLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.measure.name();
        match self.measure {
            DrillMeasure::Gap | DrillMeasure::Leader => {
                write!(f, "{name}>{:?}", Duration::from_nanos(self.above))
            }
            _ => write!(f, "{name}>{}", self.above),
        }
    }
}

impl DrillLimit {
    /// The measure, where this cost exceeds its limit.
    pub fn exceeded_by(&self, cost: &FaultCost) -> Option<Nanos> {
        let value = match self.measure {
            DrillMeasure::Gap => Some(cost.gap_ns),
            DrillMeasure::Leader => cost.leader_ns,
            _ => None,
        };
        value.filter(|value| *value > self.above)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Epoch = Epoch(1 << 8);
    const SECOND: Epoch = Epoch(2 << 8);

    #[test]
    fn the_gap_of_a_fault_is_the_longest_time_between_two_deliveries_around_it() {
        let mut timeline = DeliveryTimeline::default();
        // A longer one before the fault is another matter.
        [0, 900, 1_000, 1_010].into_iter().for_each(|at| timeline.on_delivery(at));
        timeline.begin(1_015, FIRST);
        assert_eq!(timeline.cost(1_017).gap_ns, 7, "nothing is delivered yet");
        [1_310, 1_320, 1_400].into_iter().for_each(|at| timeline.on_delivery(at));
        assert_eq!(timeline.cost(1_400).gap_ns, 300, "from the delivery before the fault on");
        assert_eq!(timeline.cost(2_000).gap_ns, 600, "a gap that is still open counts");
        timeline.begin(1_405, FIRST);
        timeline.on_delivery(1_450);
        assert_eq!(timeline.cost(1_450).gap_ns, 50, "each fault has its own");
    }

    #[test]
    fn a_new_leader_is_one_of_a_later_epoch_than_that_of_the_fault() {
        let mut timeline = DeliveryTimeline::default();
        timeline.on_epoch(FIRST, 5);
        timeline.begin(100, FIRST);
        timeline.on_epoch(FIRST, 110);
        assert!(!timeline.is_led_again());
        assert_eq!(timeline.cost(120).leader_ns, None);
        timeline.on_epoch(SECOND, 130);
        timeline.on_epoch(Epoch(3 << 8), 190);
        assert_eq!(timeline.cost(200).leader_ns, Some(30), "the first one counts");
        timeline.begin(300, SECOND);
        assert!(!timeline.is_led_again(), "the third epoch was there before");
    }

    #[test]
    fn what_is_lost_doubled_or_out_of_order_is_counted_as_that() {
        let run = |numbers: &[u64], committed| {
            let mut timeline = DeliveryTimeline::default();
            numbers.iter().for_each(|number| timeline.on_own(number - 1));
            timeline.errors(committed)
        };
        let errors = |lost, doubled, reordered| DeliveryErrors { lost, doubled, reordered };
        assert!(run(&[1, 2, 3], 3).is_none());
        assert_eq!(run(&[1, 2, 3], 5), errors(2, 0, 0), "the last ones");
        assert_eq!(run(&[3], 3), errors(2, 0, 0), "the first ones");
        assert_eq!(run(&[1, 2, 2, 3, 1], 3), errors(0, 2, 0));
        assert_eq!(run(&[1, 3, 2, 4], 4), errors(0, 0, 1));
        assert_eq!(run(&[1, 5, 3, 3], 5), errors(2, 1, 1));
        assert_eq!(run(&[1, 2], 1), errors(0, 0, 0), "its outcome was not heard of yet");
    }

    #[test]
    fn a_spread_has_the_least_the_middle_and_the_greatest() {
        let spread = |min_ns, p50_ns, max_ns| Some(TimeSpread { min_ns, p50_ns, max_ns });
        assert_eq!(TimeSpread::of([]), None);
        assert_eq!(TimeSpread::of([7]), spread(7, 7, 7));
        assert_eq!(TimeSpread::of([9, 1, 5, 3]), spread(1, 3, 9));
    }

    #[test]
    fn a_limit_is_exceeded_by_what_is_greater_and_by_nothing_else() {
        let limit = |text: &str| text.parse::<DrillLimit>();
        let cost = FaultCost { gap_ns: 50_000_001, leader_ns: None };
        assert_eq!(limit("gap>50ms").unwrap().exceeded_by(&cost), Some(50_000_001));
        assert_eq!(limit("gap > 50000001ns").unwrap().exceeded_by(&cost), None, "equal is within");
        assert_eq!(
            limit("leader>1us").unwrap().exceeded_by(&cost),
            None,
            "nobody leads: that fails by itself"
        );
        assert_eq!(limit("lost>0").unwrap().exceeded_by(&cost), None, "losses fail by themselves");
        assert_eq!(limit("gap>50ms").unwrap().to_string(), "gap>50ms");
        for wrong in ["gap", "gap>5", "gap>x", "age>5ms", "lost>5", ">5ms"] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
    }
}
