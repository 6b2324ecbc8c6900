//! Reads a daemon's configuration again at SIGHUP: keys that may change while it runs take effect, and all
//! others that concern it are reported with what they need. An invalid file changes nothing.

use crate::args::ClusterArgs;
use crate::config::{ChangeNeed, Config, KeyChange, KeyUse, Override};
use crate::observed::Observed;
use crate::{Failure, log, signals};
use lockstep_client::{Counted, Endpoint};
use lockstep_io::IoError;
use lockstep_operations::reload::{ANSWER_LEN, FAILED_WORD, answer_file};
use lockstep_wire::Keys;
use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The key of a daemon's page.
const PAGE: &str = "metrics.listen";

/// The kind of the daemon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Daemon {
    /// A replica, by its number.
    Replica(u32),
    /// An archiver, by its number.
    Archiver(u32),
    /// A gateway.
    Gateway,
    /// A feed.
    Feed,
    /// A notary.
    Notary,
    /// A coordinator, by its number.
    Coordinator(u32),
}

impl Daemon {
    /// Whether it uses this key.
    fn has(self, key: &str) -> bool {
        let parts: Vec<&str> = key.split('.').collect();
        let is_node = matches!(self, Self::Replica(_) | Self::Archiver(_));
        let is_own =
            |number: Option<u32>| number.map(|number| number.to_string()).as_deref() == Some(parts[1]);
        // The addresses of nodes concern all processes; other keys of a node only that node.
        let is_shared =
            |name: &str| matches!(name, "id" | "unicast" | "unicast_b" | "role" | "transport" | "host");
        match (parts[0], self) {
            ("gateway", _) => self == Self::Gateway,
            ("feed", _) => self == Self::Feed,
            ("set", _) => matches!(self, Self::Coordinator(_)),
            ("coordinators", Self::Coordinator(number)) => is_own(Some(number)) || is_shared(parts[2]),
            ("coordinators", _) => false,
            ("journal" | "replay", _) => is_node,
            ("publisher" | "subscriber", _) => !is_node,
            ("replicas", Self::Replica(number)) => is_own(Some(number)) || is_shared(parts[2]),
            ("archivers", Self::Archiver(number)) => is_own(Some(number)) || is_shared(parts[2]),
            ("replicas" | "archivers", _) => is_shared(parts[2]),
            _ => true,
        }
    }
}

/// The file that reports to `lockstep reload` what a process has done. It is made before the process is
/// confined.
#[derive(Clone, Default)]
pub struct ReloadAnswers(Arc<Mutex<AnswerFile>>);

#[derive(Default)]
struct AnswerFile {
    file: Option<File>,
    /// The newest answer, which may precede the file.
    newest: Option<Vec<u8>>,
}

impl AnswerFile {
    fn write(&self) -> std::io::Result<()> {
        let (Some(file), Some(bytes)) = (&self.file, &self.newest) else { return Ok(()) };
        // The first line is written last: a reader that finds it finds the others.
        let first = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
        file.write_all_at(&bytes[first..], first as u64)?;
        file.write_all_at(&bytes[..first], 0)
    }
}

impl ReloadAnswers {
    fn lock(&self) -> MutexGuard<'_, AnswerFile> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the file beside this counters file.
    pub fn begin(&self, counters: &Path) {
        let path = answer_file(counters);
        // Other users may make files there too: a file of that name is removed, never opened.
        let _ = std::fs::remove_file(&path); // it may not exist
        let mut answers = self.lock();
        // Readers refuse a file that a group may write.
        let made = File::options().write(true).create_new(true).mode(0o644).open(&path);
        let written = made.and_then(|file| {
            answers.file = Some(file);
            answers.write()
        });
        if let Err(error) = written {
            tracing::warn!("`lockstep reload` gets no answer here: making {}: {error}", path.display());
        }
    }

    /// As [`begin`](Self::begin), for a process that has a counters file.
    pub fn begin_beside(&self, counted: Option<&Counted>) {
        if let Some(counted) = counted {
            self.begin(counted.place().1);
        }
    }

    /// Writes answer `number`.
    fn write(&self, number: u64, is_ok: bool, lines: &[String]) {
        let word = if is_ok { "ok" } else { FAILED_WORD };
        let first = format!("{:010} {number:020} {word:<6}\n", std::process::id());
        let mut bytes = lines.iter().fold(first, |text, line| text + line + "\n").into_bytes();
        bytes.resize(ANSWER_LEN, b'\n');
        let mut answers = self.lock();
        answers.newest = Some(bytes);
        if let Err(error) = answers.write() {
            tracing::warn!("`lockstep reload` gets no answer here: {error}");
        }
    }
}

/// Reads the configuration of this process again.
pub struct Reloader {
    daemon: Daemon,
    file: PathBuf,
    overrides: Vec<Override>,
    /// The configuration at the start.
    started: Config,
    /// The configuration in force, as far as a reload changes it.
    last: Config,
    number: u64,
    answers: ReloadAnswers,
    observed: Observed,
}

impl Reloader {
    /// A reloader for a process that was started with these arguments and this configuration.
    ///
    /// # Errors
    /// An argument is invalid.
    pub fn new(
        daemon: Daemon,
        cluster: &ClusterArgs,
        more: &[(&str, String, String)],
        config: &Config,
    ) -> Result<Self, Failure> {
        Ok(Self {
            daemon,
            file: cluster.config.clone(),
            overrides: cluster.overrides(more)?,
            started: config.clone(),
            last: config.clone(),
            number: 0,
            answers: ReloadAnswers::default(),
            observed: Observed::default(),
        })
    }

    /// From now on keys and configuration are read again at SIGHUP. Returns the answers.
    ///
    /// # Errors
    /// The signal cannot be handled, or the system starts no thread.
    pub fn start(mut self, keys: Keys, key_file: Option<PathBuf>) -> Result<ReloadAnswers, IoError> {
        let answers = self.answers();
        signals::reload_keys(key_file, keys, move |outcome| {
            self.read_again(outcome.into_iter().collect());
        })?;
        Ok(answers)
    }

    /// From now on the configuration, and the keys of all these streams, are read again at SIGHUP. `then`
    /// receives the configuration of the first one, unless it is invalid. Returns the answers.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_for_all(
        mut self,
        key_use: KeyUse,
        streams: (&[Config], &[Endpoint]),
        mut then: impl FnMut(&Config) + Send + 'static,
    ) -> Result<ReloadAnswers, IoError> {
        let answers = self.answers();
        let (configs, endpoints) = streams;
        let of = |(config, endpoint): (&Config, &Endpoint)| {
            Some((config.key_file(key_use)?, endpoint.keys().clone()))
        };
        let others: Vec<(PathBuf, Keys)> = configs.iter().zip(endpoints).skip(1).filter_map(of).collect();
        others.iter().for_each(|(path, keys)| signals::begin_with_keys(path, keys));
        signals::reload_keys(configs[0].key_file(key_use), endpoints[0].keys().clone(), move |outcome| {
            let again = others.iter().map(|(path, keys)| signals::read_keys_again(path, keys));
            if let Some(config) = self.read_again(outcome.into_iter().chain(again).collect()) {
                then(config);
            }
        })?;
        Ok(answers)
    }

    /// The file that is read.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The answers of the process.
    pub fn answers(&self) -> ReloadAnswers {
        self.answers.clone()
    }

    /// The daemon as it is observed: a reload may move its page.
    pub fn observed(&self) -> Observed {
        self.observed.clone()
    }

    /// Reads the file again, sets the level of the log, and moves the page. `others` are the results of other
    /// files. Returns the configuration, unless it is invalid.
    pub fn read_again(&mut self, others: Vec<Result<String, String>>) -> Option<&Config> {
        self.number += 1;
        let mut is_ok = others.iter().all(Result::is_ok);
        let mut lines: Vec<_> = others.into_iter().map(|other| other.unwrap_or_else(|error| error)).collect();
        let mut is_read = false;
        match Config::load(Some(&self.file), &self.overrides) {
            Ok(config) => {
                let (before, level) = (self.last.log.level, config.log.level);
                let page = self.observed.listen(&config);
                let stays = page.err().map(|error| format!("metrics.listen stays as it is: {error}"));
                let mut described = self.take(config, stays.is_some());
                is_ok &= stays.is_none();
                described.extend(stays);
                // Both the rise and the fall of the log's level are logged.
                log::set_level(log::most(before, level));
                described.iter().for_each(|line| tracing::info!("{line}"));
                log::set_level(level);
                lines.extend(described);
                is_read = true;
            }
            Err(errors) => {
                is_ok = false;
                for problem in errors.problems() {
                    let line = format!("the configuration stays as it is: {problem}");
                    tracing::error!("{line}");
                    lines.push(line);
                }
            }
        }
        self.answers.write(self.number, is_ok, &lines);
        is_read.then_some(&self.last)
    }

    /// Takes the new configuration, and describes each key that differs, except that of a page that stays.
    fn take(&mut self, config: Config, page_stays: bool) -> Vec<String> {
        let reloads = |change: &KeyChange| change.need == ChangeNeed::Reload;
        let mut changes: Vec<_> = self.last.changes(&config).into_iter().filter(reloads).collect();
        // Other keys are still as they were when the process began.
        changes.extend(self.started.changes(&config).into_iter().filter(|change| !reloads(change)));
        changes.retain(|change| self.daemon.has(&change.key) && !(page_stays && change.key == PAGE));
        self.last = config;
        if changes.is_empty() && !page_stays {
            return vec![
                "the configuration was read again: nothing in it differs for this process".to_owned(),
            ];
        }
        changes.iter().map(describe).collect()
    }
}

fn describe(change: &KeyChange) -> String {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "(not set)".to_owned());
    let (key, old, new) = (&change.key, shown(&change.old), shown(&change.new));
    match change.need {
        ChangeNeed::Reload => format!("{key}: {old} -> {new}: in force"),
        ChangeNeed::Nothing => format!("{key}: {old} -> {new}: no process has it"),
        need => format!("{key}: {old} stays in force: {new} needs {}", need.what()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_of_its_own_keys_and_of_those_that_all_have() {
        let own = ["replicas.2.core", "replicas.1.unicast", "journal.tail_size", "log.level", "cluster"];
        let others =
            ["replicas.1.core", "archivers.2.core", "gateway.clients", "feed.allow", "publisher.window"];
        assert!(own.iter().all(|key| Daemon::Replica(2).has(key)));
        assert!(!others.iter().any(|key| Daemon::Replica(2).has(key)));
        assert!(Daemon::Gateway.has("gateway.clients") && !Daemon::Gateway.has("journal.tail_size"));
        assert!(
            Daemon::Archiver(4).has("archivers.4.compression") && !Daemon::Archiver(4).has("replicas.4.core")
        );
    }
}
