//! The secrets of this host, as far as this user can read them: no bundle has one, wherever it was written.

use lockstep_daemon::config::Config;
use lockstep_daemon::secret::{NOTARY, OPERATOR};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The shortest word of a file of secrets that counts as one: a key has 32 digits, the salt of a password 22.
const LEN_MIN: usize = 16;
/// Bytes of a file that are read.
const FILE_MAX: u64 = 16 << 20;
/// Files of the folder of keys that are read.
const FILES_MAX: usize = 1_024;
/// What stands in the place of a secret.
const REMOVED: &str = "[secret]";

/// All pieces of secrets with the shortest length, in lower case: a word that has one is removed as a whole.
#[derive(Default)]
pub struct KnownSecrets {
    pieces: BTreeSet<[u8; LEN_MIN]>,
    /// Files that could not be read, with the reasons.
    pub unread: Vec<String>,
}

/// Letters of keys and digests in hexadecimal digits and base64.
fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/_-".contains(&byte)
}

/// The pieces of a word.
fn pieces(word: &[u8]) -> impl Iterator<Item = [u8; LEN_MIN]> {
    word.windows(LEN_MIN).filter_map(|piece| piece.first_chunk().copied())
}

impl KnownSecrets {
    /// Those of the configuration's files: keys, users, certificates.
    pub fn of(config: &Config) -> Self {
        let mut known = Self::default();
        let public = [NOTARY.list_path(config), OPERATOR.list_path(config)];
        let folder = &config.security.keys;
        let mut files: Vec<PathBuf> = Vec::new();
        match std::fs::read_dir(folder) {
            Ok(rows) => files.extend(rows.flatten().map(|row| row.path()).take(FILES_MAX)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => known.unread.push(format!("{}: {error}", folder.display())),
        }
        files.push(config.gateway.users.clone());
        files.extend(config.gateway.tls_key.clone());
        for path in files.iter().filter(|path| !public.contains(path)) {
            known.read(path);
        }
        known
    }

    fn read(&mut self, path: &Path) {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(FILE_MAX).read_to_end(&mut bytes));
        match read {
            Ok(_) => self.add(&String::from_utf8_lossy(&bytes)),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => {}
            Err(error) => self.unread.push(format!("{}: {error}", path.display())),
        }
    }

    /// Adds the words of a file. The cluster, names and rights of a key file are public.
    fn add(&mut self, text: &str) {
        for line in text.lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            let secret = match words.first() {
                Some(&("cluster" | "rights" | "recipients")) => &[][..],
                Some(&"publisher") => &words[..words.len().min(3)],
                _ => &words[..],
            };
            for word in secret.iter().flat_map(|word| word.as_bytes().split(|byte| !is_letter(*byte))) {
                self.pieces.extend(pieces(&word.to_ascii_lowercase()));
            }
        }
    }

    fn has(&self, word: &[u8]) -> bool {
        pieces(&word.to_ascii_lowercase()).any(|piece| self.pieces.contains(&piece))
    }

    /// The text without the secrets in it, and how many these were.
    pub fn removed(&self, text: &str) -> (String, usize) {
        let (mut out, mut count, mut rest) = (String::with_capacity(text.len()), 0, text);
        while let Some(at) = rest.bytes().position(is_letter) {
            let len = rest[at..].bytes().position(|byte| !is_letter(byte)).unwrap_or(rest.len() - at);
            let (before, word) = (&rest[..at], &rest[at..at + len]);
            out.push_str(before);
            if self.has(word.as_bytes()) {
                out.push_str(REMOVED);
                count += 1;
            } else {
                out.push_str(word);
            }
            rest = &rest[at + len..];
        }
        out.push_str(rest);
        (out, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_removed_in_whichever_case_and_beside_whatever_letters_it_stands() {
        let key = "6a09e667f3bcc908b2fb1366ea957d3e";
        let hash = "c2FsdHNhbHRzYWx0c2FsdA";
        let mut known = KnownSecrets::default();
        known.add(&format!(
            "lockstep-keys 1\ncluster 4611686018427387904\nrights 1 public=00112233445566778899aabbccddeeff\nreader {key}\n"
        ));
        known.add("publisher 0 95ac2dfd2b8b3c4a1f8c8f1d0e7b6a55 a-name-of-many-letters\n");
        known.add(&format!("password = \"$argon2id$v=19$m=19456,t=2,p=1${hash}$x\"\n"));
        let upper = key.to_uppercase();
        let text =
            format!("a {key}, ä {upper}; x{key}y \"{}\" 95ac2dfd2b8b3c4a1f8c8f1d0e7b6a55\n", &hash[3..]);
        assert_eq!(
            known.removed(&text),
            ("a [secret], ä [secret]; [secret] \"[secret]\" [secret]\n".to_owned(), 5)
        );
        let public = "4611686018427387904 a-name-of-many-letters 00112233445566778899aabbccddeeff 6a09e667 lockstep-keys";
        assert_eq!(known.removed(public), (public.to_owned(), 0));
    }
}
