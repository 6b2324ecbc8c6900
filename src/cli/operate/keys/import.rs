//! `lockstep keys import`: the host's part of a rotation. It takes a key file from stdin, so that no key
//! stands in a command line, and writes it where the processes of this host read it.

use super::{Failure, USAGE, refused, to_change};
use lockstep_daemon::args::ClusterArgs;
use lockstep_daemon::config::Config;
use lockstep_io::key_file::{
    GATEWAY_FILE, GATEWAY_KEY, GenerationRow, GenerationUse, KeyFile, OPERATOR_FILE, PUBLISHER_FILE,
    READER_FILE, REPLICA_FILE,
};
use lockstep_operations::fingerprint;
use lockstep_wire::KeyClass;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::PathBuf;
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
    if file.cluster != config.cluster {
        let what =
            format!("stdin has keys of cluster {}, and this is cluster {}", file.cluster, config.cluster);
        return Err(Failure::new(USAGE, what));
    }
    let mut changed = false;
    for path in places(&config, &file)? {
        if path.symlink_metadata().is_ok() {
            let present = KeyFile::read(&path)?;
            continues(&present, &file).map_err(|why| refused(format!("{}: {why}", path.display())))?;
            if present == file {
                continue;
            }
        }
        changed = true;
        match file.class {
            KeyClass::Replica => file.write_folder(&config.security.keys)?,
            _ => file.write(&path)?,
        }
    }
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

/// The files of this host that have such keys: those that are there, or the one that is made.
fn places(config: &Config, file: &KeyFile) -> Result<Vec<PathBuf>, Failure> {
    let in_folder = |name: &str| config.security.keys.join(name);
    let KeyClass::Publisher(number) = file.class else {
        let name = if file.class == KeyClass::Replica { REPLICA_FILE } else { READER_FILE };
        return Ok(vec![in_folder(name)]);
    };
    let has_it = |path: &PathBuf| {
        KeyFile::read(path)
            .is_ok_and(|present| (present.class, present.cluster) == (file.class, file.cluster))
    };
    let present: Vec<_> =
        [PUBLISHER_FILE, GATEWAY_FILE, OPERATOR_FILE].map(in_folder).into_iter().filter(has_it).collect();
    if !present.is_empty() {
        return Ok(present);
    }
    let is_of_gateways = file.publisher(GATEWAY_KEY) == Some(number);
    let path = in_folder(if is_of_gateways { GATEWAY_FILE } else { PUBLISHER_FILE });
    if path.symlink_metadata().is_ok() {
        return Err(refused(format!(
            "{} has the key of another program: one folder has one of these",
            path.display()
        )));
    }
    Ok(vec![path])
}

/// Whether a file follows another one of the same cluster: what both accept has the same keys.
fn continues(present: &KeyFile, file: &KeyFile) -> Result<(), String> {
    let in_use = present.generations.iter().filter(|row| row.usage != GenerationUse::Retired);
    for row in in_use {
        let of = |row| fingerprint::of(file.cluster, row);
        if let Some(new) = file.generations.iter().find(|new| new.number == row.number)
            && of(new) != of(row)
        {
            return Err(format!(
                "its generation {} has the fingerprint {}, and {} on stdin: one of both is of another `lockstep keys new`",
                row.number,
                of(row),
                of(new)
            ));
        }
    }
    Ok(())
}
