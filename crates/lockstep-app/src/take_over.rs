//! A replica's version is put in force through its page, with the key in the replica's folder.
//!
//! The page returns a challenge, and accepts it with a tag that the key makes of it (HMAC-SHA-256, RFC 2104).
//! So the key is never sent, and a tag is valid for one take-over of one process. The key is drawn when a
//! replica that serves a page starts for the first time; the file is its user's alone.

use lockstep_io::clock::random_u64;
use lockstep_io::{IoError, private};
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroizing;

/// The name of the key's file in the folder of a replica.
pub const TAKE_OVER_KEY: &str = "take-over.key";
/// Bytes of the largest file that is read as a key.
const FILE_LEN_MAX: u64 = 1 << 10;
/// Precedes the challenge, so that a tag of it is useless elsewhere.
const PURPOSE: &str = "lockstep take-over 1\n";
/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;

/// The key of a replica's page.
pub(crate) struct TakeOverKey(Zeroizing<[u8; 32]>);

impl TakeOverKey {
    /// The key in a replica's folder; it is drawn if there is none.
    pub(crate) fn of_folder(folder: &Path) -> Result<Self, IoError> {
        let path = folder.join(TAKE_OVER_KEY);
        if path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            let mut text = Zeroizing::new(String::with_capacity(BLOCK + 1));
            for _ in 0..4 {
                let _ = write!(text, "{:016x}", random_u64()?); // writing into a string cannot fail
            }
            text.push('\n');
            let wrong =
                |error| IoError::new(format!("write the key of take-overs {}", path.display()), error);
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&path).map_err(wrong)?;
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(wrong)?;
        }
        Self::read(&path)
    }

    /// The key in this file.
    pub(crate) fn read(path: &Path) -> Result<Self, IoError> {
        let doing = format!("read the key of take-overs {}", path.display());
        let missing = "; it lies in the folder of the replica that is to take over";
        let text = private::read(path, &doing, missing, FILE_LEN_MAX)?;
        let key = bytes_of(text.trim_end()).map(Zeroizing::new).map(Self);
        key.ok_or_else(|| {
            IoError::because(doing, ErrorKind::InvalidData, "a key is 64 hexadecimal digits".to_owned())
        })
    }

    /// The proof that the sender of this answer to the challenge has the key.
    pub(crate) fn proof(&self, challenge: &str) -> String {
        let tag = self.tag(challenge);
        tag.iter().fold(String::with_capacity(BLOCK), |mut text, byte| {
            let _ = write!(text, "{byte:02x}"); // writing into a string cannot fail
            text
        })
    }

    /// HMAC-SHA-256.
    fn tag(&self, challenge: &str) -> [u8; 32] {
        let pad = |with: u8| {
            let mut block = Zeroizing::new([with; BLOCK]);
            block.iter_mut().zip(self.0.iter()).for_each(|(byte, key)| *byte ^= key);
            block
        };
        let inner = Sha256::new().chain_update(*pad(0x36)).chain_update(PURPOSE).chain_update(challenge);
        Sha256::new().chain_update(*pad(0x5c)).chain_update(inner.finalize()).finalize().into()
    }
}

/// The bytes that 64 hexadecimal digits encode.
fn bytes_of(text: &str) -> Option<[u8; 32]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != 32 || !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = [0; 32];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = (digit(*high)? << 4 | digit(*low)?) as u8;
    }
    Some(bytes)
}

/// Judges the proofs that are sent to a page.
pub(crate) struct TakeOverGate {
    key: TakeOverKey,
    path: PathBuf,
    /// The challenge is the same for all requests, so that no one's challenge is displaced by another's; a
    /// proof uses it up.
    challenge: Mutex<String>,
}

impl TakeOverGate {
    pub(crate) fn open(folder: &Path) -> Result<Self, IoError> {
        let key = TakeOverKey::of_folder(folder)?;
        Ok(Self { key, path: folder.join(TAKE_OVER_KEY), challenge: Mutex::new(drawn()?) })
    }

    pub(crate) fn challenge(&self) -> String {
        self.challenge.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this is the proof of the present challenge, which it then uses up; otherwise the reason.
    pub(crate) fn admits(&self, proof: &[u8]) -> Result<(), String> {
        let mut challenge = self.challenge.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = self.key.tag(&challenge);
        let offered = std::str::from_utf8(proof).ok().and_then(|text| bytes_of(text.trim()));
        // All bytes are compared, so that the time reveals nothing about them.
        let differ = offered
            .map(|offered| offered.iter().zip(wanted).fold(0, |all, (one, other)| all | (one ^ other)));
        if differ != Some(0) {
            return Err(format!(
                "a take-over needs a proof: GET /take-over gives a challenge, and its tag by the key in {} is the body of the \
                 POST; `lockstep_app::take_over` does both",
                self.path.display()
            ));
        }
        // Without random numbers no proof is accepted any more.
        *challenge = drawn().map_err(|error| error.to_string())?;
        Ok(())
    }
}

fn drawn() -> Result<String, IoError> {
    Ok(format!("{:016x}{:016x}", random_u64()?, random_u64()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_tag_is_that_of_rfc_2104() {
        // printf 'lockstep take-over 1\nx' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0b…0b
        let key = TakeOverKey(Zeroizing::new([0x0b; 32]));
        assert_eq!(key.proof("x"), EXPECTED);
    }

    const EXPECTED: &str = "c4cbb314cf41d9a8e13f535a0af717cfee6b672ed2e1eebf8d04f5c9b712144d";

    #[test]
    fn a_proof_is_good_for_one_take_over_and_nothing_else_is_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let gate = TakeOverGate::open(folder.path()).expect("a key");
        let path = folder.path().join(TAKE_OVER_KEY);
        let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let key = TakeOverKey::read(&path).expect("a key");
        let proof = key.proof(&gate.challenge());
        let other = TakeOverKey(Zeroizing::new([1; 32])).proof(&gate.challenge());
        let wrong = [
            "",
            "\n",
            &gate.challenge(),
            &key.proof(""),
            &key.proof("challenge"),
            &proof[1..],
            &format!("{proof}0"),
            &other,
            &proof.replace(|byte: char| byte.is_ascii_digit(), "0"),
        ]
        .map(str::to_owned);
        for wrong in wrong {
            assert!(gate.admits(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(gate.admits(&[0xff; 64]).is_err());
        assert_eq!(gate.admits(format!("{proof}\n").as_bytes()), Ok(()));
        assert!(gate.admits(proof.as_bytes()).is_err(), "it was used");
        // The next process has the same key, and another challenge.
        let again = TakeOverGate::open(folder.path()).expect("a key");
        assert!(again.admits(proof.as_bytes()).is_err());
        assert_eq!(again.admits(key.proof(&again.challenge()).as_bytes()), Ok(()));
    }

    #[test]
    fn a_key_that_others_may_read_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        drop(TakeOverGate::open(folder.path()).expect("a key"));
        let path = folder.path().join(TAKE_OVER_KEY);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("it is ours");
        assert!(TakeOverGate::open(folder.path()).is_err());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
        std::fs::write(&path, "short\n").expect("a disk");
        assert!(TakeOverGate::open(folder.path()).is_err());
    }
}
