//! The files of a notary: its secret, the public keys that a host believes, and how far it has signed.

use crate::cli::Failure;
use crate::cli::failure::{FAILED, USAGE};
use crate::cli::text::hex;
use crate::config::Config;
use lockstep_io::key_file::draw_key;
use lockstep_io::private;
use lockstep_notary::{Notary, NotaryKey, from_hex};
use lockstep_wire::Cursor;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

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
    let halves = [draw_key()?, draw_key()?];
    let secret: [u8; 32] = std::array::from_fn(|at| halves[at / 16][at % 16]);
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
    file.write_all(format!("{TITLE}\nsecret {}\n", hex(&secret)).as_bytes()).map_err(failed(&path))?;
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
    let secret = secret.and_then(|line| from_hex(line.strip_prefix("secret ")?)?.try_into().ok());
    secret.map(|secret| Notary::new(&secret)).ok_or_else(|| {
        let what = "it is none: its lines are";
        Failure::new(USAGE, format!("{doing}: {what} '{TITLE}' and 'secret' with 64 hexadecimal digits"))
    })
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
