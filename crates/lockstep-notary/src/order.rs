//! Signatures of operators' orders: what signs them, and what checks them.

use crate::attestation::NotaryKey;
use ed25519_dalek::{Signature, Signer, SigningKey};
use lockstep_wire::OperatorKey;

/// What signs the orders of the operator whose publisher's key has this number and name in `cluster`: with
/// this secret.
pub fn operator_key(cluster: u64, operator: (u16, &str), secret: &[u8; 32]) -> OperatorKey {
    let key = SigningKey::from_bytes(secret);
    OperatorKey::new(cluster, operator, move |signed| key.sign(signed).to_bytes())
}

/// Whether `signature` over `signed` is that of the holder of `public`: a
/// [`lockstep_wire::VerifyOrder`].
pub fn verify_order(public: &[u8; 32], signed: &[u8], signature: &[u8; 64]) -> bool {
    let signature = Signature::from_bytes(signature);
    NotaryKey::from_bytes(public).is_some_and(|key| key.0.verify_strict(signed, &signature).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_wire::{Epoch, OperatorOrder, OrderStatement, OrderView};

    #[test]
    fn auth_9_a_record_is_signed_by_the_secret_of_one_public_key_and_each_changed_bit_is_found() {
        // AUTH-9
        let order = OrderStatement {
            order: OperatorOrder::Handover,
            history: 4,
            epoch: Epoch(1 << 40),
            membership_seq: 2,
            subject: None,
            arguments: &[],
        };
        let proof = operator_key(7, (3, "alice"), &[5; 32]).prove(&order, 9);
        let record = order.record(Some((3, "alice")), Some(&proof));
        let public = |secret| *crate::Notary::new(&[secret; 32]).public().as_bytes();
        let holds = |record: &[u8], cluster, public: &[u8; 32]| {
            let view = OrderView::parse(record).ok()?;
            Some(verify_order(public, &view.signed(cluster), view.signature?))
        };
        assert_eq!(holds(&record, 7, &public(5)), Some(true));
        assert_eq!(holds(&record, 8, &public(5)), Some(false), "another cluster");
        assert_eq!(holds(&record, 7, &public(6)), Some(false), "another operator");
        assert_eq!(holds(&record, 7, &[0; 32]), Some(false), "a key of small order");
        for bit in 0..record.len() * 8 {
            let mut changed = record.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(holds(&changed, 7, &public(5)), Some(true), "bit {bit}");
        }
    }
}
