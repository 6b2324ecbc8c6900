//! # key_file: the keys of a process, as a file
//!
//! ```text
//! lockstep-keys 1
//! cluster 4711
//! class replica
//! rights 1 names=orders/* to=everybody rate=50000
//! recipients client/* from=exchange/*
//! generation 0 accepted
//! replica 6a09e667f3bcc908b2fb1366ea957d3e
//! reader 3adec17512775099da2f590b0667322a
//! publisher 0 95ac2dfd2b8b3c4a1f8c8f1d0e7b6a55 default
//! generation 1 sealing until 2027-03-31
//! …
//! ```
//!
//! A replica's file has all keys; a publisher's file its own and the readers'; a reader's file the readers'.
//! `rights` limit what a publisher's key allows ([`lockstep_wire::KeyRights`]); a key without such a line
//! allows all but orders. `recipients` limits which publishers may address a name
//! ([`lockstep_wire::RecipientRules`]). `until` is the day by which another generation is to replace this one
//! ([`GenerationRow::until`]). Empty lines and lines that begin with `#` are comments. The file is its user's
//! alone (mode 0600), or root's and lent to its group. Links that only these two can change are followed,
//! because mounted secrets consist of them.

mod memory;
mod text;

pub use memory::lock;
pub use text::class_name;

use crate::clock::{Utc, random_u64};
use crate::{IoError, private};
use lockstep_wire::{
    GENERATIONS, GenerationKeys, HOLDER_LEN_MAX, Key, KeyClass, KeyHolder, KeyRights, Keyring, OtherKeys,
    PUBLISHER_KEYS_MAX, RecipientRules,
};
use std::fmt;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use zeroize::Zeroize;

/// The name of a replica's file in a host's folder of keys.
pub const REPLICA_FILE: &str = "replica.keys";
/// The name of the file of programs that publish.
pub const PUBLISHER_FILE: &str = "publisher.keys";
/// The name of the file of gateways, where they have a key of their own.
pub const GATEWAY_FILE: &str = "gateway.keys";
/// The name of the file of coordinators, in the folder of a set's home stream.
pub const COORDINATOR_FILE: &str = "coordinator.keys";
/// The name of the file of programs that read.
pub const READER_FILE: &str = "reader.keys";
/// The name of the file of an operator with a key of its own.
pub const OPERATOR_FILE: &str = "operator.keys";
/// The name of the first publisher's key.
pub const FIRST_PUBLISHER: &str = "default";
/// The name of the key of coordinators.
pub const COORDINATOR_KEY: &str = "coordinator";
/// The name of the key of gateways.
pub const GATEWAY_KEY: &str = "gateway";

/// The first line.
const TITLE: &str = "lockstep-keys 1";

/// Bytes of the longest file that is read.
const FILE_LEN_MAX: u64 = 16 << 20;

/// The use of a generation of keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GenerationUse {
    /// It opens only the frames of a replay.
    Retired,
    /// It opens datagrams.
    Accepted,
    /// It opens and seals datagrams.
    Sealing,
}

impl GenerationUse {
    const ALL: [Self; 3] = [Self::Retired, Self::Accepted, Self::Sealing];

    /// Its word in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Retired => "retired",
            Self::Accepted => "accepted",
            Self::Sealing => "sealing",
        }
    }
}

/// A publisher's key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublisherKey {
    /// Its number.
    pub number: u16,
    /// Its name, for people.
    pub name: String,
    /// The key.
    pub key: Key,
}

/// One generation.
#[derive(Clone, PartialEq, Eq)]
pub struct GenerationRow {
    /// Its number, below [`GENERATIONS`].
    pub number: u8,
    /// What it is used for.
    pub usage: GenerationUse,
    /// The day by which another generation is to replace it. Nothing ends on that day: commands and logs
    /// remind of it.
    pub until: Option<Utc>,
    /// The replicas' key: only their files have it.
    pub replica: Option<Key>,
    /// The readers' key.
    pub reader: Key,
    /// Publishers' keys.
    pub publishers: Vec<PublisherKey>,
}

impl GenerationRow {
    /// The keys of it that a ring takes.
    fn keys(&self) -> GenerationKeys {
        let publishers = self.publishers.iter().map(|publisher| (publisher.number, publisher.key)).collect();
        GenerationKeys { replica: self.replica, reader: self.reader, publishers }
    }

    /// Adds a key, without leaving a copy of the others in freed memory.
    fn push(&mut self, publisher: PublisherKey) {
        if self.publishers.len() == self.publishers.capacity() {
            let mut larger = Vec::with_capacity(2 * self.publishers.len() + 1);
            larger.extend(self.publishers.iter().cloned());
            self.wipe_publishers();
            self.publishers = larger;
        }
        self.publishers.push(publisher);
    }

    fn wipe_publishers(&mut self) {
        self.publishers.iter_mut().for_each(|publisher| publisher.key.zeroize());
        self.publishers.clear();
    }

    fn wipe(&mut self) {
        self.replica.zeroize();
        self.reader.zeroize();
        self.wipe_publishers();
    }
}

/// The content of a key file. Its keys are overwritten when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// The cluster's number.
    pub cluster: u64,
    /// The class as which a process with this file seals.
    pub class: KeyClass,
    /// The rights of publishers' keys that are limited, by number.
    pub rights: Vec<(u16, KeyRights)>,
    /// The rules for recipients, in a replica's file alone.
    pub recipients: RecipientRules,
    /// Its generations, oldest first.
    pub generations: Vec<GenerationRow>,
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        self.generations.iter_mut().for_each(GenerationRow::wipe);
    }
}

impl fmt::Debug for KeyFile {
    /// Prints no key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let generations = self.generations.iter().map(|row| (row.number, row.usage));
        f.debug_struct("KeyFile")
            .field("cluster", &self.cluster)
            .field("class", &self.class)
            .field("generations", &generations.collect::<Vec<_>>())
            .finish()
    }
}

/// A key, drawn at random.
///
/// # Errors
/// The system has no random numbers.
pub fn draw_key() -> Result<Key, IoError> {
    let (low, high) = (random_u64()?, random_u64()?);
    Ok((u128::from(high) << 64 | u128::from(low)).to_le_bytes())
}

impl KeyFile {
    /// Draws the first keys of a cluster at random: one generation, with one publisher's key. The result is a
    /// replica's file, of which the others are exports.
    ///
    /// # Errors
    /// As [`draw_key`].
    pub fn draw(cluster: u64) -> Result<Self, IoError> {
        let publisher = PublisherKey { number: 0, name: FIRST_PUBLISHER.to_owned(), key: draw_key()? };
        let row = GenerationRow {
            number: 0,
            usage: GenerationUse::Sealing,
            until: None,
            replica: Some(draw_key()?),
            reader: draw_key()?,
            publishers: vec![publisher],
        };
        let (rights, recipients) = (Vec::new(), RecipientRules::default());
        Ok(Self { cluster, class: KeyClass::Replica, rights, recipients, generations: vec![row] })
    }

    /// Writes a replica's file and its exports for programs that publish and that read into `folder`, which
    /// is made if it does not exist: everything that the processes of one host need. Programs that publish
    /// keep the publisher's key that the folder has for them; without one they get the first one.
    ///
    /// # Errors
    /// The folder is another user's or open to others, or the file system refuses it.
    pub fn write_folder(&self, folder: &Path) -> Result<(), IoError> {
        private::make_folder(folder, &format!("make the folder of keys {}", folder.display()))?;
        self.write(&folder.join(REPLICA_FILE))?;
        let publisher = folder.join(PUBLISHER_FILE);
        let present = Self::read(&publisher).ok().filter(|present| present.cluster == self.cluster);
        let has = |class: &KeyClass| matches!(class, KeyClass::Publisher(number) if self.publishers().any(|(own, _)| own == *number));
        let class = present.map(|present| present.class).filter(has).unwrap_or(KeyClass::Publisher(0));
        self.export(class).write(&publisher)?;
        for (key, file) in [(GATEWAY_KEY, GATEWAY_FILE), (COORDINATOR_KEY, COORDINATOR_FILE)] {
            if let Some(number) = self.publisher(key) {
                self.export(KeyClass::Publisher(number)).write(&folder.join(file))?;
            }
        }
        self.export(KeyClass::Reader).write(&folder.join(READER_FILE))
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// It cannot be read, is another user's or readable by others, or its text is wrong: the error names the
    /// line.
    pub fn read(path: &Path) -> Result<Self, IoError> {
        let doing = format!("read the key file {}", path.display());
        let missing = "; `lockstep keys new` made them, once, on one host: copy the file from there";
        let text = private::read(path, &doing, missing, FILE_LEN_MAX)?;
        Self::parse(&text).map_err(|why| IoError::because(doing, ErrorKind::InvalidData, why))
    }

    /// Writes the file anew at `path` with mode 0600: readers see the old file or the new one.
    ///
    /// # Errors
    /// The file system refuses it.
    pub fn write(&self, path: &Path) -> Result<(), IoError> {
        let draft = path.with_extension(format!("draft-{}", std::process::id()));
        let written = (|| {
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
                .open(&draft)?;
            file.write_all(self.text().as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&draft, path)
        })();
        written.map_err(|error| {
            let _ = std::fs::remove_file(&draft); // it may not exist
            IoError::new(format!("write the key file {}", path.display()), error)
        })
    }

    /// The generation that seals.
    pub fn sealing(&self) -> u8 {
        let sealing = self.generations.iter().find(|row| row.usage == GenerationUse::Sealing);
        sealing.expect("it was checked").number
    }

    /// Publishers' keys by number, with the names of the latest generation.
    pub fn publishers(&self) -> impl Iterator<Item = (u16, &str)> {
        let latest =
            self.generations.iter().max_by_key(|row| (row.usage == GenerationUse::Sealing, row.number));
        let rows = latest.into_iter().flat_map(|row| &row.publishers);
        rows.map(|publisher| (publisher.number, publisher.name.as_str()))
    }

    /// The rights of a publisher's key.
    pub fn rights_of(&self, number: u16) -> KeyRights {
        self.rights
            .iter()
            .find(|(other, _)| *other == number)
            .map(|(_, rights)| rights.clone())
            .unwrap_or_default()
    }

    /// Sets the rights of a publisher's key.
    pub fn set_rights(&mut self, number: u16, rights: KeyRights) {
        self.rights.retain(|(other, _)| *other != number);
        if rights != KeyRights::default() {
            self.rights.push((number, rights));
            self.rights.sort_by_key(|(number, _)| *number);
        }
    }

    /// The number of the publisher's key with this name.
    pub fn publisher(&self, name: &str) -> Option<u16> {
        self.publishers().find(|(_, other)| *other == name).map(|(number, _)| number)
    }

    /// Draws a publisher's key in each generation that is not retired. Returns its number, or the reason why
    /// it was refused.
    ///
    /// # Errors
    /// As [`draw_key`].
    pub fn add_publisher(&mut self, name: &str) -> Result<Result<u16, String>, IoError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.len() > HOLDER_LEN_MAX || !name.bytes().all(is_plain) {
            return Ok(Err(format!(
                "'{name}' is no name of a key: at most {HOLDER_LEN_MAX} letters, digits, '-', '_' and '.'"
            )));
        }
        if self.publisher(name).is_some() {
            return Ok(Err(format!("there is a publisher's key with the name '{name}' already")));
        }
        let number = self.publishers().map(|(number, _)| number + 1).max().unwrap_or(0);
        if number >= PUBLISHER_KEYS_MAX {
            return Ok(Err(format!("there are {number} publishers' keys, and there can be no more")));
        }
        let live = self.generations.iter_mut().filter(|row| row.usage != GenerationUse::Retired);
        for row in live {
            row.push(PublisherKey { number, name: name.to_owned(), key: draw_key()? });
        }
        Ok(Ok(number))
    }

    /// Draws a generation of keys: it is accepted, and does not seal yet. If all numbers are in use it
    /// replaces the oldest retired one. Returns its number, or the reason why it was refused.
    ///
    /// # Errors
    /// As [`draw_key`].
    pub fn add_generation(&mut self) -> Result<Result<u8, String>, IoError> {
        let next = (self.sealing() + 1) % GENERATIONS as u8;
        match self.generations.iter().find(|row| row.number == next) {
            None => {}
            Some(row) if row.usage == GenerationUse::Retired => {}
            Some(_) => {
                let what = "is there already: `lockstep keys seal` it, or `lockstep keys retire` it first";
                return Ok(Err(format!("generation {next} {what}")));
            }
        }
        let from = self.generations.iter().find(|row| row.usage == GenerationUse::Sealing);
        let mut row = from.expect("it was checked").clone();
        (row.number, row.usage, row.until) = (next, GenerationUse::Accepted, None);
        (row.replica, row.reader) = (Some(draw_key()?), draw_key()?);
        for publisher in &mut row.publishers {
            publisher.key = draw_key()?;
        }
        self.remove(next);
        self.generations.push(row);
        Ok(Ok(next))
    }

    /// Seals with a generation from now on; the one that sealed before stays accepted. The error is the
    /// reason for a refusal.
    ///
    /// # Errors
    /// There is no such generation, or it is retired.
    pub fn seal_with(&mut self, generation: u8) -> Result<(), String> {
        match self.generations.iter().find(|row| row.number == generation) {
            None => return Err(no_generation(generation)),
            Some(row) if row.usage == GenerationUse::Retired => {
                return Err(format!("generation {generation} is retired, and is not used again"));
            }
            Some(_) => {}
        }
        for row in &mut self.generations {
            match row.usage {
                _ if row.number == generation => row.usage = GenerationUse::Sealing,
                GenerationUse::Sealing => row.usage = GenerationUse::Accepted,
                _ => {}
            }
        }
        Ok(())
    }

    /// Sets the day by which a generation is to be replaced; `None` removes it. The error is the reason for a
    /// refusal.
    ///
    /// # Errors
    /// There is no such generation, or it is retired.
    pub fn expire(&mut self, generation: u8, until: Option<Utc>) -> Result<(), String> {
        let row = self.generations.iter_mut().find(|row| row.number == generation);
        let row = row.ok_or_else(|| no_generation(generation))?;
        if row.usage == GenerationUse::Retired {
            return Err(format!("generation {generation} is retired: another one has taken its place"));
        }
        row.until = until;
        Ok(())
    }

    /// The generation that seals, and the day by which another one is to replace it.
    pub fn expiry(&self) -> Option<(u8, Utc)> {
        let row = self.generations.iter().find(|row| row.usage == GenerationUse::Sealing)?;
        Some((row.number, row.until?))
    }

    /// Forgets a retired generation: frames that it sealed can no longer be replayed. The error is the reason
    /// for a refusal.
    ///
    /// # Errors
    /// There is no such generation, or it is not retired.
    pub fn forget(&mut self, generation: u8) -> Result<(), String> {
        let row = self.generations.iter().find(|row| row.number == generation);
        match row.map(|row| row.usage) {
            None => Err(no_generation(generation)),
            Some(GenerationUse::Retired) => {
                self.remove(generation);
                Ok(())
            }
            Some(_) => Err(format!(
                "generation {generation} is not retired: `lockstep keys retire {generation}` first"
            )),
        }
    }

    fn remove(&mut self, generation: u8) {
        self.generations.iter_mut().filter(|row| row.number == generation).for_each(GenerationRow::wipe);
        self.generations.retain(|row| row.number != generation);
    }

    /// Stops accepting a generation. Its publishers' keys are removed, because nothing that they sealed is
    /// read later. The error is the reason for a refusal.
    ///
    /// # Errors
    /// There is no such generation, or it is the one that seals.
    pub fn retire(&mut self, generation: u8) -> Result<(), String> {
        let row = self.generations.iter_mut().find(|row| row.number == generation);
        let row = row.ok_or_else(|| no_generation(generation))?;
        if row.usage == GenerationUse::Sealing {
            return Err(format!("generation {generation} seals: `lockstep keys seal` another one first"));
        }
        row.usage = GenerationUse::Retired;
        row.wipe_publishers();
        Ok(())
    }

    /// The keyring of a process with this file.
    pub fn ring(&self) -> Keyring {
        let ring = Keyring::empty(self.cluster, self.class);
        self.apply(&ring).expect("the ring is empty");
        ring
    }

    /// The keyring of a process with this file, in the cluster with this number.
    ///
    /// # Errors
    /// The keys are another cluster's.
    pub fn ring_of(&self, cluster: u64) -> Result<Keyring, String> {
        match self.cluster == cluster {
            true => Ok(self.ring()),
            false => Err(format!(
                "it has the keys of cluster {}, and this is cluster {cluster}: give the right file",
                self.cluster
            )),
        }
    }

    /// The keyring of a process with the file at `path`, in the cluster with this number.
    ///
    /// # Errors
    /// As [`KeyFile::read`] and [`KeyFile::ring_of`].
    pub fn read_ring(path: &Path, cluster: u64) -> Result<Keyring, IoError> {
        let ring = Self::read(path)?.ring_of(cluster).map_err(|why| unusable(path, why));
        memory::scrub_stack();
        ring
    }

    /// [`KeyFile::expiry`] of the file at `path`. None of its keys stays in memory.
    ///
    /// # Errors
    /// As [`KeyFile::read`].
    pub fn read_expiry(path: &Path) -> Result<Option<(u8, Utc)>, IoError> {
        let expiry = Self::read(path)?.expiry();
        memory::scrub_stack();
        Ok(expiry)
    }

    /// Updates the keyring of a running process from the file at `path`.
    ///
    /// # Errors
    /// As [`KeyFile::read`] and [`KeyFile::apply`].
    pub fn reload(path: &Path, ring: &Keyring) -> Result<(), IoError> {
        let applied = Self::read(path)?.apply(ring).map_err(|why| unusable(path, why));
        memory::scrub_stack();
        applied
    }

    /// Updates the keyring of a running process from this file. Generations that are not in it are forgotten.
    ///
    /// # Errors
    /// The keys are another cluster's or class's, or a generation of this number had other keys when the
    /// process started; then the ring stays as it was.
    pub fn apply(&self, ring: &Keyring) -> Result<(), String> {
        if (Some(self.class), self.cluster) != (ring.own(), ring.cluster()) {
            return Err(format!(
                "it has the keys of a {} of cluster {}",
                class_name(self.class),
                self.cluster
            ));
        }
        let (mut accepted, mut listed) = (0, 0);
        // Rights come before keys, so that a new key never allows more than its rights.
        let name = |number| self.publishers().find(|(own, _)| *own == number).map_or("", |(_, name)| name);
        ring.set_rights(self.rights.iter().map(|(number, rights)| KeyHolder {
            key: *number,
            name: name(*number).to_owned(),
            rights: rights.clone(),
        }));
        ring.set_recipients(self.recipients.clone());
        for row in &self.generations {
            let is_accepted = row.usage != GenerationUse::Retired;
            let mut keys = row.keys();
            // A file of an older version has publishers' keys of retired generations.
            let publishers = if is_accepted { Vec::new() } else { std::mem::take(&mut keys.publishers) };
            let added = ring.add(row.number, &keys);
            keys.wipe();
            GenerationKeys { publishers, ..keys }.wipe();
            added.map_err(|OtherKeys { generation }| {
                format!("generation {generation} has other keys than this process has under that number: restart it")
            })?;
            (accepted, listed) = (accepted | u16::from(is_accepted) << row.number, listed | 1 << row.number);
        }
        ring.set_generations(self.sealing(), accepted);
        ring.forget_but(listed);
        // A daemon calls `lock` itself and reports the result; a user's program continues without the lock.
        let _ = lock(&ring.places());
        Ok(())
    }

    /// Makes the file of a process of another class from a replica's: it has the keys of that class alone.
    pub fn export(&self, class: KeyClass) -> Self {
        let generations = self.generations.iter().map(|row| GenerationRow {
            replica: row.replica.filter(|_| class == KeyClass::Replica),
            publishers: match class {
                KeyClass::Replica => row.publishers.clone(),
                KeyClass::Reader => Vec::new(),
                KeyClass::Publisher(number) => {
                    row.publishers.iter().filter(|one| one.number == number).cloned().collect()
                }
            },
            ..row.clone()
        });
        let rights = match class {
            KeyClass::Replica => self.rights.clone(),
            KeyClass::Reader => Vec::new(),
            KeyClass::Publisher(number) => {
                self.rights.iter().filter(|(other, _)| *other == number).cloned().collect()
            }
        };
        let recipients = match class {
            KeyClass::Replica => self.recipients.clone(),
            _ => RecipientRules::default(),
        };
        Self { cluster: self.cluster, class, rights, recipients, generations: generations.collect() }
    }
}

fn no_generation(generation: u8) -> String {
    format!("there is no generation {generation}: `lockstep keys show` lists them")
}

fn unusable(path: &Path, why: String) -> IoError {
    IoError::because(format!("use the key file {}", path.display()), ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests;
