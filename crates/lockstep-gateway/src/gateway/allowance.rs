//! So many in a second, and so many at once.

use lockstep_wire::Nanos;

/// One, in the units of [`Allowance::credit`].
const ONE: u64 = 1_000_000;

/// What may be done until when. It begins with one, and earns by the time that passes.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    credit: u64,
    credited_at: Nanos,
}

impl Allowance {
    pub fn new(now: Nanos) -> Self {
        Self { credit: ONE, credited_at: now }
    }

    /// Whether one more may be done now, at `rate` a second and a tenth of a second's at once; then it is
    /// counted.
    pub fn take(&mut self, now: Nanos, rate: u32) -> bool {
        self.take_up_to(now, rate, rate / 10)
    }

    /// The same, with so many at once.
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

    /// The last one came to nothing.
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
