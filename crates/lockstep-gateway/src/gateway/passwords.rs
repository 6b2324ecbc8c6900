//! Passwords are hashed by argon2id (RFC 9106), which takes some twenty milliseconds on purpose. Recent
//! successful logins are remembered, so that a client that reconnects does not wait for it.

use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use lockstep_wire::Nanos;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// How long a successful login is trusted without hashing the password again.
const BELIEVED_NS: Nanos = 60_000_000_000;
/// The most such logins.
const BELIEVED_MAX: usize = 4_096;

/// The PHC string of a password. It is hashed in lower case, because SoupBinTCP's passwords are
/// case-insensitive.
///
/// # Errors
/// The salt is too short, or there is no memory.
pub fn hash(password: &[u8], salt: [u8; 16]) -> Result<String, String> {
    let lower = password.to_ascii_lowercase();
    let hashed = Argon2::default().hash_password_with_salt(&lower, &salt);
    hashed.map(|hash| hash.to_string()).map_err(|error| format!("cannot hash the password: {error}"))
}

/// Checks passwords; shared by all threads that do.
#[derive(Debug)]
pub struct Passwords {
    /// The hash with which an unknown user's password is compared, so that it takes as long.
    nobody: String,
    key: [u8; 16],
}

/// How a successful login is remembered: password and hash, under a secret key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Fingerprint([u8; 32]);

impl Passwords {
    /// Creates a checker; `drawn` is the secret key, drawn at random.
    ///
    /// # Errors
    /// As [`hash`].
    pub fn new(drawn: [u8; 16]) -> Result<Self, String> {
        Ok(Self { nobody: hash(&drawn, drawn)?, key: drawn })
    }

    /// The fingerprint of this password and hash, by which a successful login is remembered.
    pub fn fingerprint(&self, password: &[u8], hash: Option<&str>) -> Fingerprint {
        let mut digest = Sha256::new();
        for part in [&self.key[..], hash.unwrap_or_default().as_bytes(), b"\0", password] {
            digest.update(part);
        }
        Fingerprint(digest.finalize().into())
    }

    /// Whether `hash` was made from `password`; `false` without a hash. The comparison is argon2's own, in
    /// constant time.
    pub fn is_right(&self, password: &[u8], hash: Option<&str>) -> bool {
        let verified = Argon2::default().verify_password(password, hash.unwrap_or(&self.nobody)).is_ok();
        verified && hash.is_some()
    }
}

/// The recent successful logins.
#[derive(Clone, Debug, Default)]
pub struct Believed(BTreeMap<Fingerprint, Nanos>);

impl Believed {
    /// Whether this login succeeded less than a minute ago.
    pub fn has(&self, now: Nanos, login: &Fingerprint) -> bool {
        self.0.get(login).is_some_and(|until| now < *until)
    }

    /// The login succeeded now.
    pub fn add(&mut self, now: Nanos, login: Fingerprint) {
        if self.0.len() >= BELIEVED_MAX {
            self.0.retain(|_, until| now < *until);
        }
        if self.0.len() < BELIEVED_MAX {
            self.0.insert(login, now + BELIEVED_NS);
        }
    }
}

/// Checks may use one part in this many of a core that other threads want.
const SHARE: Nanos = 4;
/// What they may use at once after a pause, in the time that it takes to earn: some eight checks.
const SHARE_BURST_NS: Nanos = 1_000_000_000;

/// The part of a core that checks may take from other threads: enough for a login however busy the cores are,
/// and so little that a flood of logins leaves three quarters to the others.
#[derive(Clone, Copy, Debug, Default)]
pub struct PasswordCpuShare {
    /// The time at which everything used is earned again.
    earned_at: Nanos,
}

impl PasswordCpuShare {
    /// A check has used `used_ns` of a core. Returns how long to rest before the next one.
    pub fn on_used(&mut self, now: Nanos, used_ns: Nanos) -> Nanos {
        self.earned_at = self.earned_at.max(now).saturating_add(used_ns.saturating_mul(SHARE));
        self.earned_at.saturating_sub(now.saturating_add(SHARE_BURST_NS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_right_in_any_case_of_its_letters_and_nothing_else_is() {
        let hash = hash(b"Secret7", [7; 16]).unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        let passwords = Passwords::new([1; 16]).unwrap();
        assert!(passwords.is_right(b"secret7", Some(&hash)));
        assert!(!passwords.is_right(b"secret8", Some(&hash)));
        assert!(!passwords.is_right(b"secret7", None), "no such user");
        assert!(!passwords.is_right(b"secret7", Some("no hash")));
    }

    #[test]
    fn a_right_login_is_remembered_for_a_minute_and_not_for_another_hash() {
        let passwords = Passwords::new([1; 16]).unwrap();
        let mut believed = Believed::default();
        let login = passwords.fingerprint(b"secret7", Some("hash"));
        assert!(!believed.has(0, &login));
        believed.add(0, login);
        assert!(believed.has(BELIEVED_NS - 1, &login) && !believed.has(BELIEVED_NS, &login));
        assert!(
            !believed.has(1, &passwords.fingerprint(b"secret7", Some("other"))),
            "its user has changed it"
        );
        assert!(!believed.has(1, &passwords.fingerprint(b"secret8", Some("hash"))));
        (0..10_000u64).for_each(|number| {
            believed.add(number, passwords.fingerprint(&number.to_le_bytes(), None));
        });
        assert!(believed.0.len() <= BELIEVED_MAX);
    }

    #[test]
    fn checks_take_a_quarter_of_a_core_that_others_want_and_a_few_at_once() {
        const MS: Nanos = 1_000_000;
        let (mut share, mut now, mut count, mut at_once) = (PasswordCpuShare::default(), 0, 0, None);
        while now < 100_000 * MS {
            now += 30 * MS;
            let rest = share.on_used(now, 30 * MS);
            count += 1;
            if rest > 0 {
                at_once.get_or_insert(count);
            }
            now += rest;
        }
        assert!((820..=850).contains(&count), "{count} of 30 ms in 100 s");
        assert!((8..=12).contains(&at_once.unwrap()), "{at_once:?}");
    }
}
