//! The keys of a cluster: drawn, granted, and given to the processes of a host.

use crate::{OperationError, fingerprint};
use lockstep_config::{Config, SetPlace};
use lockstep_io::key_file::{
    COORDINATOR_FILE, COORDINATOR_KEY, FIRST_PUBLISHER, GATEWAY_FILE, GATEWAY_KEY, GenerationUse, KeyFile,
    OPERATOR_FILE, PUBLISHER_FILE, READER_FILE, REPLICA_FILE, class_name,
};
use lockstep_wire::{KeyClass, KeyRights, RecipientRule};
use std::path::{Path, PathBuf};

/// The names of gateways and of their clients: they are opened by the gateways' key alone.
const OF_GATEWAYS: &str = "client/*,gateway/*";
/// Clients are addressed by gateways alone until `keys receive` names an application.
const CLIENTS: [&str; 2] = ["client/*", "from=gateway/*"];

/// The first keys of a cluster: programs that publish have one that passes for no gateway and for no client
/// of one, and clients are addressed by whom an operator names. The home stream of a set has a key of its
/// coordinators, which allows to publish cuts and nothing else.
///
/// # Errors
/// The system has no random numbers.
pub fn draw(cluster: u64, set: Option<&SetPlace>) -> Result<KeyFile, OperationError> {
    let mut file = KeyFile::draw(cluster)?;
    let gateway = file.add_publisher(GATEWAY_KEY)?.map_err(refused)?;
    file.set_rights(gateway, KeyRights::parse([&*format!("names={OF_GATEWAYS}")]).map_err(refused)?);
    let first = publisher(&file, FIRST_PUBLISHER)?;
    file.set_rights(first, KeyRights::default().without_names(OF_GATEWAYS).map_err(refused)?);
    if let Some(set) = set.filter(|set| set.index == 0) {
        add_coordinators(&mut file, set)?;
    }
    file.recipients.set(RecipientRule::parse(&CLIENTS).map_err(refused)?).map_err(refused)?;
    Ok(file)
}

/// Draws the key of a set's coordinators, which publish into its home stream. Each of their names stands in
/// it: a pattern opens none of them.
///
/// # Errors
/// The system has no random numbers, or the file has such a key.
pub fn add_coordinators(file: &mut KeyFile, set: &SetPlace) -> Result<(), OperationError> {
    let names: Vec<_> = set.coordinators.iter().map(|one| set.cut_name(one.id)).collect();
    if names.is_empty() {
        return Ok(());
    }
    let number = file.add_publisher(COORDINATOR_KEY)?.map_err(refused)?;
    let names = names.join(",");
    // It reaches the sets' channel, which every key that has such a name does, and nobody else.
    let rights = [format!("names={names}"), format!("to={names}")];
    file.set_rights(number, KeyRights::parse(rights.iter().map(String::as_str)).map_err(refused)?);
    Ok(())
}

/// Gives a publisher's key these rights; `names` are those of them that say which names it opens. Where
/// gateways have a key of their own, another one opens their names only if it names them; and what a
/// program's key names is not opened by the key of all programs any more, which would pass for that program.
///
/// # Errors
/// The names of a key cannot be taken out of those of another.
pub fn grant(
    file: &mut KeyFile,
    number: u16,
    rights: KeyRights,
    names: Option<&str>,
) -> Result<(), OperationError> {
    let mut granted = rights;
    let first = file.publisher(FIRST_PUBLISHER);
    if file.publisher(GATEWAY_KEY).is_some() {
        match names {
            None => granted = granted.without_names(OF_GATEWAYS).map_err(refused)?,
            Some(names) => {
                if let Some(first) = first.filter(|first| *first != number) {
                    file.set_rights(first, file.rights_of(first).without_names(names).map_err(refused)?);
                }
            }
        }
    }
    file.set_rights(number, granted);
    Ok(())
}

/// A replica's file of this host, and its folder.
///
/// # Errors
/// It cannot be read, or is not a replica's.
pub fn of_replicas(config: &Config) -> Result<(KeyFile, &Path), OperationError> {
    let folder = config.security.keys.as_path();
    let file = KeyFile::read(&folder.join(REPLICA_FILE))?;
    if file.class != KeyClass::Replica {
        let what = format!(
            "{} is a {}'s: keys are changed in a replica's file",
            folder.display(),
            class_name(file.class)
        );
        return Err(OperationError::refused(what));
    }
    Ok((file, folder))
}

/// The number of the publisher's key with this name.
///
/// # Errors
/// There is none.
pub fn publisher(file: &KeyFile, name: &str) -> Result<u16, OperationError> {
    file.publisher(name).ok_or_else(|| {
        let names: Vec<_> = file.publishers().map(|(_, name)| name).collect();
        refused(format!("no publisher's key has the name '{name}'; there are: {}", names.join(", ")))
    })
}

fn refused(why: String) -> OperationError {
    OperationError::Refused(why)
}

/// Writes a key file where the processes of this host read it. Returns whether that has changed anything.
///
/// # Errors
/// It is another cluster's, or does not follow what is there; or files fail.
pub fn take(config: &Config, file: &KeyFile) -> Result<bool, OperationError> {
    if file.cluster != config.cluster {
        let what =
            format!("stdin has keys of cluster {}, and this is cluster {}", file.cluster, config.cluster);
        return Err(OperationError::refused(what));
    }
    let mut changed = false;
    for path in places(config, file)? {
        if path.symlink_metadata().is_ok() {
            let present = KeyFile::read(&path)?;
            continues(&present, file).map_err(|why| refused(format!("{}: {why}", path.display())))?;
            if present == *file {
                continue;
            }
        }
        changed = true;
        match file.class {
            KeyClass::Replica => file.write_folder(&config.security.keys)?,
            _ => file.write(&path)?,
        }
    }
    Ok(changed)
}

/// The files of this host that have such keys: those that are there, or the one that is made.
fn places(config: &Config, file: &KeyFile) -> Result<Vec<PathBuf>, OperationError> {
    let in_folder = |name: &str| config.security.keys.join(name);
    let KeyClass::Publisher(number) = file.class else {
        let name = if file.class == KeyClass::Replica { REPLICA_FILE } else { READER_FILE };
        return Ok(vec![in_folder(name)]);
    };
    let has_it = |path: &PathBuf| {
        KeyFile::read(path)
            .is_ok_and(|present| (present.class, present.cluster) == (file.class, file.cluster))
    };
    let present: Vec<_> = [PUBLISHER_FILE, GATEWAY_FILE, COORDINATOR_FILE, OPERATOR_FILE]
        .map(in_folder)
        .into_iter()
        .filter(has_it)
        .collect();
    if !present.is_empty() {
        return Ok(present);
    }
    let is_of = |key| file.publisher(key) == Some(number);
    let path = in_folder(if is_of(GATEWAY_KEY) {
        GATEWAY_FILE
    } else if is_of(COORDINATOR_KEY) {
        COORDINATOR_FILE
    } else {
        PUBLISHER_FILE
    });
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
