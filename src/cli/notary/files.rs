//! The files of a notary: its secret, the public keys that a host believes, and how far it has signed.

use crate::cli::Failure;
use crate::cli::failure::{FAILED, USAGE};
use crate::config::Config;
use lockstep_io::key_file::draw_key;
use lockstep_io::private;
use lockstep_notary::{Notary, NotaryKey};
use lockstep_wire::Cursor;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The first line of a notary's secret.
const TITLE: &str = "lockstep-notary 1";
/// Bytes of the longest file that is read.
const SECRET_LEN_MAX: u64 = 1 << 10;

pub fn notaries_path(config: &Config) -> PathBuf {
    config.security.keys.join("notaries")
}

pub fn secret_path(config: &Config, name: &str) -> PathBuf {
    config.security.keys.join(format!("{name}.notary"))
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    move |error| Failure::new(FAILED, format!("{}: {error}", path.display()))
}

/// Draws a notary's secret, writes it, and lists its public key.
pub fn make(config: &Config, name: &str) -> Result<NotaryKey, Failure> {
    let path = secret_path(config, name);
    let halves = Zeroizing::new([draw_key()?, draw_key()?]);
    let secret: Zeroizing<[u8; 32]> = Zeroizing::new(std::array::from_fn(|at| halves[at / 16][at % 16]));
    let public = Notary::new(&secret).public();
    let folder = &config.security.keys;
    private::make_folder(folder, &format!("make the folder of keys {}", folder.display()))?;
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(|error| {
            let hint = match error.kind() {
                ErrorKind::AlreadyExists => "; this notary has its key: give another name",
                _ => "",
            };
            Failure::new(FAILED, format!("{}: {error}{hint}", path.display()))
        })?;
    let mut text = Zeroizing::new(String::with_capacity(SECRET_LEN_MAX as usize));
    let _ = write!(text, "{TITLE}\nsecret "); // writing into a string cannot fail
    for byte in secret.iter() {
        let _ = write!(text, "{byte:02x}");
    }
    text.push('\n');
    file.write_all(text.as_bytes()).map_err(failed(&path))?;
    file.sync_all().map_err(failed(&path))?;
    let list = notaries_path(config);
    let mut file =
        OpenOptions::new().append(true).create(true).mode(0o644).open(&list).map_err(failed(&list))?;
    file.write_all(format!("{public} {name}\n").as_bytes()).map_err(failed(&list))?;
    Ok(public)
}

/// The notary of this name.
pub fn read(config: &Config, name: &str) -> Result<Notary, Failure> {
    let path = secret_path(config, name);
    let doing = format!("read the notary's key {}", path.display());
    let missing = format!("; `lockstep notary key {name}` makes it");
    let text =
        private::read(&path, &doing, &missing, SECRET_LEN_MAX).map_err(|error| Failure::new(USAGE, error))?;
    let mut lines = text.lines();
    let secret = (lines.next() == Some(TITLE)).then(|| lines.next()).flatten();
    let secret = secret.and_then(|line| secret_of(line.strip_prefix("secret ")?));
    secret.map(|secret| Notary::new(&secret)).ok_or_else(|| {
        let what = "it is none: its lines are";
        Failure::new(USAGE, format!("{doing}: {what} '{TITLE}' and 'secret' with 64 hexadecimal digits"))
    })
}

/// The secret that these hexadecimal digits are.
fn secret_of(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut secret = Zeroizing::new([0; 32]);
    for (byte, [high, low]) in secret.iter_mut().zip(pairs) {
        *byte = (digit(*high)? << 4 | digit(*low)?) as u8;
    }
    (text.len() == 2 * secret.len()).then_some(secret)
}

/// Where the notary stands; `None` before it has signed anything.
pub fn read_cursor(path: &Path) -> Result<Option<Cursor>, Failure> {
    let wrong = |what: String| Failure::new(USAGE, format!("{}: {what}", path.display()));
    match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().map(Some).map_err(|error| {
            wrong(format!(
                "{error}; remove the file, and the notary signs the stream from its oldest entry on"
            ))
        }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// Writes where the notary stands: readers see the old file or the new one.
pub fn write_cursor(path: &Path, cursor: Cursor) -> std::io::Result<()> {
    let draft = path.with_extension(format!("draft-{}", std::process::id()));
    fs::write(&draft, format!("{cursor}\n"))?;
    fs::rename(&draft, path)
}
