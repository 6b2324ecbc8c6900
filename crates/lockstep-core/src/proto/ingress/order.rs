//! In which order the datagrams of one receive are taken.
//!
//! A publisher that floods fills the receives; in the order of arrival the others would wait behind all of
//! it. So a batch is taken in rounds: the first datagram of each sender, then the second of each, and so on,
//! within a round in the order of arrival. A sender's own order stays as it is. Nothing is dropped, copied or
//! allocated; a batch of one sender, which is the rule under load, is taken as it came.

/// Datagrams of a batch that are put in order; what lies behind them comes behind them.
const BATCH_MAX: usize = 256;
/// Places for senders: twice as many as are told apart, so that a place is found soon.
const PLACES: usize = 128;
/// Senders that are told apart; the datagrams of more than so many are all of the first round.
const SENDERS_MAX: usize = PLACES / 2;

/// One batch's order.
#[derive(Clone, Debug)]
pub struct IngressRounds {
    order: [u16; BATCH_MAX],
    len: usize,
}

impl IngressRounds {
    /// INGRESS-2 (in which order a batch is stamped): the rounds of a batch of `count` datagrams. `sender`
    /// tells who submits the `index`th, and `None` for what is no submission: that waits for nobody. Returns
    /// `None` where the order of arrival is right.
    #[inline]
    pub fn of(count: usize, sender: impl Fn(usize) -> Option<u64>) -> Option<Self> {
        let first = sender(0);
        let one = (1..count).all(|index| sender(index) == first);
        if one { None } else { Self::arrange(count.min(BATCH_MAX), sender) }
    }

    fn arrange(len: usize, sender: impl Fn(usize) -> Option<u64>) -> Option<Self> {
        let mut senders = [(0u64, 0u16); PLACES];
        let (mut known, mut last_round) = (0, 0);
        let mut rounds = [0u16; BATCH_MAX];
        // How many datagrams each round has.
        let mut sizes = [0u16; BATCH_MAX];
        for (index, round) in rounds[..len].iter_mut().enumerate() {
            if let Some(sender) = sender(index) {
                let mut place = (sender.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57) as usize;
                while senders[place].1 > 0 && senders[place].0 != sender {
                    place = (place + 1) % PLACES;
                }
                if senders[place].1 > 0 || known < SENDERS_MAX {
                    known += usize::from(senders[place].1 == 0);
                    *round = senders[place].1;
                    senders[place] = (sender, *round + 1);
                }
            }
            sizes[usize::from(*round)] += 1;
            last_round = last_round.max(*round);
        }
        if last_round == 0 {
            return None;
        }
        let mut starts = [0u16; BATCH_MAX];
        for round in 1..=usize::from(last_round) {
            starts[round] = starts[round - 1] + sizes[round - 1];
        }
        let mut order = [0; BATCH_MAX];
        for (index, round) in rounds[..len].iter().enumerate() {
            let start = &mut starts[usize::from(*round)];
            order[usize::from(*start)] = index as u16;
            *start += 1;
        }
        Some(Self { order, len })
    }

    /// Which datagram is taken as the `turn`th.
    #[inline]
    pub fn index(&self, turn: usize) -> usize {
        if turn < self.len { usize::from(self.order[turn]) } else { turn }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn order(senders: &[Option<u64>]) -> Option<Vec<usize>> {
        let rounds = IngressRounds::of(senders.len(), |index| senders[index])?;
        Some((0..senders.len()).map(|turn| rounds.index(turn)).collect())
    }

    #[test]
    fn ingress_2_the_first_of_each_comes_before_the_second_of_any() {
        // INGRESS-2
        let flood = [1, 1, 1, 1, 2, 1, 3, 2].map(Some);
        assert_eq!(order(&flood), Some(vec![0, 4, 6, 1, 7, 2, 3, 5]));
        assert_eq!(order(&[Some(1); 9]), None, "one sender alone waits for nobody");
        assert_eq!(order(&[1, 2, 3].map(Some)), None, "and neither do those who send once");
        let acks = [Some(1), Some(1), None, None, Some(2)];
        assert_eq!(order(&acks), Some(vec![0, 2, 3, 4, 1]), "what is no submission waits for none");
    }

    proptest! {
        /// INGRESS-2: each datagram comes once, a sender's in the order in which they came, and before the
        /// k-th of a sender none has had more than k.
        #[test]
        fn ingress_2_every_order_is_whole_fair_and_each_senders_own(
            senders in prop::collection::vec(prop::option::of(0u64..90), 1..400),
        ) {
            let order = order(&senders).unwrap_or_else(|| (0..senders.len()).collect());
            let mut sorted = order.clone();
            sorted.sort_unstable();
            prop_assert_eq!(sorted, (0..senders.len()).collect::<Vec<_>>());
            let few = senders.iter().flatten().collect::<std::collections::BTreeSet<_>>().len() <= SENDERS_MAX;
            let mut taken = std::collections::BTreeMap::new();
            let mut round = 0;
            for (turn, index) in order.iter().enumerate() {
                let Some(sender) = senders[*index] else { continue };
                let before = taken.insert(sender, (turn, *index));
                prop_assert!(before.is_none_or(|(_, before)| before < *index) || !few);
                let count = senders[..*index].iter().filter(|other| **other == Some(sender)).count();
                if few && turn < BATCH_MAX.min(senders.len()) {
                    prop_assert!(count >= round, "round {} behind round {}", count, round);
                    round = count;
                }
            }
        }
    }
}
