//! Flags of the daemons. Flags that are keys of the configuration become its strongest layer.

use crate::Failure;
use crate::config::{self, Config, Origin, Override};
use crate::failure::USAGE;
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;

/// The path of the cluster's file, and the flags that override it.
#[derive(Args, Clone, Debug)]
pub struct ClusterArgs {
    /// The cluster's configuration
    #[arg(long, value_name = "FILE", env = "LOCKSTEP_CONFIG", default_value = "/etc/lockstep/lockstep.toml")]
    pub config: PathBuf,
    /// Which stream of the file, where it describes a set of them (also LOCKSTEP_STREAM)
    #[arg(long, value_name = "NAME")]
    pub stream: Option<String>,
    /// Sets a key of the configuration, e.g. timing.heartbeat_interval=5ms; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Network interface of all groups (lines.1.interface)
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
    /// What an acknowledgement means: process, power (stream.durability)
    #[arg(long, value_name = "WORD")]
    pub durability: Option<String>,
    /// What a pinned thread does when there is nothing to do: spin, yield, park (runtime.idle)
    #[arg(long, value_name = "WORD")]
    pub idle: Option<String>,
    /// How log lines look: text, json (log.format)
    #[arg(long, value_name = "WORD")]
    pub log_format: Option<String>,
    /// The least important log line: error, warn, info, debug, trace (log.level)
    #[arg(long, value_name = "WORD")]
    pub log_level: Option<String>,
}

impl ClusterArgs {
    /// The given flags that have a key of their own: flag, key and value.
    fn named(&self) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
        let all = [
            ("--stream", "stream", &self.stream),
            ("--interface", "lines.1.interface", &self.interface),
            ("--durability", "stream.durability", &self.durability),
            ("--idle", "runtime.idle", &self.idle),
            ("--log-format", "log.format", &self.log_format),
            ("--log-level", "log.level", &self.log_level),
        ];
        all.into_iter().filter_map(|(flag, key, value)| Some((flag, key, value.as_deref()?)))
    }

    /// The same flags, for another command of this program on the same cluster.
    pub fn passed_on(&self) -> Vec<OsString> {
        let mut flags = vec!["--config".into(), self.config.clone().into_os_string()];
        for set in &self.set {
            flags.extend(["--set".into(), set.into()]);
        }
        for (flag, _, value) in self.named() {
            flags.extend([flag.into(), value.into()]);
        }
        flags
    }

    /// Flags (these and `more`, as flag, key and value) before variables, as [`Config::load`] requires.
    pub fn overrides(&self, more: &[(&str, String, String)]) -> Result<Vec<Override>, Failure> {
        let flag = |flag: &str, key: &str, value: &str| {
            (key.to_owned(), value.to_owned(), Origin::Flag(flag.to_owned()))
        };
        let mut all: Vec<_> = self.named().map(|(name, key, value)| flag(name, key, value)).collect();
        all.extend(more.iter().map(|(name, key, value)| flag(name, key, value)));
        for set in &self.set {
            let (key, value) = set.split_once('=').ok_or_else(|| {
                let how = "write --set KEY=VALUE, like --set timing.heartbeat_interval=5ms";
                Failure::new(USAGE, format!("--set {set} has no '=': {how}"))
            })?;
            all.push(flag(&format!("--set {key}"), key, value));
        }
        all.extend(config::from_this_process());
        Ok(all)
    }

    /// The configuration with all overrides.
    pub fn load(&self, more: &[(&str, String, String)]) -> Result<Config, Failure> {
        Ok(Config::load(Some(&self.config), &self.overrides(more)?)?)
    }
}

/// Flags of `sequencer`.
#[derive(Args, Debug)]
pub struct SequencerArgs {
    /// Where the cluster's file is.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Which replica of the configuration this is
    #[arg(long, value_name = "N", env = "LOCKSTEP_REPLICA")]
    pub replica: u32,
    /// Core of its pinned thread (replicas.N.core)
    #[arg(long, value_name = "CORE")]
    pub core: Option<usize>,
    /// Stops when stdin ends too, so that it never outlives the program that started it
    #[arg(long)]
    pub until_stdin_ends: bool,
    /// Starts no watcher: the others learn of this process's death by its silence (runtime.watcher)
    #[arg(long)]
    pub no_watcher: bool,
}

/// Flags of `archiver`.
#[derive(Args, Debug)]
pub struct ArchiverArgs {
    /// Where the cluster's file is.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Which archiver of the configuration this is
    #[arg(long, value_name = "N", env = "LOCKSTEP_ARCHIVER")]
    pub archiver: u32,
    /// Core of its pinned thread (archivers.N.core)
    #[arg(long, value_name = "CORE")]
    pub core: Option<usize>,
    /// Stops when stdin ends too, so that it never outlives the program that started it
    #[arg(long)]
    pub until_stdin_ends: bool,
}

/// The arguments that a sequencer passes to its watcher.
#[derive(Args, Debug)]
pub struct WatchArgs {
    /// How its only log line looks: text, json
    #[arg(long, value_name = "WORD", default_value = "text")]
    pub log_format: String,
}
