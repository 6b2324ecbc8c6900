//! `lockstep keys import`: the host's part of a rotation. It takes a key file from stdin, so that no key
//! stands in a command line, and writes it where the processes of this host read it.

use super::{refused, to_change};
use lockstep_daemon::Failure;
use lockstep_daemon::args::ClusterArgs;
use lockstep_io::key_file::{GenerationRow, KeyFile};
use lockstep_operations::fingerprint;
use lockstep_operations::keys::take;
use serde_json::{Value, json};
use std::io::{Read, Write};
use zeroize::Zeroizing;

/// The version of what it prints.
const SCHEMA: &str = "lockstep.keys_import/1";
/// Bytes of the longest key file.
const FILE_LEN_MAX: u64 = 16 << 20;

/// Writes the file, unless it is there already, and prints the generations that this host has now.
pub fn run(cluster: &ClusterArgs) -> Result<u8, Failure> {
    let config = to_change(cluster)?;
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().lock().take(FILE_LEN_MAX).read_to_string(&mut text)?;
    let file = KeyFile::parse(&text).map_err(|why| refused(format!("stdin has no key file: {why}")))?;
    let changed = take(&config, &file)?;
    let answer = json!({ "schema": SCHEMA, "changed": changed, "generations": generations(&file) });
    writeln!(std::io::stdout(), "{answer}")?;
    Ok(0)
}

/// The generations of a file, with their fingerprints and no key.
pub fn generations(file: &KeyFile) -> Vec<Value> {
    let row = |row: &GenerationRow| {
        let (number, usage, print) = (row.number, row.usage.name(), fingerprint::of(file.cluster, row));
        json!({ "generation": number, "use": usage, "fingerprint": print })
    };
    file.generations.iter().map(row).collect()
}
