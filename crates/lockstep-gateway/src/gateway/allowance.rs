//! A rate limit: a number of actions a second, and a number of them at once.

use lockstep_wire::Nanos;

/// One action, in the units of [`Allowance::credit`].
const ONE: u64 = 1_000_000;

/// The credit of a rate limit. It begins with one action, and grows with time.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    credit: u64,
    credited_at: Nanos,
}

impl Allowance {
    pub fn new(now: Nanos) -> Self {
        Self { credit: ONE, credited_at: now }
    }

    /// Whether another action is allowed now, at `rate` a second and a tenth of that at once; then it is
    /// counted.
    pub fn take(&mut self, now: Nanos, rate: u32) -> bool {
        self.take_up_to(now, rate, rate / 10)
    }

    /// As [`take`](Self::take), with `at_once` actions at once.
    pub fn take_up_to(&mut self, now: Nanos, rate: u32, at_once: u32) -> bool {
        let rate = u64::from(rate);
        let earned =
            u128::from(now.saturating_sub(self.credited_at)) * u128::from(rate * ONE) / 1_000_000_000;
        let most = u64::from(at_once.max(1)) * ONE;
        if earned > 0 {
            self.credit = u64::try_from(earned).unwrap_or(most).saturating_add(self.credit).min(most);
            self.credited_at = now;
        }
        let has = self.credit >= ONE;
        self.credit -= if has { ONE } else { 0 };
        has
    }

    /// Returns the last action, which was not carried out.
    pub fn give_back(&mut self) {
        self.credit += ONE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_allowed_in_any_second_and_a_tenth_of_them_at_once() {
        let mut allowance = Allowance::new(0);
        let mut taken = |now| (0..1_000).take_while(|_| allowance.take(now, 100)).count();
        assert_eq!(taken(0), 1);
        assert_eq!(taken(1_000_000_000), 10, "what was not used is lost, but for a tenth of a second's");
        let later: usize = (1..=1_000).map(|ms| taken(1_000_000_000 + ms * 1_000_000)).sum();
        assert_eq!(later, 100);
        allowance.give_back();
        assert!(allowance.take(2_000_000_000, 100) && !allowance.take(2_000_000_000, 100));
    }
}
