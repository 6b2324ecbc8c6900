//! The record of an order is read as it was written, and signed up to its signature.

use crate::samples::{self, CLUSTER};
use lockstep_wire::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_record_of_an_order_is_what_was_written_and_is_signed_up_to_its_signature(
        words in any::<[u64; 4]>(),
        key in 0..PUBLISHER_KEYS_MAX,
        name in "[a-z]{1,64}",
        day in "[0-9]{1,10}",
        is_signed in any::<bool>(),
    ) {
        let [history, epoch, membership_seq, nonce] = words;
        let entry = EntryHeader { publisher_seq: nonce, time_or_incarnation: 7, ..samples::entry(EntryKind::Day) };
        let mark = DayMark { is_start: true, name: &day };
        let arguments = day_arguments(&entry, &mark);
        let (order, epoch) = (OperatorOrder::Day, Epoch(epoch));
        let asked = OrderStatement { order, history, epoch, membership_seq, subject: None, arguments: &arguments };
        let proof = is_signed.then_some(OrderProof { nonce, ..samples::proof() });
        let record = asked.record(Some((key, &name)), proof.as_ref());
        prop_assert!(record.len() <= ORDER_LEN_MAX);
        let view = OrderView::parse(&record).expect("what we wrote is accepted");
        prop_assert_eq!((view.order(), view.holder, view.body.key), (order, name.as_str(), key));
        prop_assert_eq!((view.body.history, view.epoch(), view.body.membership_seq), (history, epoch, membership_seq));
        prop_assert_eq!(view.day(), Some((nonce, 7, mark)));
        prop_assert_eq!(view.signature, proof.as_ref().map(|proof| &proof.signature));
        let signature = if is_signed { 64 } else { 0 };
        let signed = view.signed(CLUSTER);
        prop_assert!(signed.ends_with(&record[..record.len() - signature]));
        prop_assert_ne!(view.signed(CLUSTER + 1), signed);
        for cut in 0..record.len() {
            prop_assert!(OrderView::parse(&record[..cut]).is_err());
        }
    }
}
