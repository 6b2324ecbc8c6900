//! The secrets with which notaries and operators sign, and the public keys that a host trusts.
//!
//! A secret is made on the host of its owner, as a file of its own, and never leaves that host.

use crate::Failure;
use crate::args::ClusterArgs;
use crate::config::{Config, KeyUse};
use crate::failure::{FAILED, USAGE};
use lockstep_io::key_file::{KeyFile, OPERATOR_FILE, draw_key};
use lockstep_io::private;
use lockstep_notary::{Notary, NotaryKey, parse_public_keys};
use lockstep_operations::acting;
use lockstep_operations::commands::CommandSource;
use lockstep_wire::{KeyClass, OperatorKey};
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The largest file of a secret that is read, in bytes.
const SECRET_LEN_MAX: u64 = 1 << 10;

/// The largest list of public keys that is read, in bytes.
const LIST_LEN_MAX: u64 = 1 << 20;

/// The owners of secrets, each with its own files.
pub struct Owner {
    /// The owner in a word; also the extension of a secret's file.
    word: &'static str,
    /// The first line of a secret.
    title: &'static str,
    /// The file of public keys.
    list: &'static str,
    /// The command that makes a secret.
    command: &'static str,
}

/// Notaries, who sign the stream.
pub const NOTARY: Owner =
    Owner { word: "notary", title: "lockstep-notary 1", list: "notaries", command: "lockstep notary key" };
/// Operators, who sign their orders.
pub const OPERATOR: Owner = Owner {
    word: "operator",
    title: "lockstep-operator 1",
    list: "operators",
    command: "lockstep keys operator",
};

impl Owner {
    /// The file of public keys on this host.
    pub fn list_path(&self, config: &Config) -> PathBuf {
        config.security.keys.join(self.list)
    }

    /// The file of a secret.
    pub fn secret_path(&self, config: &Config, name: &str) -> PathBuf {
        config.security.keys.join(format!("{name}.{}", self.word))
    }

    /// Draws a secret, writes it, and lists its public key.
    pub fn make(&self, config: &Config, name: &str) -> Result<NotaryKey, Failure> {
        acting::not_as_root(config)?;
        let path = self.secret_path(config, name);
        let halves = Zeroizing::new([draw_key()?, draw_key()?]);
        let secret: Zeroizing<[u8; 32]> = Zeroizing::new(std::array::from_fn(|at| halves[at / 16][at % 16]));
        let public = Notary::new(&secret).public();
        let folder = &config.security.keys;
        private::make_folder(folder, &format!("make the folder of keys {}", folder.display()))?;
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(|error| {
                let hint = match error.kind() {
                    ErrorKind::AlreadyExists => {
                        format!("; this {} has its key: give another name", self.word)
                    }
                    _ => String::new(),
                };
                Failure::new(FAILED, format!("{}: {error}{hint}", path.display()))
            })?;
        let mut text = Zeroizing::new(String::with_capacity(SECRET_LEN_MAX as usize));
        let _ = write!(text, "{}\nsecret ", self.title); // writing into a string cannot fail
        for byte in secret.iter() {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
        file.write_all(text.as_bytes()).map_err(failed(&path))?;
        file.sync_all().map_err(failed(&path))?;
        let list = self.list_path(config);
        let mut file =
            OpenOptions::new().append(true).create(true).mode(0o644).open(&list).map_err(failed(&list))?;
        file.write_all(format!("{public} {name}\n").as_bytes()).map_err(failed(&list))?;
        Ok(public)
    }

    /// The secret of this name.
    pub fn read(&self, config: &Config, name: &str) -> Result<Zeroizing<[u8; 32]>, Failure> {
        let path = self.secret_path(config, name);
        let doing = format!("read the {}'s key {}", self.word, path.display());
        let missing = format!("; `{} {name}` makes it", self.command);
        let text = private::read(&path, &doing, &missing, SECRET_LEN_MAX)
            .map_err(|error| Failure::new(USAGE, error))?;
        let mut lines = text.lines();
        let secret = (lines.next() == Some(self.title)).then(|| lines.next()).flatten();
        let secret = secret.and_then(|line| secret_of(line.strip_prefix("secret ")?));
        secret.ok_or_else(|| {
            let what = "it is no key file: its lines are";
            let title = self.title;
            Failure::new(USAGE, format!("{doing}: {what} '{title}' and 'secret' with 64 hexadecimal digits"))
        })
    }

    /// The public keys that this host trusts, with their names.
    ///
    /// # Errors
    /// The file does not exist, has no key, or has an invalid line.
    pub fn public_keys(&self, config: &Config) -> Result<Vec<(NotaryKey, String)>, Failure> {
        let path = self.list_path(config);
        let wrong = |what: String| Failure::new(USAGE, format!("{}: {what}", path.display()));
        let missing = |error: std::io::Error| {
            wrong(format!("{error}; `{} NAME` makes it on the {}'s host", self.command, self.word))
        };
        path.metadata().map_err(missing)?;
        let doing = format!("read the public keys {}", path.display());
        let text = private::read_public(&path, &doing, LIST_LEN_MAX)?;
        let keys = parse_public_keys(&text).map_err(wrong)?;
        if keys.is_empty() { Err(wrong("it lists no public key".to_owned())) } else { Ok(keys) }
    }
}

/// The cluster of the flags, and the key by which the orders of this host are signed: an operator's. Orders
/// that the file of a replica seals have no signature, and neither have those of a cluster without keys.
impl CommandSource for ClusterArgs {
    type Error = Failure;

    fn config(&self) -> Result<Config, Failure> {
        self.load(&[])
    }

    fn signing_key(&self, config: &Config) -> Result<Option<OperatorKey>, Failure> {
        let path = config.key_file(KeyUse::Operator).filter(|path| path.ends_with(OPERATOR_FILE));
        let Some(path) = path else { return Ok(None) };
        let file = KeyFile::read(&path)?;
        let KeyClass::Publisher(number) = file.class else { return Ok(None) };
        let name = file.publishers().find(|(own, _)| *own == number).map_or("", |(_, name)| name);
        let secret = OPERATOR.read(config, name)?;
        Ok(Some(lockstep_notary::operator_key(config.cluster, (number, name), &secret)))
    }
}

/// The secret in these hexadecimal digits.
fn secret_of(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut secret = Zeroizing::new([0; 32]);
    for (byte, [high, low]) in secret.iter_mut().zip(pairs) {
        *byte = (digit(*high)? << 4 | digit(*low)?) as u8;
    }
    (text.len() == 2 * secret.len()).then_some(secret)
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    move |error| Failure::new(FAILED, format!("{}: {error}", path.display()))
}
