//! Passwords: argon2id (RFC 9106), some twenty milliseconds each on purpose, and a memory of the logins that were
//! right just now, so that a client that reconnects does not wait for it.

use crate::wire::Nanos;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// How long a login that was right is believed without hashing it again.
const BELIEVED_NS: Nanos = 60_000_000_000;
/// Most of them.
const BELIEVED_MAX: usize = 4_096;

/// The PHC string of a password, which is stored in lower case: SoupBinTCP's are case-insensitive.
///
/// # Errors
/// The salt is too short, or there is no memory.
pub fn hash(password: &[u8], salt: [u8; 16]) -> Result<String, String> {
    let lower = password.to_ascii_lowercase();
    let hashed = Argon2::default().hash_password_with_salt(&lower, &salt);
    hashed.map(|hash| hash.to_string()).map_err(|error| format!("cannot hash the password: {error}"))
}

/// Who checks passwords.
#[derive(Debug)]
pub struct Passwords {
    /// Of no password: what an unknown user's is compared with, so that it takes as long.
    nobody: String,
    key: [u8; 16],
    believed: BTreeMap<[u8; 32], Nanos>,
}

impl Passwords {
    /// `drawn` at random: the memory's key.
    ///
    /// # Errors
    /// As [`hash`].
    pub fn new(drawn: [u8; 16]) -> Result<Self, String> {
        Ok(Self { nobody: hash(&drawn, drawn)?, key: drawn, believed: BTreeMap::new() })
    }

    /// Whether `password` is the one that `hash` was made of; without a hash it is not. The comparison is argon2's
    /// own, in constant time.
    pub fn is_right(&mut self, now: Nanos, password: &[u8], hash: Option<&str>) -> bool {
        let mut digest = Sha256::new();
        for part in [&self.key[..], hash.unwrap_or_default().as_bytes(), b"\0", password] {
            digest.update(part);
        }
        let fingerprint: [u8; 32] = digest.finalize().into();
        if hash.is_some() && self.believed.get(&fingerprint).is_some_and(|until| now < *until) {
            return true;
        }
        let verified = Argon2::default().verify_password(password, hash.unwrap_or(&self.nobody)).is_ok();
        let is_right = verified && hash.is_some();
        if is_right {
            if self.believed.len() >= BELIEVED_MAX {
                self.believed.retain(|_, until| now < *until);
            }
            if self.believed.len() < BELIEVED_MAX {
                self.believed.insert(fingerprint, now + BELIEVED_NS);
            }
        }
        is_right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_right_in_any_case_of_its_letters_and_nothing_else_is() {
        let hash = hash(b"Secret7", [7; 16]).unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        let mut passwords = Passwords::new([1; 16]).unwrap();
        for _ in 0..2 {
            assert!(passwords.is_right(0, b"secret7", Some(&hash)));
            assert!(!passwords.is_right(0, b"secret8", Some(&hash)));
            assert!(!passwords.is_right(0, b"secret7", None), "no such user");
        }
        assert!(!passwords.is_right(0, b"secret7", Some("no hash")));
    }

    #[test]
    fn a_right_login_is_remembered_for_a_minute_and_not_for_another_hash() {
        let (hash, other) = (hash(b"secret7", [7; 16]).unwrap(), hash(b"secret8", [7; 16]).unwrap());
        let mut passwords = Passwords::new([1; 16]).unwrap();
        assert!(passwords.is_right(0, b"secret7", Some(&hash)));
        assert_eq!(passwords.believed.len(), 1);
        assert!(!passwords.is_right(1, b"secret7", Some(&other)), "its user has changed it");
        assert!(passwords.is_right(BELIEVED_NS + 1, b"secret7", Some(&hash)), "hashed again");
    }
}
