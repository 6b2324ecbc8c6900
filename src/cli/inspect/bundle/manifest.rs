//! The manifest of a bundle: its parts, and what it lacks, with the reasons.

use lockstep_daemon::Failure;
use lockstep_daemon::failure::FAILED;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The name of the manifest, which comes first in the archive.
pub const MANIFEST: &str = "manifest.json";
/// The version of the manifest.
pub const SCHEMA: &str = "lockstep.bundle/1";
/// Bytes of all parts together at most: a reader takes no more.
pub const PARTS_MAX: usize = 64 << 20;
/// Parts at most.
pub const COUNT_MAX: usize = 1_024;

/// What a bundle has, and what it lacks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BundleManifest {
    /// The version of this.
    pub schema: String,
    /// When it was made, UTC.
    pub made: String,
    /// The release that made it.
    pub release: String,
    /// The number of the cluster, where the configuration could be read.
    pub cluster: Option<u64>,
    /// The host that made it.
    pub host: String,
    /// Its parts, in the order of the archive.
    pub parts: Vec<BundlePart>,
    /// The parts that it lacks.
    pub missing: Vec<MissingPart>,
    /// How many words were removed because they are secrets of this host.
    pub secrets_removed: usize,
    /// Files of secrets that could not be read: what of them stands in a part is not known.
    pub notes: Vec<String>,
}

/// A part.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BundlePart {
    /// Its name in the archive.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// Their SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// The command, page or file that it is from.
    pub from: String,
    /// The command's exit code.
    pub exit_code: Option<i32>,
    /// What was cut off it.
    pub cut: Option<String>,
    /// The command's words beside it.
    pub note: Option<String>,
}

/// A part that is not there.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MissingPart {
    /// Its name.
    pub name: String,
    /// Why it is not there.
    pub reason: String,
}

impl BundleManifest {
    /// As it stands in the archive.
    pub fn text(&self) -> Result<String, Failure> {
        serde_json::to_string_pretty(self).map_err(|error| Failure::new(FAILED, error))
    }
}

/// The digest of a part.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a part can have this name: one of a file below the folder in which an archive is unpacked.
pub fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_word = |word: &str| !word.is_empty() && !word.starts_with('.') && word.bytes().all(is_plain);
    name.len() < 100 && name.split('/').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_out_of_a_folder_is_none() {
        for name in ["status.json", "logs/replica-1.log", "pages/10.0.0.1-9464.txt"] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a//b",
            "a/",
            ".ssh/x",
            "a\\b",
            "a b",
            "ä",
            &"x".repeat(100),
        ] {
            assert!(!is_name(name), "{name}");
        }
    }
}
