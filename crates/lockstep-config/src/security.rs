//! The keys that a process of the cluster uses: which file, and what it says.

use super::problem::{Code, ConfigError};
use super::{Config, SecurityMode};
use lockstep_io::key_file::{
    COORDINATOR_FILE, GATEWAY_FILE, KeyFile, OPERATOR_FILE, PUBLISHER_FILE, READER_FILE, REPLICA_FILE,
};
use lockstep_wire::{KeyClass, Keyring, Keys};
use std::io::ErrorKind;
use std::path::PathBuf;

/// The part of a process in the cluster: it decides which key files will do, the first that exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyUse {
    /// A replica, a witness or an archiver.
    Node,
    /// A program that publishes or reads.
    Handle,
    /// A gateway.
    Gateway,
    /// A coordinator of a set, in any of its streams.
    Coordinator,
    /// An operator's command.
    Operator,
}

impl KeyUse {
    fn files(self) -> &'static [&'static str] {
        match self {
            Self::Node => &[REPLICA_FILE],
            Self::Handle => &[PUBLISHER_FILE, READER_FILE],
            Self::Gateway => &[GATEWAY_FILE, PUBLISHER_FILE, READER_FILE],
            Self::Coordinator => &[COORDINATOR_FILE, READER_FILE],
            Self::Operator => &[OPERATOR_FILE, REPLICA_FILE, PUBLISHER_FILE, READER_FILE],
        }
    }
}

impl Config {
    /// The path of the key file for a process; `None` where the cluster has no keys.
    pub fn key_file(&self, usage: KeyUse) -> Option<PathBuf> {
        let paths = usage.files().iter().map(|name| self.security.keys.join(name));
        let mut paths = paths.filter(|_| self.security.mode == SecurityMode::Keys).peekable();
        let first = paths.peek().cloned();
        paths.find(|path| path.symlink_metadata().is_ok()).or(first)
    }

    /// The keys of a process.
    ///
    /// # Errors
    /// Its key file is missing, is not its user's alone, is wrong, or is another cluster's.
    pub fn keys(&self, usage: KeyUse) -> Result<Keys, Box<ConfigError>> {
        let Some(path) = self.key_file(usage) else { return Ok(Keyring::none(self.cluster).into()) };
        let mut hint = "`lockstep doctor` says what is wrong with the keys of a host, and what mends it";
        let ring = KeyFile::read_ring(&path, self.cluster).map_err(|error| {
            hint = match error.source.kind() {
                ErrorKind::NotFound => {
                    "a new cluster's keys are made by `lockstep keys new`; those of one that runs are copied"
                }
                ErrorKind::InvalidData => "copy the right one from the host on which the keys were made",
                _ => hint,
            };
            error.to_string()
        });
        // A file under a wrong name: a node without the replicas' key could seal nothing that counts.
        let ring =
            ring.and_then(|ring| match usage == KeyUse::Node && ring.own() != Some(KeyClass::Replica) {
                true => Err(format!("{} lacks the keys of a replica, which a node needs", path.display())),
                false => Ok(ring),
            });
        ring.map(Keys::from).map_err(|rule| {
            let key = "security.keys".to_owned();
            let origin =
                self.effective().iter().find(|(name, ..)| *name == key).map(|(.., origin)| origin.clone());
            Box::new(ConfigError {
                code: Code::Keys,
                value: self.security.keys.display().to_string(),
                key,
                rule,
                hint: hint.to_owned(),
                origin,
                span: None,
                related: Vec::new(),
            })
        })
    }
}
